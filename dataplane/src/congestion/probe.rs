//! When to send more than the media for a moment, to learn whether the next layer fits.
//!
//! An SFU sends in steps: with one layer alone the estimate never grows far above it (`rate_control`), and the
//! next one costs three times as much. So a cluster is sent: for [`PROBE_LEN`] the media is filled up
//! with padding to the bitrate that the next layer needs, and what arrives is measured (as in libwebrtc's
//! `ProbeController` and `ProbeBitrateEstimator`, over 100 ms instead of 15, since Wi-Fi and LTE deliver
//! in lumps of up to 20 ms).
//!
//! This module says how many bytes of padding are due. To send them over RTX is the business of whoever sends.
//!
//! # Invariants
//!
//! - One cluster at a time, and none that was not asked for: without demand there is no padding.
//! - Padding ends with the first sign of a queue.
//! - The result is never above what was sent.
#![forbid(unsafe_code)]

use super::groups::Acked;
use crate::limits::{ESTIMATE_BPS_START, PROBE_INTERVAL_MAX, PROBE_INTERVAL_MIN, PROBE_LEN};

/// What failed is tried again after so many times the wait before.
const BACK_OFF: f64 = 1.5;
/// Waits differ by up to this, so that subscribers behind one link do not probe in step.
const SPREAD: f64 = 0.25;
/// After a success the allocator needs a moment to say what it wants next.
const AFTER_SUCCESS_US: u64 = 300_000;
/// A cluster goes up to so many times the estimate; the first ones, while nothing is known, further.
const STEP_MAX: f64 = 2.0;
const FIRST_STEP_MAX: f64 = 3.0;
const FIRST_CLUSTERS: u64 = 2;
/// Waits for feedback beyond the round trip.
const FEEDBACK_WAIT_US: u64 = 400_000;
/// A result needs this share of the packets, and so many of them.
const ACKED_SHARE: f64 = 0.8;
const PACKETS_MIN: u32 = 5;
/// What arrives so much slower than it was sent has filled the link.
const FULL: f64 = 0.9;
/// Of what arrived on a full link, so much is asked for.
const FULL_BACK_OFF: f64 = 0.95;
/// What arrives so much faster than it was sent says nothing.
const IMPLAUSIBLE: f64 = 2.0;
/// The line through the delays shows over-use for so long after its cause has gone.
const OVERUSE_LINGERS_US: u64 = 500_000;
/// A queue that grows by this while a cluster is under way shows a full link.
const QUEUE_GROWTH_MS: f64 = 10.0;
/// A queue that grows by this ends a cluster.
const QUEUE_GROWTH_MAX_MS: f64 = 50.0;

/// What the subscriber could use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// What must be carried for the next better picture; `None` if there is none to be had.
    pub next_bps: Option<u64>,
    /// Everything that it would like, bits per second. More need not be known.
    pub all_bps: u64,
}

/// What is known of the link when a cluster may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) estimate_bps: f64,
    /// Nothing speaks against it: no over-use, no loss on top, no fresh decrease, fresh feedback.
    pub(super) is_calm: bool,
    pub(super) queue_ms: f64,
}

/// What a cluster has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Finding {
    /// The link carries so much.
    Carried { bps: f64 },
    /// It was full. So much of it is ours.
    Full { bps: f64, has_queue: bool },
    /// Nothing.
    Inconclusive,
}

/// Packets of one cluster on one side of the link.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    packets: u32,
    bytes: u64,
    first_us: u64,
    last_us: u64,
    /// Bytes at `first_us` and at `last_us`: a train has one time.
    first_bytes: u64,
    last_bytes: u64,
}

impl Side {
    fn note(&mut self, size_bytes: u16, at_us: u64) {
        let size = u64::from(size_bytes);
        if self.packets == 0 {
            (self.first_us, self.last_us) = (at_us, at_us);
        }
        self.packets += 1;
        self.bytes += size;
        if at_us == self.first_us {
            self.first_bytes += size;
        }
        if at_us > self.last_us {
            (self.last_us, self.last_bytes) = (at_us, 0);
        }
        if at_us == self.last_us {
            self.last_bytes += size;
        }
    }

    /// Bits per second without the bytes `left_out`; nothing over no time or over more than a second.
    fn bitrate_bps(&self, left_out: u64) -> Option<f64> {
        let span_us = self.last_us.saturating_sub(self.first_us);
        (1..=1_000_000).contains(&span_us).then(|| (self.bytes - left_out) as f64 * 8e6 / span_us as f64)
    }
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    id: u8,
    bitrate_bps: f64,
    began_us: u64,
    ends_us: u64,
    queue_ms: f64,
    sent: Side,
    acked: Side,
}

/// The cluster under way, and when the next may begin.
#[derive(Debug)]
pub(super) struct Prober {
    demand: Demand,
    cluster: Option<Cluster>,
    /// Clusters so far.
    count: u64,
    next_us: u64,
    interval_us: f64,
    /// The consequences of the last cluster may be felt until then.
    shadow_until_us: u64,
    seed: u64,
}

impl Prober {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            demand: Demand::default(),
            cluster: None,
            count: 0,
            next_us: 0,
            interval_us: PROBE_INTERVAL_MIN.as_micros() as f64,
            shadow_until_us: 0,
            seed,
        }
    }

    pub(super) fn demand(&self) -> Demand {
        self.demand
    }

    /// Says what the subscriber could use. If that changes, what failed before says nothing.
    pub(super) fn set_demand(&mut self, demand: Demand) {
        if demand.all_bps != self.demand.all_bps {
            self.interval_us = PROBE_INTERVAL_MIN.as_micros() as f64;
        }
        self.demand = demand;
    }

    /// Whether padding is being sent.
    pub(super) fn is_sending(&self, now_us: u64) -> bool {
        self.cluster.is_some_and(|cluster| now_us < cluster.ends_us)
    }

    /// Whether delay and loss may be the doing of a cluster.
    pub(super) fn is_to_blame(&self, has_overuse: bool, now_us: u64) -> bool {
        let lingers_us = if has_overuse { OVERUSE_LINGERS_US } else { 0 };
        self.cluster.is_some() || now_us < self.shadow_until_us + lingers_us
    }

    /// Bytes of padding that should leave now. Begins a cluster when it is time.
    pub(super) fn padding_due(&mut self, situation: &Situation, now_us: u64) -> usize {
        if self.cluster.is_none() {
            self.begin(situation, now_us);
        }
        let Some(cluster) = &self.cluster else { return 0 };
        if now_us >= cluster.ends_us {
            return 0;
        }
        let elapsed = now_us.saturating_sub(cluster.began_us) as f64 / 1e6;
        (cluster.bitrate_bps * elapsed / 8.0 - cluster.sent.bytes as f64).max(0.0) as usize
    }

    fn begin(&mut self, situation: &Situation, now_us: u64) {
        let Some(goal) = self.demand.next_bps.map(|bps| bps as f64) else { return };
        if goal <= situation.estimate_bps || !situation.is_calm || now_us < self.next_us {
            return;
        }
        // At first there is nothing to lose, and every step costs a viewer seconds.
        let (goal, step) = match self.count {
            0..FIRST_CLUSTERS => (goal.max(self.demand.all_bps as f64), FIRST_STEP_MAX),
            _ => (goal, STEP_MAX),
        };
        self.count += 1;
        self.cluster = Some(Cluster {
            id: (self.count % 255) as u8 + 1,
            bitrate_bps: goal.min((step * situation.estimate_bps).max(ESTIMATE_BPS_START as f64)),
            began_us: now_us,
            ends_us: now_us + PROBE_LEN.as_micros() as u64,
            queue_ms: situation.queue_ms,
            sent: Side::default(),
            acked: Side::default(),
        });
    }

    /// Takes a packet that leaves, media or padding. Answers the cluster that it belongs to, 0 if to none.
    pub(super) fn note_sent(&mut self, size_bytes: u16, now_us: u64) -> u8 {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| now_us < cluster.ends_us) else {
            return 0;
        };
        cluster.sent.note(size_bytes, now_us);
        cluster.id
    }

    /// Takes a packet that has arrived, in the order of arrival.
    pub(super) fn note_acked(&mut self, acked: &Acked) {
        let cluster = self.cluster.as_mut().filter(|cluster| cluster.id == acked.cluster);
        if let Some(cluster) = cluster {
            cluster.acked.note(acked.size_bytes, acked.arrival_us);
        }
    }

    /// Ends a cluster that does harm, and judges one that is over.
    pub(super) fn judge(
        &mut self,
        has_overuse: bool,
        queue_ms: f64,
        round_trip_us: u64,
        now_us: u64,
    ) -> Option<Finding> {
        let cluster = self.cluster.as_mut()?;
        let growth_ms = queue_ms - cluster.queue_ms;
        if has_overuse || growth_ms > QUEUE_GROWTH_MAX_MS {
            cluster.ends_us = cluster.ends_us.min(now_us);
        }
        let is_over = now_us >= cluster.ends_us;
        let is_answered = cluster.acked.packets >= cluster.sent.packets;
        let is_late = now_us >= cluster.ends_us + round_trip_us + FEEDBACK_WAIT_US;
        if !is_over || !(is_answered || is_late) {
            return None;
        }
        let finding = cluster.finding(has_overuse || growth_ms > QUEUE_GROWTH_MS);
        self.cluster = None;
        self.shadow_until_us = now_us + round_trip_us;
        self.plan_next(finding, now_us);
        Some(finding)
    }

    fn plan_next(&mut self, finding: Finding, now_us: u64) {
        if matches!(finding, Finding::Carried { .. }) {
            self.interval_us = PROBE_INTERVAL_MIN.as_micros() as f64;
            self.next_us = now_us + AFTER_SUCCESS_US;
            return;
        }
        let spread = 1.0 - SPREAD + 2.0 * SPREAD * self.draw();
        self.next_us = now_us + (self.interval_us * spread) as u64;
        self.interval_us = (self.interval_us * BACK_OFF).min(PROBE_INTERVAL_MAX.as_micros() as f64);
    }

    /// A number from 0 to 1 that the seed and the cluster determine (SplitMix64, Steele et al. 2014).
    fn draw(&self) -> f64 {
        let mut mixed = self.seed.wrapping_add(self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

impl Cluster {
    fn finding(&self, has_queue: bool) -> Finding {
        let (sent, acked) = (&self.sent, &self.acked);
        let has_enough = acked.packets >= PACKETS_MIN
            && f64::from(acked.packets) >= ACKED_SHARE * f64::from(sent.packets)
            && acked.bytes as f64 >= ACKED_SHARE * sent.bytes as f64;
        let rates = sent.bitrate_bps(sent.last_bytes).zip(acked.bitrate_bps(acked.first_bytes));
        let Some((send_bps, receive_bps)) = rates.filter(|_| has_enough) else {
            return Finding::Inconclusive;
        };
        if receive_bps > IMPLAUSIBLE * send_bps {
            Finding::Inconclusive
        } else if receive_bps < FULL * send_bps {
            Finding::Full { bps: FULL_BACK_OFF * receive_bps, has_queue }
        } else {
            Finding::Carried { bps: receive_bps.min(send_bps) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Situation = Situation { estimate_bps: 500e3, is_calm: true, queue_ms: 2.0 };

    fn prober(next_kbps: u64) -> Prober {
        let mut prober = Prober::new(1);
        prober.set_demand(Demand { next_bps: Some(next_kbps * 1_000), all_bps: 5_000_000 });
        prober.count = FIRST_CLUSTERS;
        prober
    }

    /// Sends what is due every 5 ms over a link of so many kbit/s, and judges half a second later.
    fn play(prober: &mut Prober, link_kbps: u64, from_us: u64) -> (usize, Option<Finding>) {
        let (mut padding, mut sent, mut free_us) = (0, Vec::new(), 0);
        for tick in 0..40 {
            let now_us = from_us + tick * 5_000;
            let due = prober.padding_due(&CALM, now_us);
            if due > 0 {
                padding += due;
                let cluster = prober.note_sent(due as u16, now_us);
                free_us = now_us.max(free_us) + due as u64 * 8_000 / link_kbps;
                let arrival_us = free_us + 7_000_000;
                sent.push(Acked { arrival_us, sent_us: now_us, size_bytes: due as u16, cluster });
            }
        }
        sent.iter().for_each(|acked| prober.note_acked(acked));
        (padding, prober.judge(false, 2.0, 50_000, from_us + 700_000))
    }

    #[test]
    fn a_cluster_fills_up_to_what_the_next_layer_needs_and_finds_that_it_fits() {
        let (padding, finding) = play(&mut prober(900), 5_000, 0);
        assert!((10_000..11_300).contains(&padding), "{padding}");
        let Some(Finding::Carried { bps }) = finding else { panic!("{finding:?}") };
        assert!((850e3..901e3).contains(&bps), "{bps}");
    }

    #[test]
    fn a_link_that_is_full_is_measured() {
        let finding = play(&mut prober(1_400), 800, 0).1;
        let Some(Finding::Full { bps, .. }) = finding else { panic!("{finding:?}") };
        assert!((700e3..800e3).contains(&bps), "{bps}");
    }

    #[test]
    fn without_demand_or_calm_nothing_is_sent() {
        assert_eq!(play(&mut prober(500), 5_000, 0).0, 0, "it fits already");
        assert_eq!(play(&mut Prober::new(1), 5_000, 0).0, 0);
        let unrest = Situation { is_calm: false, ..CALM };
        assert_eq!(prober(900).padding_due(&unrest, 50_000), 0);
        assert!(prober(900).cluster.is_none());
    }

    #[test]
    fn a_step_has_a_bound() {
        let mut eager = prober(9_000);
        eager.count = 0;
        eager.padding_due(&CALM, 0);
        assert_eq!(eager.cluster.map(|cluster| cluster.bitrate_bps), Some(1_500e3));
        eager.cluster = None;
        eager.count = FIRST_CLUSTERS;
        eager.padding_due(&CALM, 0);
        assert_eq!(eager.cluster.map(|cluster| cluster.bitrate_bps), Some(1_000e3));
    }

    #[test]
    fn what_failed_is_tried_again_later_and_later_and_what_succeeded_soon() {
        let mut narrow = prober(1_400);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let from_us = narrow.next_us;
            assert!(play(&mut narrow, 800, from_us).1.is_some());
            waits.push((narrow.next_us - from_us - 700_000) / 1_000);
        }
        assert!(waits[0] >= 2_250 && waits[7] > 4_000, "{waits:?}");
        assert!(waits.iter().all(|&wait| wait <= 7_500), "{waits:?}");
        let from_us = narrow.next_us;
        assert!(play(&mut narrow, 8_000, from_us).1.is_some());
        assert_eq!(narrow.next_us, from_us + 700_000 + AFTER_SUCCESS_US);
    }

    #[test]
    fn a_sign_of_a_queue_ends_the_padding() {
        let mut hurt = prober(900);
        hurt.padding_due(&CALM, 0);
        assert!(hurt.padding_due(&CALM, 20_000) > 0 && hurt.is_sending(20_000));
        assert_eq!(hurt.judge(true, 60.0, 50_000, 25_000), Some(Finding::Inconclusive));
        assert_eq!(hurt.padding_due(&CALM, 30_000), 0);
    }

    #[test]
    fn who_claims_that_all_came_at_once_is_not_believed() {
        let mut lied_to = prober(900);
        lied_to.padding_due(&CALM, 0);
        for tick in 1..20u64 {
            let due = lied_to.padding_due(&CALM, tick * 5_000) as u16;
            let cluster = lied_to.note_sent(due, tick * 5_000);
            let arrival_us = 9_000_000 + tick;
            lied_to.note_acked(&Acked { arrival_us, sent_us: tick * 5_000, size_bytes: due, cluster });
        }
        assert_eq!(lied_to.judge(false, 2.0, 50_000, 200_000), Some(Finding::Inconclusive));
    }
}
