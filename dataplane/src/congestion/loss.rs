//! What loss allows: the controller of draft-ietf-rmcat-gcc-02, section 6, over our own numbers, less the loss
//! that the link has anyway.
//!
//! The draft cannot tell a radio that loses 5 % from a queue that overflows. What is lost even in the best of
//! the last ten seconds is taken for the link's own, up to a bound; only what comes on top is ours.
#![forbid(unsafe_code)]

use super::sent_history::Settled;

/// Loss is judged over at least this, microseconds and packets.
const WINDOW_US: u64 = 1_000_000;
const WINDOW_PACKETS: u32 = 50;
/// Heavy loss is judged sooner.
const HEAVY_WINDOW_US: u64 = 250_000;
const HEAVY_WINDOW_PACKETS: u32 = 20;
const HEAVY: f64 = 0.25;
/// Loss on top of the link's own below which the bound rises, and above which it falls.
const LOW: f64 = 0.02;
const HIGH: f64 = 0.10;
/// The link's own loss is believed up to here.
const INHERENT_MAX: f64 = 0.08;
/// Windows whose best is the link's own loss.
const MEMORY: usize = 10;
/// Growth in a second of low loss.
const GROWTH: f64 = 1.08;
/// What arrives in spite of loss is worth so much: the bound does not fall below it.
const FLOOR: f64 = 0.85;
/// So many windows have to be known before the link's own loss is told from ours, unless loss is heavy.
const KNOWN_MIN: usize = 2;

/// The bound, and the loss that it comes from.
#[derive(Debug, Default)]
pub(super) struct LossBound {
    window: Settled,
    began_us: u64,
    /// The losses of the last windows; a ring.
    losses: [f64; MEMORY],
    count: usize,
    bound_bps: Option<f64>,
}

impl LossBound {
    /// The most that loss allows; `None` if it allows everything.
    pub(super) fn bound_bps(&self) -> Option<f64> {
        self.bound_bps
    }

    /// The share that was lost in the last window.
    pub(super) fn last_loss(&self) -> f64 {
        self.count.checked_sub(1).map_or(0.0, |last| self.losses[last % MEMORY])
    }

    /// Takes packets whose fate has become final by `now_us`. `by_delay_bps` is what the delay
    /// allows, `acked_bps` what arrives.
    pub(super) fn note(&mut self, settled: Settled, by_delay_bps: f64, acked_bps: Option<f64>, now_us: u64) {
        if self.window == Settled::default() {
            self.began_us = now_us;
        }
        self.window.received += settled.received;
        self.window.lost += settled.lost;
        let total = self.window.received + self.window.lost;
        let loss = f64::from(self.window.lost) / f64::from(total.max(1));
        let elapsed_us = now_us.saturating_sub(self.began_us);
        let is_long = elapsed_us >= WINDOW_US && total >= WINDOW_PACKETS;
        let is_heavy = loss > HEAVY && elapsed_us >= HEAVY_WINDOW_US && total >= HEAVY_WINDOW_PACKETS;
        if is_long || is_heavy {
            self.window = Settled::default();
            self.judge(loss, elapsed_us as f64 / 1e6, by_delay_bps, acked_bps);
        }
    }

    fn judge(&mut self, loss: f64, seconds: f64, by_delay_bps: f64, acked_bps: Option<f64>) {
        let excess = loss - self.inherent();
        let is_known = self.count >= KNOWN_MIN || loss > HEAVY;
        self.losses[self.count % MEMORY] = loss;
        self.count += 1;
        if excess > HIGH && is_known {
            let estimate_bps = self.bound_bps.map_or(by_delay_bps, |bound| bound.min(by_delay_bps));
            let reduced = estimate_bps * (1.0 - 0.5 * loss);
            let floor = acked_bps.map_or(0.0, |acked| FLOOR * acked);
            self.bound_bps = Some(reduced.max(floor).min(estimate_bps));
        } else if excess < LOW {
            let grown = self.bound_bps.map(|bound| bound * GROWTH.powf(seconds));
            // What is above the delay's bound binds nobody.
            self.bound_bps = grown.filter(|&bound| bound < by_delay_bps);
        }
    }

    /// What is lost whatever we send.
    fn inherent(&self) -> f64 {
        let known = &self.losses[..self.count.min(MEMORY)];
        let best = known.iter().copied().fold(INHERENT_MAX, f64::min);
        if known.is_empty() { 0.0 } else { best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of 100 packets each, of which so many are lost; the bound after each, in kbit/s.
    fn bounds(losses: &[u32], by_delay_bps: f64) -> Vec<Option<u64>> {
        let mut bound = LossBound::default();
        let mut said = Vec::new();
        for (second, &lost) in losses.iter().enumerate() {
            let begins_us = second as u64 * 1_000_001;
            bound.note(Settled { received: 99 - lost, lost }, by_delay_bps, Some(500e3), begins_us);
            bound.note(Settled { received: 1, lost: 0 }, by_delay_bps, Some(500e3), begins_us + 1_000_000);
            said.push(bound.bound_bps().map(|bps| (bps / 1e3).round() as u64));
        }
        said
    }

    #[test]
    fn little_loss_allows_everything() {
        assert_eq!(bounds(&[0, 1, 5, 5, 9], 1e6), [None; 5]);
    }

    #[test]
    fn loss_that_comes_on_top_lowers_the_bound_but_not_below_what_arrives() {
        assert_eq!(bounds(&[0, 0, 20, 20], 1e6), [None, None, Some(900), Some(810)]);
        assert_eq!(bounds(&[0, 40, 40, 40, 40, 40], 1e6).last(), Some(&Some(425)));
    }

    #[test]
    fn the_bound_rises_when_loss_is_over_and_goes_away() {
        assert_eq!(bounds(&[0, 0, 20, 0, 0], 1e6)[2..], [Some(900), Some(972), None]);
    }

    #[test]
    fn what_a_radio_always_loses_is_not_taken_for_ours() {
        assert_eq!(bounds(&[6, 9, 6, 15, 7, 6], 1e6), [None; 6]);
        assert!(bounds(&[6, 9, 6, 22], 1e6)[3].is_some());
    }

    #[test]
    fn heavy_loss_is_judged_after_a_quarter_of_a_second() {
        let mut bound = LossBound::default();
        bound.note(Settled { received: 10, lost: 0 }, 1e6, None, 0);
        bound.note(Settled { received: 5, lost: 20 }, 1e6, None, 260_000);
        assert!(bound.bound_bps().is_some_and(|bps| bps < 0.8e6));
    }
}
