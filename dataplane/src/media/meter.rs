//! Bitrate over the last second, in quarters.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

const BUCKETS: usize = 4;
const BUCKET: Duration = Duration::from_millis(250);

/// Counts bytes in four buckets of a quarter second each.
#[derive(Debug)]
pub struct BitrateMeter {
    /// Bytes; the first is the one being filled.
    buckets: [u64; BUCKETS + 1],
    began_at: Instant,
}

impl BitrateMeter {
    /// A meter that begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { buckets: [0; BUCKETS + 1], began_at: now }
    }

    /// Counts `bytes` that came at `now`.
    pub fn add(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.buckets[0] += bytes as u64;
    }

    /// Bits per second over the last full second.
    pub fn bitrate_bps(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.buckets[1..].iter().sum::<u64>() * 8
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.began_at).as_millis() / BUCKET.as_millis();
        if passed == 0 {
            return;
        }
        let shift = usize::try_from(passed).unwrap_or(usize::MAX).min(BUCKETS + 1);
        self.buckets.rotate_right(shift % (BUCKETS + 1));
        self.buckets[..shift].fill(0);
        self.began_at += BUCKET * u32::try_from(passed).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_and_forgotten_after_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = BitrateMeter::new(start);
        for ms in (0..2000).step_by(10) {
            meter.add(125, at(ms));
        }
        assert_eq!(meter.bitrate_bps(at(2000)), 100_000);
        assert_eq!(meter.bitrate_bps(at(3300)), 0);
    }
}
