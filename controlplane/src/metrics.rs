//! What `/metrics` shows: the counters of the shards, read when asked, and those of the control plane.
//! No label names a participant, a session or a room, so the number of series has a bound.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dataplane::congestion::estimator::Cause;
use dataplane::counters::{Counters, DropReason};
use dataplane::limits::TRAIN_SEGMENTS_MAX;
use dataplane::shard::ShardHandle;
use dataplane::transport::negotiate::PeerRole;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::service::Service;

/// Upper bounds of the buckets of the forwarding latency, nanoseconds.
const LATENCY_BOUNDS_NS: [u64; 12] = [
    25_000,
    50_000,
    100_000,
    200_000,
    400_000,
    800_000,
    1_600_000,
    3_200_000,
    6_400_000,
    12_800_000,
    51_200_000,
    204_800_000,
];
/// Upper bounds of the buckets of train lengths, datagrams.
const TRAIN_LENGTH_BOUNDS: [usize; 12] = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, TRAIN_SEGMENTS_MAX];
const LATENCY_QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenedAs {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listener {
    listener: &'static str,
}

/// The counters of the control plane.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Nothing is shown until it is set: without HTTPS there is no certificate.
    certificate_ends: Family<Listener, Gauge>,
    requests: Family<Request, Counter>,
    opened: Family<OpenedAs, Counter>,
    closed: Family<Closed, Counter>,
}

impl Metrics {
    /// Counts an answered request. `route` is a pattern of the router, so it has a bound.
    pub fn request(&self, route: &str, method: &'static str, status: u16) {
        let labels = Request { route: route.to_owned(), method, status };
        self.requests.get_or_create(&labels).inc();
    }

    /// Shows until when the certificate in use is good, seconds since 1970.
    pub fn certificate_ends(&self, not_after: i64) {
        self.certificate_ends.get_or_create(&Listener { listener: "http" }).set(not_after);
    }

    /// Counts a session that was made.
    pub fn session_opened(&self, role: PeerRole) {
        let role = match role {
            PeerRole::Publisher => "publisher",
            PeerRole::Subscriber => "subscriber",
        };
        self.opened.get_or_create(&OpenedAs { role }).inc();
    }

    /// Counts a session that ended.
    pub fn session_closed(&self, reason: &'static str) {
        self.closed.get_or_create(&Closed { reason }).inc();
    }
}

/// Everything that `/metrics` shows.
#[derive(Debug)]
pub struct Exposition(Registry);

impl Exposition {
    /// Shows `metrics` and the state of `service`.
    pub fn new(metrics: &Metrics, service: Arc<Service>) -> Self {
        let mut registry = Registry::with_prefix("sluice");
        registry.register("http_requests", "Answered HTTP requests", metrics.requests.clone());
        registry.register("sessions_opened", "Sessions made", metrics.opened.clone());
        registry.register("sessions_closed", "Sessions ended", metrics.closed.clone());
        registry.register_with_unit(
            "tls_certificate_not_after",
            "Until when the certificate of HTTPS is good, since 1970",
            Unit::Seconds,
            metrics.certificate_ends.clone(),
        );
        registry.register_collector(Box::new(State(service)));
        Self(registry)
    }

    /// In the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// Never in practice: it is written into memory.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0)?;
        Ok(page)
    }
}

#[derive(Debug)]
struct State(Arc<Service>);

/// Name, help and how to read it, of every counter of a shard that has no further label.
pub type Row = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

/// Every counter of a shard that has no further label.
pub const COUNTERS: [Row; 25] = [
    ("packets_received", "Datagrams received", |c| &c.packets_received_total),
    ("received_bytes", "Bytes of UDP payload received", |c| &c.bytes_received_total),
    ("packets_forwarded", "RTP packets forwarded to subscribers", |c| &c.packets_forwarded_total),
    ("forwarded_bytes", "Bytes of UDP payload of forwarded RTP", |c| &c.bytes_forwarded_total),
    ("packets_retransmitted", "RTP packets sent again over RTX", |c| &c.packets_retransmitted_total),
    ("rtcp_sent", "RTCP datagrams sent", |c| &c.rtcp_sent_total),
    ("nacks_received", "Packets that subscribers asked for again", |c| &c.nacks_received_total),
    ("nacks_sent", "Packets asked of publishers again", |c| &c.nacks_sent_total),
    ("keyframe_requests_received", "Keyframe requests of subscribers", |c| {
        &c.keyframe_requests_received_total
    }),
    ("keyframe_requests_sent", "Keyframe requests to publishers", |c| &c.keyframe_requests_sent_total),
    ("feedback_received", "Transport-wide feedback of subscribers", |c| &c.feedback_received_total),
    ("feedback_refused", "That of it which was too much, or about packets that nobody remembers", |c| {
        &c.feedback_refused_total
    }),
    ("packets_sent", "Datagrams handed to the kernel", |c| &c.packets_sent_total),
    ("trains_sent", "Sends that carried them", |c| &c.trains_sent_total),
    ("turns", "Turns of the loop", |c| &c.turns_total),
    ("panics", "Transports closed because their turn panicked", |c| &c.panics_total),
    ("events_dropped", "Events that the control plane did not take in time", |c| &c.events_dropped_total),
    ("receive_overflow", "Datagrams that the kernel dropped: receive buffer full", |c| {
        &c.receive_overflow_total
    }),
    ("receive_errors", "Receive calls that failed otherwise", |c| &c.receive_errors_total),
    (
        "receive_buffers_exhausted",
        "Times that io_uring had no buffer to receive into; the socket waited",
        |c| &c.receive_buffers_exhausted_total,
    ),
    ("zero_copy_sends", "Sends that asked the kernel to make no copy", |c| &c.zero_copy_sends_total),
    ("zero_copy_copied", "Those of them that it has copied all the same", |c| &c.zero_copy_copied_total),
    ("hops_sent", "Packets, and a few words, handed to other shards: once for each", |c| &c.hops_sent_total),
    ("hops_received", "The same, taken from other shards", |c| &c.hops_received_total),
    ("hop_wakes", "Times that another shard slept and was woken for hops", |c| &c.hop_wakes_total),
];

const GAUGES: [Row; 3] = [
    ("transports", "Transports now", |c| &c.transports),
    ("tracks", "Tracks now, those that are fed on another shard included", |c| &c.tracks),
    ("hops_waiting", "Hops that waited for the shard when it last looked", |c| &c.hops_waiting),
];

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.encode_counters(&mut encoder)?;
        self.encode_estimates(&mut encoder)?;
        self.encode_drops(&mut encoder)?;
        self.encode_latency(&mut encoder)?;
        self.encode_population(&mut encoder)
    }
}

impl State {
    fn shards(&self) -> impl Iterator<Item = (String, &ShardHandle)> {
        self.0.shards().iter().map(|shard| (shard.id().0.to_string(), shard))
    }

    fn encode_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, read) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (id, shard) in self.shards() {
                let value = read(shard.counters()).load(Relaxed);
                encode_counter(&mut metric, &[("shard", id.as_str())], &value)?;
            }
        }
        for (name, help, read) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (id, shard) in self.shards() {
                let value = read(shard.counters()).load(Relaxed);
                metric.encode_family(&[("shard", id.as_str())])?.encode_gauge(&value)?;
            }
        }
        let help = "Whether the thread of the shard runs: 1, or 0 once it has ended";
        let mut metric = encoder.encode_descriptor("shard_up", help, None, MetricType::Gauge)?;
        for (id, shard) in self.shards() {
            metric.encode_family(&[("shard", id.as_str())])?.encode_gauge(&i64::from(shard.is_running()))?;
        }
        let help = "What moves the datagrams of the shard";
        let mut metric = encoder.encode_descriptor("backend", help, None, MetricType::Info)?;
        for (id, shard) in self.shards() {
            metric.encode_info(&[("shard", id.as_str()), ("backend", shard.backend().kind.name())])?;
        }
        let help = "Times that the shard began to hang";
        let mut metric = encoder.encode_descriptor("shard_stalls", help, None, MetricType::Counter)?;
        for ((id, _), stalls) in self.shards().zip(self.0.shards().stall_counts()) {
            encode_counter(&mut metric, &[("shard", id.as_str())], &stalls)?;
        }
        let (help, unit) = ("How long the current turn of the shard has lasted", Unit::Seconds);
        let mut metric = encoder.encode_descriptor("shard_turn_age", help, Some(&unit), MetricType::Gauge)?;
        for (id, shard) in self.shards() {
            let seconds = shard.turn_age().as_secs_f64();
            metric.encode_family(&[("shard", id.as_str())])?.encode_gauge(&seconds)?;
        }
        let help = "CPU time of the thread of the shard";
        let unit = Unit::Seconds;
        let mut metric = encoder.encode_descriptor("shard_cpu", help, Some(&unit), MetricType::Counter)?;
        for (id, shard) in self.shards() {
            let seconds = shard.cpu_ns() as f64 / 1e9;
            encode_counter(&mut metric, &[("shard", id.as_str())], &seconds)?;
        }
        Ok(())
    }

    /// The mean is `estimated_bitrate` by the sum of `subscribers_by_cause`.
    fn encode_estimates(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "What the links of all subscribers carry together";
        let unit = Unit::Other("bits_per_second".to_owned());
        let mut metric =
            encoder.encode_descriptor("estimated_bitrate", help, Some(&unit), MetricType::Gauge)?;
        for (id, shard) in self.shards() {
            let value = shard.counters().estimates.bitrate_bps.load(Relaxed);
            metric.encode_family(&[("shard", id.as_str())])?.encode_gauge(&value)?;
        }
        let help = "Subscribers by what the estimate of their link comes from";
        let mut metric = encoder.encode_descriptor("subscribers_by_cause", help, None, MetricType::Gauge)?;
        for (id, shard) in self.shards() {
            for (cause, count) in Cause::ALL.iter().zip(&shard.counters().estimates.by_cause) {
                let labels = [("shard", id.as_str()), ("cause", cause.name())];
                metric.encode_family(&labels)?.encode_gauge(&count.load(Relaxed))?;
            }
        }
        Ok(())
    }

    fn encode_drops(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Packets that ended in the shard";
        let mut metric = encoder.encode_descriptor("packets_dropped", help, None, MetricType::Counter)?;
        for (id, shard) in self.shards() {
            for reason in DropReason::ALL {
                let labels = [("shard", id.as_str()), ("reason", reason.name())];
                encode_counter(&mut metric, &labels, &shard.counters().dropped(*reason))?;
            }
        }
        let help = "Mean datagrams in one send since start";
        let mut metric = encoder.encode_descriptor("train_length_mean", help, None, MetricType::Gauge)?;
        for (id, shard) in self.shards() {
            let sent = shard.counters().packets_sent_total.load(Relaxed) as f64;
            let trains = shard.counters().trains_sent_total.load(Relaxed).max(1) as f64;
            metric.encode_family(&[("shard", id.as_str())])?.encode_gauge(&(sent / trains))?;
        }
        let help = "Datagrams in one send";
        let mut metric = encoder.encode_descriptor("train_length", help, None, MetricType::Histogram)?;
        for (id, shard) in self.shards() {
            let lengths = shard.train_lengths();
            let sum: u64 = lengths.iter().enumerate().map(|(length, count)| length as u64 * count).sum();
            let mut from = 0;
            let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(TRAIN_LENGTH_BOUNDS.len() + 1);
            for bound in TRAIN_LENGTH_BOUNDS {
                buckets.push((bound as f64, lengths[from..=bound].iter().sum()));
                from = bound + 1;
            }
            buckets.push((f64::MAX, lengths[from..].iter().sum()));
            metric.encode_family(&[("shard", id.as_str())])?.encode_histogram::<NoLabelSet>(
                sum as f64,
                lengths.iter().sum(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn encode_latency(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let latencies: Vec<_> = self.shards().map(|(id, shard)| (id, shard.latency())).collect();
        let unit = Unit::Seconds;
        let help = "From the receive time of a packet to the end of the send that carried it";
        let name = "forward_latency";
        let mut metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
        for (id, latency) in &latencies {
            let mut below = 0;
            let mut buckets = Vec::with_capacity(LATENCY_BOUNDS_NS.len() + 1);
            for bound in LATENCY_BOUNDS_NS {
                let up_to = latency.count_between(0, bound);
                buckets.push((bound as f64 / 1e9, up_to - below));
                below = up_to;
            }
            buckets.push((f64::MAX, latency.len().saturating_sub(below)));
            let sum = latency.mean() * latency.len() as f64 / 1e9;
            metric.encode_family(&[("shard", id.as_str())])?.encode_histogram::<NoLabelSet>(
                sum,
                latency.len(),
                &buckets,
                None,
            )?;
        }
        // The label is not `quantile`, which Prometheus keeps for summaries.
        let help = "The same, as quantiles since start";
        let name = "forward_latency_quantile";
        let mut metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
        for (id, latency) in &latencies {
            for quantile in LATENCY_QUANTILES {
                let labels = [("shard", id.clone()), ("q", quantile.to_string())];
                let seconds = latency.value_at_quantile(quantile) as f64 / 1e9;
                metric.encode_family(&labels)?.encode_gauge(&seconds)?;
            }
        }
        Ok(())
    }

    fn encode_population(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let population = self.0.population();
        for (name, help, value) in [
            ("rooms", "Rooms now, those that linger empty included", population.rooms),
            ("publishers", "Publishers now", population.publishers),
            ("subscribers", "Subscribers now", population.subscribers),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&(value as u64))?;
        }
        let mut metric =
            encoder.encode_descriptor("build", "The version of this server", None, MetricType::Info)?;
        metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn encode_counter(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: &impl EncodeCounterValue,
) -> Result<(), fmt::Error> {
    metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(value, None)
}
