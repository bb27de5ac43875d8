//! The RTP header (RFC 3550, section 5.1), the extension block around its elements (section 5.3.1) and
//! padding. What the elements mean is [`super::extension`]'s business, and what a payload holds is the
//! codec modules'.
//!
//! The header of an SRTP packet is in clear; its padding is known only after opening.
#![forbid(unsafe_code)]

use std::ops::Range;

use super::reader::Reader;
use crate::counters::DropReason;
use crate::id::{PayloadType, Ssrc};

/// Bytes of a header without CSRCs and without an extension.
pub const FIXED_HEADER_LEN: usize = 12;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
const CSRC_COUNT_MASK: u8 = 0x0f;
const MARKER_BIT: u8 = 0x80;

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

impl RtpHeader {
    /// Reads the header at the start of a packet. CSRCs are stepped over.
    ///
    /// # Errors
    /// [`DropReason::MalformedRtp`] if the version is not 2, or if the fixed header, the CSRCs or the
    /// extension reach past the end.
    pub fn parse(packet: &[u8]) -> Result<RtpHeader, DropReason> {
        Self::read(packet).ok_or(DropReason::MalformedRtp)
    }

    fn read(packet: &[u8]) -> Option<RtpHeader> {
        let mut reader = Reader::new(packet);
        let first = reader.u8()?;
        if first >> 6 != VERSION {
            return None;
        }
        let second = reader.u8()?;
        let mut header = RtpHeader {
            marker: second & MARKER_BIT != 0,
            has_padding: first & PADDING_BIT != 0,
            payload_type: PayloadType(second & !MARKER_BIT),
            sequence_number: reader.u16()?,
            timestamp: reader.u32()?,
            ssrc: Ssrc(reader.u32()?),
            extension: None,
            len: 0,
        };
        reader.bytes(4 * usize::from(first & CSRC_COUNT_MASK))?;
        if first & EXTENSION_BIT != 0 {
            let profile = reader.u16()?;
            let elements_len = 4 * usize::from(reader.u16()?);
            let start = packet.len() - reader.rest().len();
            reader.bytes(elements_len)?;
            header.extension = Some((profile, start..start + elements_len));
        }
        header.len = packet.len() - reader.rest().len();
        Some(header)
    }
}

/// Writes a fixed header: version 2, no padding, no extension, no CSRC. Returns its length,
/// [`FIXED_HEADER_LEN`], or 0 if `out` is shorter than that.
pub fn write_header(
    out: &mut [u8],
    marker: bool,
    payload_type: PayloadType,
    sequence_number: u16,
    timestamp: u32,
    ssrc: Ssrc,
) -> usize {
    let Some(out) = out.first_chunk_mut::<FIXED_HEADER_LEN>() else {
        return 0;
    };
    out[0] = VERSION << 6;
    out[1] = if marker { MARKER_BIT } else { 0 } | (payload_type.0 & !MARKER_BIT);
    out[2..4].copy_from_slice(&sequence_number.to_be_bytes());
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    FIXED_HEADER_LEN
}

/// Says in a written header that an extension block follows it (RFC 3550, section 5.3.1).
pub fn set_extension_bit(packet: &mut [u8]) {
    if let Some(first) = packet.first_mut() {
        *first |= EXTENSION_BIT;
    }
}

/// Says in a written header that the payload ends in padding (RFC 3550, section 5.1).
pub fn set_padding_bit(packet: &mut [u8]) {
    if let Some(first) = packet.first_mut() {
        *first |= PADDING_BIT;
    }
}

/// Bytes of padding at the end of an opened payload whose header has the padding bit, the byte that
/// counts them included (RFC 3550, section 5.1).
///
/// # Errors
/// [`DropReason::MalformedPayload`] if the count is 0 or larger than the payload.
pub fn padding_len(payload: &[u8]) -> Result<usize, DropReason> {
    match payload.last() {
        Some(&count) if (1..=payload.len()).contains(&usize::from(count)) => Ok(usize::from(count)),
        _ => Err(DropReason::MalformedPayload),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_with_csrcs_and_an_extension_is_read() {
        let packet = [
            0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef, // fixed, CC=2, X, P, M
            0, 0, 0, 1, 0, 0, 0, 2, // CSRCs
            0xbe, 0xde, 0, 1, 0x10, 0x7f, 0, 0, // extension of one word
            0xaa, 1,
        ];
        let header = RtpHeader::parse(&packet).unwrap();
        let expected = RtpHeader {
            marker: true,
            has_padding: true,
            payload_type: PayloadType(96),
            sequence_number: 0x1234,
            timestamp: 9,
            ssrc: Ssrc(0xdead_beef),
            extension: Some((0xbede, 24..28)),
            len: 28,
        };
        assert_eq!(header, expected);
    }

    #[test]
    fn a_header_that_reaches_past_the_end_is_refused() {
        let packet = [0xb1, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 0x7f, 0, 0];
        assert!(RtpHeader::parse(&packet).is_ok());
        for len in 0..packet.len() {
            assert_eq!(RtpHeader::parse(&packet[..len]), Err(DropReason::MalformedRtp), "{len}");
        }
    }

    #[test]
    fn another_version_is_refused() {
        for version in [0u8, 1, 3] {
            let mut packet = [0; 12];
            packet[0] = version << 6;
            assert_eq!(RtpHeader::parse(&packet), Err(DropReason::MalformedRtp));
        }
    }

    #[test]
    fn padding_counts_itself_and_stays_within_the_payload() {
        assert_eq!(padding_len(&[1]), Ok(1));
        assert_eq!(padding_len(&[9, 9, 0, 0, 3]), Ok(3));
        assert_eq!(padding_len(&[]), Err(DropReason::MalformedPayload));
        assert_eq!(padding_len(&[1, 0]), Err(DropReason::MalformedPayload));
        assert_eq!(padding_len(&[0, 3]), Err(DropReason::MalformedPayload));
    }

    #[test]
    fn a_header_is_not_written_into_too_little_room() {
        let mut out = [0xff; 11];
        assert_eq!(write_header(&mut out, true, PayloadType(1), 2, 3, Ssrc(4)), 0);
        assert_eq!(out, [0xff; 11]);
        set_extension_bit(&mut []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(header) = RtpHeader::parse(&bytes) {
                prop_assert!(header.len <= bytes.len());
                if let Some((_, elements)) = header.extension {
                    prop_assert_eq!(elements.end, header.len);
                }
            }
            let _ = padding_len(&bytes);
        }

        #[test]
        fn what_was_written_is_read(
            marker: bool, payload_type in 0u8..128, sequence_number: u16, timestamp: u32, ssrc: u32,
        ) {
            let mut out = [0xff; FIXED_HEADER_LEN];
            let (payload_type, ssrc) = (PayloadType(payload_type), Ssrc(ssrc));
            let len = write_header(&mut out, marker, payload_type, sequence_number, timestamp, ssrc);
            let expected = RtpHeader {
                marker, has_padding: false, payload_type, sequence_number, timestamp, ssrc, extension: None, len,
            };
            prop_assert_eq!(RtpHeader::parse(&out), Ok(expected));
        }
    }
}
