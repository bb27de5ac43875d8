//! When the packets of a frame leave: in short bursts, as the pacer of a browser sends them.

use std::time::Duration;

/// Time between two bursts, as in libwebrtc.
const INTERVAL: Duration = Duration::from_millis(5);
/// libwebrtc paces at this many times the bitrate, in halves.
const HASTE_HALVES: u64 = 5;

/// What one burst may hold. A packet is never cut: the last one may go over the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Packets of one burst.
    pub(super) packets_max: u64,
    /// Bytes that are sent within one interval.
    pub(super) bytes_max: u64,
}

impl Pace {
    /// All at once.
    pub(super) const UNPACED: Self = Self { packets_max: u64::MAX, bytes_max: u64::MAX };

    /// Two and a half times as fast as `bitrate_bps`, in bursts of at most `packets_max`; of more only where
    /// those of the longest packets would be too slow.
    pub(super) fn of_bitrate(packets_max: u64, bitrate_bps: u64) -> Self {
        let bytes_per_second = bitrate_bps * HASTE_HALVES / 2 / 8;
        let per_second = Duration::from_secs(1).as_nanos() / INTERVAL.as_nanos();
        let bytes_max = (bytes_per_second / per_second as u64).max(1);
        Self { packets_max: packets_max.max(bytes_max / super::PAYLOAD_LEN_MAX as u64), bytes_max }
    }
}

/// Sends first what came first.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    pace: Pace,
    /// The newest burst: when it leaves, its packets, and its bytes with what the one before it had too many.
    burst_at: Duration,
    packets: u64,
    bytes: u64,
}

impl Pacer {
    /// A pacer that has sent nothing.
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, burst_at: Duration::ZERO, packets: 0, bytes: 0 }
    }

    /// When a packet leaves that was made at `made_at`, if none comes before it.
    pub(super) fn next_at(&self, made_at: Duration) -> Duration {
        let is_full = self.packets >= self.pace.packets_max || self.bytes >= self.pace.bytes_max;
        if made_at <= self.burst_at && !is_full {
            return self.burst_at;
        }
        let intervals = (self.bytes / self.pace.bytes_max).max(1);
        made_at.max(self.burst_at + INTERVAL * u32::try_from(intervals).unwrap_or(u32::MAX))
    }

    /// Sends it.
    pub(super) fn send(&mut self, made_at: Duration, bytes: u64) -> Duration {
        let at = self.next_at(made_at);
        if at != self.burst_at {
            let intervals = ((at - self.burst_at).as_nanos() / INTERVAL.as_nanos()) as u64;
            let paid = intervals.saturating_mul(self.pace.bytes_max);
            (self.burst_at, self.packets, self.bytes) = (at, 0, self.bytes.saturating_sub(paid));
        }
        self.packets += 1;
        self.bytes += bytes;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets as `made:bytes`, ms; when they leave, ms.
    #[track_caller]
    fn check(pace: Pace, packets: &str, expected: &str) {
        let mut pacer = Pacer::new(pace);
        let leave = packets.split_whitespace().map(|packet| {
            let (made, bytes) = packet.split_once(':').expect("made:bytes");
            let made_at = Duration::from_millis(made.parse().expect("ms"));
            let foretold = pacer.next_at(made_at);
            let at = pacer.send(made_at, bytes.parse().expect("bytes"));
            assert_eq!(at, foretold);
            at.as_millis().to_string()
        });
        assert_eq!(leave.collect::<Vec<_>>().join(" "), expected, "{packets}");
    }

    #[test]
    fn a_frame_leaves_in_bursts_and_the_next_one_waits_for_it() {
        let pace = Pace { packets_max: 3, bytes_max: u64::MAX };
        check(pace, "0:9 0:9 0:9 0:9 0:9 0:9 0:9", "0 0 0 5 5 5 10");
        check(pace, "0:9 0:9 33:9 33:9 33:9 33:9 34:9", "0 0 33 33 33 38 38");
        check(pace, "0:9 0:9 0:9 0:9 3:9 3:9 3:9 20:9", "0 0 0 5 5 5 10 20");
    }

    #[test]
    fn a_slow_source_sends_one_packet_and_waits_as_long_as_that_takes() {
        // 160 kbit/s, paced at 400: 250 bytes in 5 ms.
        let pace = Pace::of_bitrate(3, 160_000);
        assert_eq!(pace.bytes_max, 250);
        check(pace, "0:1000 0:1000 0:100 0:100 0:100 0:100", "0 20 40 40 40 45");
        // Of what was long ago nothing is left over.
        check(pace, "0:1000 90:1000 90:10", "0 90 110");
    }

    #[test]
    fn a_long_frame_leaves_at_two_and_a_half_times_the_bitrate() {
        let mut pacer = Pacer::new(Pace::of_bitrate(3, 2_000_000));
        let at: Vec<Duration> = (0..100).map(|_| pacer.send(Duration::ZERO, 1100)).collect();
        // 110,000 bytes at 5 Mbit/s are 176 ms.
        assert!((170..=176).contains(&at[99].as_millis()), "{:?}", at[99]);
        assert!(at.windows(4).all(|four| four[3] > four[0]));
    }

    #[test]
    fn what_is_not_paced_leaves_at_once() {
        check(Pace::UNPACED, "0:9 0:9 0:9 0:9 0:9 33:9", "0 0 0 0 0 33");
    }
}
