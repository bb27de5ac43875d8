//! Sharing a subscriber's bandwidth out to its tracks, while the estimate moves up and down.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use dataplane::congestion::allocator::{Allocation, Budget, LayerOption, Memory, Priority, Wish, allocate};
use dataplane::limits::ALLOCATED_TRACKS_MAX;
use dataplane::wire::layer::Layer;

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "allocator",
    question: "What does it cost to decide which layer of each track a subscriber gets?",
    parameters: &[
        Parameter {
            name: "tracks",
            help: "Video tracks of the subscriber",
            sizes: Sizes::Numbers { smoke: &[1, 4], full: &[1, 7, 28], max: ALLOCATED_TRACKS_MAX as u64 },
        },
        Parameter {
            name: "allocations",
            help: "How often it is decided",
            sizes: Sizes::Numbers { smoke: &[16], full: &[200_000], max: 100_000_000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "allocation",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "CPU time of one decision about all tracks",
        },
        Figure {
            name: "track",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "the same per track",
        },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

/// Three encodings of three temporal layers each, bits per second.
const BITRATES_BPS: [u64; 9] =
    [60_000, 100_000, 150_000, 200_000, 330_000, 500_000, 600_000, 1_000_000, 1_500_000];
/// Between two decisions.
const EVERY: Duration = Duration::from_millis(100);

fn play(bench: &mut Bench) {
    let (tracks, allocations) = (bench.number("tracks"), bench.number("allocations"));
    let start = Instant::now();
    let options: Vec<LayerOption> = (0u8..).zip(BITRATES_BPS).map(option).collect();
    let mut wishes: Vec<Wish<'_>> = (0..tracks as u16).map(|track| wish(track, &options)).collect();
    let elapsed = bench.measure(|| {
        let mut computed = 0;
        for round in 0..allocations {
            // 1 to 13 Mbit/s and back in 24 s.
            let step = round % 240;
            let estimate_bps = 1_000_000 + 100_000 * step.min(240 - step);
            let budget = Budget {
                estimate_bps,
                lowest_bps: estimate_bps * 9 / 10,
                audio_bps: 96_000,
                ..Budget::default()
            };
            let allocation = allocate(&budget, &wishes, start + EVERY * round as u32);
            remember(&mut wishes, &allocation);
            computed = fold(computed, allocation.total_bps);
        }
        computed
    });
    let allocation_ns = elapsed.as_nanos() as f64 / allocations as f64;
    bench.figure("allocation", allocation_ns);
    bench.figure("track", allocation_ns / tracks as f64);
}

fn remember(wishes: &mut [Wish<'_>], allocation: &Allocation) {
    for (wish, grant) in wishes.iter_mut().zip(&allocation.grants) {
        (wish.memory, wish.current) = (grant.memory, grant.target);
    }
}

fn option((place, bitrate_bps): (u8, u64)) -> LayerOption {
    let layer = Layer { spatial: place / 3, temporal: place % 3 };
    LayerOption { layer, bitrate_bps, height: 180 << layer.spatial, is_live: true }
}

/// One large picture, the others small.
fn wish(track: u16, options: &[LayerOption]) -> Wish<'_> {
    let (priority, height) = if track == 0 { (Priority::Pinned, 720) } else { (Priority::Other, 360) };
    Wish { track, priority, height: Some(height), options, current: None, memory: Memory::default() }
}
