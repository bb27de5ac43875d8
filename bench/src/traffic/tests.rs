//! What every recipe promises, whatever it sends.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dataplane::wire::{h264, opus, vp8};

use super::recipe::Codec;
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn recipes() -> impl Iterator<Item = (&'static str, Recipe)> {
    NAMES.iter().map(|name| (*name, Recipe::named(name).unwrap()))
}

/// The packets of `source` until `end`.
fn until(source: &mut Source, end: Duration) -> Vec<Planned> {
    std::iter::from_fn(|| (source.next_at() < end).then(|| source.next())).collect()
}

fn record(planned: &Planned) -> Record {
    let Planned { encoding, sequence, frame, .. } = *planned;
    Record {
        source: 7,
        encoding,
        sequence,
        sent_ns: 1 << 60,
        late_ns: 1000,
        frame,
        frame_packets: 9,
        leans_back: 1,
    }
}

fn written(source: &Source, planned: &Planned) -> Vec<u8> {
    let mut out = [0; PAYLOAD_LEN_MAX];
    let len = source.write(planned, record(planned), &mut out);
    assert_eq!(len, usize::from(planned.payload_len));
    out[..len].to_vec()
}

fn payload_bps(packets: &[Planned], encoding: usize, time: Duration) -> f64 {
    let own = packets.iter().filter(|planned| usize::from(planned.encoding) == encoding);
    own.map(|planned| u64::from(planned.payload_len)).sum::<u64>() as f64 * 8.0 / time.as_secs_f64()
}

#[test]
fn one_seed_gives_one_plan_and_another_seed_another() {
    for (name, recipe) in recipes() {
        let plan = |seed| until(&mut Source::new(&recipe, seed), Duration::from_secs(5));
        assert_eq!(plan(1), plan(1), "{name}");
        assert_ne!(plan(1), plan(2), "{name}");
    }
    assert!(Recipe::named("no such recipe").is_none());
}

#[test]
fn a_steady_minute_is_240_packets_a_second_in_bursts_of_three() {
    let packets = until(&mut Source::new(&Recipe::steady(), 1), MINUTE);
    assert_eq!(packets.len(), 60 * 240);
    assert!(packets.iter().all(|planned| planned.payload_len == 1100));
    for (number, frame) in packets.chunks(8).enumerate() {
        let made_at = Duration::from_nanos(number as u64 * 1_000_000_000 / 30);
        let at: Vec<u128> = frame.iter().map(|planned| (planned.at - made_at).as_millis()).collect();
        assert_eq!(at, [0, 0, 0, 5, 5, 5, 10, 10]);
        assert!(frame.iter().all(|planned| planned.timestamp == frame[0].timestamp));
        let marks: Vec<bool> = frame.iter().map(|planned| planned.is_marked).collect();
        assert_eq!(marks, [false, false, false, false, false, false, false, true]);
    }
    let bursts = until(&mut Source::new(&Recipe::bursts(), 1), MINUTE);
    assert_eq!(bursts.len(), packets.len());
    assert!(bursts.chunks(8).all(|frame| frame.iter().all(|planned| planned.at == frame[0].at)));
}

#[test]
fn each_encoding_keeps_its_bitrate_within_five_percent_over_a_minute() {
    for (name, recipe) in recipes() {
        for percent in [50, 100, 200] {
            let recipe = recipe.clone().scaled(percent);
            for seed in 0..3 {
                let mut source = Source::new(&recipe, seed);
                let packets = until(&mut source, MINUTE);
                for (encoding, facts) in source.encodings().iter().enumerate() {
                    // A voice at half its bitrate is mostly as short as a packet can be.
                    if name == "opus" && percent < 100 {
                        continue;
                    }
                    let share = payload_bps(&packets, encoding, MINUTE) / facts.bitrate_bps as f64;
                    assert!((0.95..1.05).contains(&share), "{name} {percent} {seed} {encoding}: {share}");
                }
            }
        }
    }
}

#[test]
fn each_encoding_counts_its_packets_frames_and_time_without_a_gap() {
    for (name, recipe) in recipes() {
        let mut source = Source::new(&recipe, 3);
        let tick = recipe.codec().clock_rate_hz();
        let mut last: Vec<Option<Planned>> = vec![None; source.encodings().len()];
        let mut at = Duration::ZERO;
        for _ in 0..20_000 {
            let foretold = source.next_at();
            let planned = source.next();
            assert_eq!(planned.at, foretold, "{name}");
            assert!(at <= planned.at && planned.made_at <= planned.at, "{name}");
            assert!(planned.at - planned.made_at < Duration::from_millis(300), "{name}: {planned:?}");
            at = planned.at;
            let before = last[usize::from(planned.encoding)].replace(planned);
            let Some(before) = before else {
                assert_eq!((planned.sequence, planned.frame, planned.is_first), (0, 0, true), "{name}");
                continue;
            };
            assert_eq!(planned.sequence, before.sequence + 1, "{name}");
            assert_eq!(planned.frame, before.frame + u64::from(planned.is_first), "{name}");
            let made = (planned.made_at - before.made_at).as_secs_f64() * tick as f64;
            let ticks = planned.timestamp.wrapping_sub(before.timestamp);
            assert_eq!(made.round() as u32, ticks, "{name}");
            assert_eq!(ticks > 0, planned.is_first, "{name}");
        }
    }
}

#[test]
fn every_payload_reads_as_its_codec_and_as_its_record() {
    for (name, recipe) in recipes() {
        let mut source = Source::new(&recipe, 4);
        for number in 0..10_000 {
            if number % 1000 == 999 {
                (0..source.encodings().len()).for_each(|encoding| source.want_keyframe(encoding));
            }
            let planned = source.next();
            let payload = written(&source, &planned);
            assert_eq!(read(&payload), Some(record(&planned)), "{name}");
            let size = source.encodings()[usize::from(planned.encoding)].size;
            let is_way_in = planned.is_keyframe && planned.is_first;
            match recipe.codec() {
                Codec::Vp8 => {
                    let seen = vp8::Descriptor::parse(&payload).unwrap();
                    assert_eq!((seen.is_frame_start, seen.is_keyframe), (planned.is_first, is_way_in));
                    assert_eq!(seen.size, is_way_in.then_some(size), "{name}");
                }
                Codec::H264 => {
                    let seen = h264::inspect(&payload);
                    assert_eq!(seen.is_keyframe_start, is_way_in, "{planned:?}");
                    assert_eq!(seen.size, is_way_in.then_some(size));
                    // Aggregates say at once what is not well formed: nothing.
                    assert!(matches!(payload[0] & 0x1f, 1 | 5 | 24 | 28), "{:x}", payload[0]);
                }
                Codec::Opus => {
                    assert!(opus::is_sound(&payload));
                    assert!(planned.audio_level.is_some_and(|level| level < 128));
                }
            }
        }
    }
}

#[test]
fn damage_of_any_byte_that_no_server_rewrites_is_found() {
    for (name, recipe) in recipes() {
        let mut source = Source::new(&recipe, 5);
        let packets: Vec<Planned> = (0..200).map(|_| source.next()).collect();
        for planned in packets.iter().step_by(19) {
            let payload = written(&source, planned);
            let front_len = match recipe.codec() {
                Codec::Vp8 => vp8::Descriptor::parse(&payload).unwrap().len,
                Codec::H264 | Codec::Opus => 0,
            };
            for at in front_len..payload.len() {
                let mut damaged = payload.clone();
                damaged[at] ^= 1 << (at % 8);
                assert_eq!(read(&damaged), None, "{name}: byte {at} of {planned:?}");
            }
        }
    }
}

#[test]
fn a_keyframe_comes_first_and_then_where_it_was_asked_for_and_only_there() {
    for (name, recipe) in recipes().filter(|(name, _)| *name != "opus") {
        let mut source = Source::new(&recipe, 6);
        let encodings = source.encodings().len();
        // Frames that must be keyframes: the first of each encoding, later those that were asked for.
        let mut due = vec![true; encodings];
        let mut keyframes = 0;
        for number in 0..30_000 {
            let planned = source.next();
            let encoding = usize::from(planned.encoding);
            if planned.is_first {
                assert_eq!(planned.is_keyframe, std::mem::take(&mut due[encoding]), "{name}: {planned:?}");
                keyframes += u64::from(planned.is_keyframe);
            }
            // In the midst of frames and between them; now and then twice.
            if number % 771 == 0 || number % 1542 == 1 {
                let asked = number / 771 % encodings;
                source.want_keyframe(asked);
                due[asked] = true;
            }
        }
        assert!(keyframes > 30, "{name}: {keyframes}");
    }
    // Asked of a voice, or of an encoding that is not there, nothing happens.
    let mut voice = Source::new(&Recipe::opus(), 6);
    voice.want_keyframe(0);
    voice.want_keyframe(9);
    assert!((0..100).all(|_| !voice.next().is_keyframe));
}

#[test]
fn a_keyframe_is_larger_than_a_frame_and_what_it_cost_is_saved_afterwards() {
    for (name, recipe) in
        [("camera", Recipe::camera()), ("simulcast", Recipe::simulcast()), ("h264", Recipe::h264())]
    {
        let mut source = Source::new(&recipe, 8);
        let top = source.encodings().len() - 1;
        until(&mut source, Duration::from_secs(20));
        source.want_keyframe(top);
        let packets = until(&mut source, Duration::from_secs(22));
        let key: Vec<&Planned> = packets.iter().filter(|planned| planned.is_keyframe).collect();
        let key_bytes: u32 = key.iter().map(|planned| u32::from(planned.payload_len)).sum();
        let mean = source.encodings()[top].bitrate_bps as f64 / 8.0 / 30.0;
        assert!(f64::from(key_bytes) > 1.5 * mean, "{name}: {key_bytes} of {mean}");
        let share =
            payload_bps(&packets, top, Duration::from_secs(2)) / source.encodings()[top].bitrate_bps as f64;
        assert!((0.7..1.3).contains(&share), "{name}: {share}");
    }
}

#[test]
fn temporal_layers_lean_on_lower_ones_only() {
    for recipe in [Recipe::camera_t3(), Recipe::simulcast()] {
        let mut source = Source::new(&recipe, 9);
        let encodings = source.encodings().len();
        // By encoding: TL0PICIDX and picture id of the newest base frame and frame.
        let mut newest: Vec<Option<(u8, u16)>> = vec![None; encodings];
        let mut frames = [0u32; 3];
        let mut ways_up = [0u32; 3];
        for number in 0..20_000 {
            if number % 2000 == 1999 {
                source.want_keyframe(number / 2000 % encodings);
            }
            let planned = source.next();
            let seen = vp8::Descriptor::parse(&written(&source, &planned)).unwrap();
            let layer = seen.temporal.unwrap();
            let (base, id) = (seen.tl0_picture_index.unwrap(), seen.picture_id.unwrap().value);
            assert_eq!(layer.tid, planned.temporal);
            let newest = &mut newest[usize::from(planned.encoding)];
            if planned.is_first {
                frames[usize::from(layer.tid)] += 1;
                ways_up[usize::from(layer.tid)] += u32::from(layer.is_sync);
                if planned.is_keyframe {
                    assert!(layer.tid == 0 && layer.is_sync);
                }
                if let Some((last_base, last_id)) = *newest {
                    // A base frame is a new base; any other names the newest one, which is below it.
                    assert_eq!(base, last_base.wrapping_add(u8::from(layer.tid == 0)));
                    assert_eq!(id, (last_id + 1) & 0x7fff);
                }
            }
            *newest = Some((base, id));
        }
        // A quarter, a quarter and a half; every other frame of layer 1 and every fourth of layer 2 is a way up.
        let close = |a: u32, b: u32| a.abs_diff(b) * 20 < b;
        assert!(close(frames[1], frames[0]) && close(frames[2], 2 * frames[0]), "{frames:?}");
        assert!(
            close(2 * ways_up[1], frames[1]) && close(4 * ways_up[2], frames[2]),
            "{ways_up:?} {frames:?}"
        );
        assert!(ways_up[0] < frames[0] / 20);
    }
}

#[test]
fn an_h264_keyframe_is_parameter_sets_and_then_an_idr_slice_in_fragments() {
    let mut source = Source::new(&Recipe::h264(), 10);
    let first = until(&mut source, Duration::from_millis(200));
    let key: Vec<Vec<u8>> = first
        .iter()
        .take_while(|planned| planned.is_keyframe)
        .map(|planned| written(&source, planned))
        .collect();
    assert_eq!(key[0][0] & 0x1f, 24, "STAP-A");
    let mut rest = &key[0][1..];
    let mut kinds = Vec::new();
    while let Some((len, units)) = rest.split_first_chunk() {
        let (unit, next) = units.split_at(usize::from(u16::from_be_bytes(*len)));
        kinds.push(unit[0] & 0x1f);
        assert!(!unit.windows(3).any(|bytes| bytes <= &[0, 0, 2][..]), "a start code in {unit:x?}");
        rest = next;
    }
    assert_eq!(kinds, [7, 8, 6], "SPS, PPS and the record as user data");
    let last = key.len() - 1;
    for (number, payload) in key.iter().enumerate().skip(1) {
        assert_eq!(payload[0] & 0x1f, 28, "FU-A");
        let header = u8::from(number == 1) << 7 | u8::from(number == last) << 6 | 5;
        assert_eq!(payload[1], header, "{number} of {last}");
    }
}

#[test]
fn no_more_than_three_packets_of_a_camera_leave_within_a_moment() {
    for name in ["camera", "camera_t3", "simulcast", "h264"] {
        let mut source = Source::new(&Recipe::named(name).unwrap(), 11);
        let packets = until(&mut source, MINUTE);
        for four in packets.windows(4) {
            assert!(four[3].at - four[0].at >= Duration::from_millis(5), "{name}: {four:?}");
        }
    }
}
