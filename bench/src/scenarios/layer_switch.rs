//! Viewers who ask for another size again and again: how long each waits for it.
//!
//! The publisher sends three sizes. A viewer asks for one after the other, planned ahead; a wait ends with the
//! first frame of the wanted size that could be shown. The old picture should go on until then.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, seconds, usual_settings,
};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, Shown, quantile, recipe};
use crate::targets::Server;
use crate::traffic::RIDS;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "layer_switch",
    question: "How long does a viewer wait for the size that it asked for, and does its picture stand meanwhile?",
    parameters: &[
        Parameter {
            name: "viewers",
            help: "Viewers of the one publisher",
            sizes: Sizes::Numbers { smoke: &[2], full: &[10, 50], max: 5000 },
        },
        Parameter {
            name: "interval",
            help: "Time between two wishes of a viewer, ms",
            sizes: Sizes::Numbers { smoke: &[1000], full: &[2000], max: 600_000 },
        },
        seconds(&[3], &[20]),
    ],
    figures: &[SWITCHES, COST, SERVICE, PICTURES],
    charts: &[Chart { title: "Wait for another size", shape: ChartShape::Percentiles { curve: "switch" } }],
    work: Work::Server { play, scale: "viewers", settings: usual_settings },
};

const SWITCHES: &[Figure] = &[
    figure("switch_p50", "ms", Better::Lower, Some(0), "from asking for a size to its first picture"),
    figure("switch_p95", "ms", Better::Lower, Some(0), "the same, 95th percentile"),
    figure("switched", "", Better::Neither, Some(0), "wishes that were granted"),
    figure("not_switched", "", Better::Lower, Some(0), "wishes that were not, before the viewer asked again"),
];

/// The last wish gets this long to be granted.
const TAIL: Duration = Duration::from_secs(1);
/// Quantiles of the curve.
const QUANTILES: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let (seconds, viewers) = (bench.number("seconds"), bench.number("viewers"));
    let interval = Duration::from_millis(bench.number("interval"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let window = Duration::from_secs(seconds);
    let cast = Cast::of_one_room(&[recipe("simulcast")], viewers, window);
    let last = window.saturating_sub(TAIL);
    let mut wishes = 0;
    let shown = Show::play_with(bench, server, &cast, |show, elapsed| {
        // One after the other within each interval. At first all get the largest, and the next wish is for the
        // smallest.
        let due = |wishes: u64| interval.mul_f64(wishes as f64 / viewers as f64);
        while due(wishes) <= elapsed.min(last) {
            let turn = wishes / viewers;
            show.choose((wishes % viewers) as usize, (turn % RIDS.len() as u64) as u8);
            wishes += 1;
        }
        Ok(Some(due(wishes)).filter(|at| *at <= last))
    })?;
    figures::tell(bench, &shown, floor_ns);
    tell(bench, &shown);
    Ok(())
}

fn tell(bench: &mut Bench, shown: &Shown) {
    let (waits, without) = shown.switches();
    let ms = |share| quantile(&waits, share).map(|ns| ns as f64 / 1e6);
    bench.figure_if_known("switch_p50", ms(0.5));
    bench.figure_if_known("switch_p95", ms(0.95));
    bench.figure("switched", waits.len() as f64);
    bench.figure("not_switched", without as f64);
    bench.curve("switch", figures::curve_of(&waits, &QUANTILES));
}
