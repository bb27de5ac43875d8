//! Viewers behind a bad link: what reaches them in time, what it costs to repair, and what the others notice.
//!
//! The link loses packets in both directions and delays them; it is a program of the bench in network
//! namespaces of its own, so root is needed. Half of the viewers have no link between.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::impair::{Impairment, Impairments, World};
use crate::report::document::Curve;
use crate::scenario::{Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, seconds};
use crate::show::figures::{self, COST, PICTURES, SERVICE, figure};
use crate::show::{Cast, Show, Shown, recipe};
use crate::targets::Server;
use crate::traffic::VIDEO_RECIPES;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "loss",
    question: "What reaches viewers behind a link that loses packets, and what does repairing them cost?",
    parameters: &[
        Parameter {
            name: "viewers",
            help: "Viewers behind the link, and as many without one",
            sizes: Sizes::Numbers { smoke: &[2], full: &[10], max: 500 },
        },
        Parameter {
            name: "loss",
            help: "Packets that the link loses in each direction, percent",
            sizes: Sizes::Numbers { smoke: &[10], full: &[5], max: 50 },
        },
        Parameter {
            name: "rtt",
            help: "Time that the link adds to a round trip, ms",
            sizes: Sizes::Numbers { smoke: &[20], full: &[100], max: 2000 },
        },
        Parameter {
            name: "traffic",
            help: "What the publisher sends",
            sizes: Sizes::Words { smoke: &["camera"], full: &["camera"], allowed: VIDEO_RECIPES },
        },
        seconds(&[1], &[20]),
    ],
    figures: &[REPAIR, COST, SERVICE, PICTURES],
    charts: &[Chart { title: "Latency behind the link", shape: ChartShape::Percentiles { curve: "linked" } }],
    work: Work::Linked { play, scale: "viewers" },
};

const REPAIR: &[Figure] = &[
    figure(
        "in_time",
        "%",
        Better::Higher,
        Some(2),
        "packets that viewers behind the link got within 300 ms, of those that they should have got",
    ),
    figure("never", "%", Better::Lower, Some(2), "packets that they never got"),
    figure(
        "by_repair",
        "%",
        Better::Neither,
        Some(2),
        "packets that they got by retransmission, of those they got",
    ),
    figure(
        "linked_p95",
        "ms",
        Better::Lower,
        Some(0),
        "latency of the packets that they got, 95th percentile",
    ),
    figure("linked_freeze", "%", Better::Lower, Some(2), "time for which their pictures stood, of all time"),
    figure("free_freeze", "%", Better::Lower, Some(2), "the same of those without a link"),
];

/// A later packet is of no use to a player.
const IN_TIME_NS: u64 = 300_000_000;
/// The group behind the link.
const LINKED: usize = 1;
/// Equal seeds lose equal packets of equal traffic.
const SEED: u64 = 1;
/// Quantiles of the curve.
const QUANTILES: [f64; 9] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.999];

fn play(bench: &mut Bench, server: &Server, world: &World) -> Result<(), Failure> {
    let (seconds, viewers) = (bench.number("seconds"), bench.number("viewers"));
    let floor_ns = figures::floor_ns(bench, seconds)?;
    let traffic = recipe(bench.word("traffic"));
    let link = Arc::new(world.group("linked", impairments(bench), SEED)?);
    let cast = Cast::of_one_room(&[traffic], viewers, Duration::from_secs(seconds));
    let cast = cast.with_linked(Arc::clone(&link), viewers);
    let shown = Show::play(bench, server, &cast)?;
    let link = link.figures();
    figures::tell(bench, &shown, floor_ns);
    link.problems().into_iter().for_each(|problem| bench.invalid(problem));
    let cpu_ns = link.cpu_per_packet().map_or(0.0, |cpu| cpu.as_nanos() as f64);
    bench.generator("link_cpu_ns_per_packet", cpu_ns);
    tell(bench, &shown);
    Ok(())
}

fn impairments(bench: &Bench) -> Impairments {
    let way = Impairment {
        loss: bench.number("loss") as f64 / 100.0,
        delay: Duration::from_millis(bench.number("rtt")) / 2,
        ..Impairment::default()
    };
    Impairments { up: way, down: way }
}

fn tell(bench: &mut Bench, shown: &Shown) {
    let (heard, delivery) = (shown.heard_by(LINKED), shown.delivery_to(LINKED));
    let of_expected = |packets: f64| 100.0 * packets / delivery.expected.max(1) as f64;
    bench.figure("in_time", of_expected(heard.share_within(IN_TIME_NS) * heard.packets as f64));
    bench.figure("never", of_expected(delivery.missing as f64));
    bench.figure("by_repair", 100.0 * heard.repaired as f64 / heard.packets.max(1) as f64);
    let ms = |share| heard.latency_ns.value_at_quantile(share) as f64 / 1e6;
    bench.figure("linked_p95", ms(0.95));
    bench.figure("linked_freeze", shown.seen_by_group(LINKED).frozen_percent());
    bench.figure("free_freeze", shown.seen_by_group(0).frozen_percent());
    let points = QUANTILES.map(|share| [share, ms(share)]).to_vec();
    bench.curve("linked", Curve { unit: "ms".to_owned(), points });
}
