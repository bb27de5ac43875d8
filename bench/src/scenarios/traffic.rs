//! The generator's own traffic: what planning, writing and reading a packet costs, and what a recipe sends.
//!
//! A keyframe is asked for every ten seconds, of each encoding in turn.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};
use crate::traffic::{NAMES, PAYLOAD_LEN_MAX, Planned, Recipe, Source, read};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "traffic",
    question: "What do the recipes of the generator send, and what does a packet cost the generator?",
    parameters: &[
        Parameter {
            name: "recipe",
            help: "What a source sends",
            sizes: Sizes::Words { smoke: NAMES, full: NAMES, allowed: NAMES },
        },
        Parameter {
            name: "percent",
            help: "Bitrate, of that of the recipe",
            sizes: Sizes::Numbers { smoke: &[100], full: &[100], max: 1000 },
        },
        Parameter {
            name: "seconds",
            help: "Seconds of traffic that are planned",
            sizes: Sizes::Numbers { smoke: &[2], full: &[600], max: 100_000 },
        },
    ],
    figures: &[&[
        cost("plan", "CPU time of planning one packet"),
        cost("write", "of writing its payload"),
        cost("read", "of reading and checking it"),
        count("packets", "", "Packets in a second"),
        count("bitrate", "kbit/s", "Of their payloads, keyframes included"),
        count("nominal", "kbit/s", "Of all encodings, where nobody asks for keyframes"),
        Figure { digits: Some(1), ..count("paced", "ms", "The longest that a packet waits behind others") },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

/// Packets that are kept at a time, so that memory stays small.
const CHUNK_LEN: usize = 64;
const KEYFRAME_INTERVAL: Duration = Duration::from_secs(10);
const SEED: u64 = 1;

const fn cost(name: &'static str, meaning: &'static str) -> Figure {
    Figure { name, unit: "ns", better: Better::Lower, digits: Some(0), meaning }
}

const fn count(name: &'static str, unit: &'static str, meaning: &'static str) -> Figure {
    Figure { name, unit, better: Better::Neither, digits: Some(0), meaning }
}

fn play(bench: &mut Bench) {
    let recipe = Recipe::named(bench.word("recipe")).expect("all names are those of recipes");
    let (percent, seconds) = (bench.number("percent"), bench.number("seconds"));
    let mut source = Source::new(&recipe.scaled(percent), SEED);
    let nominal: u64 = source.encodings().iter().map(|encoding| encoding.bitrate_bps).sum();
    let (mut planning, mut writing, mut reading) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut packets, mut bytes, mut waited) = (0, 0, Duration::ZERO);
    let mut plans: Vec<Planned> = Vec::with_capacity(CHUNK_LEN);
    let mut payloads = vec![([0; PAYLOAD_LEN_MAX], 0); CHUNK_LEN];
    let mut keyframes = 0;
    let rids = source.encodings().iter().filter_map(|encoding| encoding.rid);
    let offered = rids.flat_map(str::bytes).map(u64::from).fold(0, fold);

    while source.next_at() < Duration::from_secs(seconds) {
        if source.next_at() >= KEYFRAME_INTERVAL * (keyframes + 1) {
            keyframes += 1;
            source.want_keyframe(keyframes as usize % source.encodings().len());
        }
        plans.clear();
        planning += bench.measure(|| {
            plans.extend((0..CHUNK_LEN).map(|_| source.next()));
            plans.iter().map(digest).fold(offered, fold)
        });
        writing += bench.measure(|| {
            for (planned, (payload, len)) in plans.iter().zip(&mut payloads) {
                *len = source.write(planned, planned.record(0, 0, 0), payload);
            }
            fold(u64::from(payloads[0].0[0]), payloads[0].1 as u64)
        });
        reading += bench.measure(|| {
            let read = payloads.iter().map(|(payload, len)| read(&payload[..*len]));
            read.map(|read| read.expect("what was written is read").sequence).fold(0, fold)
        });
        packets += plans.len();
        bytes += plans.iter().map(|planned| u64::from(planned.payload_len)).sum::<u64>();
        waited = plans.iter().map(|planned| planned.at - planned.made_at).fold(waited, Duration::max);
    }
    let per_packet = |time: Duration| time.as_nanos() as f64 / packets as f64;
    bench.figure("plan", per_packet(planning));
    bench.figure("write", per_packet(writing));
    bench.figure("read", per_packet(reading));
    let lasted = source.next_at().as_secs_f64();
    bench.figure("packets", packets as f64 / lasted);
    bench.figure("bitrate", bytes as f64 * 8.0 / 1000.0 / lasted);
    bench.figure("nominal", nominal as f64 / 1000.0);
    bench.figure("paced", waited.as_secs_f64() * 1000.0);
}

/// All that a plan says, in one number.
fn digest(planned: &Planned) -> u64 {
    let flags = [planned.is_first, planned.is_marked, planned.is_keyframe];
    let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u64::from(flag));
    let layer =
        u64::from(planned.encoding) << 16 | u64::from(planned.temporal) << 8 | u64::from(planned.spatial);
    let level = u64::from(planned.audio_level.unwrap_or_default());
    let number = planned.sequence << 32 | u64::from(planned.timestamp);
    [planned.at.as_nanos() as u64, flags, layer, level, number, planned.frame].into_iter().fold(0, fold)
}
