//! One publisher, many subscribers: what a forwarded packet costs, and how long it takes.
//!
//! `steady` traffic is 240 packets/s of 1100 bytes, sent 3 per 5 ms; it goes to each of N subscribers over
//! ICE, DTLS and SRTP. Every packet is opened and compared by every subscriber, so loss is exact.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, seconds, usual_settings,
};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, Shown, recipe};
use crate::targets::Server;
use crate::traffic::VIDEO_RECIPES;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "fanout",
    question: "What does a forwarded packet cost, and how long does it take, from one publisher to N subscribers?",
    parameters: &[
        Parameter {
            name: "subscribers",
            help: "Subscribers, each with a socket, ICE, DTLS and SRTP of its own",
            sizes: Sizes::Numbers { smoke: &[2], full: &[10, 50, 200, 1000, 2000], max: 20_000 },
        },
        Parameter {
            name: "traffic",
            help: "What the publisher sends: steady spreads the 8 packets of a frame, bursts sends them at once",
            sizes: Sizes::Words { smoke: &["steady"], full: &["steady"], allowed: VIDEO_RECIPES },
        },
        seconds(&[1], &[6]),
    ],
    figures: &[COST, SERVICE, PICTURES, MEMORY],
    charts: CHARTS,
    work: Work::Server { play, scale: "subscribers", settings: usual_settings },
};

const MEMORY: &[Figure] = &[figure(
    "rss_per_subscriber",
    "KB",
    Better::Lower,
    Some(1),
    "growth of the resident memory from the first subscriber to the last, per subscriber, before media flows (10^3 bytes)",
)];

const CHARTS: &[Chart] = &[
    Chart {
        title: "CPU time per forwarded packet",
        shape: ChartShape::Bars { figures: &["cpu_user", "cpu_system"], whole: "cpu", by: "subscribers" },
    },
    Chart {
        title: "CPU time per forwarded packet over the number of subscribers",
        shape: ChartShape::Lines { figure: "cpu", over: "subscribers" },
    },
    Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    Chart {
        title: "Latency of the slowest percent over the number of subscribers",
        shape: ChartShape::Lines { figure: "forward_p99", over: "subscribers" },
    },
    Chart { title: "Train lengths of Sluice", shape: ChartShape::Shares { curve: "trains" } },
    Chart {
        title: "Memory per subscriber",
        shape: ChartShape::Bars {
            figures: &["rss_per_subscriber"],
            whole: "rss_per_subscriber",
            by: "subscribers",
        },
    },
];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let subscribers = bench.number("subscribers");
    let cast = Cast::of_one_room(&[recipe(bench.word("traffic"))], subscribers, Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    bench.figure_if_known("rss_per_subscriber", memory_per_subscriber(&shown, subscribers));
    Ok(())
}

/// The first subscriber is left out: it pays for what is made lazily.
fn memory_per_subscriber(shown: &Shown, subscribers: u64) -> Option<f64> {
    let (one, all) = shown.footprints.with_one.zip(shown.footprints.with_all)?;
    let others = subscribers.checked_sub(1).filter(|others| *others > 0)?;
    Some(all.rss_bytes.saturating_sub(one.rss_bytes) as f64 / others as f64 / 1e3)
}
