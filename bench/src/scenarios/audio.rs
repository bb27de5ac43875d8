//! Several voices, thousands of listeners: many tiny packets, so the cost of a packet is all there is.
//!
//! The voices are tracks of one publisher, and every listener hears all of them over one transport. A server
//! that takes one audio track of a publisher only is measured with `--speakers 1`.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Scenario, Sizes, Work, seconds, usual_settings};
use crate::show::figures::{self, COST, SERVICE};
use crate::show::{Cast, Show, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "audio",
    question: "What does a packet cost when packets are tiny: some voices to thousands of listeners?",
    parameters: &[
        Parameter {
            name: "speakers",
            help: "Voices, each a track of the one publisher",
            sizes: Sizes::Numbers { smoke: &[2], full: &[10], max: 50 },
        },
        Parameter {
            name: "listeners",
            help: "Listeners, each with one transport for all voices",
            sizes: Sizes::Numbers { smoke: &[2], full: &[3000], max: 20_000 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[COST, SERVICE],
    charts: &[
        Chart {
            title: "CPU time per forwarded packet over the number of listeners",
            shape: ChartShape::Lines { figure: "cpu", over: "listeners" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    ],
    work: Work::Server { play, scale: "listeners", settings: usual_settings },
};

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let voices = vec![recipe("opus"); bench.number("speakers") as usize];
    let cast = Cast::of_one_room(&voices, bench.number("listeners"), Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell_without_pictures(bench, &shown, floor_ns);
    Ok(())
}
