//! What the engine remembers of one opened RTP packet, beside its payload.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::carried::Carried;
use super::picture::Picture;

/// One uninterrupted run of numbers of one encoding. A new SSRC, a new payload type or a new publisher
/// begins a new run: nothing of the old one can be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Which encoding of the track.
    pub encoding: u8,
    /// Which run; unique within the track.
    pub epoch: u32,
}

/// An authenticated packet of a track.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Whose numbers these are.
    pub source: Source,
    /// Sequence number, extended by the rollover counter.
    pub index: u64,
    /// RTP timestamp of the publisher.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Bytes of payload, padding not counted. 0: the packet was padding only.
    pub payload_len: u16,
    /// What the payload says of its picture.
    pub picture: Picture,
    /// Bytes of its dependency descriptor, which is kept behind the payload. 0: there is none.
    pub dependency_len: u8,
    /// Header extensions that are passed on.
    pub carried: Carried,
    /// It never came: it was found as redundancy in a later one.
    pub is_recovered: bool,
    /// When the kernel received it, for the latency histogram. `None` for what came by RTX: it measures
    /// the publisher's link, not us.
    pub received_at: Option<Instant>,
}
