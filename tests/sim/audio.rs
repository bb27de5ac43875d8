//! Opus through a shard: with redundancy and without it, and over silence that is not sent.

use std::time::Duration;

use dataplane::counters::DropReason;
use dataplane::id::PayloadType;
use dataplane::media::format::{Codec, Format, MediaKind, Profile};
use harness::plain::{Plain, PlainStage, Terms, format};
use harness::random::Random;

const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;

fn opus(payload_type: u8, red: Option<u8>) -> Format {
    Format { red: red.map(PayloadType), ..format(Codec::Opus, Profile::Any, payload_type) }
}

/// The frame of the packet `at`.
fn frame(at: u16) -> Vec<u8> {
    vec![0x78, at as u8, 1, 2, 3]
}

fn plain(payload_type: u8, at: u16, payload: Vec<u8>) -> Plain {
    let timestamp = 50_000 + FRAME_TICKS * u32::from(at);
    Plain { ssrc: 1, payload_type, number: 300 + at, timestamp, payload, ..Plain::default() }
}

/// The packet `at` with the `redundant` frames before it, under the payload type 63, Opus being 111.
fn red(at: u16, redundant: u16) -> Plain {
    let mut payload = Vec::new();
    for back in (1..=redundant).rev() {
        let offset = FRAME_TICKS * u32::from(back);
        let fields = ((0x80 | 111) << 24) | (offset << 10) | frame(at - back).len() as u32;
        payload.extend(fields.to_be_bytes());
    }
    payload.push(111);
    for back in (0..=redundant).rev() {
        payload.extend(frame(at - back));
    }
    plain(63, at, payload)
}

/// Number and timestamp from the first packet on, payload type and payload.
type Seen = (u16, u32, u8, Vec<u8>);

fn seen(stage: &PlainStage, viewer: usize) -> Vec<Seen> {
    let packets = stage.seen(viewer);
    let Some(first) = packets.first().cloned() else { return Vec::new() };
    let relative = |packet: Plain| {
        let (number, timestamp) = (packet.number - first.number, packet.timestamp - first.timestamp);
        (number, timestamp, packet.payload_type, packet.payload)
    };
    packets.into_iter().map(relative).collect()
}

fn expected(ats: &[u16], first: u16) -> Vec<Seen> {
    let one = |at: &u16| (at - first, FRAME_TICKS * u32::from(at - first), 109, frame(*at));
    ats.iter().map(one).collect()
}

#[test]
fn redundancy_reaches_those_who_take_it_with_their_payload_types_inside() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
    let same = stage.watch(&Terms::of(&[opus(111, Some(63))]));
    let other = stage.watch(&Terms::of(&[opus(96, Some(97))]));
    stage.publish(&red(1, 1), FRAME);
    stage.publish(&red(2, 2), FRAME);
    stage.publish(&plain(111, 3, frame(3)), FRAME);

    let payloads = |viewer| -> Vec<(u8, Vec<u8>)> {
        stage.seen(viewer).into_iter().map(|packet| (packet.payload_type, packet.payload)).collect()
    };
    let sent = [red(1, 1).payload, red(2, 2).payload];
    assert_eq!(payloads(same), [(63, sent[0].clone()), (63, sent[1].clone()), (111, frame(3))]);
    let [mut first, mut second] = sent;
    (first[0], first[4]) = (0x80 | 96, 96);
    (second[0], second[4], second[8]) = (0x80 | 96, 0x80 | 96, 96);
    assert_eq!(payloads(other), [(97, first), (97, second), (96, frame(3))]);
}

#[test]
fn who_takes_no_redundancy_gets_the_frames_alone_and_the_lost_ones_from_it() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
    let without = stage.watch(&Terms::of(&[opus(109, None)]));
    let with = stage.watch(&Terms::of(&[opus(111, Some(63))]));
    // 4 and 5 are lost and come back with 6; of 8 to 10 the last two come back with 11.
    for at in [2, 3, 6, 7, 11, 12] {
        stage.publish(&red(at, 2), FRAME);
    }
    assert_eq!(seen(&stage, without), expected(&[2, 3, 4, 5, 6, 7, 9, 10, 11, 12], 2));
    let numbers: Vec<u16> = seen(&stage, with).iter().map(|packet| packet.0).collect();
    assert_eq!(numbers, [0, 1, 4, 5, 9, 10], "it recovers by itself, and its gaps stay gaps");
    assert_eq!(stage.world.dropped(DropReason::Redundant), 4);
}

#[test]
fn a_packet_that_comes_after_it_was_recovered_is_not_sent_twice() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
    let viewer = stage.watch(&Terms::of(&[opus(109, None)]));
    for at in [2, 4, 3, 5] {
        stage.publish(&red(at, 1), FRAME);
    }
    assert_eq!(seen(&stage, viewer), expected(&[2, 3, 4, 5], 2));
    assert_eq!(stage.world.dropped(DropReason::Duplicate), 1);
}

/// After silence the blocks in a packet are older than the gap before it.
#[test]
fn nothing_is_recovered_from_before_the_last_packet() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
    let viewer = stage.watch(&Terms::of(&[opus(109, None)]));
    stage.publish(&red(5, 1), FRAME);
    let gap = Plain { number: 300 + 7, ..red(6, 2) };
    stage.publish(&gap, FRAME);
    let numbers: Vec<u16> = seen(&stage, viewer).iter().map(|packet| packet.0).collect();
    assert_eq!(numbers, [0, 2]);
}

#[test]
fn redundancy_that_cannot_be_unwrapped_is_dropped_before_it_changes_anything() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
    let viewer = stage.watch(&Terms::of(&[opus(109, None)]));
    stage.publish(&red(1, 0), FRAME);
    stage.publish(&plain(63, 2, vec![0xef, 0xff, 0xff, 0xff, 111, 1]), FRAME);
    stage.publish(&plain(63, 3, vec![96, 1]), FRAME);
    stage.publish(&plain(111, 4, vec![0xfb]), FRAME);
    stage.publish(&red(5, 0), FRAME);
    assert_eq!(stage.world.dropped(DropReason::MalformedPayload), 3);
    assert_eq!(seen(&stage, viewer), expected(&[1, 5], 1));
}

#[test]
fn silence_that_is_not_sent_is_neither_loss_nor_a_new_beginning() {
    let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, None)]));
    let viewer = stage.watch(&Terms::of(&[opus(111, None)]));
    let mut sent = Vec::new();
    let mut number = 65_530u16;
    let mut timestamp = u32::MAX - 3 * FRAME_TICKS;
    // Speech, two seconds of silence with a packet now and then, speech with a marker.
    let talk = [(1, frame(1)), (1, frame(2)), (1, frame(3))];
    let silence = [(20, vec![0xf8]), (20, vec![0xf8]), (20, vec![0xfa, 0]), (20, vec![0xf8])];
    for (at, (frames, payload)) in talk.iter().chain(&silence).chain(&talk).cloned().enumerate() {
        timestamp = timestamp.wrapping_add(FRAME_TICKS * frames);
        let marker = at == talk.len() + silence.len();
        let packet = Plain { number, timestamp, marker, ..plain(111, 0, payload) };
        stage.publish(&packet, FRAME * frames);
        sent.push(packet);
        number = number.wrapping_add(1);
    }
    let seen = stage.seen(viewer);
    assert_eq!(seen.len(), sent.len());
    for (seen, sent) in seen.windows(2).zip(sent.windows(2)) {
        assert_eq!(seen[1].number, seen[0].number.wrapping_add(1), "numbers stay contiguous");
        let step = |pair: &[Plain]| pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert_eq!(step(seen), step(sent), "timestamps jump as they did");
        assert_eq!((seen[1].marker, &seen[1].payload), (sent[1].marker, &sent[1].payload));
    }
    assert_eq!(stage.world.clients[0].asked_for, [], "nothing was taken for lost");
    assert_eq!(stage.world.clients[0].keyframe_requests, 0);
}

/// Whatever is lost, late or doubled: each number leaves once, with the frame that belongs to it, and in order
/// of time where it was recovered.
#[test]
fn recovery_never_gives_a_number_twice() {
    for seed in 1..=12 {
        let mut random = Random(seed);
        let mut stage = PlainStage::new(MediaKind::Audio, &Terms::of(&[opus(111, Some(63))]));
        let viewers =
            [stage.watch(&Terms::of(&[opus(109, None)])), stage.watch(&Terms::of(&[opus(96, Some(97))]))];
        let mut order: Vec<u16> = (2..80).filter(|_| random.chance(0.7)).collect();
        for at in 1..order.len() {
            if random.chance(0.2) {
                order.swap(at - 1, at);
            }
            if random.chance(0.1) {
                order.insert(at, order[at - 1]);
            }
        }
        for at in order {
            let redundant = random.below(3) as u16;
            stage.publish(&red(at, redundant.min(at - 1)), FRAME);
        }
        for viewer in viewers {
            let mut seen = stage.seen(viewer);
            let first = seen[0].clone();
            seen.sort_by_key(|packet| packet.number.wrapping_sub(first.number) as i16);
            for pair in seen.windows(2) {
                let numbers = pair[1].number.wrapping_sub(pair[0].number);
                let times = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
                assert_eq!(times, FRAME_TICKS * u32::from(numbers), "seed {seed}");
                assert_ne!(numbers, 0, "seed {seed}: a number twice");
            }
            for packet in seen.iter().filter(|packet| packet.payload_type == 109) {
                let at = (packet.timestamp.wrapping_sub(first.timestamp) / FRAME_TICKS) as u8;
                assert_eq!(packet.payload[1], first.payload[1].wrapping_add(at), "seed {seed}");
            }
        }
    }
}
