//! Chance from a seed: which packets are lost, and how late they are.
#![forbid(unsafe_code)]

use super::spec::Impairment;

/// A stream of numbers that a seed determines (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Decides which packets are lost: each by itself, or in bursts by the model of Gilbert and Elliott, which
/// passes all packets in its good state and none in its bad one.
#[derive(Debug)]
pub(crate) struct Losses {
    random: Random,
    is_bad: bool,
}

impl Losses {
    /// Begins in the good state.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random(seed), is_bad: false }
    }

    /// Whether the next packet is lost. Draws one number, whatever the impairment is.
    pub(crate) fn take_next(&mut self, impairment: &Impairment) -> bool {
        let drawn = self.random.share();
        let loss = impairment.loss;
        self.is_bad = match impairment.burst {
            None => drawn < loss,
            // The bad state lasts `burst` packets, and the share of it in all is `loss`.
            Some(burst) if self.is_bad => drawn >= 1.0 / burst,
            Some(burst) => drawn < loss / (burst * (1.0 - loss)),
        };
        self.is_bad
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The share that is lost, and the mean length of a row of losses.
    fn measure(spec: &str, seed: u64) -> (f64, f64) {
        let impairment = spec.parse().unwrap();
        let mut losses = Losses::new(seed);
        let fates: Vec<bool> = (0..400_000).map(|_| losses.take_next(&impairment)).collect();
        let lost = fates.iter().filter(|is_lost| **is_lost).count() as f64;
        let rows = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        (lost / fates.len() as f64, lost / rows.max(1.0))
    }

    #[test]
    fn as_much_is_lost_as_was_asked_for_in_bursts_of_the_length_that_was_asked_for() {
        for seed in 1..=8 {
            for (spec, loss, burst) in [
                ("loss=5%", 0.05, 1.0 / 0.95),
                ("loss=30%", 0.3, 1.0 / 0.7),
                ("loss=5%,burst=3", 0.05, 3.0),
                ("loss=1%,burst=10", 0.01, 10.0),
                ("loss=50%,burst=1", 0.5, 1.0),
                ("loss=0%", 0.0, 0.0),
            ] {
                let (lost, len) = measure(spec, seed);
                assert!((lost - loss).abs() <= 0.12 * loss, "{spec}, seed {seed}: {lost}");
                assert!((len - burst).abs() <= 0.08 * burst, "{spec}, seed {seed}: {len} in a row");
            }
        }
    }

    #[test]
    fn nothing_passes_where_all_is_lost() {
        let impairment = "loss=100%".parse().unwrap();
        let mut losses = Losses::new(3);
        assert!((0..10_000).all(|_| losses.take_next(&impairment)));
    }
}
