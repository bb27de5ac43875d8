//! Signalling under load: how long a server takes to let somebody in, and to ask a shard something, while
//! media flows.
//!
//! Requests are planned ahead and counted from the plan, whatever the server makes of those before.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::failure::Failure;
use crate::scenario::{
    Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, seconds, usual_settings,
};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, planned_at, quantile, recipe};
use crate::targets::Server;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "command_latency",
    question: "How long does signalling take while media flows?",
    parameters: &[
        Parameter {
            name: "subscribers",
            help: "Subscribers of the media that flows",
            sizes: Sizes::Numbers { smoke: &[2], full: &[10, 200], max: 20_000 },
        },
        Parameter {
            name: "rate",
            help: "Requests in a second, of each kind",
            sizes: Sizes::Numbers { smoke: &[4], full: &[20], max: 1000 },
        },
        seconds(&[1], &[10]),
    ],
    figures: &[LATENCY, COST, SERVICE, PICTURES],
    charts: &[
        Chart { title: "An answer to an offer", shape: ChartShape::Percentiles { curve: "answer" } },
        Chart { title: "A question to a shard", shape: ChartShape::Percentiles { curve: "command" } },
    ],
    work: Work::Server { play, scale: "subscribers", settings: usual_settings },
};

const LATENCY: &[Figure] = &[
    figure("answer_p50", "ms", Better::Lower, Some(2), "from sending an offer of a viewer to its answer"),
    figure("answer_p99", "ms", Better::Lower, Some(2), "the same, 99th percentile"),
    figure(
        "command_p50",
        "ms",
        Better::Lower,
        Some(2),
        "from asking for the state of a session to the answer of its shard; Sluice only",
    ),
    figure("command_p99", "ms", Better::Lower, Some(2), "the same, 99th percentile"),
    figure("refused", "", Better::Lower, Some(0), "requests that failed"),
];

/// Quantiles of the curves.
const QUANTILES: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let (seconds, rate) = (bench.number("seconds"), bench.number("rate"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let window = Duration::from_secs(seconds);
    let cast = Cast::of_one_room(&[recipe("steady")], bench.number("subscribers"), window);
    let mut asked = 0;
    let shown = Show::play_with(bench, server, &cast, |show, elapsed| {
        let due = |asked| planned_at(asked, rate);
        while due(asked) <= elapsed {
            show.visit(0);
            show.ask();
            asked += 1;
        }
        Ok(Some(due(asked)))
    })?;
    figures::tell(bench, &shown, floor_ns);
    for (name, [p50, p99], latencies_ns) in [
        ("answer", ["answer_p50", "answer_p99"], &shown.timings.answers_ns),
        ("command", ["command_p50", "command_p99"], &shown.timings.commands_ns),
    ] {
        let ms = |share| quantile(latencies_ns, share).map(|ns| ns as f64 / 1e6);
        bench.figure_if_known(p50, ms(0.5));
        bench.figure_if_known(p99, ms(0.99));
        bench.curve(name, figures::curve_of(latencies_ns, &QUANTILES));
    }
    bench.figure("refused", shown.timings.refused as f64);
    Ok(())
}
