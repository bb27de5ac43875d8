//! The only place that reads a clock (D10). The loop reads it once a turn and once per submitted batch.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{ClockReading, WallClock};

/// The monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Both clocks. A wall clock before 1970 reads as 1970.
pub fn read() -> ClockReading {
    let now = Instant::now();
    ClockReading { now, unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
}

/// Ties wall-clock time to the monotonic clock, from now on.
pub fn wall_clock() -> WallClock {
    let reading = read();
    WallClock::new(reading.now, reading.unix)
}
