//! The VP9 payload descriptor (RFC 9628, section 4.2), read for where pictures and keyframes begin.
//!
//! Nothing is rewritten yet, and layers are not chosen here.
#![forbid(unsafe_code)]

use super::reader::Reader;

const HAS_PICTURE_ID: u8 = 0x80;
const IS_INTER_PICTURE: u8 = 0x40;
const HAS_LAYER: u8 = 0x20;
const IS_FLEXIBLE: u8 = 0x10;
const IS_FRAME_START: u8 = 0x08;
const HAS_STRUCTURE: u8 = 0x02;

const IS_LONG_PICTURE_ID: u8 = 0x80;
const REFERENCES_MAX: usize = 3;
const HAS_MORE_REFERENCES: u8 = 0x01;
const STRUCTURE_HAS_SIZES: u8 = 0x10;

/// What one packet says. All is unset if its descriptor does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// First packet of a picture: start of a frame of the lowest spatial layer.
    pub is_frame_start: bool,
    /// First packet of a picture that needs no other: a decoder can enter here.
    pub is_keyframe_start: bool,
    /// Width and height of the highest spatial layer, if the packet carries a scalability structure.
    pub size: Option<(u16, u16)>,
}

/// Reads the descriptor at the start of a payload without padding.
pub fn inspect(payload: &[u8]) -> Inspection {
    read(&mut Reader::new(payload)).unwrap_or_default()
}

fn read(reader: &mut Reader) -> Option<Inspection> {
    let first = reader.u8()?;
    let has = |bit| first & bit != 0;
    if has(HAS_PICTURE_ID) && reader.u8()? & IS_LONG_PICTURE_ID != 0 {
        reader.u8()?;
    }
    let mut spatial_id = 0;
    if has(HAS_LAYER) {
        spatial_id = reader.u8()? >> 1 & 0b111;
        if !has(IS_FLEXIBLE) {
            let _tl0_picture_index = reader.u8()?;
        }
    }
    if has(IS_FLEXIBLE) && has(IS_INTER_PICTURE) {
        skip_references(reader)?;
    }
    let size = if has(HAS_STRUCTURE) { structure_size(reader)? } else { None };
    let is_frame_start = has(IS_FRAME_START) && spatial_id == 0;
    let is_keyframe_start = is_frame_start && !has(IS_INTER_PICTURE);
    (!reader.is_empty()).then_some(Inspection { is_frame_start, is_keyframe_start, size })
}

fn skip_references(reader: &mut Reader) -> Option<()> {
    for _ in 0..REFERENCES_MAX {
        if reader.u8()? & HAS_MORE_REFERENCES == 0 {
            return Some(());
        }
    }
    None
}

/// The last size that a scalability structure names (RFC 9628, section 4.2.1). What follows the sizes
/// is not read. The outer `None` is a structure that reaches past the end.
fn structure_size(reader: &mut Reader) -> Option<Option<(u16, u16)>> {
    let first = reader.u8()?;
    let mut size = None;
    if first & STRUCTURE_HAS_SIZES != 0 {
        for _ in 0..=first >> 5 {
            size = Some((reader.u16()?, reader.u16()?));
        }
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_keyframe_with_a_structure_names_its_largest_size() {
        // I, L, B, V; long picture id; TID 0 SID 0; TL0PICIDX; two layers with sizes; data.
        let payload = [0b1010_1010, 0x81, 0x23, 0, 9, 0b0011_0000, 1, 64, 0, 180, 2, 128, 1, 104, 0xaa];
        let expected = Inspection { is_frame_start: true, is_keyframe_start: true, size: Some((640, 360)) };
        assert_eq!(inspect(&payload), expected);
        for len in 0..payload.len() {
            assert_eq!(inspect(&payload[..len]), Inspection::default(), "{len}");
        }
    }

    #[test]
    fn an_upper_layer_of_a_keyframe_is_no_way_in() {
        let upper = [0b1010_1000, 0x12, 0b0000_0011, 9, 0xaa];
        assert_eq!(inspect(&upper), Inspection::default());
    }

    #[test]
    fn an_inter_picture_is_a_frame_start_only() {
        let flexible = [0b1111_1000, 0x12, 0, 0x03, 0x02, 0xaa];
        let expected = Inspection { is_frame_start: true, ..Inspection::default() };
        assert_eq!(inspect(&flexible), expected);
        let too_many_references = [0b1111_1000, 0x12, 0, 0x03, 0x03, 0x03, 0x02, 0xaa];
        assert_eq!(inspect(&too_many_references), Inspection::default());
    }

    #[test]
    fn the_middle_of_a_frame_starts_nothing() {
        assert_eq!(inspect(&[0b1000_0000, 0x12, 0xaa]), Inspection::default());
    }

    proptest! {
        #[test]
        fn any_payload_is_inspected(payload in vec(any::<u8>(), 0..60)) {
            let seen = inspect(&payload);
            prop_assert!(seen.is_frame_start || !seen.is_keyframe_start);
        }
    }
}
