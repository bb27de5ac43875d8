//! Whether the way of packets takes longer and longer: the trendline filter with an adaptive threshold
//! (Carlucci et al., "Congestion Control for Web Real-Time Communication", IEEE/ACM ToN 2017, with the line
//! fit and the constants of libwebrtc; the threshold is that of draft-ietf-rmcat-gcc-02, section 5.4).
#![forbid(unsafe_code)]

use super::groups::Variation;

/// Groups that a line is laid through.
const WINDOW: usize = 20;
/// Weight of what is known when something new comes.
const SMOOTHING: f64 = 0.9;
/// A slope of a few per mille becomes comparable with the threshold by these.
const GAIN: f64 = 4.0;
const GROUPS_COUNTED_MAX: f64 = 60.0;
/// The threshold falls faster than it rises: with a line fit, k_up < k_down (libwebrtc; the draft has the
/// reverse for its Kalman filter).
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
const THRESHOLD_START: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
/// The threshold does not follow peaks that stand so far above it.
const PEAK: f64 = 15.0;
/// Milliseconds between two updates that are counted at most.
const UPDATE_MAX_MS: f64 = 100.0;
/// The trend has to stand above the threshold for so many milliseconds of sending.
const OVERUSE_MS: f64 = 10.0;

/// What the delay says of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Signal {
    /// A queue empties.
    Underuse,
    /// Neither.
    #[default]
    Normal,
    /// A queue fills.
    Overuse,
}

/// The line through the last groups.
#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival and smoothed sum of variations, milliseconds; a ring.
    samples: [(f64, f64); WINDOW],
    /// How many groups there were.
    count: usize,
    sum_ms: f64,
    smoothed_ms: f64,
    threshold: f64,
    updated_ms: Option<f64>,
    overuse_ms: f64,
    overuse_count: u32,
    slope_before: f64,
    signal: Signal,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            samples: [(0.0, 0.0); WINDOW],
            count: 0,
            sum_ms: 0.0,
            smoothed_ms: 0.0,
            threshold: THRESHOLD_START,
            updated_ms: None,
            overuse_ms: 0.0,
            overuse_count: 0,
            slope_before: 0.0,
            signal: Signal::Normal,
        }
    }
}

impl Trend {
    /// What the delay says now.
    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    /// Forgets the line and keeps the threshold: it knows how restless the link is.
    pub(super) fn reset(&mut self) {
        *self = Self { threshold: self.threshold, ..Self::default() };
    }

    /// Takes the next group.
    pub(super) fn note(&mut self, variation: &Variation) {
        let at_ms = variation.at_us as f64 / 1e3;
        self.sum_ms += (variation.arrival_us - variation.sent_us) as f64 / 1e3;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.sum_ms;
        self.samples[self.count % WINDOW] = (at_ms, self.smoothed_ms);
        self.count += 1;
        let slope = if self.count < WINDOW { 0.0 } else { self.slope() };
        let trend = (self.count as f64).min(GROUPS_COUNTED_MAX) * slope * GAIN;
        self.detect(trend, slope, variation.sent_us as f64 / 1e3);
        self.adapt(trend.abs(), at_ms);
    }

    fn detect(&mut self, trend: f64, slope: f64, sent_ms: f64) {
        if trend > self.threshold {
            // The first sample counts half: it began to be so somewhere between two groups.
            self.overuse_ms += if self.overuse_count == 0 { sent_ms / 2.0 } else { sent_ms };
            self.overuse_count += 1;
            if self.overuse_ms > OVERUSE_MS && self.overuse_count > 1 && slope >= self.slope_before {
                self.overuse_ms = 0.0;
                self.overuse_count = 0;
                self.signal = Signal::Overuse;
            }
        } else {
            self.overuse_ms = 0.0;
            self.overuse_count = 0;
            self.signal = if trend < -self.threshold { Signal::Underuse } else { Signal::Normal };
        }
        self.slope_before = slope;
    }

    fn adapt(&mut self, trend: f64, at_ms: f64) {
        let elapsed_ms = self.updated_ms.map_or(0.0, |updated| at_ms - updated).clamp(0.0, UPDATE_MAX_MS);
        self.updated_ms = Some(at_ms);
        if trend > self.threshold + PEAK {
            return;
        }
        let gain = if trend < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
        let threshold = self.threshold + gain * (trend - self.threshold) * elapsed_ms;
        self.threshold = threshold.clamp(THRESHOLD_RANGE.0, THRESHOLD_RANGE.1);
    }

    /// The slope of the line of least squares.
    fn slope(&self) -> f64 {
        let count = WINDOW as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (at, delay) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let (mut rise, mut run) = (0.0, 0.0);
        for sample in &self.samples {
            rise += (sample.0 - at) * (sample.1 - delay);
            run += (sample.0 - at) * (sample.0 - at);
        }
        if run > 0.0 { rise / run } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups every 20 ms, each of which takes `growth_us` longer than the one before.
    fn signals(trend: &mut Trend, from: u64, count: u64, growth_us: i64) -> Vec<Signal> {
        let at = |group: u64| (from + group) * 20_000;
        let next = |group| {
            let arrival_us = 20_000 + growth_us;
            trend.note(&Variation { sent_us: 20_000, arrival_us, at_us: at(group) });
            trend.signal()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_constant_delay_is_normal_use() {
        assert!(signals(&mut Trend::default(), 0, 200, 0).iter().all(|&signal| signal == Signal::Normal));
    }

    #[test]
    fn a_queue_that_fills_is_over_use_within_half_a_second_and_one_that_empties_under_use() {
        let mut trend = Trend::default();
        signals(&mut trend, 0, 100, 0);
        let filling = signals(&mut trend, 100, 25, 4_000);
        assert!(filling.contains(&Signal::Overuse), "{filling:?}");
        let emptying = signals(&mut trend, 125, 40, -4_000);
        assert_eq!(emptying.last(), Some(&Signal::Underuse));
    }

    #[test]
    fn the_threshold_learns_that_a_link_is_restless() {
        let mut trend = Trend::default();
        for round in 0..50 {
            signals(&mut trend, round * 40, 40, if round % 2 == 0 { 1_200 } else { -1_200 });
        }
        assert!(trend.threshold > 2.0 * THRESHOLD_RANGE.0, "{}", trend.threshold);
        let calm = signals(&mut trend, 2_000, 500, 0);
        assert_eq!(calm.last(), Some(&Signal::Normal));
        assert_eq!(trend.threshold, THRESHOLD_RANGE.0);
    }
}
