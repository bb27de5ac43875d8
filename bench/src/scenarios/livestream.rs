//! One publisher with picture and sound, thousands of viewers: the shape of a broadcast.
//!
//! LiveKit publishes figures for 1 publisher and 3000 viewers on 16 cores; docs/BENCHMARKING.md sets them beside
//! ours.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Scenario, Sizes, Work, seconds, usual_settings};
use crate::show::figures::{self, COST, PICTURES, SERVICE};
use crate::show::{Cast, Show, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "livestream",
    question: "What does a broadcast of one camera and microphone to thousands of viewers cost?",
    parameters: &[
        Parameter {
            name: "viewers",
            help: "Viewers, each with one transport for picture and sound",
            sizes: Sizes::Numbers { smoke: &[2], full: &[3000], max: 20_000 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[COST, SERVICE, PICTURES],
    charts: &[
        Chart {
            title: "CPU time per forwarded packet over the number of viewers",
            shape: ChartShape::Lines { figure: "cpu", over: "viewers" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    ],
    work: Work::Server { play, scale: "viewers", settings: usual_settings },
};

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let tracks = [recipe("camera"), recipe("opus")];
    let cast = Cast::of_one_room(&tracks, bench.number("viewers"), Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    Ok(())
}
