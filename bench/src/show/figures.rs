//! The figures that several scenarios share, and how they are told of a round.
#![forbid(unsafe_code)]

use super::shown::{Shown, percent, quantile};
use super::verdict::{Health, judge};
use crate::failure::Failure;
use crate::floor;
use crate::load::heard::Heard;
use crate::report::document::Curve;
use crate::scenario::{Bench, Better, Figure};

/// Packets that the floor is measured with, per second of the window.
const FLOOR_PACKETS_PER_SECOND: u64 = 5_000;
/// Seconds for which the floor is measured at most.
const FLOOR_SECONDS_MAX: u64 = 10;
/// Quantiles of a latency curve, ever closer to the end.
const QUANTILES: [f64; 14] =
    [0.01, 0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999];

/// What it cost the server.
pub(crate) const COST: &[Figure] = &[
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
    figure("cores", "", Better::Lower, Some(2), "cores that the server kept busy"),
    figure("packet_rate", "/s", Better::Higher, Some(0), "packets that arrived at all viewers together"),
    figure("train", "", Better::Higher, Some(2), "mean datagrams in one send of the server; Sluice only"),
    figure(
        "rss",
        "MB",
        Better::Lower,
        Some(1),
        "resident memory of the server at the end of the window (10^6 bytes)",
    ),
    figure("threads", "", Better::Neither, Some(0), "threads of the server"),
];

/// What the viewers got.
pub(crate) const SERVICE: &[Figure] = &[
    figure(
        "loss",
        "%",
        Better::Lower,
        Some(3),
        "packets that the worst viewer never got, neither at first nor by retransmission",
    ),
    figure(
        "forward_p50",
        "us",
        Better::Lower,
        Some(0),
        "from just before the publisher sealed and sent to the kernel's receive time, all packets to all viewers",
    ),
    figure("forward_p90", "us", Better::Lower, None, "the same, 90th percentile"),
    figure("forward_p95", "us", Better::Lower, None, "the same, 95th percentile"),
    figure("forward_p99", "us", Better::Lower, Some(0), "the same, 99th percentile"),
    figure("forward_p999", "us", Better::Lower, None, "the same, 99.9th percentile"),
    figure("forward_max", "us", Better::Lower, None, "the same, the slowest packet"),
    figure("planned_p99", "us", Better::Lower, None, "as forward_p99, but from the planned time of sending"),
    figure("loss_mean", "%", Better::Lower, None, "packets lost over all viewers"),
    figure("repaired", "%", Better::Neither, None, "packets that came by retransmission, of all that came"),
    figure("published", "", Better::Neither, None, "packets that the publishers sent in the window"),
    figure(
        "forwarded",
        "",
        Better::Neither,
        None,
        "packets of the window that arrived, each counted once per viewer",
    ),
    figure("duplicates", "", Better::Lower, None, "packets that a viewer got again"),
    figure("rtcp_rate", "/s", Better::Neither, None, "RTCP datagrams that the viewers sent to the server"),
    figure(
        "packet_requests",
        "",
        Better::Neither,
        None,
        "packets that the server got again because it asked for them",
    ),
];

/// What the viewers saw.
pub(crate) const PICTURES: &[Figure] = &[
    figure(
        "freeze",
        "%",
        Better::Lower,
        Some(3),
        "time for which pictures stood longer than three intervals or an interval and 150 ms, of all time",
    ),
    figure("freezes", "", Better::Lower, None, "how often pictures stood so long"),
    figure(
        "frame_rate",
        "/s",
        Better::Higher,
        Some(1),
        "frames of a track that could be shown in a second, on average",
    ),
    figure(
        "keyframe_requests",
        "",
        Better::Lower,
        None,
        "keyframes that the server asked the publishers for",
    ),
    figure("keyframes", "", Better::Neither, None, "keyframes that the publishers sent in the window"),
];

/// How long those waited who joined in the window.
pub(crate) const JOINS: &[Figure] = &[
    figure(
        "ttff_p50",
        "ms",
        Better::Lower,
        Some(0),
        "from wanting to join (before the offer is made) to the first picture",
    ),
    figure("ttff_p95", "ms", Better::Lower, Some(0), "the same, 95th percentile"),
    figure("ttff_max", "ms", Better::Lower, Some(0), "the same, the slowest"),
    figure("joined", "", Better::Neither, Some(0), "viewers who joined in the window and saw a picture"),
    figure("without_picture", "", Better::Lower, Some(0), "viewers who joined in the window and saw none"),
];

/// Declares a figure.
pub(crate) const fn figure(
    name: &'static str,
    unit: &'static str,
    better: Better,
    digits: Option<usize>,
    meaning: &'static str,
) -> Figure {
    Figure { name, unit, better, digits, meaning }
}

/// The cost of sealing and sending alone, ns: to be asked before a round, and told with it.
pub(crate) fn floor_ns(bench: &Bench, seconds: u64) -> Result<f64, Failure> {
    bench.step("floor");
    let packets = seconds.clamp(1, FLOOR_SECONDS_MAX) * FLOOR_PACKETS_PER_SECOND;
    floor::usual_ns(packets)
}

/// Tells [`COST`], [`SERVICE`] and [`PICTURES`] and how the generator fared, and judges the round.
pub(crate) fn tell(bench: &mut Bench, shown: &Shown, floor_ns: f64) {
    tell_pictures(bench, shown);
    tell_without_pictures(bench, shown, floor_ns);
}

/// The same without [`PICTURES`].
pub(crate) fn tell_without_pictures(bench: &mut Bench, shown: &Shown, floor_ns: f64) {
    tell_cost(bench, shown, floor_ns);
    tell_service(bench, shown);
    tell_generator(bench, shown);
    judge(bench, shown);
}

fn tell_cost(bench: &mut Bench, shown: &Shown, floor_ns: f64) {
    let packets = shown.heard().packets;
    // Where nothing arrived there is no cost of a packet.
    let spent = shown.server_cpu.filter(|_| packets > 0);
    let cpu = spent.map(|spent| spent.total_ns as f64 / packets as f64);
    let system_share = shown.server_cpu.and_then(|spent| spent.system_share);
    bench.figure_if_known("cpu", cpu);
    let parts = cpu.zip(system_share);
    bench.figure_if_known("cpu_user", parts.map(|(ns, share)| ns * (1.0 - share)));
    bench.figure_if_known("cpu_system", parts.map(|(ns, share)| ns * share));
    bench.figure_if_known("floor", cpu.map(|ns| ns / floor_ns));
    bench.generator("floor_ns", floor_ns);
    let window_ns = shown.window.as_nanos() as f64;
    bench.figure_if_known("cores", shown.server_cpu.map(|spent| spent.total_ns as f64 / window_ns));
    bench.figure("packet_rate", packets as f64 / shown.window.as_secs_f64());
    let at_end = shown.footprints.at_end;
    bench.figure_if_known("rss", at_end.map(|footprint| footprint.rss_bytes as f64 / 1e6));
    bench.figure_if_known("threads", at_end.map(|footprint| footprint.threads as f64));
    if let Some(trains) = &shown.trains {
        bench.figure_if_known("train", trains.mean());
        bench.curve("trains", Curve { unit: "%".to_owned(), points: trains.shares() });
    }
}

fn tell_service(bench: &mut Bench, shown: &Shown) {
    let heard = shown.heard();
    if heard.packets > 0 {
        tell_latency(bench, &heard);
    }
    let deliveries = shown.deliveries();
    let each = deliveries.iter().map(|(_, own)| percent(own.missing, own.expected));
    bench.figure("loss", each.fold(0.0, f64::max));
    let sum = deliveries.iter().fold((0, 0), |sum, (_, own)| (sum.0 + own.missing, sum.1 + own.expected));
    bench.figure("loss_mean", percent(sum.0, sum.1));
    bench.figure("repaired", percent(heard.repaired, heard.packets));
    bench.figure("published", shown.published() as f64);
    bench.figure("forwarded", heard.packets as f64);
    bench.figure("duplicates", heard.duplicates as f64);
    bench.figure("rtcp_rate", heard.rtcp_sent as f64 / shown.window.as_secs_f64());
    bench.figure("packet_requests", shown.sent.iter().map(|sent| sent.repeated).sum::<u64>() as f64);
}

fn tell_latency(bench: &mut Bench, heard: &Heard) {
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
}

fn tell_pictures(bench: &mut Bench, shown: &Shown) {
    let seen = shown.seen();
    bench.figure("freeze", seen.frozen_percent());
    bench.figure("freezes", seen.freezes as f64);
    bench.figure("frame_rate", seen.frame_rate());
    let sum = |of: fn(&crate::load::publishers::Sent) -> u64| shown.sent.iter().map(of).sum::<u64>() as f64;
    bench.figure("keyframe_requests", sum(|sent| sent.keyframe_requests));
    bench.figure("keyframes", sum(|sent| sent.keyframes));
}

/// Tells [`JOINS`].
pub(crate) fn tell_joins(bench: &mut Bench, shown: &Shown) {
    let (waits, without) = shown.first_pictures();
    let ms = |share| quantile(&waits, share).map(|ns| ns as f64 / 1e6);
    bench.figure_if_known("ttff_p50", ms(0.5));
    bench.figure_if_known("ttff_p95", ms(0.95));
    bench.figure_if_known("ttff_max", ms(1.0));
    bench.figure("joined", waits.len() as f64);
    bench.figure("without_picture", without as f64);
    bench.curve("ttff", curve_of(&waits, &QUANTILES));
}

/// The distribution of ascending times, ns, in ms.
pub(crate) fn curve_of(ascending_ns: &[u64], quantiles: &[f64]) -> Curve {
    let point = |share: &f64| Some([*share, quantile(ascending_ns, *share)? as f64 / 1e6]);
    Curve { unit: "ms".to_owned(), points: quantiles.iter().filter_map(point).collect() }
}

fn tell_generator(bench: &mut Bench, shown: &Shown) {
    let heard = shown.heard();
    if heard.packets > 0 {
        bench.generator("cpu_ns_per_packet", shown.generator_cpu.total_ns as f64 / heard.packets as f64);
    }
    bench.generator("cpu_cores", shown.generator_load());
    let health = Health::of(shown);
    bench.generator("busiest_thread_cores", health.busiest_thread_cores);
    bench.generator("late_percent", health.late_percent);
    bench.generator("socket_drops", health.socket_drops as f64);
    bench.generator("damaged_packets", health.damaged as f64);
}
