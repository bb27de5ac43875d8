//! How long packets wait in the queue of the bottleneck: the way of now against the shortest of the last ten
//! seconds (the base delay of LEDBAT, RFC 6817, section 3.4.2). Clocks need not agree: only the
//! difference counts.
#![forbid(unsafe_code)]

/// A shortest way is believed for one to two of these, microseconds.
const MEMORY_US: u64 = 10_000_000;
/// The way of now is the shortest of one to two of these: jitter makes single packets slow, a queue all of them.
const NOW_US: u64 = 150_000;

/// The shortest way, and how much longer the way is now.
#[derive(Debug, Default)]
pub(super) struct Queueing {
    ever: Shortest,
    now: Shortest,
}

impl Queueing {
    /// Takes a packet that was sent at `sent_us` and arrived at `arrival_us` of another clock.
    pub(super) fn note(&mut self, sent_us: u64, arrival_us: u64) {
        let way_us = arrival_us as i64 - sent_us as i64;
        self.ever.note(way_us, sent_us, MEMORY_US);
        self.now.note(way_us, sent_us, NOW_US);
    }

    /// Milliseconds above the shortest way; 0 while nothing is known.
    pub(super) fn delay_ms(&self) -> f64 {
        let both = self.now.us().zip(self.ever.us());
        both.map_or(0.0, |(now, ever)| (now - ever) as f64 / 1e3)
    }
}

/// The smallest of one to two periods.
#[derive(Debug, Default)]
struct Shortest {
    current_us: Option<i64>,
    before_us: Option<i64>,
    began_us: u64,
}

impl Shortest {
    fn note(&mut self, way_us: i64, at_us: u64, period_us: u64) {
        if at_us.saturating_sub(self.began_us) > period_us {
            self.before_us = self.current_us.take();
            self.began_us = at_us;
        }
        self.current_us = Some(self.current_us.map_or(way_us, |known| known.min(way_us)));
    }

    fn us(&self) -> Option<i64> {
        self.current_us.into_iter().chain(self.before_us).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_what_the_way_takes_longer_than_it_must() {
        let mut queueing = Queueing::default();
        assert_eq!(queueing.delay_ms(), 0.0);
        for packet in 0..200u64 {
            let waits_us = if packet < 100 { 0 } else { 80_000 };
            queueing.note(packet * 10_000, 5_000_000 + packet * 10_000 + waits_us);
        }
        assert!((queueing.delay_ms() - 80.0).abs() < 1.0, "{}", queueing.delay_ms());
    }

    #[test]
    fn jitter_is_no_queue() {
        let mut queueing = Queueing::default();
        for packet in 0..200u64 {
            queueing.note(packet * 10_000, packet * 10_000 + (packet * 7 % 11) * 5_000);
        }
        assert_eq!(queueing.delay_ms(), 0.0);
    }

    #[test]
    fn a_way_that_has_become_longer_for_good_is_no_queue_after_a_while() {
        let mut queueing = Queueing::default();
        for packet in 0..4_000u64 {
            let longer_us = if packet < 100 { 0 } else { 80_000 };
            queueing.note(packet * 10_000, packet * 10_000 + longer_us);
        }
        assert!(queueing.delay_ms() < 1.0, "{}", queueing.delay_ms());
    }
}
