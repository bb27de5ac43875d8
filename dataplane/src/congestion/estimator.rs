//! What the link towards one subscriber carries: one estimate per transport, over all its tracks.
//!
//! Of the family of Google Congestion Control (draft-ietf-rmcat-gcc-02): the smaller of what delay and what
//! loss allow, with the estimate of the receiver (REMB, draft-alvestrand-rmcat-remb-03) as an upper bound.
//! Where nothing is acknowledged, receiver reports have to do.
//!
//! It knows sizes, numbers and times, nothing of tracks. Who sends calls [`Estimator::on_sent`] for every
//! packet and asks [`Estimator::padding_due`] for probes; who receives RTCP calls the other `on_`.
//!
//! # Invariants
//!
//! - The estimate never grows above one and a half times what was sent and acknowledged, or reported to have
//!   arrived, so that a receiver that lies gains at most the layers that it asks for.
//! - Nothing is allocated per packet once the history has grown to the rate.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::application_limit::ApplicationLimit;
use super::groups::{Acked, Groups};
use super::loss::LossBound;
use super::probe::{Demand, Finding, Prober, Situation};
use super::queueing::Queueing;
use super::rate::{AckedRate, RateMeter};
use super::rate_control::{Observation, RateControl};
use super::receiver_clock::ReceiverClock;
use super::reports::Delivered;
use super::sent_history::{Sent, SentHistory, Settled};
use super::trend::{Signal, Trend};
use crate::counters::ESTIMATE_CAUSES;
use crate::limits::{ESTIMATE_BPS_MAX, ESTIMATE_BPS_MIN, ESTIMATE_BPS_START, TWCC_FEEDBACK_PER_SECOND_MAX};
use crate::wire::twcc::{TICK_US, TransportFeedback};

/// Arrivals that are sorted at once; browsers report fewer in one feedback.
const SORTED_LEN: usize = 128;
/// A receiver's clock may run so far ahead of ours between two feedbacks before its times are not believed.
const ARRIVAL_SLACK_US: u64 = 1_000_000;
/// While packets wait for feedback, after this no estimate grows.
const DOUBT_US: u64 = 500_000;
/// After this it falls, by [`SILENCE_FACTOR`] in each [`SILENCE_STEP_US`].
const SILENCE_US: u64 = 1_000_000;
const SILENCE_FACTOR: f64 = 0.8;
const SILENCE_STEP_US: f64 = 500_000.0;
/// Without over-use for so long, a probe may begin; after a decrease it takes longer.
const CALM_US: u64 = 1_000_000;
const CALM_AFTER_DECREASE_US: u64 = 3_000_000;
/// A delay that grows and is still so small is a burst, a keyframe perhaps: it holds the estimate.
const OVERUSE_QUEUE_MS: f64 = 25.0;
/// Who sends far less than the estimate would fall deep for jitter: it takes more to believe it.
const LIMITED_OVERUSE_QUEUE_MS: f64 = 60.0;
/// Who sends less than this share of what arrives lets the queue empty.
const DRAINING: f64 = 0.9;
/// A queue longer than this is not made longer.
const STANDING_QUEUE_MS: f64 = 100.0;
const CALM_QUEUE_MS: f64 = 50.0;
/// More than everything that is wanted need not be known.
const DEMAND_FACTOR: f64 = 1.2;
/// The estimate without acknowledgements is bounded by what is sent, like the other.
const SENT_FACTOR: f64 = 1.5;
const SENT_MARGIN_BPS: f64 = 10_000.0;
/// Growth in a second of reports without loss.
const REPORT_GROWTH: f64 = 1.08;
/// The round trip while none is measured (libwebrtc).
const ROUND_TRIP_DEFAULT_US: u64 = 200_000;
/// For so long the estimate of a probe is proof.
const PROOF_US: u64 = 5_000_000;
/// For so long it is better known than what arrives.
const FRESH_PROOF_US: u64 = 2_000_000;
/// A failed probe lowers the estimate at most to this share of what arrived.
const AFTER_PROBE: f64 = 0.95;

/// What one subscriber's link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bits per second, everything from the IP header on.
    pub bitrate_bps: u64,
    /// What it comes from.
    pub cause: Cause,
}

/// What an estimate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing is known yet.
    Start,
    /// The delay.
    Delay,
    /// The loss.
    Loss,
    /// Less is sent than the estimate, so that it cannot grow.
    ApplicationLimited,
    /// The receiver's own estimate is the bound.
    Remb,
    /// Feedback has stopped.
    Silence,
}

impl Cause {
    /// Every cause, in declaration order.
    pub const ALL: [Cause; ESTIMATE_CAUSES] =
        [Cause::Start, Cause::Delay, Cause::Loss, Cause::ApplicationLimited, Cause::Remb, Cause::Silence];

    /// The stable snake_case name, for metrics and the API.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Delay => "delay",
            Cause::Loss => "loss",
            Cause::ApplicationLimited => "application_limited",
            Cause::Remb => "remb",
            Cause::Silence => "silence",
        }
    }
}

/// What a packet is to the estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentKind {
    /// It carries media, for the first time or again.
    Media,
    /// It fills a probe.
    Padding,
}

/// Why a feedback was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackRefusal {
    /// More than [`TWCC_FEEDBACK_PER_SECOND_MAX`] in a second.
    TooMany,
    /// It is about packets that were never sent, or that nobody remembers.
    UnknownPackets,
}

/// The estimate of one transport, and all that it comes from.
#[derive(Debug)]
pub struct Estimator {
    epoch: Option<Instant>,
    history: SentHistory,
    sent: RateMeter,
    acked: AckedRate,
    groups: Groups,
    trend: Trend,
    queueing: Queueing,
    control: RateControl,
    loss: LossBound,
    application: ApplicationLimit,
    prober: Prober,
    receiver: ReceiverClock,
    feedback: FeedbackState,
    /// The receiver's own estimate, bits per second.
    remb_bps: Option<f64>,
    /// Whether a receiver report has said what arrived.
    has_reports: bool,
    reported_us: Option<u64>,
    round_trip_us: Option<u64>,
    /// When a probe has carried how much.
    carried: Option<(u64, f64)>,
}

/// What is known of feedback as such.
#[derive(Debug, Default)]
struct FeedbackState {
    /// When the last one came.
    last_us: Option<u64>,
    /// Within the second that began then, so many.
    second_us: u64,
    in_second: u32,
    overused_us: Option<u64>,
    /// Up to when silence is paid for.
    punished_us: Option<u64>,
}

impl FeedbackState {
    fn spend(&mut self, now_us: u64) -> bool {
        if now_us >= self.second_us + 1_000_000 {
            (self.second_us, self.in_second) = (now_us, 0);
        }
        self.in_second += 1;
        self.in_second <= TWCC_FEEDBACK_PER_SECOND_MAX
    }
}

impl Estimator {
    /// An estimator that has seen nothing. `seed` spreads its probes in time.
    pub fn new(seed: u64) -> Self {
        Self {
            epoch: None,
            history: SentHistory::default(),
            sent: RateMeter::default(),
            acked: AckedRate::default(),
            groups: Groups::default(),
            trend: Trend::default(),
            queueing: Queueing::default(),
            control: RateControl::new(ESTIMATE_BPS_START as f64),
            loss: LossBound::default(),
            application: ApplicationLimit::default(),
            prober: Prober::new(seed),
            receiver: ReceiverClock::default(),
            feedback: FeedbackState::default(),
            remb_bps: None,
            has_reports: false,
            reported_us: None,
            round_trip_us: None,
            carried: None,
        }
    }

    /// What the link carries.
    pub fn estimate(&self) -> Estimate {
        let (bps, cause) = self.bound();
        let bitrate_bps = (bps as u64).clamp(ESTIMATE_BPS_MIN, ESTIMATE_BPS_MAX);
        Estimate { bitrate_bps, cause }
    }

    /// What a probe has carried within the last five seconds, bits per second.
    pub fn probed_bps(&self, now: Instant) -> Option<u64> {
        let now_us = now.saturating_duration_since(self.epoch?).as_micros() as u64;
        let (_, bps) = self.carried.filter(|(at_us, _)| now_us < at_us + PROOF_US)?;
        Some(bps as u64)
    }

    /// Whether the link is full now.
    pub fn is_overused(&self) -> bool {
        self.trend.signal() == Signal::Overuse
    }

    /// The transport-wide number that the next packet carries.
    pub fn next_number(&self) -> u16 {
        self.history.next_number()
    }

    /// Takes a packet that leaves at `at` with the transport-wide number [`Estimator::next_number`].
    /// `size_bytes` is all of it, from the IP header on.
    pub fn on_sent(&mut self, size_bytes: usize, kind: SentKind, at: Instant) {
        let at_us = self.us(at);
        let size = size_bytes.min(usize::from(u16::MAX)) as u16;
        let cluster = self.prober.note_sent(size, at_us);
        self.history.note(size, at_us, cluster);
        self.note_leaving(size, kind, at_us);
    }

    /// Takes a packet that leaves without a transport-wide number.
    pub fn on_sent_unnumbered(&mut self, size_bytes: usize, kind: SentKind, at: Instant) {
        let at_us = self.us(at);
        self.note_leaving(size_bytes.min(usize::from(u16::MAX)) as u16, kind, at_us);
    }

    fn note_leaving(&mut self, size: u16, kind: SentKind, at_us: u64) {
        self.sent.add(size.into(), at_us);
        if kind == SentKind::Media {
            self.application.note(size, self.control.bitrate_bps(), at_us);
        }
    }

    /// Takes transport-wide feedback that came at `now`.
    ///
    /// # Errors
    ///
    /// It was not used, and nothing has changed.
    pub fn on_feedback(
        &mut self,
        feedback: &TransportFeedback<'_>,
        now: Instant,
    ) -> Result<(), FeedbackRefusal> {
        let now_us = self.us(now);
        if !self.feedback.spend(now_us) {
            return Err(FeedbackRefusal::TooMany);
        }
        let range = self.history.range(feedback.base, feedback.count);
        let range = range.ok_or(FeedbackRefusal::UnknownPackets)?;
        self.read_statuses(feedback, range.start, now_us);
        self.feedback.last_us = Some(now_us);
        self.feedback.punished_us = None;

        let settled = self.history.settle();
        self.update(settled, now_us);
        Ok(())
    }

    /// Notes what became of each packet, and hands on what has arrived, sorted.
    fn read_statuses(&mut self, feedback: &TransportFeedback<'_>, first: u64, now_us: u64) {
        let shift_us = self.receiver.shift_us(feedback.reference_time);
        let since_last_us = self.feedback.last_us.map_or(u64::MAX / 4, |last| now_us.saturating_sub(last));
        let newest_plausible_us = match self.receiver.newest_us {
            0 => u64::MAX,
            newest => newest.saturating_add(2 * since_last_us + ARRIVAL_SLACK_US),
        };
        let mut arrived: ArrayVec<Acked, SORTED_LEN> = ArrayVec::new();
        let mut shortest_us = None;
        let mut has_jumped = false;
        for (number, (_, ticks)) in (first..).zip(feedback.statuses()) {
            let Some(ticks) = ticks else {
                self.history.note_missing(number);
                continue;
            };
            let Some(sent) = self.history.acknowledge(number) else { continue };
            let arrival_us = (ticks * TICK_US as i64 + shift_us).max(0) as u64;
            has_jumped |= arrival_us > newest_plausible_us;
            self.receiver.newest_us = self.receiver.newest_us.max(arrival_us);
            shortest_us = Some(now_us.saturating_sub(sent.at_us).min(shortest_us.unwrap_or(u64::MAX)));
            if arrived.is_full() {
                self.take_arrived(&mut arrived, has_jumped);
            }
            let Sent { at_us: sent_us, size_bytes, cluster, .. } = sent;
            arrived.push(Acked { arrival_us, sent_us, size_bytes, cluster });
        }
        self.take_arrived(&mut arrived, has_jumped);
        if let Some(shortest_us) = shortest_us {
            // Congestion must be felt at once, a single slow feedback must not.
            let known = self.round_trip_us.unwrap_or(shortest_us);
            self.round_trip_us = Some((3 * known + shortest_us) / 4);
        }
    }

    fn take_arrived(&mut self, arrived: &mut ArrayVec<Acked, SORTED_LEN>, has_jumped: bool) {
        if has_jumped {
            self.groups = Groups::default();
            self.trend.reset();
            self.queueing = Queueing::default();
            arrived.clear();
        }
        arrived.sort_unstable_by_key(|acked| acked.arrival_us);
        for acked in arrived.drain(..) {
            self.acked.note(&acked);
            self.prober.note_acked(&acked);
            self.queueing.note(acked.sent_us, acked.arrival_us);
            if let Some(variation) = self.groups.note(&acked) {
                self.trend.note(&variation);
            }
        }
    }

    fn update(&mut self, settled: Settled, now_us: u64) {
        let queue_ms = self.queueing.delay_ms();
        let signal = match self.trend.signal() {
            Signal::Overuse if queue_ms < self.overuse_queue_ms() || self.is_draining() => Signal::Underuse,
            signal => signal,
        };
        if signal == Signal::Overuse {
            self.feedback.overused_us = Some(now_us);
        }
        let acked_bps = self.acked.bitrate_bps();
        let round_trip_us = self.round_trip_us.unwrap_or(ROUND_TRIP_DEFAULT_US);
        let is_probes_fault = self.prober.is_to_blame(signal == Signal::Overuse, now_us);
        if let Some(finding) = self.prober.judge(signal == Signal::Overuse, queue_ms, round_trip_us, now_us) {
            self.learn(finding, acked_bps, now_us);
        }
        if !is_probes_fault {
            let may_grow = queue_ms < STANDING_QUEUE_MS && self.loss.bound_bps().is_none();
            let ceiling_bps = self.ceiling_bps();
            let recent_bps =
                self.acked.recent_bps().map(|recent| recent.max(self.proven_bps(queue_ms, now_us)));
            let observation =
                Observation { signal, acked_bps, recent_bps, round_trip_us, may_grow, ceiling_bps };
            self.control.update(&observation, now_us);
            self.loss.note(settled, self.control.bitrate_bps(), acked_bps, now_us);
        }
    }

    /// The shortest queue that is held against us.
    fn overuse_queue_ms(&self) -> f64 {
        if self.application.is_limited() { LIMITED_OVERUSE_QUEUE_MS } else { OVERUSE_QUEUE_MS }
    }

    /// Whether less is sent than arrives, so that a queue empties: nothing more has to be taken away.
    fn is_draining(&self) -> bool {
        let rates = self.sent.recent_bps().zip(self.acked.recent_arrival_bps());
        rates.is_some_and(|(sent, acked)| sent < DRAINING * acked)
    }

    /// What a fresh probe has carried, unless a long queue says otherwise. The keyframe of the layer that it was
    /// for fills the link, and not much has arrived of that layer yet.
    fn proven_bps(&self, queue_ms: f64, now_us: u64) -> f64 {
        let is_fresh =
            |(at_us, _): &(u64, f64)| now_us < at_us + FRESH_PROOF_US && queue_ms < STANDING_QUEUE_MS;
        self.carried.filter(is_fresh).map_or(0.0, |(_, bps)| bps)
    }

    /// Takes what a probe has shown.
    fn learn(&mut self, finding: Finding, acked_bps: Option<f64>, now_us: u64) {
        let before = self.control.bitrate_bps();
        match finding {
            Finding::Carried { bps } => {
                self.carried = Some((now_us, bps));
                self.control.note_carried(bps.min(self.ceiling_bps()));
            }
            Finding::Full { bps, .. } if bps > before => {
                self.control.note_capacity(bps);
                self.control.set(bps);
            }
            Finding::Full { bps, has_queue: true } => {
                self.control.note_capacity(bps);
                let floor = AFTER_PROBE * acked_bps.unwrap_or(0.0);
                self.control.set(bps.max(floor).min(before));
            }
            Finding::Full { .. } | Finding::Inconclusive => {}
        }
    }

    /// Takes the receiver's own estimate (REMB): an upper bound beside feedback, the estimate without it.
    pub fn on_remb(&mut self, bitrate_bps: u64, now: Instant) {
        self.us(now);
        self.remb_bps = Some((bitrate_bps as f64).clamp(ESTIMATE_BPS_MIN as f64, ESTIMATE_BPS_MAX as f64));
    }

    /// Takes what a receiver report says of one stream, `None` if it says nothing of arrivals, and the round
    /// trip if it tells. Without feedback the loss is judged from it.
    pub fn on_report(&mut self, delivered: Option<Delivered>, round_trip: Option<Duration>, now: Instant) {
        let now_us = self.us(now);
        if self.feedback.last_us.is_some() {
            return;
        }
        if let Some(round_trip) = round_trip {
            self.round_trip_us = Some(round_trip.as_micros() as u64);
        }
        let Some(Delivered { sent, received }) = delivered.filter(|delivered| delivered.sent > 0) else {
            return;
        };
        self.has_reports = true;
        self.sent.advance(now_us);
        let sent_bps = self.sent.bitrate_bps().unwrap_or(0.0);
        let arrives_bps = sent_bps * f64::from(received) / f64::from(sent);
        let settled = Settled { received, lost: sent - received };
        self.loss.note(settled, self.control.bitrate_bps(), Some(arrives_bps), now_us);
        let since_us = self.reported_us.replace(now_us).map_or(0, |before| now_us.saturating_sub(before));
        let seconds = (since_us as f64 / 1e6).min(1.0);
        match self.loss.bound_bps() {
            Some(bound) => self.control.set(bound.min(self.control.bitrate_bps())),
            None if self.loss.last_loss() < 0.02 => {
                let ceiling = self.ceiling_bps().min(SENT_FACTOR * arrives_bps + SENT_MARGIN_BPS);
                let grown = self.control.bitrate_bps() * REPORT_GROWTH.powf(seconds);
                self.control.set(grown.min(ceiling).max(self.control.bitrate_bps()));
            }
            None => {}
        }
    }

    /// Does what time alone brings about: an estimate that nothing confirms falls.
    pub fn expire(&mut self, now: Instant) {
        let now_us = self.us(now);
        let (Some(last_us), Some(sent_us)) = (self.feedback.last_us, self.history.waiting_since_us()) else {
            return;
        };
        // Who sends nothing has nothing to be told. What left just now cannot be answered yet.
        let is_answerable = sent_us > last_us;
        let silent_from = self.feedback.punished_us.unwrap_or(last_us + SILENCE_US);
        if is_answerable && now_us > silent_from {
            let steps = (now_us - silent_from) as f64 / SILENCE_STEP_US;
            self.feedback.punished_us = Some(now_us);
            self.control.set(self.control.bitrate_bps() * SILENCE_FACTOR.powf(steps));
        }
    }

    /// Begins anew, after the path to the peer has changed: nothing of the old one holds for the new one. What
    /// arrived over the old one is where it starts.
    pub fn on_path_change(&mut self) {
        let start = self.acked.bitrate_bps().unwrap_or(f64::MAX).min(ESTIMATE_BPS_START as f64);
        self.acked = AckedRate::default();
        self.groups = Groups::default();
        self.trend = Trend::default();
        self.queueing = Queueing::default();
        self.loss = LossBound::default();
        self.control = RateControl::new(start.max(ESTIMATE_BPS_MIN as f64));
        self.remb_bps = None;
        self.carried = None;
        self.round_trip_us = None;
    }

    /// Says what the subscriber could use: what is probed for, and where growth ends.
    pub fn set_demand(&mut self, demand: Demand) {
        self.prober.set_demand(demand);
    }

    /// Bytes of padding that should leave at `now` to fill a probe, 0 almost always. Begins a probe when it
    /// is time. Whoever sends asks every few milliseconds while [`Estimator::is_probing`].
    pub fn padding_due(&mut self, now: Instant) -> usize {
        let now_us = self.us(now);
        let situation = Situation {
            estimate_bps: self.bound().0,
            is_calm: self.is_calm(now_us),
            queue_ms: self.queueing.delay_ms(),
        };
        self.prober.padding_due(&situation, now_us)
    }

    /// Whether a probe is being sent.
    pub fn is_probing(&self, now: Instant) -> bool {
        let epoch = self.epoch.unwrap_or(now);
        self.prober.is_sending(now.saturating_duration_since(epoch).as_micros() as u64)
    }

    fn is_calm(&self, now_us: u64) -> bool {
        let is_past = |at_us: Option<u64>, wait_us| at_us.is_none_or(|at_us| now_us > at_us + wait_us);
        self.feedback.last_us.is_some_and(|last_us| now_us < last_us + DOUBT_US)
            && self.trend.signal() != Signal::Overuse
            && is_past(self.feedback.overused_us, CALM_US)
            && is_past(self.control.decreased_us(), CALM_AFTER_DECREASE_US)
            && self.loss.bound_bps().is_none()
            && self.queueing.delay_ms() < CALM_QUEUE_MS
    }

    /// Above this nothing needs to be known.
    fn ceiling_bps(&self) -> f64 {
        match self.prober.demand().all_bps {
            0 => ESTIMATE_BPS_MAX as f64,
            all => DEMAND_FACTOR * all as f64,
        }
    }

    /// The smallest of all bounds, and which it is.
    fn bound(&self) -> (f64, Cause) {
        let by_delay = self.control.bitrate_bps();
        let cause = match () {
            () if self.feedback.punished_us.is_some() => Cause::Silence,
            () if self.feedback.last_us.is_none() && !self.has_reports => Cause::Start,
            () if self.application.is_limited() => Cause::ApplicationLimited,
            () if self.feedback.last_us.is_none() => Cause::Loss,
            () => Cause::Delay,
        };
        let mut smallest = (by_delay, cause);
        if let Some(by_loss) = self.loss.bound_bps().filter(|&bps| bps <= smallest.0) {
            smallest = (by_loss, Cause::Loss);
        }
        if let Some(remb) = self.remb_bps {
            let is_only_source = self.feedback.last_us.is_none();
            let sent = self.sent.bitrate_bps().unwrap_or(0.0);
            let believed = remb.min((SENT_FACTOR * sent + SENT_MARGIN_BPS).max(ESTIMATE_BPS_START as f64));
            if is_only_source && self.loss.bound_bps().is_none_or(|by_loss| believed < by_loss) {
                return (believed, Cause::Remb);
            }
            if remb < smallest.0 {
                smallest = (remb, Cause::Remb);
            }
        }
        smallest
    }

    /// Microseconds since the first time that it was told.
    fn us(&mut self, at: Instant) -> u64 {
        at.saturating_duration_since(*self.epoch.get_or_insert(at)).as_micros() as u64
    }
}

#[cfg(test)]
mod tests;
