//! H.265 payloads (RFC 7798), read for where a decoder can enter, and for the temporal layer.
//!
//! The entry is the packet with the video parameter set: SPS, PPS and the picture may come in packets of
//! their own behind it. Nothing is rewritten. Payloads are without decoding order numbers, as
//! `sprop-max-don-diff` above 0 is not negotiated.
//!
//! # Invariants
//!
//! - A payload with a forbidden bit, a temporal id of 0 (RFC 7798, section 1.1.4), a type that is not served
//!   (50 and above) or a length that does not hold says nothing.
//! - The bits that are read are bounded by the payload; counts inside an SPS are bounded before loops.
#![forbid(unsafe_code)]

use super::bits::BitReader;
use super::reader::Reader;

const HEADER_LEN: usize = 2;
const IS_FORBIDDEN: u8 = 0x80;
const TYPE_MASK: u8 = 0x3f;
const TEMPORAL_ID_MASK: u8 = 0x07;
/// Pictures that a decoder can begin with (H.265, section 7.4.2.2).
const TYPES_IRAP: std::ops::RangeInclusive<u8> = 16..=23;
const TYPE_VPS: u8 = 32;
const TYPE_SPS: u8 = 33;
const TYPE_SINGLE_MAX: u8 = 47;
const TYPE_AGGREGATE: u8 = 48;
const TYPE_FRAGMENT: u8 = 49;
const FRAGMENT_IS_START: u8 = 0x80;

const CHROMA_420: u32 = 1;
const CHROMA_422: u32 = 2;
const CHROMA_444: u32 = 3;
/// general_profile_space to general_level_idc (H.265, section 7.3.3).
const PROFILE_BITS: u32 = 88;
const LEVEL_BITS: u32 = 8;
/// Flags are written for eight sub-layers if for any.
const SUB_LAYERS: u32 = 8;

/// What one packet says. All is unset if the payload does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The packet holds a VPS, or the first part of one: a keyframe begins here.
    pub has_vps: bool,
    /// The packet holds an SPS or the first part of one. The entry where VPSs never come in band.
    pub has_sps: bool,
    /// The packet holds the beginning of a picture that needs no other. The entry where parameter sets are
    /// known from signalling and never come in band.
    pub has_irap: bool,
    /// TemporalId, 0 the base; the lowest of an aggregate.
    pub temporal: Option<u8>,
    /// Width and height after cropping, pixels, from the SPS.
    pub size: Option<(u16, u16)>,
}

impl Inspection {
    /// Notes a NAL unit that begins here: its type, and what stands behind its header.
    fn see(&mut self, kind: u8, body: &[u8]) {
        match kind {
            TYPE_VPS => self.has_vps = true,
            TYPE_SPS => {
                self.has_sps = true;
                self.size = self.size.or_else(|| sps_size(&mut BitReader::nal(body)));
            }
            kind if TYPES_IRAP.contains(&kind) => self.has_irap = true,
            _ => {}
        }
    }
}

/// The header of a NAL unit or of a payload (RFC 7798, section 1.1.4).
#[derive(Clone, Copy)]
struct NalHeader {
    kind: u8,
    temporal: u8,
}

impl NalHeader {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [first, second] = *reader.bytes(HEADER_LEN)? else { return None };
        let temporal = (second & TEMPORAL_ID_MASK).checked_sub(1)?;
        (first & IS_FORBIDDEN == 0).then_some(Self { kind: first >> 1 & TYPE_MASK, temporal })
    }
}

/// Reads a payload without padding.
pub fn inspect(payload: &[u8]) -> Inspection {
    read(&mut Reader::new(payload)).unwrap_or_default()
}

fn read(reader: &mut Reader<'_>) -> Option<Inspection> {
    let header = NalHeader::read(reader)?;
    let mut seen = Inspection { temporal: Some(header.temporal), ..Inspection::default() };
    match header.kind {
        kind @ 0..=TYPE_SINGLE_MAX => seen.see(kind, reader.rest()),
        TYPE_AGGREGATE => {
            let mut count = 0;
            while !reader.is_empty() {
                let len = usize::from(reader.u16()?);
                let mut unit = Reader::new(reader.bytes(len)?);
                match NalHeader::read(&mut unit)?.kind {
                    kind @ 0..=TYPE_SINGLE_MAX => seen.see(kind, unit.rest()),
                    _ => return None,
                }
                count += 1;
            }
            if count == 0 {
                return None;
            }
        }
        TYPE_FRAGMENT => {
            let fragment = reader.u8()?;
            let kind = fragment & TYPE_MASK;
            if reader.is_empty() || kind > TYPE_SINGLE_MAX {
                return None;
            }
            if fragment & FRAGMENT_IS_START != 0 {
                seen.see(kind, reader.rest());
            }
        }
        _ => return None,
    }
    Some(seen)
}

/// The size of the cropped picture in an SPS (H.265, section 7.3.2.2.1).
fn sps_size(bits: &mut BitReader<'_>) -> Option<(u16, u16)> {
    let _vps_id = bits.bits(4)?;
    let sub_layers_minus_1 = bits.bits(3)?;
    let _is_temporal_id_nested = bits.flag()?;
    skip_profile_tier_level(bits, sub_layers_minus_1)?;
    let _sps_id = bits.exp_golomb()?;
    let chroma = bits.exp_golomb()?;
    let has_separate_planes = chroma == CHROMA_444 && bits.flag()?;
    let (width, height) = (bits.exp_golomb()?, bits.exp_golomb()?);
    let (mut cropped_width, mut cropped_height) = (0, 0);
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma {
            CHROMA_420 => (2, 2),
            CHROMA_422 if !has_separate_planes => (2, 1),
            _ => (1, 1),
        };
        cropped_width = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_x)?;
        cropped_height = bits.exp_golomb()?.checked_add(bits.exp_golomb()?)?.checked_mul(unit_y)?;
    }
    let width = u16::try_from(width.checked_sub(cropped_width)?).ok()?;
    let height = u16::try_from(height.checked_sub(cropped_height)?).ok()?;
    (width > 0 && height > 0).then_some((width, height))
}

/// H.265, section 7.3.3.
fn skip_profile_tier_level(bits: &mut BitReader<'_>, sub_layers_minus_1: u32) -> Option<()> {
    skip(bits, PROFILE_BITS + LEVEL_BITS)?;
    let mut sub_layer_bits = 0;
    for _ in 0..sub_layers_minus_1 {
        sub_layer_bits += if bits.flag()? { PROFILE_BITS } else { 0 };
        sub_layer_bits += if bits.flag()? { LEVEL_BITS } else { 0 };
    }
    if sub_layers_minus_1 > 0 {
        skip(bits, 2 * (SUB_LAYERS - sub_layers_minus_1))?;
    }
    skip(bits, sub_layer_bits)
}

fn skip(bits: &mut BitReader<'_>, count: u32) -> Option<()> {
    (0..count).try_for_each(|_| bits.flag().map(|_| ()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn golomb(value: u32) -> String {
        let code = format!("{:b}", value + 1);
        format!("{}{code}", "0".repeat(code.len() - 1))
    }

    /// A NAL unit of this type in the base layer, with these bits and a stop bit.
    fn nal(kind: u8, bits: &str) -> Vec<u8> {
        let mut bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        bits.push(1);
        bits.resize(bits.len().next_multiple_of(8), 0);
        let bytes = bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit));
        // Ones inside, so that nothing looks like emulation prevention.
        [kind << 1, 1].into_iter().chain(bytes).collect()
    }

    /// An SPS of 1920 x 1088 cropped to 1080 lines, with `sub_layers` more sub-layers that have levels.
    fn sps(sub_layers: usize) -> Vec<u8> {
        let reserved = if sub_layers > 0 { "00".repeat(8 - sub_layers) } else { String::new() };
        let text = [
            format!("0000 {sub_layers:03b} 1"),
            "1".repeat(96),
            "01".repeat(sub_layers),
            reserved,
            "01011101".repeat(sub_layers),
            golomb(0),
            golomb(CHROMA_420),
            golomb(1920),
            golomb(1088),
            format!("1 {} {} {} {}", golomb(0), golomb(0), golomb(0), golomb(4)),
        ];
        nal(TYPE_SPS, &text.concat())
    }

    fn aggregate(units: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![TYPE_AGGREGATE << 1, 1];
        for unit in units {
            out.extend((unit.len() as u16).to_be_bytes());
            out.extend(unit);
        }
        out
    }

    const BASE: Inspection =
        Inspection { has_vps: false, has_sps: false, has_irap: false, temporal: Some(0), size: None };

    #[test]
    fn an_sps_names_the_cropped_size_over_its_sub_layers() {
        for sub_layers in [0, 1, 3] {
            let seen = inspect(&sps(sub_layers));
            assert_eq!(seen, Inspection { has_sps: true, size: Some((1920, 1080)), ..BASE }, "{sub_layers}");
        }
        assert_eq!(inspect(&sps(0)[..9]), Inspection { has_sps: true, ..BASE }, "cut short: no size");
    }

    #[test]
    fn parameter_sets_and_pictures_are_found_alone_aggregated_and_fragmented() {
        let idr = nal(19, "1111");
        assert_eq!(inspect(&nal(TYPE_VPS, "1")), Inspection { has_vps: true, ..BASE });
        assert_eq!(inspect(&idr), Inspection { has_irap: true, ..BASE });
        let all = aggregate(&[nal(TYPE_VPS, "1"), sps(0), nal(34, "1"), idr]);
        let size = Some((1920, 1080));
        assert_eq!(inspect(&all), Inspection { has_vps: true, has_sps: true, has_irap: true, size, ..BASE });
        let fragment = |flags: u8| vec![TYPE_FRAGMENT << 1, 1, flags | 21, 0xaa];
        assert_eq!(inspect(&fragment(FRAGMENT_IS_START)), Inspection { has_irap: true, ..BASE });
        assert_eq!(inspect(&fragment(0)), BASE);
    }

    #[test]
    fn a_trailing_picture_is_no_way_in_and_has_its_temporal_layer() {
        assert_eq!(inspect(&[1 << 1, 3, 0xaa]), Inspection { temporal: Some(2), ..BASE });
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for payload in [
            &[][..],
            &[TYPE_VPS << 1],                       // half a header
            &[0x80 | TYPE_VPS << 1, 1, 1],          // forbidden bit
            &[TYPE_VPS << 1, 0, 1],                 // temporal id 0
            &[50 << 1, 1, 1, 1],                    // PACI
            &[TYPE_AGGREGATE << 1, 1],              // nothing in it
            &[TYPE_AGGREGATE << 1, 1, 0, 0],        // an empty unit
            &[TYPE_AGGREGATE << 1, 1, 0, 9, 64, 1], // a unit past the end
            &[TYPE_AGGREGATE << 1, 1, 0, 2, 96, 1], // an aggregate in an aggregate
            &[TYPE_FRAGMENT << 1, 1, 0x93],         // a fragment without data
            &[TYPE_FRAGMENT << 1, 1, 0x80 | 48, 1], // a fragment of an aggregate
        ] {
            assert_eq!(inspect(payload), Inspection::default(), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_inspected(payload in vec(any::<u8>(), 0..120)) {
            let seen = inspect(&payload);
            prop_assert!(seen.has_sps || seen.size.is_none());
        }

        #[test]
        fn any_sps_is_inspected(body in vec(any::<u8>(), 0..120)) {
            let sps = [&[TYPE_SPS << 1, 1][..], &body].concat();
            prop_assert!(inspect(&sps).has_sps);
        }
    }
}
