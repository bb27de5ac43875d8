//! The payload: shaped like VP8 (RFC 7741), with a record at its end that says which packet it is.
//!
//! A server may rewrite the VP8 descriptor at the front, so what we look for stands at a fixed distance
//! from the end. The bytes between are known for each number, so that a packet which was damaged or
//! put together from two is found.
#![forbid(unsafe_code)]

use super::plan::Planned;

/// Bytes of one payload.
pub(crate) const PAYLOAD_LEN: usize = 1100;
/// VP8 payload descriptor with a 15-bit picture id (RFC 7741, section 4.2).
const DESCRIPTOR_LEN: usize = 4;
/// Frame tag, start code and dimensions of a keyframe (RFC 6386, section 9.1).
const KEYFRAME_HEADER_LEN: usize = 10;
/// Sequence, time sent, time after plan.
const RECORD_LEN: usize = 8 + 8 + 8;
/// Known bytes, the same length for every packet.
const FILLER_LEN: usize = PAYLOAD_LEN - DESCRIPTOR_LEN - KEYFRAME_HEADER_LEN - RECORD_LEN;
/// Different numbers get different fillers, this many of them.
const FILLERS: usize = 61;

/// What a packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Counted from 0 by the publisher.
    pub(crate) sequence: u64,
    /// Just before it was sealed and sent, ns since 1970.
    pub(crate) sent_ns: u64,
    /// How long after its planned time that was.
    pub(crate) late_ns: u64,
}

/// Writes and reads payloads.
#[derive(Debug)]
pub(crate) struct PayloadShape {
    filler: Vec<u8>,
}

impl PayloadShape {
    /// Makes the known bytes.
    pub(crate) fn new() -> Self {
        let mut state = 0x9e37_79b9_u32;
        let filler = (0..FILLER_LEN + FILLERS)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        Self { filler }
    }

    /// Fills `payload` for the packet that stands at `planned`.
    pub(crate) fn write(
        &self,
        payload: &mut [u8; PAYLOAD_LEN],
        planned: Planned,
        is_keyframe: bool,
        record: Record,
    ) {
        let picture_id = (planned.frame as u16) & 0x7fff;
        // X; S on the first packet of the frame, partition 0. I: picture id. M: it has 15 bits.
        payload[0] = 0x80 | u8::from(planned.is_first) << 4;
        payload[1] = 0x80;
        payload[2..4].copy_from_slice(&(0x8000 | picture_id).to_be_bytes());
        // show_frame, and the inverse keyframe flag in bit 0; then start code, 1280 x 720.
        payload[4..14].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
        payload[4] |= u8::from(!is_keyframe);
        let (_, rest) = payload.split_at_mut(DESCRIPTOR_LEN + KEYFRAME_HEADER_LEN);
        let (filler, tail) = rest.split_at_mut(FILLER_LEN);
        filler.copy_from_slice(self.filler_of(record.sequence));
        tail[..8].copy_from_slice(&record.sequence.to_be_bytes());
        tail[8..16].copy_from_slice(&record.sent_ns.to_be_bytes());
        tail[16..].copy_from_slice(&record.late_ns.to_be_bytes());
    }

    /// Reads what a received payload says; `None` if it is not one of ours, whole and unchanged.
    pub(crate) fn read(&self, payload: &[u8]) -> Option<Record> {
        let (rest, tail) = payload.split_at_checked(payload.len().checked_sub(RECORD_LEN)?)?;
        let number = |at: usize| {
            let bytes = tail[at..at + 8].try_into().expect("eight bytes were cut");
            u64::from_be_bytes(bytes)
        };
        let record = Record { sequence: number(0), sent_ns: number(8), late_ns: number(16) };
        let filler = &rest[rest.len().checked_sub(FILLER_LEN)?..];
        (filler == self.filler_of(record.sequence)).then_some(record)
    }

    fn filler_of(&self, sequence: u64) -> &[u8] {
        let start = (sequence % FILLERS as u64) as usize;
        &self.filler[start..start + FILLER_LEN]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RECORD: Record = Record { sequence: 1000, sent_ns: 1 << 60, late_ns: 7 };

    fn written(is_keyframe: bool) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        PayloadShape::new().write(&mut payload, Planned::of(RECORD.sequence), is_keyframe, RECORD);
        payload
    }

    #[test]
    fn a_record_survives_a_descriptor_of_another_length() {
        let payload = written(false);
        let shape = PayloadShape::new();
        assert_eq!(shape.read(&payload), Some(RECORD));
        assert_eq!(shape.read(&payload[1..]), Some(RECORD));
    }

    #[test]
    fn a_changed_byte_or_a_foreign_record_is_found() {
        let shape = PayloadShape::new();
        let mut damaged = written(false);
        damaged[500] ^= 1;
        assert_eq!(shape.read(&damaged), None);
        let mut mixed = written(false);
        mixed[PAYLOAD_LEN - RECORD_LEN..][..8].copy_from_slice(&1001u64.to_be_bytes());
        assert_eq!(shape.read(&mixed), None);
        assert_eq!(shape.read(&[]), None);
    }

    #[test]
    fn a_keyframe_is_told_from_a_delta_frame() {
        let keyframe = written(true);
        let delta = written(false);
        let is_start = |payload: &[u8]| payload[0] & 0x10 != 0;
        assert!(is_start(&keyframe), "sequence 1000 starts a frame");
        assert_eq!(keyframe[4] & 1, 0);
        assert_eq!(delta[4] & 1, 1);
        assert_eq!(&keyframe[7..10], [0x9d, 0x01, 0x2a]);
        let picture_id = u16::from_be_bytes(keyframe[2..4].try_into().unwrap());
        assert_eq!(picture_id, 0x8000 | 125);
    }
}
