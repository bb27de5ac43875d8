//! Time as the engine sees it: monotonic instants given as arguments, and NTP for the wire.
//!
//! Nothing here reads a clock. The one place that does is `shard/clock.rs`.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// NTP timestamp, 32.32 fixed point seconds since 1900 (RFC 3550, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const UNIX_EPOCH_IN_NTP_SECONDS: u64 = 2_208_988_800;

impl NtpTime {
    /// From the time since the Unix epoch.
    pub fn from_unix(since_epoch: Duration) -> Self {
        Self((UNIX_EPOCH_IN_NTP_SECONDS << 32).wrapping_add(to_fixed(since_epoch)))
    }

    /// The middle 32 bits, as they stand in LSR and DLSR (RFC 3550, section 6.4.1).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// 24 bits of 6.18 fixed point, as they stand in the abs-send-time extension.
    pub fn abs_send_time(self) -> u32 {
        (self.0 >> 14) as u32 & 0x00ff_ffff
    }

    /// Seconds from `earlier` to `self`, negative if `self` is the earlier one.
    pub fn seconds_since(self, earlier: NtpTime) -> f64 {
        (self.0.wrapping_sub(earlier.0) as i64) as f64 / 4_294_967_296.0
    }

    /// This time moved by some seconds, back if they are negative.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> NtpTime {
        NtpTime(self.0.wrapping_add((seconds * 4_294_967_296.0) as i64 as u64))
    }
}

/// Ties the monotonic clock to wall-clock time, once, at start. Later steps of the wall clock change
/// nothing: sender reports must never jump.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    at: Instant,
    ntp: NtpTime,
}

impl WallClock {
    /// Says that the wall clock showed `since_unix_epoch` at the instant `at`.
    pub fn new(at: Instant, since_unix_epoch: Duration) -> Self {
        Self { at, ntp: NtpTime::from_unix(since_unix_epoch) }
    }

    /// The NTP time at `now`.
    pub fn ntp(&self, now: Instant) -> NtpTime {
        let moved = match now.checked_duration_since(self.at) {
            Some(after) => to_fixed(after),
            None => to_fixed(self.at - now).wrapping_neg(),
        };
        NtpTime(self.ntp.0.wrapping_add(moved))
    }
}

/// Both clocks, read at one moment: how a kernel's wall-clock stamp becomes an [`Instant`].
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    /// The monotonic clock.
    pub now: Instant,
    /// The wall clock, since the Unix epoch.
    pub unix: Duration,
}

impl ClockReading {
    /// When something happened that was stamped `unix` by the wall clock. Never later than `now`; a stamp
    /// that lies more than `age_max` back is taken for a step of the wall clock and read as `now`.
    pub fn instant_of(&self, unix: Duration, age_max: Duration) -> Instant {
        let age = self.unix.saturating_sub(unix);
        if age > age_max {
            return self.now;
        }
        self.now.checked_sub(age).unwrap_or(self.now)
    }
}

fn to_fixed(duration: Duration) -> u64 {
    (duration.as_secs() << 32) | ((u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_runs_both_ways_from_its_anchor() {
        let anchor = Instant::now() + Duration::from_secs(10);
        let clock = WallClock::new(anchor, Duration::from_secs(1_000));
        let at = |instant| clock.ntp(instant).0 >> 32;
        assert_eq!(at(anchor), UNIX_EPOCH_IN_NTP_SECONDS + 1_000);
        assert_eq!(at(anchor + Duration::from_secs(5)), UNIX_EPOCH_IN_NTP_SECONDS + 1_005);
        assert_eq!(at(anchor - Duration::from_secs(5)), UNIX_EPOCH_IN_NTP_SECONDS + 995);
    }

    #[test]
    fn a_difference_has_a_sign() {
        let early = NtpTime::from_unix(Duration::from_millis(1_000));
        let late = NtpTime::from_unix(Duration::from_millis(1_250));
        assert!((late.seconds_since(early) - 0.25).abs() < 1e-6);
        assert!((early.seconds_since(late) + 0.25).abs() < 1e-6);
        assert!(early.plus_seconds(0.25).seconds_since(late).abs() < 1e-6);
    }
    #[test]
    fn a_stamp_becomes_an_instant_that_is_never_in_the_future() {
        let now = Instant::now() + Duration::from_secs(100);
        let at = ClockReading { now, unix: Duration::from_secs(1_000) };
        let instant_of = |ms| at.instant_of(Duration::from_millis(ms), Duration::from_secs(10));
        assert_eq!(instant_of(999_500), now - Duration::from_millis(500));
        assert_eq!(instant_of(1_000_001), now);
        assert_eq!(instant_of(5), now, "a stepped wall clock is not a latency");
    }
}
