//! A crowd that comes in at once: how long each one waits for a picture, from wanting to join.
//!
//! Joins are planned ahead, whatever the server makes of those before: a wait counts from the plan and holds
//! the offer, HTTP, ICE, DTLS and the keyframe.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{Bench, Chart, ChartShape, Parameter, Scenario, Sizes, Work, usual_settings};
use crate::show::figures::{self, COST, JOINS, PICTURES, SERVICE};
use crate::show::{Cast, Show, planned_at, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "join_storm",
    question: "How long does each of a crowd wait for its first picture?",
    parameters: &[
        Parameter {
            name: "rate",
            help: "Viewers who join in a second",
            sizes: Sizes::Numbers { smoke: &[4], full: &[100], max: 5_000 },
        },
        Parameter {
            name: "present",
            help: "Viewers who are there before",
            sizes: Sizes::Numbers { smoke: &[1], full: &[10], max: 5_000 },
        },
        Parameter {
            name: "seconds",
            help: "For how long viewers join, s",
            sizes: Sizes::Numbers { smoke: &[1], full: &[10], max: 600 },
        },
    ],
    figures: &[JOINS, COST, SERVICE, PICTURES],
    charts: &[
        Chart {
            title: "Wait for the first picture, slowest 5 percent",
            shape: ChartShape::Lines { figure: "ttff_p95", over: "rate" },
        },
        Chart { title: "Wait for the first picture", shape: ChartShape::Percentiles { curve: "ttff" } },
    ],
    work: Work::Server { play, scale: "rate", settings: usual_settings },
};

/// The last ones get this long to see something.
const TAIL: Duration = Duration::from_secs(3);

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let (seconds, rate) = (bench.number("seconds"), bench.number("rate"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let storm = Duration::from_secs(seconds);
    let cast = Cast::of_one_room(&[recipe("camera")], bench.number("present"), storm + TAIL);
    let mut joins = 0;
    let shown = Show::play_with(bench, server, &cast, |show, elapsed| {
        let due = |joins| planned_at(joins, rate);
        while joins < rate * seconds && due(joins) <= elapsed {
            show.invite(0, 0);
            joins += 1;
        }
        Ok((joins < rate * seconds).then(|| due(joins)))
    })?;
    figures::tell(bench, &shown, floor_ns);
    figures::tell_joins(bench, &shown);
    Ok(())
}
