//! One 5-tuple's trust: ICE, DTLS and SRTP of one peer.
#![forbid(unsafe_code)]

pub mod description;
pub mod negotiate;
pub mod path;

use std::time::Instant;

use crate::command::CloseReason;
use crate::counters::DropReason;
use crate::id::Ssrc;
use crate::wire::rtp::RtpHeader;
use description::Description;
use path::Path;

/// The contract that the engine is written against; the bodies land with the transport branch.
#[derive(Debug)]
pub struct Transport;

/// What an authenticated STUN request changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathChange {
    /// A path that is trusted from now on.
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

#[allow(unused_variables, missing_docs, clippy::todo)]
impl Transport {
    pub fn description(&self) -> &Description {
        todo!()
    }
    pub fn local_ufrag(&self) -> &str {
        todo!()
    }
    pub fn handle_stun(&mut self, path: Path, bytes: &[u8], now: Instant) -> Result<PathChange, DropReason> {
        todo!()
    }
    pub fn handle_dtls(&mut self, path: Path, bytes: &[u8], now: Instant) -> Result<(), DropReason> {
        todo!()
    }
    pub fn expire(&mut self, now: Instant) {
        todo!()
    }
    pub fn next_deadline(&self) -> Instant {
        todo!()
    }
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        todo!()
    }
    /// SRTCP datagrams of str0m that were dropped since the last call.
    pub fn take_foreign_srtcp_dropped(&mut self) -> u64 {
        todo!()
    }
    pub fn close(&mut self, now: Instant) {
        todo!()
    }
    pub fn is_connected(&self) -> bool {
        todo!()
    }
    pub fn nominated(&self) -> Option<Path> {
        todo!()
    }
    pub fn paths(&self) -> &[Path] {
        todo!()
    }
    pub fn srtp_profile(&self) -> Option<&'static str> {
        todo!()
    }
    pub fn open_rtp(
        &mut self,
        packet: &[u8],
        header: &RtpHeader,
        payload: &mut [u8],
        now: Instant,
    ) -> Result<Opened, DropReason> {
        todo!()
    }
    pub fn open_rtcp(&mut self, packet: &[u8], plain: &mut [u8], now: Instant) -> Result<usize, DropReason> {
        todo!()
    }
    pub fn seal_rtp(
        &mut self,
        packet: &mut [u8],
        header_len: usize,
        plain_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        todo!()
    }
    pub fn seal_rtcp(&mut self, packet: &mut [u8], plain_len: usize) -> usize {
        todo!()
    }
}
