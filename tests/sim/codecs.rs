//! What each video codec needs of a shard: ways in, formats that fit, and ids that go on over a switch.

use std::time::Duration;

use dataplane::command::Event;
use dataplane::counters::DropReason;
use dataplane::id::TrackId;
use dataplane::media::format::{Codec, Format, MediaKind, Profile};
use dataplane::wire::vp9;
use harness::plain::{Plain, PlainStage, Terms, format};
use harness::world::transport_id;

pub const TICK: Duration = Duration::from_millis(20);

fn h264(payload_type: u8, profile_level_id: u32, packetization_mode: u8) -> Format {
    format(Codec::H264, Profile::H264 { profile_level_id, packetization_mode }, payload_type)
}

/// A packet of a source whose numbers begin at 100 times its SSRC.
fn packet(ssrc: u32, payload_type: u8, at: u16, payload: &[u8]) -> Plain {
    Plain {
        ssrc,
        payload_type,
        number: 100 * ssrc as u16 + at,
        timestamp: 1_000_000 * ssrc + 3_000 * u32::from(at),
        marker: true,
        payload: payload.to_vec(),
        ..Plain::default()
    }
}

fn refusals(stage: &PlainStage) -> Vec<(u64, Codec)> {
    let refused = stage.world.events.iter().filter_map(|event| match event {
        Event::CodecNotNegotiated { id, codec, .. } => Some((id.0, *codec)),
        _ => None,
    });
    refused.collect()
}

#[test]
fn vp9_picture_ids_go_on_over_a_switch_in_both_modes() {
    for is_flexible in [false, true] {
        let vp9 = format(Codec::Vp9, Profile::Number(0), 98);
        let mut stage = PlainStage::new(MediaKind::Video, &Terms::of(&[vp9]));
        let viewer = stage.watch(&Terms::of(&[vp9]));
        let payload = |picture_id: u16, tl0: u8, is_keyframe: bool| {
            let mode = if is_flexible { 0x10 } else { 0 };
            let inter = if is_keyframe { 0 } else { 0x40 };
            let mut payload = vec![0b1010_1100 | mode | inter];
            payload.extend((0x8000 | picture_id).to_be_bytes());
            payload.push(0);
            match (is_flexible, is_keyframe) {
                (false, _) => payload.push(tl0),
                (true, false) => payload.push(1 << 1),
                (true, true) => {}
            }
            payload.extend([0xaa, tl0]);
            payload
        };
        for (at, picture) in [(0, 500), (1, 501), (2, 504)] {
            stage.publish(&packet(1, 98, at, &payload(picture, at as u8, at == 0)), TICK);
        }
        for (at, picture, is_keyframe) in [(0, 30, false), (1, 31, true), (2, 32, false), (3, 35, false)] {
            stage.publish(&packet(2, 98, at, &payload(picture, 200 + at as u8, is_keyframe)), TICK);
        }
        let seen: Vec<(u16, Option<u8>)> = stage
            .seen(viewer)
            .iter()
            .map(|packet| {
                let (descriptor, _) = vp9::Descriptor::parse(&packet.payload).unwrap();
                let tl0 = descriptor.layer.and_then(|indices| indices.tl0_picture_index);
                (descriptor.picture_id.unwrap().value, tl0)
            })
            .collect();
        let ids: Vec<u16> = seen.iter().map(|ids| ids.0).collect();
        assert_eq!(ids, [500, 501, 504, 505, 506, 509], "flexible: {is_flexible}");
        let tl0: Vec<Option<u8>> = seen.iter().map(|ids| ids.1).collect();
        let expected = [0, 1, 2, 3, 4, 5].map(|index| (!is_flexible).then_some(index));
        assert_eq!(tl0, expected);
        let numbers: Vec<u16> = stage.seen(viewer).iter().map(|packet| packet.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        assert!(stage.world.dropped(DropReason::AwaitingKeyframe) >= 1, "an inter picture is no way in");
    }
}

#[test]
fn av1_without_a_descriptor_is_joined_at_a_new_sequence_and_left_as_it_is() {
    let av1 = format(Codec::Av1, Profile::Number(0), 45);
    let mut stage = PlainStage::new(MediaKind::Video, &Terms::of(&[av1]));
    let viewer = stage.watch(&Terms::of(&[av1]));
    let frame = [0b0001_0000, 6 << 3, 1, 2];
    // W=2, N: a sequence header with its length, then a frame.
    let sequence = [0b0010_1000, 3, 1 << 3, 0, 0, 6 << 3, 9];
    for (at, payload) in [&frame[..], &sequence, &frame].into_iter().enumerate() {
        stage.publish(&packet(1, 45, at as u16, payload), TICK);
    }
    let payloads: Vec<Vec<u8>> = stage.seen(viewer).into_iter().map(|packet| packet.payload).collect();
    assert_eq!(payloads, [sequence.to_vec(), frame.to_vec()]);
}

const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f, 1];
const FRAGMENT: &[u8] = &[0x7c, 0x85, 1, 2];

#[test]
fn h264_reaches_viewers_under_their_own_nearest_format_and_never_with_the_wrong_mode() {
    let publisher = [h264(108, 0x42e01f, 1), h264(114, 0x42e01f, 0)];
    let mut stage = PlainStage::new(MediaKind::Video, &Terms::of(&publisher));
    let both =
        stage.watch(&Terms::of(&[h264(39, 0x42001f, 1), h264(40, 0x42e01f, 0), h264(41, 0x42e01f, 1)]));
    let mode_0 = stage.watch(&Terms::of(&[h264(50, 0x42e01f, 0)]));
    for (at, payload) in [SPS, FRAGMENT, FRAGMENT].into_iter().enumerate() {
        stage.publish(&packet(1, 108, at as u16, payload), TICK);
    }
    let types = |stage: &PlainStage, viewer| -> Vec<u8> {
        stage.seen(viewer).iter().map(|packet| packet.payload_type).collect()
    };
    assert_eq!(types(&stage, both), [41; 3]);
    assert_eq!(types(&stage, mode_0), []);
    assert_eq!(refusals(&stage), [(transport_id(mode_0).0, Codec::H264)], "it is said once");

    // The publisher goes over to single NAL units in mid-stream, on the same SSRC.
    let slice = &[0x61, 1, 2][..];
    for (at, payload) in [slice, SPS, slice].into_iter().enumerate() {
        stage.publish(&packet(1, 114, 3 + at as u16, payload), TICK);
    }
    assert_eq!(types(&stage, both), [41, 41, 41, 40, 40], "from the next way in on");
    assert_eq!(types(&stage, mode_0), [50, 50]);
    assert_eq!(refusals(&stage).len(), 1);
}

#[test]
fn h265_is_joined_at_its_first_parameter_set() {
    let h265 = format(Codec::H265, Profile::H265 { profile_id: 1, tier_flag: 0 }, 49);
    let vp8 = format(Codec::Vp8, Profile::Any, 96);
    let mut stage = PlainStage::new(MediaKind::Video, &Terms::of(&[h265]));
    let viewer = stage.watch(&Terms::of(&[vp8, h265]));
    let without = stage.watch(&Terms::of(&[vp8]));
    let (vps, sps, pps) = (&[64, 1, 1][..], &[66, 1, 1][..], &[68, 1, 1][..]);
    let (fragment, trailing) = (&[98, 1, 0x80 | 19, 1][..], &[2, 1, 7][..]);
    for (at, payload) in [trailing, vps, sps, pps, fragment, trailing].into_iter().enumerate() {
        stage.publish(&packet(1, 49, at as u16, payload), TICK);
    }
    let payloads: Vec<Vec<u8>> = stage.seen(viewer).into_iter().map(|packet| packet.payload).collect();
    assert_eq!(payloads, [vps, sps, pps, fragment, trailing]);
    assert_eq!(stage.seen(without), []);
    assert_eq!(refusals(&stage), [(transport_id(without).0, Codec::H265)]);
}

#[test]
fn a_publisher_may_change_its_codec_in_mid_stream() {
    let (vp8, h264) = (format(Codec::Vp8, Profile::Any, 96), h264(108, 0x42e01f, 1));
    let mut stage = PlainStage::new(MediaKind::Video, &Terms::of(&[vp8, h264]));
    let both = stage.watch(&Terms::of(&[vp8, h264]));
    let vp8_only = stage.watch(&Terms::of(&[vp8]));
    let keyframe = [&[0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0][..], &[1; 9]].concat();
    let (vp8_packet, h264_packet) =
        (|at| packet(1, 96, at, &keyframe), |at, payload| packet(1, 108, at, payload));
    stage.publish(&vp8_packet(0), TICK);
    stage.publish(&h264_packet(1, SPS), TICK);
    stage.publish(&h264_packet(2, FRAGMENT), TICK);
    stage.publish(&vp8_packet(3), TICK);
    let types = |viewer| -> Vec<u8> { stage.seen(viewer).iter().map(|packet| packet.payload_type).collect() };
    assert_eq!(types(both), [96, 108, 108, 96]);
    assert_eq!(types(vp8_only), [96, 96]);
    let started: Vec<&Event> =
        stage.world.events.iter().filter(|event| matches!(event, Event::TrackStarted { .. })).collect();
    let expected = [Codec::Vp8, Codec::H264, Codec::Vp8];
    let expected = expected.map(|codec| Event::TrackStarted { track: TrackId(1), codec });
    assert_eq!(started, expected.each_ref());
}
