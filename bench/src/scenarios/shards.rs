//! One room over several shards: what crossing from shard to shard adds to a packet.
//!
//! The number of shards is a setting of Sluice; other servers are played as they are.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Point, Scenario, Sizes, Work, seconds};
use crate::show::figures::{self, COST, PICTURES, SERVICE};
use crate::show::{Cast, Show, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "shards",
    question: "What does a forwarded packet cost when one room uses several shards?",
    parameters: &[
        Parameter {
            name: "shards",
            help: "Shards of Sluice",
            sizes: Sizes::Numbers { smoke: &[1], full: &[1, 2, 4], max: 64 },
        },
        Parameter {
            name: "subscribers",
            help: "Subscribers of the one room",
            sizes: Sizes::Numbers { smoke: &[2], full: &[200], max: 20_000 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[COST, SERVICE, PICTURES],
    charts: &[
        Chart {
            title: "CPU time per forwarded packet over the number of shards",
            shape: ChartShape::Lines { figure: "cpu", over: "shards" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    ],
    work: Work::Server { play, scale: "subscribers", settings },
};

fn settings(point: &Point) -> Vec<(String, String)> {
    vec![("SLUICE_SHARDS".to_owned(), point["shards"].to_string())]
}

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let cast =
        Cast::of_one_room(&[recipe("steady")], bench.number("subscribers"), Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    Ok(())
}
