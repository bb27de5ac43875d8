//! A narrow link for the estimator: capacity that changes, a queue in front, delay, jitter and loss, by a seed.
//!
//! Pure sums over microseconds: no engine, no datagrams.

use crate::random::Random;

/// How a link behaves.
#[derive(Clone, Copy, Debug)]
pub struct Bottleneck {
    /// From so many seconds on, so many kbit/s.
    pub capacity: &'static [(u64, u64)],
    /// Up to this share more or less of it, drawn anew every half second.
    pub wobble: f64,
    /// The longest wait in the queue, milliseconds; what would wait longer is lost.
    pub queue_ms: u64,
    /// One-way delay, milliseconds.
    pub delay_ms: u64,
    /// Up to so many milliseconds more, at random.
    pub jitter_ms: u64,
    /// Whether jitter lets packets overtake each other.
    pub reorders: bool,
    /// Loss that has nothing to do with the load, 0 to 1.
    pub loss: f64,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self {
            capacity: &[(0, 1_000)],
            wobble: 0.0,
            queue_ms: 300,
            delay_ms: 30,
            jitter_ms: 0,
            reorders: false,
            loss: 0.0,
        }
    }
}

impl Bottleneck {
    /// What passes at `at_us`, kbit/s.
    pub fn capacity_kbps(&self, at_us: u64) -> u64 {
        let begun = self.capacity.iter().take_while(|(from, _)| from * 1_000_000 <= at_us);
        begun.last().map_or(1, |(_, kbps)| *kbps)
    }
}

/// A bottleneck in use.
#[derive(Debug)]
pub struct Queue {
    link: Bottleneck,
    random: Random,
    free_us: u64,
    newest_us: u64,
    /// What the capacity is multiplied by, and since which half second.
    wobble: (f64, u64),
}

/// A packet that got through.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// How long it waited for the link.
    pub waited_us: u64,
    /// When it arrives.
    pub arrival_us: u64,
}

impl Queue {
    /// An empty one.
    pub fn new(link: Bottleneck, seed: u64) -> Self {
        Self { link, random: Random(seed), free_us: 0, newest_us: 0, wobble: (1.0, 0) }
    }

    /// Sends a packet through; `None` if it is lost.
    pub fn pass(&mut self, size_bytes: usize, now_us: u64) -> Option<Passed> {
        // Drawn for each, so that what the queue does not take leaves the others their fate.
        let is_lost = self.random.chance(self.link.loss);
        let jitter_us = self.random.below(self.link.jitter_ms * 1_000 + 1);
        let begins_us = self.free_us.max(now_us);
        if begins_us - now_us > self.link.queue_ms * 1_000 {
            return None;
        }
        let half_second = now_us / 500_000;
        if half_second > self.wobble.1 {
            let share = self.random.below(2_001) as f64 / 1_000.0 - 1.0;
            self.wobble = (1.0 + self.link.wobble * share, half_second);
        }
        let kbps = self.link.capacity_kbps(begins_us) as f64 * self.wobble.0;
        self.free_us = begins_us + (size_bytes as f64 * 8_000.0 / kbps) as u64;
        let mut arrival_us = self.free_us + self.link.delay_ms * 1_000 + jitter_us;
        if !self.link.reorders {
            arrival_us = arrival_us.max(self.newest_us);
            self.newest_us = arrival_us;
        }
        (!is_lost).then_some(Passed { waited_us: begins_us - now_us, arrival_us })
    }
}
