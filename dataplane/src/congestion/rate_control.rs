//! From what the delay says to a bitrate: additive increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02, section 5.5, with the constants of libwebrtc).
#![forbid(unsafe_code)]

use super::trend::Signal;
use crate::limits::{ESTIMATE_BPS_MAX, ESTIMATE_BPS_MIN};

/// Of what arrives at over-use, so much is asked for.
const BACK_OFF: f64 = 0.85;
/// Bits per second that are left besides, so that a queue empties on a narrow link too.
const BACK_OFF_MARGIN_BPS: f64 = 5_000.0;
/// Growth in a second, while the capacity is not known.
const GROWTH: f64 = 1.08;
/// No growth above so many times what arrives: nothing is known of what is not sent.
const ACKED_FACTOR: f64 = 1.5;
const ACKED_MARGIN_BPS: f64 = 10_000.0;
/// Growth near the capacity is a packet per response time, and at least this in a second, bits per second.
const NEAR_GROWTH_BPS: f64 = 4_000.0;
const FRAMES_PER_SECOND: f64 = 30.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// Added to the round trip: the time in which over-use is found.
const DETECTION_US: f64 = 100_000.0;
/// Time between two decreases: the round trip, within these, microseconds.
const DECREASE_EVERY_US: (u64, u64) = (10_000, 200_000);

/// What the controller goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    pub(super) signal: Signal,
    /// What arrives, if that is known.
    pub(super) acked_bps: Option<f64>,
    /// The same in the last moments.
    pub(super) recent_bps: Option<f64>,
    pub(super) round_trip_us: u64,
    /// Whether the estimate may grow.
    pub(super) may_grow: bool,
    /// Growth ends here.
    pub(super) ceiling_bps: f64,
}

/// The bitrate, and what is known of the link.
#[derive(Debug)]
pub(super) struct RateControl {
    bitrate_bps: f64,
    updated_us: Option<u64>,
    decreased_us: Option<u64>,
    capacity: Capacity,
}

impl RateControl {
    pub(super) fn new(start_bps: f64) -> Self {
        Self { bitrate_bps: start_bps, updated_us: None, decreased_us: None, capacity: Capacity::default() }
    }

    pub(super) fn bitrate_bps(&self) -> f64 {
        self.bitrate_bps
    }

    /// When over-use lowered it last.
    pub(super) fn decreased_us(&self) -> Option<u64> {
        self.decreased_us
    }

    /// Takes what a probe or the lack of feedback says.
    pub(super) fn set(&mut self, bitrate_bps: f64) {
        self.bitrate_bps = bitrate_bps.clamp(ESTIMATE_BPS_MIN as f64, ESTIMATE_BPS_MAX as f64);
    }

    /// Takes what a full link has let through.
    pub(super) fn note_capacity(&mut self, bitrate_bps: f64) {
        self.capacity.note(bitrate_bps / 1e3);
    }

    /// Takes what a probe has carried: the link is wider than it was.
    pub(super) fn note_carried(&mut self, bitrate_bps: f64) {
        if self.capacity.band_kbps().is_some_and(|(_, upper)| bitrate_bps / 1e3 > upper) {
            self.capacity = Capacity::default();
        }
        self.set(bitrate_bps.max(self.bitrate_bps));
    }

    /// Goes on to `now_us`.
    pub(super) fn update(&mut self, observation: &Observation, now_us: u64) {
        let since = self.updated_us.replace(now_us).map_or(0, |before| now_us.saturating_sub(before));
        match observation.signal {
            Signal::Overuse => self.decrease(observation, now_us),
            Signal::Underuse => {}
            Signal::Normal if observation.may_grow => self.increase(observation, since),
            Signal::Normal => {}
        }
    }

    fn decrease(&mut self, observation: &Observation, now_us: u64) {
        let (shortest, longest) = DECREASE_EVERY_US;
        let acked = observation.recent_bps;
        let is_far_off = acked.is_some_and(|acked| acked < 0.5 * self.bitrate_bps);
        let pause_us =
            if acked.is_none() { longest } else { observation.round_trip_us.clamp(shortest, longest) };
        let is_soon = self.decreased_us.is_some_and(|before| now_us.saturating_sub(before) < pause_us);
        if is_soon && !is_far_off {
            return;
        }
        self.decreased_us = Some(now_us);
        let decreased = match acked {
            Some(acked) => {
                self.capacity.note(acked / 1e3);
                BACK_OFF * acked - BACK_OFF_MARGIN_BPS
            }
            None => self.bitrate_bps / 2.0,
        };
        self.set(decreased.min(self.bitrate_bps));
    }

    fn increase(&mut self, observation: &Observation, since_us: u64) {
        let Some(acked) = observation.acked_bps else { return };
        let seconds = (since_us as f64 / 1e6).min(1.0);
        if self.capacity.band_kbps().is_some_and(|(_, upper)| acked / 1e3 > upper) {
            self.capacity = Capacity::default();
        }
        let mut ceiling = observation.ceiling_bps.min(ACKED_FACTOR * acked + ACKED_MARGIN_BPS);
        let grown = match self.capacity.band_kbps() {
            Some((_, upper)) => {
                ceiling = ceiling.min(upper * 1e3);
                self.bitrate_bps + self.near_growth_bps(observation.round_trip_us) * seconds
            }
            None => self.bitrate_bps * GROWTH.powf(seconds),
        };
        self.set(grown.min(ceiling).max(self.bitrate_bps));
    }

    /// Bits per second in a second.
    fn near_growth_bps(&self, round_trip_us: u64) -> f64 {
        let frame_bits = self.bitrate_bps / FRAMES_PER_SECOND;
        let packet_bits = frame_bits / (frame_bits / PACKET_BITS).ceil().max(1.0);
        let response_seconds = 2.0 * (round_trip_us as f64 + DETECTION_US) / 1e6;
        (packet_bits / response_seconds).max(NEAR_GROWTH_BPS)
    }
}

/// What arrived at over-use, kbit/s: mean, and variance in units of the mean.
#[derive(Debug, Default)]
struct Capacity {
    mean: Option<f64>,
    variance: f64,
}

impl Capacity {
    const WEIGHT: f64 = 0.05;
    const VARIANCE_RANGE: (f64, f64) = (0.4, 2.5);
    const DEVIATIONS: f64 = 3.0;

    fn note(&mut self, kbps: f64) {
        if self.band_kbps().is_some_and(|(lower, upper)| kbps < lower || kbps > upper) {
            *self = Self::default();
        }
        let mean = self.mean.map_or(kbps, |mean| mean + Self::WEIGHT * (kbps - mean));
        let error = (mean - kbps) * (mean - kbps) / mean.max(1.0);
        let variance = (1.0 - Self::WEIGHT) * self.variance + Self::WEIGHT * error;
        self.variance = variance.clamp(Self::VARIANCE_RANGE.0, Self::VARIANCE_RANGE.1);
        self.mean = Some(mean);
    }

    /// What is not told from the mean.
    fn band_kbps(&self) -> Option<(f64, f64)> {
        let mean = self.mean?;
        let width = Self::DEVIATIONS * (self.variance * mean).sqrt();
        Some((mean - width, mean + width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(signal: Signal, acked_bps: f64) -> Observation {
        let acked_bps = Some(acked_bps);
        Observation {
            signal,
            acked_bps,
            recent_bps: acked_bps,
            round_trip_us: 50_000,
            may_grow: true,
            ceiling_bps: 30e6,
        }
    }

    /// Ten updates a second.
    fn play(control: &mut RateControl, from: u64, count: u64, observed: &Observation) -> f64 {
        for update in from..from + count {
            control.update(observed, update * 100_000);
        }
        control.bitrate_bps()
    }

    #[test]
    fn it_grows_by_eight_per_cent_in_a_second_while_what_is_sent_arrives() {
        let mut control = RateControl::new(1e6);
        let grown = play(&mut control, 0, 11, &observation(Signal::Normal, 1e6));
        assert!((grown - 1.08e6).abs() < 1e3, "{grown}");
    }

    #[test]
    fn it_never_grows_far_above_what_arrives() {
        let mut control = RateControl::new(300e3);
        let grown = play(&mut control, 0, 1_000, &observation(Signal::Normal, 400e3));
        assert_eq!(grown, 610e3);
    }

    #[test]
    fn over_use_falls_below_what_arrives_and_growth_is_slow_afterwards() {
        let mut control = RateControl::new(2e6);
        control.update(&observation(Signal::Overuse, 1e6), 0);
        assert_eq!(control.bitrate_bps(), 845e3);
        let grown = play(&mut control, 1, 10, &observation(Signal::Normal, 990e3));
        assert!((850e3..900e3).contains(&grown), "{grown}");
        assert!(play(&mut control, 11, 10, &observation(Signal::Normal, 1.5e6)) > 1.07 * grown);
    }

    #[test]
    fn one_over_use_is_one_decrease() {
        let mut control = RateControl::new(1e6);
        let observed = observation(Signal::Overuse, 900e3);
        control.update(&observed, 0);
        let once = control.bitrate_bps();
        control.update(&observation(Signal::Overuse, 700e3), 20_000);
        assert_eq!(control.bitrate_bps(), once);
        control.update(&observation(Signal::Overuse, 700e3), 60_000);
        assert!(control.bitrate_bps() < once);
    }

    #[test]
    fn under_use_and_doubt_hold() {
        let mut control = RateControl::new(1e6);
        assert_eq!(play(&mut control, 0, 100, &observation(Signal::Underuse, 1e6)), 1e6);
        let doubt = Observation { may_grow: false, ..observation(Signal::Normal, 1e6) };
        assert_eq!(play(&mut control, 100, 100, &doubt), 1e6);
    }
}
