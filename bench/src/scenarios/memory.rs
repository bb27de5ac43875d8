//! What a participant takes of the memory, without media and with it.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::measure::process::Footprint;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, usual_settings,
};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, Shown, recipe};
use crate::targets::Server;
use crate::traffic::VIDEO_RECIPES;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "memory",
    question: "How much memory does a participant take, idle and active?",
    parameters: &[
        Parameter {
            name: "participants",
            help: "Viewers of one room",
            sizes: Sizes::Numbers { smoke: &[3], full: &[100, 500], max: 20_000 },
        },
        Parameter {
            name: "traffic",
            help: "What the publisher sends",
            sizes: Sizes::Words { smoke: &["camera"], full: &["camera"], allowed: VIDEO_RECIPES },
        },
        Parameter {
            name: "seconds",
            help: "For how long media flows before memory is read again, s",
            sizes: Sizes::Numbers { smoke: &[1], full: &[10], max: 3_600 },
        },
    ],
    figures: &[MEMORY, COST, SERVICE, PICTURES],
    charts: &[Chart {
        title: "Memory per participant",
        shape: ChartShape::Bars {
            figures: &["rss_idle", "rss_media"],
            whole: "rss_idle",
            by: "participants",
        },
    }],
    work: Work::Server { play, scale: "participants", settings: usual_settings },
};

const MEMORY: &[Figure] = &[
    figure(
        "rss_idle",
        "KB",
        Better::Lower,
        Some(1),
        "resident memory that one more connected viewer takes (10^3 bytes)",
    ),
    figure(
        "rss_media",
        "KB",
        Better::Lower,
        Some(1),
        "what is added when media flows, by viewer; the publisher and the cache of its track are in it",
    ),
];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let (seconds, participants) = (bench.number("seconds"), bench.number("participants"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let traffic = recipe(bench.word("traffic"));
    let cast = Cast::of_one_room(&[traffic], participants, Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    tell_memory(bench, &shown, participants);
    Ok(())
}

/// The first participant is left out of the idle ones: it pays for what is made lazily.
fn tell_memory(bench: &mut Bench, shown: &Shown, participants: u64) {
    let prints = shown.footprints;
    let growth = |from: Option<Footprint>, to: Option<Footprint>, by: u64| {
        let bytes = to?.rss_bytes.saturating_sub(from?.rss_bytes);
        (by > 0).then(|| bytes as f64 / by as f64 / 1e3)
    };
    bench.figure_if_known("rss_idle", growth(prints.with_one, prints.with_all, participants - 1));
    bench.figure_if_known("rss_media", growth(prints.with_all, prints.at_end, participants));
}
