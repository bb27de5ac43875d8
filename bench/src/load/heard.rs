//! What an audience got of the window: latencies and counts, each packet once per viewer.
#![forbid(unsafe_code)]

use hdrhistogram::Histogram;

use super::session::Arrival;
use crate::traffic::Record;

/// Latencies up to this are told apart.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What was got. Those of several threads add up.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// From just before sealing and sending to the kernel's receive time, ns.
    pub(crate) latency_ns: Histogram<u64>,
    /// As above, but from the planned time of sending.
    pub(crate) latency_from_plan_ns: Histogram<u64>,
    /// Packets, each counted once per viewer.
    pub(crate) packets: u64,
    /// Those of them that were lost once, asked for and sent again.
    pub(crate) repaired: u64,
    /// Their payloads, bytes.
    pub(crate) bytes: u64,
    /// Packets that a viewer got again.
    pub(crate) duplicates: u64,
    /// Packets that did not open, or did not hold what was sent; of the whole run.
    pub(crate) damaged: u64,
    /// RTCP datagrams that the audience sent.
    pub(crate) rtcp_sent: u64,
}

impl Heard {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("the bounds are valid");
        Self {
            latency_ns: histogram(),
            latency_from_plan_ns: histogram(),
            packets: 0,
            repaired: 0,
            bytes: 0,
            duplicates: 0,
            damaged: 0,
            rtcp_sent: 0,
        }
    }

    /// Takes a packet of the window.
    pub(crate) fn take(&mut self, record: &Record, arrival: &Arrival<'_>) {
        self.packets += 1;
        self.repaired += u64::from(arrival.is_repair);
        self.bytes += arrival.payload.len() as u64;
        let latency_ns = arrival.received_ns.saturating_sub(record.sent_ns);
        self.latency_ns.saturating_record(latency_ns);
        self.latency_from_plan_ns.saturating_record(latency_ns + record.late_ns);
    }

    /// Adds what another thread got.
    pub(crate) fn add(&mut self, other: &Self) {
        let same = "all have the same bounds";
        self.latency_ns.add(&other.latency_ns).expect(same);
        self.latency_from_plan_ns.add(&other.latency_from_plan_ns).expect(same);
        self.packets += other.packets;
        self.repaired += other.repaired;
        self.bytes += other.bytes;
        self.duplicates += other.duplicates;
        self.damaged += other.damaged;
        self.rtcp_sent += other.rtcp_sent;
    }

    /// Which part of the packets came within `latency_ns`, 0..=1; 1 of none.
    pub(crate) fn share_within(&self, latency_ns: u64) -> f64 {
        let within = self.latency_ns.count_between(0, latency_ns);
        within as f64 / self.latency_ns.len().max(1) as f64
    }
}
