//! Payloads of video: one picture said in two ways is read as one.

use dataplane::wire::vp8::{self, Descriptor, Rewrite};
use dataplane::wire::{av1, h264, vp9};

/// VP8 payload descriptors: a rewritten one reads as it was written, and the frame behind it as it was.
pub fn vp8(bytes: &[u8]) {
    let Ok(descriptor) = Descriptor::parse(bytes) else { return };
    assert!((1..bytes.len()).contains(&descriptor.len));
    assert_eq!(descriptor.is_keyframe, descriptor.size.is_some());
    let values = Rewrite { picture_id: 0x1234, tl0_picture_index: 7, key_index: 3 };
    let mut out = [0; 16];
    let len = vp8::rewrite(bytes, &descriptor, &values, &mut out);
    assert!((1..=descriptor.len + vp8::REWRITE_GROWTH_BYTES_MAX).contains(&len));
    assert_eq!(vp8::rewrite(bytes, &descriptor, &values, &mut out[..len - 1]), 0, "no room, no bytes");
    let rewritten = [&out[..len], &bytes[descriptor.len..]].concat();
    let expected = Descriptor {
        picture_id: descriptor.picture_id.map(|_| vp8::PictureId { value: 0x1234, is_long: true }),
        tl0_picture_index: descriptor.tl0_picture_index.map(|_| 7),
        key_index: descriptor.key_index.map(|_| 3),
        len,
        ..descriptor
    };
    assert_eq!(Descriptor::parse(&rewritten), Ok(expected));
}

/// VP9 payloads: what stands behind a descriptor changes nothing, a payload that ends in one says nothing.
pub fn vp9(bytes: &[u8]) {
    let seen = vp9::inspect(bytes);
    assert!(seen.is_frame_start || !seen.is_keyframe_start);
    if seen != vp9::Inspection::default() {
        let longer = [bytes, &[0xff]].concat();
        assert_eq!(vp9::inspect(&longer), seen);
        let descriptor_len = (1..bytes.len()).find(|len| vp9::inspect(&bytes[..*len]) == seen);
        assert!(descriptor_len.unwrap_or(bytes.len()) <= 64, "a descriptor is short");
    }
}

/// H.264 payloads: a NAL unit is read the same alone, aggregated, and as the first of its fragments.
pub fn h264(bytes: &[u8]) {
    let seen = h264::inspect(bytes);
    assert!(seen.is_keyframe_start || seen.size.is_none());
    assert!(seen.size.is_none_or(|(width, height)| width > 0 && height > 0));
    let Some((&header, body)) = bytes.split_first() else { return };
    let (importance, kind) = (header & 0x60, header & 0x1f);
    let is_single = header < 0x80 && (1..=23).contains(&kind) && bytes.len() <= usize::from(u16::MAX);
    if !is_single {
        return;
    }
    let len = (bytes.len() as u16).to_be_bytes();
    let alone = [&[importance | 24][..], &len, bytes].concat();
    assert_eq!(h264::inspect(&alone), seen, "a STAP-A of one");
    let with_another = [&alone, &[0, 1, 0x09][..]].concat();
    assert_eq!(h264::inspect(&with_another), seen, "an access unit delimiter adds nothing");
    if !body.is_empty() {
        let first = [&[importance | 28, 0x80 | kind], body].concat();
        assert_eq!(h264::inspect(&first), seen, "the first fragment");
        let later = [&[importance | 28, kind], body].concat();
        assert_eq!(h264::inspect(&later), h264::Inspection::default(), "a later fragment");
    }
}

/// AV1 payloads: one OBU is read the same with and without a length in front of it.
pub fn av1(bytes: &[u8]) {
    let seen = av1::inspect(bytes);
    let Some((&aggregation, obu)) = bytes.split_first() else { return };
    let (continues, count, starts) = (aggregation & 0x80 != 0, aggregation >> 4 & 3, aggregation & 0x08 != 0);
    assert!(starts || !seen.is_keyframe_start);
    assert!(!continues || seen == av1::Inspection::default());
    if count == 1 && !obu.is_empty() {
        let measured = [&[aggregation & !0x30][..], &leb128(obu.len()), obu].concat();
        assert_eq!(av1::inspect(&measured), seen);
    }
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
