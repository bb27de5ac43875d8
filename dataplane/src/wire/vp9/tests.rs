#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn parse(payload: &[u8]) -> Descriptor {
    Descriptor::parse(payload).unwrap().0
}

/// I, L, B, V; long picture id; TID 1 U SID 0; TL0PICIDX; two layers with sizes, two pictures in the group.
const KEYFRAME: [u8; 19] = [
    0b1010_1010,
    0x81,
    0x23,
    0b0011_0000,
    9,
    0b0011_1000,
    1,
    64,
    0,
    180,
    2,
    128,
    1,
    104,
    2,
    0b0000_0100,
    4,
    0b0101_0000,
    0xaa,
];

#[test]
fn a_keyframe_in_non_flexible_mode_is_read_with_its_structure() {
    let (seen, structure) = Descriptor::parse(&KEYFRAME).unwrap();
    assert!(seen.starts_keyframe() && seen.starts_picture() && !seen.is_flexible && !seen.ends_layer_frame);
    assert_eq!(seen.picture_id, Some(PictureId { value: 0x123, is_long: true }));
    let layer = Layer { spatial: 0, temporal: 1 };
    let indices =
        LayerIndices { layer, is_switching_up: true, depends_on_lower: false, tl0_picture_index: Some(9) };
    assert_eq!(seen.layer, Some(indices));
    assert_eq!((seen.size, seen.spatial_layer_count, seen.len), (Some((640, 360)), Some(2), 18));

    let structure = structure.unwrap();
    assert_eq!(structure.sizes().collect::<Vec<_>>(), [(320, 180), (640, 360)]);
    let group: Vec<(u8, bool, Vec<u8>)> = structure
        .group()
        .map(|picture| (picture.temporal, picture.is_switching_up, picture.references.distances().to_vec()))
        .collect();
    assert_eq!(group, [(0, false, vec![4]), (2, true, vec![])]);
    for len in 0..KEYFRAME.len() {
        assert!(Descriptor::parse(&KEYFRAME[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_picture_in_flexible_mode_names_its_references() {
    // I P L F B E; short id; TID 2 SID 1 D; references 1, 2 and 64 back.
    let seen = parse(&[0b1111_1100, 0x12, 0b0100_0011, 0x03, 0x05, 0x80, 0xaa]);
    assert!(seen.is_flexible && seen.is_inter_picture && seen.ends_layer_frame && !seen.starts_picture());
    assert_eq!(seen.picture_id, Some(PictureId { value: 0x12, is_long: false }));
    assert_eq!(seen.references.distances(), [1, 2, 64]);
    let indices = seen.layer.unwrap();
    assert_eq!(indices.layer, Layer { spatial: 1, temporal: 2 });
    assert!(indices.depends_on_lower && indices.tl0_picture_index.is_none());
}

#[test]
fn an_upper_layer_of_a_keyframe_is_no_way_in() {
    let upper = parse(&[0b1010_1001, 0x12, 0b0000_0011, 9, 0xaa]);
    assert!(upper.starts_layer_frame && !upper.starts_picture() && !upper.starts_keyframe());
    assert!(upper.is_not_for_upper);
}

#[test]
fn a_frame_without_layers_is_a_picture_of_its_own() {
    assert!(parse(&[0b1000_1000, 0x12, 0xaa]).starts_keyframe());
    assert!(parse(&[0b0000_1000, 0xaa]).starts_keyframe(), "a picture id may be left out");
    assert!(!parse(&[0b1100_1000, 0x12, 0xaa]).starts_keyframe());
    assert!(!parse(&[0b1000_0000, 0x12, 0xaa]).starts_picture());
}

#[test]
fn what_no_stream_can_say_is_refused() {
    for (payload, why) in [
        (&[0b0001_1000, 0xaa][..], "flexible without a picture id"),
        (&[0b1101_1000, 0x12, 0x03, 0x03, 0x03, 0x02, 0xaa], "four references"),
        (&[0b1010_1000, 0x12, 0b0000_0001, 9, 0xaa], "inter-layer prediction in the lowest layer"),
        (&[0b1010_1010, 0x12, 0b0000_0010, 9, 0b0000_0000, 0xaa], "a layer above the structure"),
        (&[0b1000_1010, 0x12, 0b0000_1000, 200, 0xaa], "a group past the end"),
        (&[0b1000_1010, 0x12, 0b1111_0000, 0xaa], "sizes past the end"),
    ] {
        assert!(Descriptor::parse(payload).is_err(), "{why}");
    }
}

#[test]
fn a_short_picture_id_is_widened_and_the_rest_stays() {
    let src = [0b1110_1100, 0x12, 0b0010_0010, 9, 0xaa, 0xbb];
    let mut out = [0; 8];
    let values = Rewrite { picture_id: 0x1234, tl0_picture_index: 77 };
    let len = rewrite(&src, &parse(&src), &values, &mut out);
    assert_eq!(out[..len], [0b1110_1100, 0x92, 0x34, 0b0010_0010, 77]);
    assert_eq!(rewrite(&src, &parse(&src), &values, &mut out[..4]), 0, "too little room");
}

proptest! {
    #[test]
    fn any_payload_is_read_or_refused(payload in vec(any::<u8>(), 0..60)) {
        if let Ok((seen, structure)) = Descriptor::parse(&payload) {
            prop_assert!(seen.len < payload.len());
            prop_assert!(seen.starts_picture() || !seen.starts_keyframe());
            prop_assert_eq!(structure.map(|s| s.spatial_layer_count()), seen.spatial_layer_count);
        }
    }

    #[test]
    fn what_was_rewritten_is_read(
        src in vec(any::<u8>(), 12..40), picture_id in 0u16..1 << 15, tl0_picture_index: u8, room in 0usize..40,
    ) {
        let Ok((before, _)) = Descriptor::parse(&src) else {
            return Ok(());
        };
        let values = Rewrite { picture_id, tl0_picture_index };
        let mut out = [0; 40];
        let len = rewrite(&src, &before, &values, &mut out[..room]);
        if len == 0 {
            prop_assert!(room < before.len + REWRITE_GROWTH_BYTES_MAX);
            return Ok(());
        }
        let payload = [&out[..len], &src[before.len..]].concat();
        let expected = Descriptor {
            picture_id: before.picture_id.map(|_| PictureId { value: picture_id, is_long: true }),
            layer: before.layer.map(|indices| LayerIndices {
                tl0_picture_index: indices.tl0_picture_index.map(|_| tl0_picture_index),
                ..indices
            }),
            len,
            ..before
        };
        prop_assert_eq!(parse(&payload), expected);
    }
}
