//! Viewers who come and go for minutes: what leaks, and what those who stay notice.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, usual_settings,
};
use crate::show::figures::{self, COST, JOINS, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, planned_at, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "churn",
    question: "What is left behind by viewers who come and go, and what do those who stay notice?",
    parameters: &[
        Parameter {
            name: "rate",
            help: "Viewers who join in a second",
            sizes: Sizes::Numbers { smoke: &[4], full: &[20], max: 1_000 },
        },
        Parameter {
            name: "stay",
            help: "How long each one stays, ms",
            sizes: Sizes::Numbers { smoke: &[500], full: &[3000], max: 600_000 },
        },
        Parameter {
            name: "present",
            help: "Viewers who stay all the time",
            sizes: Sizes::Numbers { smoke: &[2], full: &[20], max: 5_000 },
        },
        Parameter {
            name: "seconds",
            help: "Length of the measured window, s",
            sizes: Sizes::Numbers { smoke: &[3], full: &[120], max: 86_400 },
        },
    ],
    figures: &[CHURN, JOINS, COST, SERVICE, PICTURES],
    charts: &[Chart {
        title: "Wait for the first picture",
        shape: ChartShape::Percentiles { curve: "ttff" },
    }],
    work: Work::Server { play, scale: "rate", settings: usual_settings },
};

/// Those who joined last have gone this long before the end of the window, so that all is tidied up.
const TAIL: Duration = Duration::from_secs(1);

const CHURN: &[Figure] = &[
    figure(
        "rss_per_join",
        "KB",
        Better::Lower,
        Some(2),
        "growth of the resident memory over the window by viewer who came and went; short windows pay for what is made once (10^3 bytes)",
    ),
    figure(
        "files_left",
        "",
        Better::Lower,
        Some(0),
        "file descriptors that the server has more after the window",
    ),
];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let (seconds, rate) = (bench.number("seconds"), bench.number("rate"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let (window, stay) = (Duration::from_secs(seconds), Duration::from_millis(bench.number("stay")));
    let cast = Cast::of_one_room(&[recipe("camera")], bench.number("present"), window);
    let last_join = window.saturating_sub(stay + TAIL);
    let (mut joins, mut guests) = (0, VecDeque::new());
    let shown = Show::play_with(bench, server, &cast, |show, elapsed| {
        let due = |joins| planned_at(joins, rate);
        while due(joins) <= elapsed.min(last_join) {
            guests.push_back((due(joins) + stay, show.invite(0, 0)));
            joins += 1;
        }
        while guests.front().is_some_and(|(until, _)| *until <= elapsed) {
            guests.pop_front().into_iter().for_each(|(_, guest)| show.dismiss(guest));
        }
        let next_join = Some(due(joins)).filter(|at| *at <= last_join);
        Ok(next_join.into_iter().chain(guests.front().map(|(until, _)| *until)).min())
    })?;
    figures::tell(bench, &shown, floor_ns);
    figures::tell_joins(bench, &shown);
    let prints = shown.footprints.with_all.zip(shown.footprints.at_end);
    let growth = |before: u64, after: u64| (after as f64 - before as f64) / joins.max(1) as f64;
    bench.figure_if_known("rss_per_join", prints.map(|(a, b)| growth(a.rss_bytes, b.rss_bytes) / 1e3));
    bench.figure_if_known("files_left", prints.map(|(a, b)| b.files as f64 - a.files as f64));
    Ok(())
}
