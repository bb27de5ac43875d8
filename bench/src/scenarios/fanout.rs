//! One publisher, many subscribers: what a forwarded packet costs, and how long it takes.
//!
//! 240 packets/s of 1100 bytes, sent 3 per 5 ms, go to each of N subscribers over ICE, DTLS and SRTP. Every
//! packet is opened and compared by every subscriber, so loss is exact.

mod run;

use std::time::Duration;

use crate::failure::Failure;
use crate::floor;
use crate::report::document::Curve;
use crate::scenario::{Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work};
use crate::targets::Server;
use crate::traffic::PACKETS_PER_BURST;
use run::Run;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "fanout",
    question: "What does a forwarded packet cost, and how long does it take, from one publisher to N subscribers?",
    parameters: &[
        Parameter {
            name: "subscribers",
            help: "Subscribers, each with a socket, ICE, DTLS and SRTP of its own",
            sizes: Sizes::Numbers { smoke: &[2], full: &[50, 200], max: 5000 },
        },
        Parameter {
            name: "seconds",
            help: "Length of the measured window, s",
            sizes: Sizes::Numbers { smoke: &[1], full: &[6], max: 3600 },
        },
    ],
    figures: FIGURES,
    charts: &[
        Chart {
            title: "CPU time per forwarded packet",
            shape: ChartShape::Bars { figures: &["cpu_user", "cpu_system"], whole: "cpu", by: "subscribers" },
        },
        Chart {
            title: "CPU time per forwarded packet over the number of subscribers",
            shape: ChartShape::Lines { figure: "cpu", over: "subscribers" },
        },
        Chart { title: "Forwarding latency", shape: ChartShape::Percentiles { curve: "forward" } },
        Chart {
            title: "Latency of the slowest percent over the number of subscribers",
            shape: ChartShape::Lines { figure: "forward_p99", over: "subscribers" },
        },
        Chart { title: "Train lengths of Sluice", shape: ChartShape::Shares { curve: "trains" } },
        Chart {
            title: "Memory per subscriber",
            shape: ChartShape::Bars {
                figures: &["rss_per_subscriber"],
                whole: "rss_per_subscriber",
                by: "subscribers",
            },
        },
    ],
    work: Work::Server { play, scale: "subscribers" },
};

const FIGURES: &[Figure] = &[
    figure(
        "cpu",
        "ns",
        Better::Lower,
        Some(0),
        "CPU time of all threads of the server per packet that arrived",
    ),
    figure(
        "cpu_user",
        "ns",
        Better::Lower,
        Some(0),
        "its part outside the kernel; from 10 ms ticks, so roughly",
    ),
    figure("cpu_system", "ns", Better::Lower, Some(0), "its part in the kernel"),
    figure(
        "floor",
        "x",
        Better::Lower,
        Some(1),
        "cpu as a multiple of sealing and sending alone, in trains of 3, measured in the same round",
    ),
    figure(
        "loss",
        "%",
        Better::Lower,
        Some(3),
        "packets of the window that the worst subscriber never got; nothing is repaired",
    ),
    figure(
        "forward_p50",
        "us",
        Better::Lower,
        Some(0),
        "from just before the publisher sealed and sent to the kernel's receive time, all packets to all subscribers",
    ),
    figure("forward_p90", "us", Better::Lower, None, "the same, 90th percentile"),
    figure("forward_p95", "us", Better::Lower, None, "the same, 95th percentile"),
    figure("forward_p99", "us", Better::Lower, Some(0), "the same, 99th percentile"),
    figure("forward_p999", "us", Better::Lower, None, "the same, 99.9th percentile"),
    figure("forward_max", "us", Better::Lower, Some(0), "the same, the slowest packet"),
    figure("planned_p99", "us", Better::Lower, None, "as forward_p99, but from the planned time of sending"),
    figure("loss_mean", "%", Better::Lower, None, "packets lost over all subscribers"),
    figure("train", "", Better::Higher, Some(2), "mean datagrams in one send of the server; Sluice only"),
    figure(
        "rss",
        "MB",
        Better::Lower,
        Some(1),
        "resident memory of the server at the end of the window (10^6 bytes)",
    ),
    figure(
        "rss_per_subscriber",
        "KB",
        Better::Lower,
        Some(1),
        "growth of the resident memory from the first subscriber to the last, per subscriber, before media flows (10^3 bytes)",
    ),
    figure("threads", "", Better::Neither, Some(0), "threads of the server"),
    figure("published", "", Better::Neither, None, "packets that the publisher sent in the window"),
    figure(
        "forwarded",
        "",
        Better::Neither,
        None,
        "packets of the window that arrived, each counted once per subscriber",
    ),
    figure("duplicates", "", Better::Lower, None, "packets that a subscriber got again"),
    figure(
        "rtcp_rate",
        "/s",
        Better::Neither,
        Some(0),
        "RTCP datagrams that the subscribers sent to the server",
    ),
    figure("keyframe_requests", "", Better::Neither, None, "keyframes that the server asked for"),
    figure(
        "packet_requests",
        "",
        Better::Neither,
        None,
        "packets that the server asked the publisher for again",
    ),
];

/// A larger share of late packets makes a round invalid.
const LATE_PERCENT_MAX: f64 = 1.0;
/// A generator that needs more of one core is at its own limit.
const GENERATOR_LOAD_MAX: f64 = 0.85;
/// A server that loses more to its worst subscriber is over.
const LOSS_PERCENT_MAX: f64 = 5.0;
/// Subscribers of the floor that the cost is compared with.
const FLOOR_SUBSCRIBERS: u64 = 50;
/// Packets that the floor is measured with, per second of the window.
const FLOOR_PACKETS_PER_SECOND: u64 = 5_000;
/// Quantiles of a latency curve: 50 %, 75 %, 90 % and so on, ever closer to the end.
const QUANTILES: [f64; 14] =
    [0.01, 0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999];

const fn figure(
    name: &'static str,
    unit: &'static str,
    better: Better,
    digits: Option<usize>,
    meaning: &'static str,
) -> Figure {
    Figure { name, unit, better, digits, meaning }
}

fn play(bench: &mut Bench, server: &Server) -> Result<(), Failure> {
    let subscribers = bench.number("subscribers");
    let seconds = bench.number("seconds");
    bench.step("floor");
    let train = PACKETS_PER_BURST;
    let floor_ns = floor::on_loopback(FLOOR_SUBSCRIBERS, train, seconds * FLOOR_PACKETS_PER_SECOND)?;
    let run = Run::measure(bench, server, subscribers, Duration::from_secs(seconds))?;
    tell_cost(bench, &run, floor_ns);
    tell_service(bench, &run, subscribers);
    tell_generator(bench, &run);
    judge(bench, &run);
    Ok(())
}

fn tell_cost(bench: &mut Bench, run: &Run, floor_ns: f64) {
    let cpu = run.server_cpu.map(|spent| spent.total_ns as f64 / run.packets());
    let system_share = run.server_cpu.and_then(|spent| spent.system_share);
    bench.figure_if_known("cpu", cpu);
    let parts = cpu.zip(system_share);
    bench.figure_if_known("cpu_user", parts.map(|(ns, share)| ns * (1.0 - share)));
    bench.figure_if_known("cpu_system", parts.map(|(ns, share)| ns * share));
    bench.figure_if_known("floor", cpu.map(|ns| ns / floor_ns));
    bench.generator("floor_ns", floor_ns);
    let [with_one, with_all, at_end] = run.footprints;
    bench.figure_if_known("rss", at_end.map(|footprint| footprint.rss_bytes as f64 / 1e6));
    bench.figure_if_known("threads", at_end.map(|footprint| footprint.threads as f64));
    let others = run.subscribers().saturating_sub(1);
    let growth = with_one
        .zip(with_all)
        .filter(|_| others > 0)
        .map(|(one, all)| all.rss_bytes.saturating_sub(one.rss_bytes) as f64 / others as f64 / 1e3);
    bench.figure_if_known("rss_per_subscriber", growth);
    if let Some(trains) = &run.trains {
        bench.figure_if_known("train", trains.mean());
        bench.curve("trains", Curve { unit: "%".to_owned(), points: trains.shares() });
    }
}

fn tell_service(bench: &mut Bench, run: &Run, subscribers: u64) {
    let heard = run.audience.heard();
    let at = |quantile| heard.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    bench.figure("forward_p50", at(0.5));
    bench.figure("forward_p90", at(0.9));
    bench.figure("forward_p95", at(0.95));
    bench.figure("forward_p99", at(0.99));
    bench.figure("forward_p999", at(0.999));
    bench.figure("forward_max", heard.latency_ns.max() as f64 / 1e3);
    bench.figure("planned_p99", heard.latency_from_plan_ns.value_at_quantile(0.99) as f64 / 1e3);
    let points = QUANTILES.map(|quantile| [quantile, at(quantile)]).to_vec();
    bench.curve("forward", Curve { unit: "us".to_owned(), points });
    let missing = run.missing();
    bench.figure("loss", percent(missing.iter().copied().max().unwrap_or(0), run.published()));
    bench.figure("loss_mean", percent(missing.iter().sum(), run.published() * subscribers));
    bench.figure("published", run.published() as f64);
    bench.figure("forwarded", heard.packets as f64);
    bench.figure("duplicates", heard.duplicates as f64);
    bench.figure("rtcp_rate", heard.rtcp_sent as f64 / run.window.as_secs_f64());
    bench.figure("keyframe_requests", run.sent.keyframe_requests as f64);
    bench.figure("packet_requests", run.sent.packet_requests as f64);
}

fn tell_generator(bench: &mut Bench, run: &Run) {
    bench.generator("cpu_ns_per_packet", run.generator_cpu.total_ns as f64 / run.packets());
    bench.generator("cpu_cores", run.generator_load());
    bench.generator("late_percent", percent(run.sent.late(), run.published()));
    bench.generator("socket_drops", run.socket_drops() as f64);
    bench.generator("damaged_packets", run.audience.heard().damaged as f64);
}

/// Says why the figures must not be used, or that the server is beyond its limit.
fn judge(bench: &mut Bench, run: &Run) {
    let late = percent(run.sent.late(), run.published());
    if late > LATE_PERCENT_MAX {
        bench.invalid(format!("the publisher was late with {late:.1} % of its packets"));
    }
    if !run.is_as_planned() {
        bench.invalid(format!("the publisher sent {} packets instead of {}", run.published(), run.planned()));
    }
    if run.socket_drops() > 0 {
        bench.invalid(format!("the generator's sockets dropped {} datagrams", run.socket_drops()));
    }
    let load = run.generator_load();
    if load > GENERATOR_LOAD_MAX {
        bench.invalid(format!("the generator used {:.0} % of a core", load * 100.0));
    }
    let damaged = run.audience.heard().damaged;
    if damaged > 0 {
        bench.invalid(format!("{damaged} packets did not open or did not hold what was sent"));
    }
    if run.audience.gone() > 0 {
        bench.over(format!("{} subscribers lost their connection", run.audience.gone()));
    }
    let loss = percent(run.missing().into_iter().max().unwrap_or(0), run.published());
    if loss > LOSS_PERCENT_MAX {
        bench.over(format!("a subscriber lost {loss:.1} % of its packets"));
    }
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}
