//! Viewers who keep asking for keyframes: what of it reaches the publisher, and what it does to the others.
//!
//! A server that passes every request on makes the publisher send keyframes only, which are ten times as large.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, seconds, usual_settings,
};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, planned_at, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "keyframe_storm",
    question: "What becomes of a room in which everybody asks for keyframes?",
    parameters: &[
        Parameter {
            name: "viewers",
            help: "Viewers",
            sizes: Sizes::Numbers { smoke: &[2], full: &[50], max: 5_000 },
        },
        Parameter {
            name: "requests",
            help: "Requests of each viewer in a second",
            sizes: Sizes::Numbers { smoke: &[2], full: &[2], max: 100 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[STORM, COST, SERVICE, PICTURES],
    charts: &[Chart {
        title: "Keyframes that the publisher has to send",
        shape: ChartShape::Lines { figure: "keyframe_rate", over: "viewers" },
    }],
    work: Work::Server { play, scale: "viewers", settings: usual_settings },
};

const STORM: &[Figure] = &[
    figure("asked_rate", "/s", Better::Neither, Some(0), "requests for keyframes of all viewers"),
    figure("keyframe_rate", "/s", Better::Lower, Some(2), "keyframes that the publisher sent"),
];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let seconds = bench.number("seconds");
    let (viewers, requests) = (bench.number("viewers"), bench.number("requests"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let cast = Cast::of_one_room(&[recipe("camera")], viewers, Duration::from_secs(seconds));
    let mut asked = 0;
    let shown = Show::play_with(bench, server, &cast, |show, elapsed| {
        let due = |asked| planned_at(asked, viewers * requests);
        while due(asked) <= elapsed {
            show.want_keyframe((asked % viewers) as usize);
            asked += 1;
        }
        Ok(Some(due(asked)))
    })?;
    figures::tell(bench, &shown, floor_ns);
    let per_second = |count: u64| count as f64 / seconds as f64;
    bench.figure("asked_rate", per_second(asked));
    bench.figure("keyframe_rate", per_second(shown.sent.iter().map(|sent| sent.keyframes).sum()));
    Ok(())
}
