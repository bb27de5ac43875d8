//! Many small rooms: what a room costs beside its packets.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Scenario, Sizes, Work, seconds, usual_settings};
use crate::show::figures::{self, COST, PICTURES, SERVICE};
use crate::show::{Cast, Show, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "rooms",
    question: "How many small rooms does a server carry, and what does a packet cost in them?",
    parameters: &[
        Parameter {
            name: "rooms",
            help: "Rooms, each with one publisher of picture and sound",
            sizes: Sizes::Numbers { smoke: &[2], full: &[20, 100], max: 5_000 },
        },
        Parameter {
            name: "viewers",
            help: "Viewers of each room",
            sizes: Sizes::Numbers { smoke: &[2], full: &[3], max: 1_000 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[COST, SERVICE, PICTURES],
    charts: &[
        Chart {
            title: "CPU time per forwarded packet over the number of rooms",
            shape: ChartShape::Lines { figure: "cpu", over: "rooms" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    ],
    work: Work::Server { play, scale: "rooms", settings: usual_settings },
};

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let tracks = [recipe("camera"), recipe("opus")];
    let (rooms, viewers) = (bench.number("rooms"), bench.number("viewers"));
    let cast = Cast::of_rooms(rooms, &tracks, viewers, Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    Ok(())
}
