//! Payloads of video: one picture said in two ways is read as one.

use dataplane::id::PayloadType;
use dataplane::wire::picture_id::PictureId;
use dataplane::wire::vp8::{self, Descriptor, Rewrite};
use dataplane::wire::{av1, h264, h265, red, vp9};

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
        picture_id: descriptor.picture_id.map(|_| PictureId { value: 0x1234, is_long: true }),
        tl0_picture_index: descriptor.tl0_picture_index.map(|_| 7),
        key_index: descriptor.key_index.map(|_| 3),
        len,
        ..descriptor
    };
    assert_eq!(Descriptor::parse(&rewritten), Ok(expected));
}

/// VP9 payload descriptors: a rewritten one reads as it was written.
pub fn vp9(bytes: &[u8]) {
    let Ok((descriptor, structure)) = vp9::Descriptor::parse(bytes) else {
        return;
    };
    if let Some(structure) = structure {
        assert!(structure.sizes().count() <= 8 && structure.group().count() <= 255);
    }
    let values = vp9::Rewrite { picture_id: 0x1234, tl0_picture_index: 7 };
    let mut out = vec![0; descriptor.len + vp9::REWRITE_GROWTH_BYTES_MAX];
    let len = vp9::rewrite(bytes, &descriptor, &values, &mut out);
    assert!((1..=out.len()).contains(&len));
    let rewritten = [&out[..len], &bytes[descriptor.len..]].concat();
    let (again, _) = vp9::Descriptor::parse(&rewritten).expect("a rewritten descriptor parses");
    assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|_| 0x1234));
    assert_eq!((again.len, again.references, again.size), (len, descriptor.references, descriptor.size));
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

/// H.265 payloads.
pub fn h265(bytes: &[u8]) {
    let seen = h265::inspect(bytes);
    assert!(seen.has_sps || seen.size.is_none());
    assert!(seen.temporal.is_none_or(|temporal| temporal < 7));
}

/// Redundant audio, whose first byte names the payload type inside: every byte is a header's or a block's.
pub fn red(bytes: &[u8]) {
    let inner = PayloadType(bytes.first().map_or(0, |first| first & 0x7f));
    let Ok(header) = red::Header::parse(bytes, inner) else {
        return;
    };
    let redundant: usize = header.redundant(bytes).map(|block| block.payload.len()).sum();
    let headers = 4 * usize::from(header.redundant_count()) + 1;
    assert_eq!(headers + redundant + header.primary(bytes).len(), bytes.len());
    let mut rewritten = bytes.to_vec();
    header.set_inner(&mut rewritten, PayloadType(96));
    assert_eq!(red::Header::parse(&rewritten, PayloadType(96)), Ok(header));
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
