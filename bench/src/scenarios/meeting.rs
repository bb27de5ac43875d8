//! Everybody sends and everybody watches: a large meeting with tiles.
//!
//! Each participant publishes a camera in three sizes and a voice, and shows `tiles` of the others. By WHIP and
//! WHEP every tile is a session of its own, in a room that belongs to whom it shows; so N participants with
//! T tiles are N publishers and N x T subscribers. `--participants 150 --tiles 149` is the meeting of 150 for
//! which LiveKit publishes figures.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Scenario, Sizes, Work, seconds, usual_settings};
use crate::show::figures::{self, COST, PICTURES, SERVICE};
use crate::show::{Cast, Show, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "meeting",
    question: "What does a meeting cost in which everybody sends and shows the tiles of others?",
    parameters: &[
        Parameter {
            name: "participants",
            help: "Participants who send a camera in three sizes and a voice",
            sizes: Sizes::Numbers { smoke: &[3], full: &[100], max: 1_000 },
        },
        Parameter {
            name: "tiles",
            help: "Other participants whom each one shows",
            sizes: Sizes::Numbers { smoke: &[2], full: &[25], max: 999 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[COST, SERVICE, PICTURES],
    charts: &[
        Chart {
            title: "CPU time per forwarded packet over the number of participants",
            shape: ChartShape::Lines { figure: "cpu", over: "participants" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
    ],
    work: Work::Server { play, scale: "participants", settings: usual_settings },
};

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let participants = bench.number("participants");
    // Nobody shows more than all others.
    let tiles = bench.number("tiles").min(participants - 1);
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let tracks = [recipe("simulcast"), recipe("opus")];
    let cast = Cast::of_rooms(participants, &tracks, tiles, Duration::from_secs(seconds));
    let shown = Show::play(bench, server, &cast)?;
    figures::tell(bench, &shown, floor_ns);
    Ok(())
}
