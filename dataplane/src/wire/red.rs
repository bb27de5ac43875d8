//! Redundant audio (RFC 2198): several frames in one payload, the oldest first, the primary one last.
//!
//! Positions are given, bytes are not copied. Whose sequence number a redundant block has is not written in
//! the payload; that is for the caller to know.
//!
//! # Invariants
//!
//! - What is refused: headers or blocks past the end, an empty primary block, more than
//!   [`RED_BLOCKS_MAX`] redundant ones, and a block of another payload type than the one that was negotiated.
#![forbid(unsafe_code)]

use super::reader::Reader;
use crate::counters::DropReason;
use crate::id::PayloadType;
use crate::limits::RED_BLOCKS_MAX;

const HAS_MORE: u8 = 0x80;
const REDUNDANT_HEADER_LEN: usize = 4;
const PRIMARY_HEADER_LEN: usize = 1;
const LENGTH_BITS: u32 = 10;
const TIMESTAMP_OFFSET_MASK: u32 = 0x3fff;

/// The headers of a payload that was found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    redundant_count: u8,
    primary_at: u16,
}

/// One redundant block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// How many ticks before the packet's timestamp it is, 14 bits.
    pub timestamp_offset: u16,
    /// The frame. May be empty.
    pub payload: &'a [u8],
}

impl Header {
    /// Reads the headers of a payload without padding whose blocks have the payload type `inner`.
    ///
    /// # Errors
    /// [`DropReason::MalformedPayload`] for what the module refuses.
    pub fn parse(payload: &[u8], inner: PayloadType) -> Result<Self, DropReason> {
        Self::read(payload, inner).ok_or(DropReason::MalformedPayload)
    }

    fn read(payload: &[u8], inner: PayloadType) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let mut redundant_count = 0u8;
        let mut redundant_len = 0;
        loop {
            let mut ahead = reader;
            let first = ahead.u8()?;
            if first & !HAS_MORE != inner.0 {
                return None;
            }
            if first & HAS_MORE == 0 {
                let primary_at = payload.len() - ahead.rest().len() + redundant_len;
                let header = Self { redundant_count, primary_at: u16::try_from(primary_at).ok()? };
                return (primary_at < payload.len()).then_some(header);
            }
            redundant_count += 1;
            if usize::from(redundant_count) > RED_BLOCKS_MAX {
                return None;
            }
            redundant_len += (reader.u32()? & ((1 << LENGTH_BITS) - 1)) as usize;
        }
    }

    /// How many redundant blocks there are.
    pub fn redundant_count(&self) -> u8 {
        self.redundant_count
    }

    /// The redundant blocks of the payload that was parsed, oldest first.
    pub fn redundant<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut headers = Reader::new(payload);
        let mut blocks = Reader::new(payload.get(self.headers_len()..).unwrap_or_default());
        (0..self.redundant_count).map_while(move |_| {
            let fields = headers.u32()?;
            let payload = blocks.bytes((fields & ((1 << LENGTH_BITS) - 1)) as usize)?;
            let timestamp_offset = (fields >> LENGTH_BITS & TIMESTAMP_OFFSET_MASK) as u16;
            Some(Block { timestamp_offset, payload })
        })
    }

    /// The primary block of the payload that was parsed.
    pub fn primary<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        payload.get(usize::from(self.primary_at)..).unwrap_or_default()
    }

    /// Gives the blocks of a copy of the payload another payload type.
    pub fn set_inner(&self, payload: &mut [u8], inner: PayloadType) {
        let starts = (0..=usize::from(self.redundant_count)).map(|block| block * REDUNDANT_HEADER_LEN);
        for start in starts {
            if let Some(first) = payload.get_mut(start) {
                *first = *first & HAS_MORE | inner.0 & !HAS_MORE;
            }
        }
    }

    fn headers_len(&self) -> usize {
        usize::from(self.redundant_count) * REDUNDANT_HEADER_LEN + PRIMARY_HEADER_LEN
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const OPUS: PayloadType = PayloadType(111);

    /// A payload of these redundant blocks, each with its timestamp offset, and this primary one.
    fn packed(redundant: &[(u16, Vec<u8>)], primary: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (offset, block) in redundant {
            let fields = u32::from(HAS_MORE | OPUS.0) << 24 | u32::from(*offset) << 10 | block.len() as u32;
            out.extend(fields.to_be_bytes());
        }
        out.push(OPUS.0);
        redundant.iter().for_each(|(_, block)| out.extend(block));
        out.extend(primary);
        out
    }

    #[test]
    fn the_blocks_stand_behind_all_headers_oldest_first() {
        let payload = packed(&[(1_920, vec![1, 2, 3]), (960, vec![4])], &[5, 6]);
        let header = Header::parse(&payload, OPUS).unwrap();
        let blocks: Vec<(u16, &[u8])> =
            header.redundant(&payload).map(|block| (block.timestamp_offset, block.payload)).collect();
        assert_eq!(blocks, [(1_920, &[1, 2, 3][..]), (960, &[4])]);
        assert_eq!(header.primary(&payload), [5, 6]);
    }

    #[test]
    fn a_primary_block_may_be_alone() {
        let header = Header::parse(&[111, 9], OPUS).unwrap();
        assert_eq!((header.redundant_count(), header.primary(&[111, 9])), (0, &[9][..]));
    }

    #[test]
    fn what_cannot_be_unwrapped_is_refused() {
        let sound = packed(&[(960, vec![1, 2])], &[3]);
        for len in 0..sound.len() {
            assert!(Header::parse(&sound[..len], OPUS).is_err(), "{len}");
        }
        assert!(Header::parse(&sound, PayloadType(96)).is_err(), "another payload type");
        let mut mixed = sound.clone();
        mixed[4] = 0;
        assert!(Header::parse(&mixed, OPUS).is_err(), "a primary block of another payload type");
        let many = packed(&vec![(0, vec![1]); RED_BLOCKS_MAX + 1], &[1]);
        assert!(Header::parse(&many, OPUS).is_err(), "too many blocks");
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in vec(any::<u8>(), 0..80)) {
            let inner = PayloadType(payload.first().map_or(0, |first| first & 0x7f));
            if let Ok(header) = Header::parse(&payload, inner) {
                let redundant: usize = header.redundant(&payload).map(|block| block.payload.len()).sum();
                let primary = header.primary(&payload).len();
                prop_assert_eq!(header.headers_len() + redundant + primary, payload.len());
            }
        }

        #[test]
        fn another_inner_payload_type_changes_nothing_else(
            redundant in vec((0u16..1 << 14, vec(any::<u8>(), 0..20)), 0..RED_BLOCKS_MAX),
            primary in vec(any::<u8>(), 1..20), inner in 0u8..128,
        ) {
            let before = packed(&redundant, &primary);
            let header = Header::parse(&before, OPUS).unwrap();
            let mut after = before.clone();
            header.set_inner(&mut after, PayloadType(inner));
            prop_assert_eq!(Header::parse(&after, PayloadType(inner)), Ok(header));
            let blocks: Vec<(u16, Vec<u8>)> =
                header.redundant(&after).map(|block| (block.timestamp_offset, block.payload.to_vec())).collect();
            prop_assert_eq!(blocks, redundant);
            header.set_inner(&mut after, OPUS);
            prop_assert_eq!(after, before);
        }
    }
}
