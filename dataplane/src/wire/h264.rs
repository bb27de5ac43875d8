//! H.264 payloads (RFC 6184), read for where a decoder can enter.
//!
//! The entry is the packet with the sequence parameter set, not the IDR slice: SPS and PPS may come in
//! packets of their own just before it. Nothing is rewritten.
//!
//! # Invariants
//!
//! - A payload with a forbidden bit, a type that is not served (0, 25..=27, 29..=31) or a length that
//!   does not hold says nothing.
//! - The bits that are read are bounded by the payload; counts inside an SPS are bounded before loops.
#![forbid(unsafe_code)]

use super::bits::BitReader;
use super::reader::Reader;

const IS_FORBIDDEN: u8 = 0x80;
const TYPE_MASK: u8 = 0x1f;
const TYPE_IDR: u8 = 5;
const TYPE_SPS: u8 = 7;
const TYPE_SINGLE_MAX: u8 = 23;
const TYPE_STAP_A: u8 = 24;
const TYPE_FU_A: u8 = 28;
const FU_IS_START: u8 = 0x80;

/// Macroblocks are 16 x 16 pixels.
const MACROBLOCK: u32 = 16;
/// `num_ref_frames_in_pic_order_cnt_cycle` (H.264, section 7.4.2.1.1).
const POC_CYCLE_MAX: u32 = 255;
/// Profiles whose SPS carries chroma format and scaling lists (H.264, section 7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
const CHROMA_MONOCHROME: u32 = 0;
const CHROMA_420: u32 = 1;
const CHROMA_422: u32 = 2;
const CHROMA_444: u32 = 3;

/// What one packet says. All is unset if the payload does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The packet holds an SPS, or the first part of one: a keyframe begins here.
    pub is_keyframe_start: bool,
    /// The packet holds an IDR slice or the first part of one. The entry only where parameter sets are
    /// known from signalling and never come in band.
    pub has_idr: bool,
    /// Width and height after cropping, pixels, from the SPS.
    pub size: Option<(u16, u16)>,
}

impl Inspection {
    /// Notes a NAL unit that begins here: its type, and what stands behind its header.
    fn see(&mut self, kind: u8, body: &[u8]) {
        match kind {
            TYPE_SPS => {
                self.is_keyframe_start = true;
                self.size = self.size.or_else(|| sps_size(&mut BitReader::nal(body)));
            }
            TYPE_IDR => self.has_idr = true,
            _ => {}
        }
    }
}

/// Reads a payload without padding.
pub fn inspect(payload: &[u8]) -> Inspection {
    read(&mut Reader::new(payload)).unwrap_or_default()
}

fn read(reader: &mut Reader) -> Option<Inspection> {
    let mut seen = Inspection::default();
    match nal_type(reader.u8()?)? {
        kind @ 1..=TYPE_SINGLE_MAX => seen.see(kind, reader.rest()),
        TYPE_STAP_A => {
            while !reader.is_empty() {
                let len = usize::from(reader.u16()?);
                let (&header, body) = reader.bytes(len)?.split_first()?;
                match nal_type(header)? {
                    kind @ 1..=TYPE_SINGLE_MAX => seen.see(kind, body),
                    _ => return None,
                }
            }
        }
        TYPE_FU_A => {
            let header = reader.u8()?;
            let kind = header & TYPE_MASK;
            if reader.is_empty() || !(1..=TYPE_SINGLE_MAX).contains(&kind) {
                return None;
            }
            if header & FU_IS_START != 0 {
                seen.see(kind, reader.rest());
            }
        }
        _ => return None,
    }
    Some(seen)
}

fn nal_type(header: u8) -> Option<u8> {
    (header & IS_FORBIDDEN == 0).then_some(header & TYPE_MASK)
}

/// The size of the cropped picture in an SPS (H.264, sections 7.3.2.1.1 and 7.4.2.1.1).
fn sps_size(bits: &mut BitReader) -> Option<(u16, u16)> {
    let profile = bits.bits(8)?;
    let _constraints_and_level = bits.bits(16)?;
    let _id = bits.exp_golomb()?;
    let chroma = if HIGH_PROFILES.contains(&profile) { read_chroma_format(bits)? } else { CHROMA_420 };
    let _log2_max_frame_num = bits.exp_golomb()?;
    skip_picture_order_count(bits)?;
    let _max_num_ref_frames = bits.exp_golomb()?;
    let _gaps_allowed = bits.flag()?;
    let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let map_height = bits.exp_golomb()?.checked_add(1)?.checked_mul(MACROBLOCK)?;
    let is_frame_only = bits.flag()?;
    if !is_frame_only {
        let _is_adaptive = bits.flag()?;
    }
    // A field has half the lines of its frame.
    let fields = if is_frame_only { 1 } else { 2 };
    let height = map_height.checked_mul(fields)?;
    let _direct_8x8_inference = bits.flag()?;
    let (mut cropped_width, mut cropped_height) = (0, 0);
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma {
            CHROMA_420 => (2, 2),
            CHROMA_422 => (2, 1),
            _ => (1, 1),
        };
        cropped_width = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_x)?;
        cropped_height = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_y * fields)?;
    }
    let width = u16::try_from(width.checked_sub(cropped_width)?).ok()?;
    let height = u16::try_from(height.checked_sub(cropped_height)?).ok()?;
    (width > 0 && height > 0).then_some((width, height))
}

/// Reads the part of an SPS that only the high profiles have. Returns ChromaArrayType.
fn read_chroma_format(bits: &mut BitReader) -> Option<u32> {
    let chroma_format = bits.exp_golomb()?;
    let has_separate_planes = chroma_format == CHROMA_444 && bits.flag()?;
    let _bit_depth_luma = bits.exp_golomb()?;
    let _bit_depth_chroma = bits.exp_golomb()?;
    let _transform_bypass = bits.flag()?;
    if bits.flag()? {
        let lists = if chroma_format == CHROMA_444 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(if has_separate_planes { CHROMA_MONOCHROME } else { chroma_format })
}

/// H.264, section 7.3.2.1.1.1: the list ends early where the next scale becomes 0.
fn skip_scaling_list(bits: &mut BitReader, len: u32) -> Option<()> {
    let mut scale: i64 = 8;
    for _ in 0..len {
        scale = (scale + bits.exp_golomb_signed()?).rem_euclid(256);
        if scale == 0 {
            break;
        }
    }
    Some(())
}

fn skip_picture_order_count(bits: &mut BitReader) -> Option<()> {
    match bits.exp_golomb()? {
        0 => {
            let _log2_max_lsb = bits.exp_golomb()?;
        }
        1 => {
            let _is_delta_always_zero = bits.flag()?;
            let _offset_for_non_ref_picture = bits.exp_golomb_signed()?;
            let _offset_for_top_to_bottom = bits.exp_golomb_signed()?;
            for _ in 0..Some(bits.exp_golomb()?).filter(|&count| count <= POC_CYCLE_MAX)? {
                let _offset_for_ref_frame = bits.exp_golomb_signed()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A NAL unit of this header and these bits, closed by a stop bit.
    fn packed(header: u8, bits: &str) -> Vec<u8> {
        let mut bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        bits.push(1);
        bits.resize(bits.len().next_multiple_of(8), 0);
        let bytes = bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit));
        std::iter::once(header).chain(bytes).collect()
    }

    fn golomb(value: u32) -> String {
        let code = format!("{:b}", value + 1);
        format!("{}{code}", "0".repeat(code.len() - 1))
    }

    /// A high-profile SPS of `width` x `height` macroblocks in fields, with a scaling list.
    fn high_sps(width: u32, height: u32) -> Vec<u8> {
        let text = [
            "01100100 00000000 00101000".to_owned(), // High, level 4
            golomb(0),
            golomb(CHROMA_420),
            golomb(0),
            golomb(0),
            "0 1".to_owned(), // scaling matrix: a first list that ends at once, no others
            format!("1 {} 0000000", golomb(16)), // delta -8
            golomb(0),
            golomb(1), // picture order count type 1
            format!("0 {} {} {} {}", golomb(0), golomb(0), golomb(1), golomb(3)),
            golomb(4),
            "0".to_owned(),
            golomb(width - 1),
            golomb(height - 1),
            "0 0 1 0".to_owned(), // fields, not adaptive, direct 8x8, no cropping
        ];
        packed(0x67, &text.concat())
    }

    #[test]
    fn an_sps_names_the_cropped_size() {
        let text = format!(
            "01000010 11000000 00011111 {} {} {} {} {} 0 {} {} 1 1 1 {} {} {} {}",
            golomb(0),
            golomb(0),
            golomb(0),
            golomb(2),
            golomb(1),
            golomb(39),
            golomb(22),
            golomb(0),
            golomb(0),
            golomb(0),
            golomb(4),
        );
        let seen = inspect(&packed(0x67, &text));
        assert_eq!(seen, Inspection { is_keyframe_start: true, has_idr: false, size: Some((640, 360)) });
    }

    #[test]
    fn a_high_profile_sps_in_fields_is_understood() {
        assert_eq!(inspect(&high_sps(120, 34)).size, Some((1920, 1088)));
    }

    #[test]
    fn an_sps_is_found_alone_aggregated_and_fragmented() {
        let sps = high_sps(40, 11);
        let mut aggregate = vec![TYPE_STAP_A, 0, sps.len() as u8];
        aggregate.extend(&sps);
        aggregate.extend([0, 2, 0x68, 0xce, 0, 3, 0x65, 1, 2]);
        let expected = Inspection { is_keyframe_start: true, has_idr: true, size: Some((640, 352)) };
        assert_eq!(inspect(&aggregate), expected);

        let mut fragment = vec![0x60 | TYPE_FU_A, FU_IS_START | TYPE_SPS];
        fragment.extend(&sps[1..]);
        assert_eq!(inspect(&fragment), Inspection { has_idr: false, ..expected });
        fragment[1] = TYPE_SPS;
        assert_eq!(inspect(&fragment), Inspection::default());
    }

    #[test]
    fn an_idr_slice_is_no_keyframe_start() {
        let idr = Inspection { has_idr: true, ..Inspection::default() };
        assert_eq!(inspect(&[0x65, 1, 2]), idr);
        assert_eq!(inspect(&[0x7c, FU_IS_START | TYPE_IDR, 1]), idr);
        assert_eq!(inspect(&[0x7c, TYPE_IDR, 1]), Inspection::default());
        assert_eq!(inspect(&[0x41, 1, 2]), Inspection::default());
    }

    #[test]
    fn an_sps_that_is_cut_short_is_a_start_without_a_size() {
        let start = Inspection { is_keyframe_start: true, ..Inspection::default() };
        assert_eq!(inspect(&[0x67]), start);
        assert_eq!(inspect(&high_sps(40, 11)[..8]), start);
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for payload in [
            &[][..],
            &[0x60, 1],                       // type 0
            &[0xe7, 1],                       // forbidden bit
            &[0x79, 1, 2],                    // STAP-B
            &[TYPE_STAP_A, 0, 0],             // empty unit
            &[TYPE_STAP_A, 0, 1, 0x67, 0, 9], // unit past the end
            &[TYPE_STAP_A, 0, 1, 0x78],       // aggregate in an aggregate
            &[TYPE_FU_A, 0x87],               // fragment without data
            &[TYPE_FU_A, 0x9c, 1],            // fragment of a fragment
        ] {
            assert_eq!(inspect(payload), Inspection::default(), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_inspected(payload in vec(any::<u8>(), 0..120)) {
            inspect(&payload);
        }

        #[test]
        fn any_sps_is_inspected(profile in 0usize..13, body in vec(any::<u8>(), 0..120)) {
            let sps = [&[0x67, HIGH_PROFILES[profile] as u8][..], &body].concat();
            prop_assert!(inspect(&sps).is_keyframe_start);
        }
    }
}
