//! The VP8 payload descriptor (RFC 7741, section 4.2), and as much of the frame header as names
//! keyframes and their size (section 4.3; RFC 6386, section 9.1).
//!
//! This module reads and rewrites fields. Which value follows which is the rewriter's business.
//!
//! # Invariants
//!
//! - A rewritten descriptor has the presence bits of its source, and a picture id of 15 bits if there
//!   is one: it is at most one byte longer.
#![forbid(unsafe_code)]

use super::picture_id::PictureId;
use super::reader::Reader;
use crate::counters::DropReason;

const HAS_EXTENSION: u8 = 0x80;
const IS_PARTITION_START: u8 = 0x10;
const PARTITION_MASK: u8 = 0x07;

const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0_PICTURE_INDEX: u8 = 0x40;
const HAS_TEMPORAL: u8 = 0x20;
const HAS_KEY_INDEX: u8 = 0x10;

const KEY_INDEX_MASK: u8 = 0x1f;
const IS_SYNC: u8 = 0x20;

const IS_INTERFRAME: u8 = 0x01;
const KEYFRAME_START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// Width and height have 14 bits, two of scale are above them.
const SIZE_MASK: u16 = 0x3fff;

/// Bytes that a rewritten descriptor may be longer than its source.
pub const REWRITE_GROWTH_BYTES_MAX: usize = 1;

/// The temporal layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temporal {
    /// 0 is the base.
    pub tid: u8,
    /// The frame leans on the base only: a way up into this layer.
    pub is_sync: bool,
}

/// A parsed payload descriptor, and what the frame header says if it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// PictureID.
    pub picture_id: Option<PictureId>,
    /// TL0PICIDX: counts frames of the base layer.
    pub tl0_picture_index: Option<u8>,
    /// TID and Y.
    pub temporal: Option<Temporal>,
    /// KEYIDX, 5 bits.
    pub key_index: Option<u8>,
    /// First packet of a frame: start of a partition, and the partition is 0.
    pub is_frame_start: bool,
    /// First packet of a keyframe, its start code seen.
    pub is_keyframe: bool,
    /// Width and height of a keyframe, pixels.
    pub size: Option<(u16, u16)>,
    /// Bytes of the descriptor.
    pub len: usize,
}

impl Descriptor {
    /// Reads the descriptor at the start of a payload without padding.
    ///
    /// # Errors
    /// [`DropReason::MalformedPayload`] if it reaches past the end or nothing follows it.
    pub fn parse(payload: &[u8]) -> Result<Descriptor, DropReason> {
        Self::read(payload).ok_or(DropReason::MalformedPayload)
    }

    fn read(payload: &[u8]) -> Option<Descriptor> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let presence = if first & HAS_EXTENSION != 0 { reader.u8()? } else { 0 };
        let has = |bit| presence & bit != 0;
        let picture_id = if has(HAS_PICTURE_ID) { Some(PictureId::read(&mut reader)?) } else { None };
        let tl0_picture_index = if has(HAS_TL0_PICTURE_INDEX) { Some(reader.u8()?) } else { None };
        let layer = if has(HAS_TEMPORAL | HAS_KEY_INDEX) { reader.u8()? } else { 0 };
        let frame = reader.rest();
        let is_frame_start = first & IS_PARTITION_START != 0 && first & PARTITION_MASK == 0;
        let size = if is_frame_start { keyframe_size(frame) } else { None };
        (!frame.is_empty()).then_some(Descriptor {
            picture_id,
            tl0_picture_index,
            temporal: has(HAS_TEMPORAL)
                .then_some(Temporal { tid: layer >> 6, is_sync: layer & IS_SYNC != 0 }),
            key_index: has(HAS_KEY_INDEX).then_some(layer & KEY_INDEX_MASK),
            is_frame_start,
            is_keyframe: size.is_some(),
            size,
            len: payload.len() - frame.len(),
        })
    }
}

/// The size in a frame header, if it is one of a keyframe (RFC 6386, section 9.1).
fn keyframe_size(frame: &[u8]) -> Option<(u16, u16)> {
    let mut reader = Reader::new(frame);
    let is_keyframe = reader.bytes(3)?.first()? & IS_INTERFRAME == 0;
    let has_start_code = reader.bytes(3)? == KEYFRAME_START_CODE;
    let (width, height) = (reader.u16()?.swap_bytes(), reader.u16()?.swap_bytes());
    (is_keyframe && has_start_code).then_some((width & SIZE_MASK, height & SIZE_MASK))
}

/// What to put into a descriptor, where its source has such a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The lower 15 bits are written.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub tl0_picture_index: u8,
    /// The lower 5 bits are written.
    pub key_index: u8,
}

/// Writes a descriptor like that of the payload `src`, which was parsed to `descriptor`, with other
/// values. Returns its length, at most [`REWRITE_GROWTH_BYTES_MAX`] more than `descriptor.len`, or 0 if
/// `out` is too small. What follows the descriptor is for the caller to copy.
pub fn rewrite(src: &[u8], descriptor: &Descriptor, values: &Rewrite, out: &mut [u8]) -> usize {
    write(src, descriptor, values, out).unwrap_or(0)
}

fn write(src: &[u8], descriptor: &Descriptor, values: &Rewrite, out: &mut [u8]) -> Option<usize> {
    let src = src.get(..descriptor.len)?;
    let grown = usize::from(descriptor.picture_id.is_some_and(|id| !id.is_long));
    let out = out.get_mut(..src.len() + grown)?;
    let mut rest = out.iter_mut();
    let mut put = |byte: u8| rest.next().map(|place| *place = byte);

    put(*src.first()?)?;
    if src.len() > 1 {
        put(src[1])?;
    }
    if descriptor.picture_id.is_some() {
        let [high, low] = PictureId::long_bytes(values.picture_id);
        put(high)?;
        put(low)?;
    }
    if descriptor.tl0_picture_index.is_some() {
        put(values.tl0_picture_index)?;
    }
    if descriptor.key_index.is_some() {
        put(src.last()? & !KEY_INDEX_MASK | values.key_index & KEY_INDEX_MASK)?;
    } else if descriptor.temporal.is_some() {
        put(*src.last()?)?;
    }
    Some(out.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A keyframe header of 640 x 360 with scale bits set.
    const KEYFRAME: [u8; 10] = [0x10, 2, 3, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81];

    fn with_keyframe(descriptor: &[u8]) -> Vec<u8> {
        [descriptor, &KEYFRAME].concat()
    }

    #[test]
    fn every_field_of_a_full_descriptor_is_read() {
        let payload = with_keyframe(&[0x90, 0xf0, 0x92, 0x34, 77, 0xa5]);
        let expected = Descriptor {
            picture_id: Some(PictureId { value: 0x1234, is_long: true }),
            tl0_picture_index: Some(77),
            temporal: Some(Temporal { tid: 2, is_sync: true }),
            key_index: Some(5),
            is_frame_start: true,
            is_keyframe: true,
            size: Some((640, 360)),
            len: 6,
        };
        assert_eq!(Descriptor::parse(&payload), Ok(expected));
    }

    #[test]
    fn a_plain_descriptor_is_one_byte() {
        let descriptor = Descriptor::parse(&[0x10, 0x01, 0, 0]).unwrap();
        assert_eq!((descriptor.len, descriptor.is_frame_start, descriptor.is_keyframe), (1, true, false));
        assert_eq!((descriptor.picture_id, descriptor.temporal), (None, None));
        let other_partition = Descriptor::parse(&with_keyframe(&[0x11])).unwrap();
        assert_eq!((other_partition.is_frame_start, other_partition.size), (false, None));
        let continued = Descriptor::parse(&with_keyframe(&[0x00])).unwrap();
        assert_eq!((continued.is_frame_start, continued.is_keyframe), (false, false));
    }

    #[test]
    fn a_keyframe_without_its_start_code_is_none() {
        let mut payload = with_keyframe(&[0x10]);
        payload[4] = 0;
        assert_eq!(Descriptor::parse(&payload).map(|read| read.is_keyframe), Ok(false));
        assert_eq!(Descriptor::parse(&payload[..5]).map(|read| read.is_keyframe), Ok(false));
    }

    #[test]
    fn a_descriptor_past_the_end_is_refused() {
        let full = [0x90, 0xf0, 0x92, 0x34, 77, 0xa5, 0];
        assert!(Descriptor::parse(&full).is_ok());
        for len in 0..full.len() {
            assert_eq!(Descriptor::parse(&full[..len]), Err(DropReason::MalformedPayload), "{len}");
        }
    }

    #[test]
    fn a_short_picture_id_grows_by_one_byte() {
        let src = [0x90, 0xb0, 0x12, 0x43, 0xaa];
        let descriptor = Descriptor::parse(&src).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x12, is_long: false }));
        let values = Rewrite { picture_id: 0xfabc, tl0_picture_index: 9, key_index: 0xff };
        let mut out = [0; 5];
        assert_eq!(rewrite(&src, &descriptor, &values, &mut out), 5);
        assert_eq!(out, [0x90, 0xb0, 0xfa, 0xbc, 0x5f]);
        assert_eq!(rewrite(&src, &descriptor, &values, &mut out[..4]), 0);
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in vec(any::<u8>(), 0..40)) {
            let _ = Descriptor::parse(&payload);
        }

        #[test]
        fn what_was_rewritten_is_read(
            src in vec(any::<u8>(), 8..30), values: (u16, u8, u8), room in 0usize..10,
        ) {
            let Ok(before) = Descriptor::parse(&src) else {
                return Ok(());
            };
            let values =
                Rewrite { picture_id: values.0 & 0x7fff, tl0_picture_index: values.1, key_index: values.2 & 0x1f };
            let mut out = [0; 10];
            let len = rewrite(&src, &before, &values, &mut out[..room]);
            if len == 0 {
                prop_assert!(room < before.len + REWRITE_GROWTH_BYTES_MAX);
                return Ok(());
            }
            let payload = [&out[..len], &src[before.len..]].concat();
            let expected = Descriptor {
                picture_id: before.picture_id.map(|_| PictureId { value: values.picture_id, is_long: true }),
                tl0_picture_index: before.tl0_picture_index.map(|_| values.tl0_picture_index),
                key_index: before.key_index.map(|_| values.key_index),
                len,
                ..before
            };
            prop_assert_eq!(Descriptor::parse(&payload), Ok(expected));
        }
    }
}
