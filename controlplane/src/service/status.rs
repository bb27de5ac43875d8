//! What the server measures of itself, as `GET /api/status` shows it.
//!
//! Everything that grows is a total since start, with the time of the reading: whoever wants a rate takes
//! the difference of two answers. So nothing is kept per viewer, and viewers do not disturb each other.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use dataplane::counters::DropReason;
use dataplane::limits::LATENCY_MAX;
use dataplane::shard::ShardHandle;
use serde::Serialize;

use super::Service;
use crate::doctor::finding::Finding;
use crate::host::Host;
use crate::metrics::COUNTERS;

/// The upper bound of the first bucket of latency, nanoseconds: shards count nothing shorter.
const LATENCY_NS_FIRST: f64 = 1_000.0;
/// A quantile that is read from these buckets is off by at most the fourth root of two, 19 %.
const LATENCY_BUCKETS_PER_OCTAVE: i32 = 4;

/// Upper bounds of the buckets of latency, nanoseconds, ascending; the last is [`LATENCY_MAX`].
static LATENCY_BOUNDS_NS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let longest = LATENCY_MAX.as_nanos() as u64;
    let step = 2f64.powf(1.0 / f64::from(LATENCY_BUCKETS_PER_OCTAVE));
    let bounds = (0..).map(|index| (LATENCY_NS_FIRST * step.powi(index)).round() as u64);
    bounds.take_while(|bound| *bound < longest).chain([longest]).collect()
});

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// When it started.
    pub started: Instant,
    /// What was found on this machine.
    pub host: Host,
    /// What will hurt.
    pub warnings: Vec<Finding>,
}

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// Of this server.
    pub version: &'static str,
    /// Time since start, seconds, when this was read. It begins again with a new start, and so do all totals.
    pub uptime_seconds: f64,
    /// Why no sessions are taken, or null.
    pub not_ready: Option<String>,
    /// Rooms now, those that linger empty included.
    pub rooms: usize,
    /// Publishers now.
    pub publishers: usize,
    /// Subscribers now.
    pub subscribers: usize,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// The interfaces of the machine.
    pub interfaces: Vec<InterfaceView>,
    /// What will hurt, as the start said it.
    pub warnings: Vec<Finding>,
    /// Upper bounds of `latency_counts`, nanoseconds.
    pub latency_bounds_ns: &'static [u64],
    /// The shards, in the order of their ids.
    pub shards: Vec<ShardView>,
}

/// A network interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it leads back to this machine.
    pub is_loopback: bool,
    /// Whether it is up and running.
    pub is_up: bool,
    /// Whether it cuts trains of datagrams itself; null if it does not say.
    pub udp_segmentation: Option<bool>,
    /// Whether it computes checksums; null if it does not say.
    pub tx_checksum: Option<bool>,
}

/// A shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardView {
    /// Its id.
    pub id: u16,
    /// `running`, `stalled` or `ended`.
    pub state: &'static str,
    /// How it moves datagrams.
    pub backend: &'static str,
    /// Its sockets.
    pub sockets: Vec<SocketView>,
    /// Transports now.
    pub transports: u64,
    /// Tracks now.
    pub tracks: u64,
    /// Hops of other shards that waited when it last looked.
    pub hops_waiting: u64,
    /// How long its turn has lasted, milliseconds; 0 while it waits.
    pub turn_ms: f64,
    /// How often it began to hang.
    pub stalls_total: u64,
    /// CPU time of its thread, nanoseconds.
    pub cpu_ns_total: u64,
    /// The counters of `/metrics` that have no further label, under the same names.
    pub totals: BTreeMap<&'static str, u64>,
    /// Packets that ended here, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// Sends that carried 0, 1, 2, ... datagrams.
    pub trains: Vec<u64>,
    /// Forwarded packets by latency: how many were at most `latency_bounds_ns`, and above the bound before.
    pub latency_counts: Vec<u64>,
}

/// A bound socket.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SocketView {
    /// Its address.
    pub address: SocketAddr,
    /// What the kernel granted, bytes.
    pub receive_buffer_bytes: usize,
    /// What the kernel granted, bytes.
    pub send_buffer_bytes: usize,
}

impl Service {
    /// What the server measures of itself, read now.
    pub fn status(&self, surroundings: &Surroundings, now: Instant) -> StatusView {
        let population = self.population();
        let stalled = self.shards().stalled();
        let shards = self.shards().iter().zip(self.shards().stall_counts());
        StatusView {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: now.saturating_duration_since(surroundings.started).as_secs_f64(),
            not_ready: self.readiness().err(),
            rooms: population.rooms,
            publishers: population.publishers,
            subscribers: population.subscribers,
            cpus: surroundings.host.cpus.len(),
            interfaces: interfaces(&surroundings.host),
            warnings: surroundings.warnings.clone(),
            latency_bounds_ns: &LATENCY_BOUNDS_NS,
            shards: shards
                .map(|(shard, stalls_total)| shard_view(shard, stalled.contains(&shard.id()), stalls_total))
                .collect(),
        }
    }
}

fn interfaces(host: &Host) -> Vec<InterfaceView> {
    let all = host.interfaces.iter();
    all.map(|interface| InterfaceView {
        name: interface.name.clone(),
        addresses: interface.addresses.clone(),
        is_loopback: interface.is_loopback,
        is_up: interface.is_up,
        udp_segmentation: interface.udp_segmentation,
        tx_checksum: interface.tx_checksum,
    })
    .collect()
}

fn shard_view(shard: &ShardHandle, is_stalled: bool, stalls_total: u64) -> ShardView {
    let counters = shard.counters();
    ShardView {
        id: shard.id().0,
        state: match (shard.is_running(), is_stalled) {
            (false, _) => "ended",
            (true, true) => "stalled",
            (true, false) => "running",
        },
        backend: shard.backend().kind.name(),
        sockets: shard
            .sockets()
            .iter()
            .map(|facts| SocketView {
                address: facts.address,
                receive_buffer_bytes: facts.receive_buffer_bytes,
                send_buffer_bytes: facts.send_buffer_bytes,
            })
            .collect(),
        transports: counters.transports.load(Relaxed),
        tracks: counters.tracks.load(Relaxed),
        hops_waiting: counters.hops_waiting.load(Relaxed),
        turn_ms: shard.turn_age().as_secs_f64() * 1e3,
        stalls_total,
        cpu_ns_total: shard.cpu_ns(),
        totals: COUNTERS.iter().map(|(name, _, read)| (*name, read(counters).load(Relaxed))).collect(),
        drops: DropReason::ALL.iter().map(|reason| (reason.name(), counters.dropped(*reason))).collect(),
        trains: shard.train_lengths().to_vec(),
        latency_counts: latency_counts(shard),
    }
}

fn latency_counts(shard: &ShardHandle) -> Vec<u64> {
    let mut counts = vec![0; LATENCY_BOUNDS_NS.len()];
    for value in shard.latency().iter_recorded() {
        counts[bucket_of(value.value_iterated_to())] += value.count_at_value();
    }
    counts
}

fn bucket_of(latency_ns: u64) -> usize {
    let bucket = LATENCY_BOUNDS_NS.partition_point(|bound| *bound < latency_ns);
    bucket.min(LATENCY_BOUNDS_NS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_latency_holds_what_is_at_most_its_bound() {
        assert_eq!(LATENCY_BOUNDS_NS.first(), Some(&1_000));
        assert_eq!(LATENCY_BOUNDS_NS.last(), Some(&10_000_000_000));
        assert!(LATENCY_BOUNDS_NS.windows(2).all(|pair| pair[0] < pair[1] && pair[1] < pair[0] * 6 / 5 + 1));
        for (index, bound) in LATENCY_BOUNDS_NS.iter().enumerate() {
            assert_eq!(bucket_of(*bound), index);
        }
        assert_eq!(bucket_of(1_001), 1);
        assert_eq!(bucket_of(u64::MAX), LATENCY_BOUNDS_NS.len() - 1);
    }
}
