//! Bitrate over the last half second of any clock, ours or the receiver's.
//!
//! Follows no paper: libwebrtc smooths windows of 150 ms, which frames of unequal size make restless; half a
//! second holds 15 frames of 30 in a second and still forgets a link that has narrowed within two decreases.
#![forbid(unsafe_code)]

use super::groups::Acked;

const BUCKET_US: u64 = 25_000;
/// Half a second, and the bucket that is being filled.
const BUCKETS: u64 = 21;
const RECENT_BUCKETS: u64 = 8;
/// A rate over less than this is chance.
const BUCKETS_MIN: u64 = 6;

/// Counts bytes in buckets of 25 ms.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    bytes: [u32; BUCKETS as usize],
    /// The numbers of the first bucket since the meter began, and of the one being filled.
    span: Option<(u64, u64)>,
}

impl RateMeter {
    /// Counts `bytes` at `at_us`. What is older than the window is forgotten at once.
    pub(super) fn add(&mut self, bytes: u32, at_us: u64) {
        let bucket = at_us / BUCKET_US;
        self.advance(at_us);
        let (_, newest) = *self.span.get_or_insert((bucket, bucket));
        if newest - bucket < BUCKETS {
            let place = &mut self.bytes[(bucket % BUCKETS) as usize];
            *place = place.saturating_add(bytes);
        }
    }

    /// Moves the window on to `at_us`, so that silence counts.
    pub(super) fn advance(&mut self, at_us: u64) {
        let bucket = at_us / BUCKET_US;
        let Some((_, newest)) = &mut self.span else { return };
        if bucket > *newest {
            for passed in *newest + 1..=bucket.min(*newest + BUCKETS) {
                self.bytes[(passed % BUCKETS) as usize] = 0;
            }
            *newest = bucket;
        }
    }

    /// Bits per second over the buckets that are complete; `None` while there are too few.
    pub(super) fn bitrate_bps(&self) -> Option<f64> {
        self.bitrate_over(BUCKETS - 1)
    }

    /// The same over the last 200 ms: restless, but a full link delivers evenly.
    pub(super) fn recent_bps(&self) -> Option<f64> {
        self.bitrate_over(RECENT_BUCKETS)
    }

    fn bitrate_over(&self, count_max: u64) -> Option<f64> {
        let (first, newest) = self.span?;
        let count = (newest - first).min(count_max);
        if count < BUCKETS_MIN {
            return None;
        }
        let complete = (newest - count..newest).map(|bucket| self.bytes[(bucket % BUCKETS) as usize]);
        let bytes: u64 = complete.map(u64::from).sum();
        Some(bytes as f64 * 8e6 / (count * BUCKET_US) as f64)
    }
}

/// What arrives, on the receiver's clock and on ours: it is the smaller of the two, since one of them can be
/// made up.
#[derive(Debug, Default)]
pub(super) struct AckedRate {
    by_arrival: RateMeter,
    by_departure: RateMeter,
}

impl AckedRate {
    pub(super) fn note(&mut self, acked: &Acked) {
        self.by_arrival.add(acked.size_bytes.into(), acked.arrival_us);
        self.by_departure.add(acked.size_bytes.into(), acked.sent_us);
    }

    /// Bits per second over half a second.
    pub(super) fn bitrate_bps(&self) -> Option<f64> {
        Some(self.by_arrival.bitrate_bps()?.min(self.by_departure.bitrate_bps()?))
    }

    /// The same over the last moments, in which a full link has delivered all that it can.
    pub(super) fn recent_bps(&self) -> Option<f64> {
        Some(self.by_arrival.recent_bps()?.min(self.by_departure.recent_bps()?))
    }

    /// On the receiver's clock alone: what a queue that empties still delivers.
    pub(super) fn recent_arrival_bps(&self) -> Option<f64> {
        self.by_arrival.recent_bps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_measured_before_the_window_is_full_and_after() {
        let mut meter = RateMeter::default();
        let mut measured = Vec::new();
        for ms in (0..2_000).step_by(5) {
            meter.add(625, ms * 1_000);
            measured.extend(meter.bitrate_bps());
        }
        assert!(measured.len() > 350 && measured.iter().all(|&bps| bps == 1_000_000.0), "{measured:?}");
    }

    #[test]
    fn who_makes_up_arrival_times_is_not_faster_than_we_sent() {
        let mut rate = AckedRate::default();
        for packet in 0..200u64 {
            let sent_us = packet * 10_000;
            let arrival_us = sent_us / 10;
            rate.note(&Acked { arrival_us, sent_us, size_bytes: 1_250, cluster: 0 });
        }
        let measured = rate.bitrate_bps().expect("it is long enough");
        assert!((900e3..1.1e6).contains(&measured), "{measured}");
    }

    #[test]
    fn silence_counts_and_what_is_too_old_does_not() {
        let mut meter = RateMeter::default();
        for ms in (0..1_000).step_by(5) {
            meter.add(625, ms * 1_000);
        }
        meter.advance(1_250_000);
        assert_eq!(meter.bitrate_bps(), Some(500_000.0));
        meter.add(60_000, 100_000);
        assert_eq!(meter.bitrate_bps(), Some(500_000.0));
        meter.advance(u64::MAX);
        assert_eq!(meter.bitrate_bps(), Some(0.0));
    }
}
