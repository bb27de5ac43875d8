//! How long packets wait in the queue of the bottleneck: the way of now against the shortest of the last ten
//! seconds (the base delay of LEDBAT, RFC 6817, section 3.4.2). Clocks need not agree: only the
//! difference counts.
#![forbid(unsafe_code)]

/// A shortest way is believed for one to two of these.
const MEMORY_US: u64 = 10_000_000;
/// Weight of what is known when a packet comes.
const SMOOTHING: f64 = 0.9;

/// The shortest way, and how much longer the way is now.
#[derive(Debug, Default)]
pub(super) struct Queueing {
    /// Shortest way since `began_us`, and in the period before.
    shortest_us: Option<i64>,
    shortest_before_us: Option<i64>,
    began_us: u64,
    smoothed_us: Option<f64>,
}

impl Queueing {
    /// Takes a packet that was sent at `sent_us` and arrived at `arrival_us` of another clock.
    pub(super) fn note(&mut self, sent_us: u64, arrival_us: u64) {
        let way = arrival_us as i64 - sent_us as i64;
        if sent_us.saturating_sub(self.began_us) > MEMORY_US {
            self.shortest_before_us = self.shortest_us.take();
            self.began_us = sent_us;
        }
        self.shortest_us = Some(self.shortest_us.map_or(way, |shortest| shortest.min(way)));
        let smoothed = self.smoothed_us.map_or(way as f64, |known| {
            SMOOTHING * known + (1.0 - SMOOTHING) * way as f64
        });
        self.smoothed_us = Some(smoothed);
    }

    /// Milliseconds above the shortest way; 0 while nothing is known.
    pub(super) fn delay_ms(&self) -> f64 {
        let shortest = self.shortest_us.into_iter().chain(self.shortest_before_us).min();
        match (self.smoothed_us, shortest) {
            (Some(smoothed), Some(shortest)) => (smoothed - shortest as f64) / 1e3,
            _ => 0.0,
        }
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
    fn a_way_that_has_become_longer_for_good_is_no_queue_after_a_while() {
        let mut queueing = Queueing::default();
        for packet in 0..4_000u64 {
            let longer_us = if packet < 100 { 0 } else { 80_000 };
            queueing.note(packet * 10_000, packet * 10_000 + longer_us);
        }
        assert!(queueing.delay_ms() < 1.0, "{}", queueing.delay_ms());
    }
}
