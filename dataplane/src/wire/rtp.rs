//! The RTP header (RFC 3550, section 5.1).
#![forbid(unsafe_code)]

use std::ops::Range;

use crate::id::{PayloadType, Ssrc};

/// A parsed RTP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit: the last packet of a video frame, the first of a talk spurt.
    pub marker: bool,
    /// Padding bit. Its length is known only after opening.
    pub has_padding: bool,
    /// Payload type.
    pub payload_type: PayloadType,
    /// Sequence number.
    pub sequence_number: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronization source.
    pub ssrc: Ssrc,
    /// The header extension: its 16-bit profile, and where its elements stand in the packet.
    pub extension: Option<(u16, Range<usize>)>,
    /// Bytes from the start of the packet to the payload.
    pub len: usize,
}
