//! Whether so little is sent that the estimate cannot grow from what arrives: the application-limited region
//! (a leaky bucket, as in libwebrtc's `AlrDetector`; named so in draft-ietf-rmcat-gcc-02, section 7).
#![forbid(unsafe_code)]

/// Of the estimate, so much is meant to be used.
const TARGET_USE: f64 = 0.65;
/// The bucket holds so many seconds of it.
const WINDOW_SECONDS: f64 = 0.5;
/// It begins when so much of the bucket is free, and ends when only so much is.
const BEGINS: f64 = 0.8;
const ENDS: f64 = 0.5;

/// The bucket: full when much was sent, empty when little was.
#[derive(Debug, Default)]
pub(super) struct ApplicationLimit {
    /// Bits that may still be sent.
    free_bits: f64,
    updated_us: Option<u64>,
    is_limited: bool,
}

impl ApplicationLimit {
    pub(super) fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// Counts media that was sent; padding does not count, as nobody needed it.
    pub(super) fn note(&mut self, size_bytes: u16, estimate_bps: f64, now_us: u64) {
        let rate_bps = TARGET_USE * estimate_bps;
        let size = (rate_bps * WINDOW_SECONDS).max(1.0);
        let elapsed = self.updated_us.map_or(0, |before| now_us.saturating_sub(before)) as f64 / 1e6;
        self.updated_us = Some(now_us);
        self.free_bits =
            (self.free_bits + rate_bps * elapsed - 8.0 * f64::from(size_bytes)).clamp(-size, size);
        let free = self.free_bits / size;
        self.is_limited = if self.is_limited { free > ENDS } else { free > BEGINS };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet every 10 ms, so many bits per second, for so many of them.
    fn play(limit: &mut ApplicationLimit, from: u64, count: u64, bps: u64) -> bool {
        for packet in from..from + count {
            limit.note((bps / 800) as u16, 1e6, packet * 10_000);
        }
        limit.is_limited()
    }

    #[test]
    fn who_sends_a_third_is_limited_after_a_second_and_who_sends_all_is_not() {
        let mut limit = ApplicationLimit::default();
        assert!(!play(&mut limit, 0, 300, 900_000));
        assert!(play(&mut limit, 300, 300, 300_000));
        assert!(!play(&mut limit, 600, 300, 900_000));
    }
}
