//! One 5-tuple's trust: ICE, DTLS and SRTP of one peer.
//!
//! A [`Transport`] takes the datagrams of its peer and says which of them are genuine; it turns payloads
//! into SRTP and back. It knows nothing of tracks and of what the payloads mean. It does no IO and reads
//! no clock: what wants to leave is polled, time is an argument.
//!
//! # Invariants
//!
//! - Nothing from the network changes anything before it is authenticated: addresses by the
//!   MESSAGE-INTEGRITY of a binding request, media by its SRTP tag (D13).
//! - `Connected` is said only after the peer's certificate had the fingerprint of its offer; before that
//!   nothing is opened and nothing sealed.
//! - SRTP and SRTCP leave only through `seal_*`: what str0m would send of its own is dropped and counted,
//!   as it would use our nonces a second time.
#![forbid(unsafe_code)]

mod association;
mod ice;
mod stun;

pub mod description;
pub mod dtls;
pub mod negotiate;
pub mod path;
pub mod srtp;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::command::CloseReason;
use crate::counters::DropReason;
use crate::id::Ssrc;
use crate::limits::{CONNECT_TIMEOUT, CONSENT_TIMEOUT, TRANSMITS_PER_TRANSPORT_MAX};
use crate::wire::rtp::RtpHeader;
use association::{Association, Outcome};
use description::Description;
use ice::Ice;
use path::Path;
use srtp::{SrtpKeys, SrtpProfile};

/// A deadline for what has none any more.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What an authenticated STUN request changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathChange {
    /// The path that the request vouches for; known or new.
    pub added: Option<Path>,
    /// A path that is not trusted any more, to make room.
    pub removed: Option<Path>,
}

/// What happened to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// ICE and DTLS are done and the fingerprint matched.
    Connected,
    /// It is over.
    Closed(CloseReason),
}

/// An opened SRTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The SRTP index: the sequence number extended by the rollover counter.
    pub index: u64,
    /// Bytes of plaintext payload.
    pub payload_len: usize,
}

/// A datagram of ICE or DTLS that wants to leave.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// Its UDP payload.
    pub bytes: Vec<u8>,
}

/// What stands behind the handshake.
#[derive(Debug)]
enum Handshake {
    /// A real peer: DTLS by str0m, SRTP by us.
    Sealed(Association),
    /// A replayed world (D10): connected by the first verified request, and nothing is encrypted.
    Replayed,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Closed,
}

/// One peer: its verified addresses, its handshake and its keys.
#[derive(Debug)]
pub struct Transport {
    description: Description,
    ice: Ice,
    handshake: Handshake,
    state: State,
    profile: Option<SrtpProfile>,
    keys: Option<SrtpKeys>,
    started_at: Instant,
    /// When the peer last proved that it is there.
    heard_at: Instant,
    transmits: VecDeque<Transmit>,
    events: VecDeque<TransportEvent>,
    foreign_srtcp_dropped: u64,
}

impl Transport {
    /// A transport of a replayed world (D10): its peer is connected by the first verified binding request,
    /// nothing is encrypted, and nothing in it is random.
    pub fn replay(description: Description, ufrag: &str, password: &str, now: Instant) -> Self {
        Self::new(description, Ice::new(ufrag, password), Handshake::Replayed, now)
    }

    fn sealed(description: Description, ice: Ice, association: Association, now: Instant) -> Self {
        Self::new(description, ice, Handshake::Sealed(association), now)
    }

    fn new(description: Description, ice: Ice, handshake: Handshake, now: Instant) -> Self {
        Self {
            description,
            ice,
            handshake,
            state: State::Connecting,
            profile: None,
            keys: None,
            started_at: now,
            heard_at: now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            foreign_srtcp_dropped: 0,
        }
    }

    /// What was negotiated.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Our username fragment: requests for this transport carry it.
    pub fn local_ufrag(&self) -> &str {
        self.ice.ufrag()
    }

    /// Whether ICE and DTLS are done, the fingerprint matched and it is not over.
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Where to send: the path that the peer nominated last, before that the first verified one.
    pub fn nominated(&self) -> Option<Path> {
        self.ice.nominated()
    }

    /// Every verified path, at most `PATHS_PER_TRANSPORT_MAX`.
    pub fn paths(&self) -> &[Path] {
        self.ice.paths()
    }

    /// The profile in use, in the words of the IANA registry; `None` before the handshake is done and in a
    /// replayed world.
    pub fn srtp_profile(&self) -> Option<&'static str> {
        self.profile.map(SrtpProfile::name)
    }

    /// Verifies a binding request, trusts its path and queues the response (RFC 8445, section 7.3).
    ///
    /// # Errors
    ///
    /// `MalformedStun`, `UnknownUfrag`, `StunIntegrity`, `TooManyPaths`; `NotConnected` when it is over.
    /// Nothing has changed then.
    pub fn handle_stun(&mut self, path: Path, bytes: &[u8], now: Instant) -> Result<PathChange, DropReason> {
        if self.state == State::Closed {
            return Err(DropReason::NotConnected);
        }
        let verified = self.ice.handle_request(path, bytes, now)?;
        self.heard_at = now;
        self.queue(Transmit { path, bytes: verified.response });
        match &mut self.handshake {
            Handshake::Sealed(association) => {
                let mut out = Vec::new();
                association.nominate(now, &mut out);
                self.settle(out);
            }
            Handshake::Replayed if self.state == State::Connecting => self.connect(None, SrtpKeys::null()),
            Handshake::Replayed => {}
        }
        Ok(verified.change)
    }

    /// Gives a datagram of DTLS to the handshake.
    ///
    /// # Errors
    ///
    /// `UnknownAddress` from a path that is not verified, `UnexpectedClientHello`, `HandshakeTooLong`,
    /// `DtlsRefused`; `NotConnected` when it is over. None of them closes the transport.
    pub fn handle_dtls(&mut self, path: Path, bytes: &[u8], now: Instant) -> Result<(), DropReason> {
        let is_connected = match self.state {
            State::Connecting => false,
            State::Connected => true,
            State::Closed => return Err(DropReason::NotConnected),
        };
        if !self.ice.paths().contains(&path) {
            return Err(DropReason::UnknownAddress);
        }
        let Handshake::Sealed(association) = &mut self.handshake else {
            return Err(DropReason::DtlsRefused);
        };
        let mut out = Vec::new();
        let result = association.handle_dtls(bytes, is_connected, now, &mut out);
        self.settle(out);
        result
    }

    /// Lets time pass: retransmissions of the handshake, consent, the time to connect.
    pub fn expire(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if let Handshake::Sealed(association) = &mut self.handshake {
            let mut out = Vec::new();
            association.expire(now, &mut out);
            self.settle(out);
        }
        if now >= self.patience_ends_at() {
            match self.state {
                State::Connecting => self.finish(CloseReason::ConnectTimedOut),
                State::Connected => self.finish(CloseReason::ConsentExpired),
                State::Closed => {}
            }
            // Without consent nothing more may be sent (RFC 7675, section 5.1).
            self.transmits.clear();
        }
    }

    /// When [`Transport::expire`] has something to do. Far away when it is over.
    pub fn next_deadline(&self) -> Instant {
        match &self.handshake {
            _ if self.state == State::Closed => self.patience_ends_at(),
            Handshake::Sealed(association) => association.timeout().min(self.patience_ends_at()),
            Handshake::Replayed => self.patience_ends_at(),
        }
    }

    fn patience_ends_at(&self) -> Instant {
        match self.state {
            State::Connecting => self.started_at + CONNECT_TIMEOUT,
            State::Connected => self.heard_at + CONSENT_TIMEOUT,
            State::Closed => self.heard_at + NEVER,
        }
    }

    /// The next datagram of STUN or DTLS that wants to leave.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// SRTCP datagrams of str0m that were dropped since the last call.
    pub fn take_foreign_srtcp_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.foreign_srtcp_dropped)
    }

    /// Says goodbye: queues close_notify and ends it.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        if let Handshake::Sealed(association) = &mut self.handshake {
            let mut out = Vec::new();
            association.expire(now, &mut out);
            association.close(&mut out);
            out.retain(|outcome| matches!(outcome, Outcome::Dtls(_) | Outcome::ForeignSrtcp));
            self.settle(out);
        }
        self.finish(CloseReason::Requested);
    }

    /// Opens an SRTP packet into `payload` (RFC 3711, section 3.3). `header` is the header of `packet`.
    ///
    /// # Errors
    ///
    /// `NotConnected` before the handshake is done, and those of [`srtp::Opener::open_rtp`]. Nothing has
    /// changed then but the bytes of `payload`.
    pub fn open_rtp(
        &mut self,
        packet: &[u8],
        header: &RtpHeader,
        payload: &mut [u8],
        now: Instant,
    ) -> Result<Opened, DropReason> {
        let keys = self.keys.as_mut().ok_or(DropReason::NotConnected)?;
        let opened =
            keys.opener.open_rtp(packet, header.len, header.ssrc, header.sequence_number, payload)?;
        self.heard_at = now;
        Ok(opened)
    }

    /// Opens an SRTCP packet into `plain` and returns its length (RFC 3711, section 3.4).
    ///
    /// # Errors
    ///
    /// `NotConnected` before the handshake is done, and those of [`srtp::Opener::open_rtcp`]. Nothing has
    /// changed then but the bytes of `plain`.
    pub fn open_rtcp(&mut self, packet: &[u8], plain: &mut [u8], now: Instant) -> Result<usize, DropReason> {
        let keys = self.keys.as_mut().ok_or(DropReason::NotConnected)?;
        let len = keys.opener.open_rtcp(packet, plain)?;
        self.heard_at = now;
        Ok(len)
    }

    /// Seals an RTP packet where it stands and returns its new length; 0, and nothing is sealed, without
    /// keys. `packet` starts with header and payload and has room for the tag; `index` is the sequence
    /// number extended by the rollover counter, used once per SSRC.
    pub fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        plain_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        match &self.keys {
            Some(keys) => keys.sealer.seal_rtp(packet, header_len, plain_len, ssrc, index),
            None => 0,
        }
    }

    /// Like [`Transport::seal_rtp`], but takes the payload from elsewhere: `packet` holds the header only.
    /// One touch of the payload instead of two.
    pub fn seal_rtp_from(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        plain: &[u8],
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        match &self.keys {
            Some(keys) => keys.sealer.seal_rtp_from(packet, header_len, plain, ssrc, index),
            None => 0,
        }
    }

    /// Seals a compound RTCP packet where it stands and returns its new length; 0, and nothing is sealed,
    /// without keys or when they are used up.
    pub fn seal_rtcp(&mut self, packet: &mut [u8], plain_len: usize) -> usize {
        match &mut self.keys {
            Some(keys) => keys.sealer.seal_rtcp(packet, plain_len),
            None => 0,
        }
    }

    /// Acts on what came out of the handshake, in order.
    fn settle(&mut self, out: Vec<Outcome>) {
        for outcome in out {
            match outcome {
                Outcome::Dtls(bytes) => {
                    if let Some(path) = self.ice.nominated() {
                        self.queue(Transmit { path, bytes });
                    }
                }
                Outcome::ForeignSrtcp => self.foreign_srtcp_dropped += 1,
                Outcome::HandshakeDone => self.handle_handshake_done(),
                Outcome::PeerClosed => self.finish(CloseReason::PeerLeft),
                Outcome::Failed => self.finish(CloseReason::HandshakeFailed),
            }
        }
    }

    fn handle_handshake_done(&mut self) {
        let Handshake::Sealed(association) = &mut self.handshake else { return };
        match association.take_keys() {
            Some((profile, keys)) if self.state == State::Connecting => self.connect(Some(profile), keys),
            _ => self.finish(CloseReason::HandshakeFailed),
        }
    }

    fn connect(&mut self, profile: Option<SrtpProfile>, keys: SrtpKeys) {
        self.state = State::Connected;
        self.profile = profile;
        self.keys = Some(keys);
        self.events.push_back(TransportEvent::Connected);
    }

    fn finish(&mut self, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.keys = None;
        self.events.push_back(TransportEvent::Closed(reason));
    }

    fn queue(&mut self, transmit: Transmit) {
        if self.transmits.len() < TRANSMITS_PER_TRANSPORT_MAX {
            self.transmits.push_back(transmit);
        }
    }
}

#[cfg(test)]
mod tests;
