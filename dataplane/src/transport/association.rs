//! The str0m half of a transport: the DTLS handshake, and nothing else.
//!
//! str0m sees one made-up pair of addresses, nominated once, whatever paths the peer has: the real paths
//! are `ice.rs`'s business, so a rebinding or a hundred candidates change nothing here. Its media sections
//! were taken out when the offer was answered, so its turns cost the same for one track and for thirty.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};
use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Rtc};

use super::dtls::{HandshakeGuard, Slot, lock};
use super::srtp::{SrtpKeys, SrtpProfile};
use super::stun::sign;
use crate::counters::DropReason;
use crate::limits::OUTPUTS_PER_DRAIN_MAX;

/// The address that str0m takes for ours (RFC 5737: for documentation, never on a wire).
pub(super) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
/// The address that str0m takes for the peer's.
pub(super) const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);
/// The username fragment that str0m takes for the peer's.
pub(super) const REMOTE_UFRAG: &str = "peer";

/// Any priority will do: there is one pair.
const PRIORITY: u32 = 1;
const TIE_BREAKER: u64 = 1;

/// What came out of str0m.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A DTLS datagram wants to leave.
    Dtls(Vec<u8>),
    /// str0m made an SRTCP packet; sealing it would reuse a nonce of ours.
    ForeignSrtcp,
    /// The handshake is done.
    HandshakeDone,
    /// The peer sent close_notify.
    PeerClosed,
    /// It is over: wrong fingerprint, or an error that DTLS cannot get over.
    Failed,
}

/// One peer's str0m.
pub(super) struct Association {
    rtc: Box<Rtc>,
    captured: Slot,
    guard: HandshakeGuard,
    expected_fingerprint: [u8; 32],
    ufrag: String,
    password: String,
    is_nominated: bool,
    timeout: Instant,
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// What an association is made of.
pub(super) struct AssociationParts {
    pub(super) rtc: Box<Rtc>,
    pub(super) captured: Slot,
    pub(super) is_dtls_client: bool,
    pub(super) expected_fingerprint: [u8; 32],
    pub(super) ufrag: String,
    pub(super) password: String,
}

impl Association {
    pub(super) fn new(parts: AssociationParts, now: Instant) -> Self {
        Self {
            rtc: parts.rtc,
            captured: parts.captured,
            guard: HandshakeGuard::new(parts.is_dtls_client),
            expected_fingerprint: parts.expected_fingerprint,
            ufrag: parts.ufrag,
            password: parts.password,
            is_nominated: false,
            timeout: now,
        }
    }

    /// When str0m wants to be woken.
    pub(super) fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Lets str0m send, once a real path is verified: it is shown a request that nominates its own pair.
    pub(super) fn nominate(&mut self, now: Instant, out: &mut Vec<Outcome>) {
        if self.is_nominated {
            return;
        }
        self.is_nominated = true;
        let username = format!("{}:{REMOTE_UFRAG}", self.ufrag);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.password.as_bytes());
        let mut request = [0; 256];
        let len = StunMessage::binding_request(&username, TransId::new(), true, TIE_BREAKER, PRIORITY, true)
            .to_bytes(Some(self.password.as_bytes()), &mut request, |_, parts| sign(&key, parts))
            .expect("a request fits its buffer");
        let nominated = self.receive(&request[..len], now, out);
        debug_assert!(nominated.is_ok(), "str0m takes a request that is signed with its password");
    }

    /// Gives a datagram of DTLS to the handshake, or says why not.
    pub(super) fn handle_dtls(
        &mut self,
        bytes: &[u8],
        is_connected: bool,
        now: Instant,
        out: &mut Vec<Outcome>,
    ) -> Result<(), DropReason> {
        self.guard.admit(bytes, is_connected)?;
        self.receive(bytes, now, out)
    }

    fn receive(&mut self, bytes: &[u8], now: Instant, out: &mut Vec<Outcome>) -> Result<(), DropReason> {
        let datagram =
            Receive::new(Protocol::Udp, REMOTE, LOCAL, bytes).map_err(|_| DropReason::DtlsRefused)?;
        let result = self.rtc.handle_input(Input::Receive(now, datagram));
        self.drain(out);
        // A datagram that DTLS refuses closes nothing: whether str0m is alive was asked by `drain`.
        result.map_err(|error| {
            tracing::debug!(%error, "DTLS refused a datagram");
            DropReason::DtlsRefused
        })
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Outcome>) {
        if now < self.timeout {
            return;
        }
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "str0m refused to go on");
        }
        self.drain(out);
    }

    /// Queues close_notify.
    pub(super) fn close(&mut self, out: &mut Vec<Outcome>) {
        if let Err(error) = self.rtc.close() {
            tracing::debug!(%error, "no close_notify");
        }
        self.drain(out);
    }

    /// The keys of the handshake, if the peer's certificate is the one that its offer announced.
    pub(super) fn take_keys(&mut self) -> Option<(SrtpProfile, SrtpKeys)> {
        let mut captured = lock(&self.captured);
        let is_genuine = captured.peer_fingerprint == Some(self.expected_fingerprint);
        captured.keys.take().filter(|_| is_genuine)
    }

    /// Takes everything that str0m has to say. Bounded: what loops is given up.
    fn drain(&mut self, out: &mut Vec<Outcome>) {
        for _ in 0..OUTPUTS_PER_DRAIN_MAX {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return self.report_death(out);
                }
                Ok(Output::Transmit(transmit)) => out.extend(sort_transmit(transmit.contents.into())),
                Ok(Output::Event(Event::Connected)) => out.push(Outcome::HandshakeDone),
                Ok(Output::Event(Event::Closed)) => out.push(Outcome::PeerClosed),
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "the handshake failed");
                    if !self.rtc.is_alive() {
                        return self.report_death(out);
                    }
                }
            }
        }
        out.push(Outcome::Failed);
    }

    fn report_death(&self, out: &mut Vec<Outcome>) {
        if !self.rtc.is_alive() {
            out.push(Outcome::Failed);
        }
    }
}

/// STUN is answered by `ice.rs`, so str0m's answer to our own request ends here.
fn sort_transmit(bytes: Vec<u8>) -> Option<Outcome> {
    match bytes.first()? {
        20..=63 => Some(Outcome::Dtls(bytes)),
        128..=191 => Some(Outcome::ForeignSrtcp),
        _ => None,
    }
}
