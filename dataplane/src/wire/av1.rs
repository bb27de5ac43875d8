//! AV1 payloads (RTP Payload Format for AV1, version 1.0, section 4.4), read for where a decoder can
//! enter: a new coded video sequence with its sequence header.
//!
//! Nothing is rewritten. Layers come from the dependency descriptor, which is not read here.
#![forbid(unsafe_code)]

use super::bits::BitReader;
use super::reader::Reader;

const CONTINUES_OBU: u8 = 0x80;
const STARTS_SEQUENCE: u8 = 0x08;
const OBU_IS_FORBIDDEN: u8 = 0x80;
const OBU_HAS_EXTENSION: u8 = 0x04;
const OBU_HAS_SIZE: u8 = 0x02;
const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
/// A leb128 number has at most this many bytes (AV1, section 4.10.5).
const LEB128_LEN_MAX: u32 = 8;

/// What one packet says. All is unset if the payload does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The packet begins with an OBU that can be the first of a frame. Each frame of a picture begins
    /// so, also those of upper spatial layers.
    pub is_frame_start: bool,
    /// First packet of a coded video sequence, its sequence header seen: a decoder can enter here.
    pub is_keyframe_start: bool,
    /// Largest width and height of the sequence, pixels.
    pub size: Option<(u16, u16)>,
}

/// Reads a payload without padding.
pub fn inspect(payload: &[u8]) -> Inspection {
    read(Reader::new(payload)).unwrap_or_default()
}

fn read(mut reader: Reader) -> Option<Inspection> {
    let aggregation = reader.u8()?;
    if reader.is_empty() {
        return None;
    }
    let mut seen = Inspection::default();
    if aggregation & CONTINUES_OBU != 0 {
        return Some(seen);
    }
    let mut elements = Elements { rest: reader, count: aggregation >> 4 & 0b11, index: 0 };
    // Each element takes a byte at least, so the size of the payload bounds the walk.
    while !elements.rest.is_empty() {
        let is_first = elements.index == 0;
        let Some(obu) = Obu::read(elements.next()?) else {
            continue;
        };
        if is_first {
            let kinds = [OBU_SEQUENCE_HEADER, OBU_TEMPORAL_DELIMITER, OBU_FRAME_HEADER, OBU_FRAME];
            seen.is_frame_start = kinds.contains(&obu.kind);
        }
        if obu.kind == OBU_SEQUENCE_HEADER {
            seen.is_keyframe_start = aggregation & STARTS_SEQUENCE != 0;
            seen.size = sequence_size(&mut BitReader::plain(obu.body));
            break;
        }
    }
    Some(seen)
}

/// The OBU elements of one payload. With a count the last element has no length in front of it.
struct Elements<'a> {
    rest: Reader<'a>,
    /// W: 0 if every element has a length.
    count: u8,
    /// Elements read so far.
    index: usize,
}

impl<'a> Elements<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.index += 1;
        let is_last = self.index == usize::from(self.count);
        let len = if is_last { self.rest.rest().len() } else { leb128(&mut self.rest)? };
        self.rest.bytes(len)
    }
}

struct Obu<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Obu<'a> {
    fn read(element: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(element);
        let header = reader.u8().filter(|header| header & OBU_IS_FORBIDDEN == 0)?;
        if header & OBU_HAS_EXTENSION != 0 {
            reader.u8()?;
        }
        if header & OBU_HAS_SIZE != 0 {
            // The element may be the first part of an OBU: what is here is read.
            leb128(&mut reader)?;
        }
        Some(Self { kind: header >> 3 & 0x0f, body: reader.rest() })
    }
}

fn leb128(reader: &mut Reader) -> Option<usize> {
    let mut value = 0u64;
    for index in 0..LEB128_LEN_MAX {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// The largest frame size in a sequence header OBU (AV1, section 5.5.1).
fn sequence_size(bits: &mut BitReader) -> Option<(u16, u16)> {
    let _profile = bits.bits(3)?;
    let _is_still_picture = bits.flag()?;
    let is_reduced = bits.flag()?;
    if is_reduced {
        let _level = bits.bits(5)?;
    } else {
        skip_operating_points(bits)?;
    }
    let width_bits = bits.bits(4)? + 1;
    let height_bits = bits.bits(4)? + 1;
    let width = bits.bits(width_bits)? + 1;
    let height = bits.bits(height_bits)? + 1;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn skip_operating_points(bits: &mut BitReader) -> Option<()> {
    let mut decoder_delay_bits = None;
    if bits.flag()? {
        let _num_units_in_display_tick = bits.bits(32)?;
        let _time_scale = bits.bits(32)?;
        let is_equal_interval = bits.flag()?;
        if is_equal_interval {
            let _num_ticks_per_picture = bits.exp_golomb()?;
        }
        if bits.flag()? {
            decoder_delay_bits = Some(bits.bits(5)? + 1);
            let _num_units_in_decoding_tick = bits.bits(32)?;
            let _removal_and_presentation_len = bits.bits(10)?;
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.bits(5)? {
        let _operating_point = bits.bits(12)?;
        let level = bits.bits(5)?;
        if level > 7 {
            let _tier = bits.flag()?;
        }
        if let Some(delay_bits) = decoder_delay_bits
            && bits.flag()?
        {
            let _decoder_delay = bits.bits(delay_bits)?;
            let _encoder_delay = bits.bits(delay_bits)?;
            let _is_low_delay = bits.flag()?;
        }
        if has_display_delay && bits.flag()? {
            let _display_delay = bits.bits(4)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The bits of a sequence header of 640 x 360 as an OBU without size.
    fn sequence_header(operating_points: &str) -> Vec<u8> {
        // Profile 0, no still picture, not reduced; then sizes of 10 and 9 bits.
        let text = format!("000 0 0 {operating_points} 1001 1000 1001111111 101100111");
        let bits: Vec<u8> = text.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let bytes =
            bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit) << (8 - byte.len()));
        std::iter::once(OBU_SEQUENCE_HEADER << 3).chain(bytes).collect()
    }

    /// No timing, no display delay, one operating point of level 5.
    const ONE_POINT: &str = "0 0 00000 000000000000 00101";

    const KEYFRAME: Inspection =
        Inspection { is_frame_start: true, is_keyframe_start: true, size: Some((640, 360)) };

    #[test]
    fn a_new_sequence_is_a_way_in_and_names_its_size() {
        let header = sequence_header(ONE_POINT);
        let mut payload = vec![0b0010_1000, header.len() as u8]; // W=2, N
        payload.extend(&header);
        payload.extend([OBU_FRAME << 3, 1, 2]);
        assert_eq!(inspect(&payload), KEYFRAME);
        payload[0] = 0b0010_0000;
        assert_eq!(inspect(&payload), Inspection { is_keyframe_start: false, ..KEYFRAME });
        payload[0] = 0b1010_1000;
        assert_eq!(inspect(&payload), Inspection::default());
    }

    #[test]
    fn a_sequence_header_is_found_behind_a_delimiter_with_lengths_everywhere() {
        let mut header = sequence_header(ONE_POINT);
        header[0] |= OBU_HAS_SIZE;
        header.insert(1, 42);
        let mut payload = vec![0b0000_1000, 1, OBU_TEMPORAL_DELIMITER << 3, header.len() as u8];
        payload.extend(&header);
        assert_eq!(inspect(&payload), KEYFRAME);
    }

    #[test]
    fn timing_and_decoder_models_are_stepped_over() {
        let timing = format!("1 {} {} 1 010 1", "0".repeat(32), "1".repeat(32));
        let model = format!("00011 {} 0000000000", "0".repeat(32));
        // One point of level 8 with tier, delays of 4 bits, and a display delay.
        let points = format!("{timing} {model} 1 00000 000000000000 01000 1 1 0101 1010 1 1 0011");
        let mut payload = vec![0b0001_1000];
        payload.extend(sequence_header(&points));
        assert_eq!(inspect(&payload), KEYFRAME);
    }

    #[test]
    fn a_frame_without_a_sequence_header_is_no_way_in() {
        let start = Inspection { is_frame_start: true, ..Inspection::default() };
        assert_eq!(inspect(&[0b0001_1000, OBU_FRAME << 3, 1]), start);
        assert_eq!(inspect(&[0b0001_0000, 4 << 3, 1]), Inspection::default()); // tile group
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for payload in [&[][..], &[0b0001_1000], &[0b0000_1000, 9, 1], &[0b0000_1000, 0xff, 0xff]] {
            assert_eq!(inspect(payload), Inspection::default(), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_inspected(payload in vec(any::<u8>(), 0..120)) {
            inspect(&payload);
        }

        #[test]
        fn any_sequence_header_is_inspected(body in vec(any::<u8>(), 1..80)) {
            let payload = [&[0b0001_1000, OBU_SEQUENCE_HEADER << 3][..], &body].concat();
            prop_assert!(inspect(&payload).is_keyframe_start);
        }
    }
}
