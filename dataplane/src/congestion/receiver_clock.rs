//! The times of feedback, made to go on over the wrap of its 24 bits
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1). Only differences mean something.
#![forbid(unsafe_code)]

use crate::wire::twcc::TICK_US;

/// One unit of the reference time is 64 ms.
const REFERENCE_TICKS: i64 = 64_000 / TICK_US as i64;
/// Times get this on top, so that none is negative.
const OFFSET_US: i64 = 1 << 50;

/// The clock of one receiver.
#[derive(Debug, Default)]
pub(super) struct ReceiverClock {
    /// The first reference time and the last, in ticks.
    references: Option<(i64, i64)>,
    /// The latest arrival so far.
    pub(super) newest_us: u64,
}

impl ReceiverClock {
    /// What has to be added to the times of a feedback with this reference time, microseconds.
    pub(super) fn shift_us(&mut self, reference_time: i32) -> i64 {
        let raw = i64::from(reference_time) * REFERENCE_TICKS;
        let (origin, last) = self.references.unwrap_or((raw, raw));
        // 24 bits of 64 ms are 2^32 ticks: the nearest of all that look the same.
        let unwrapped = last + i64::from((raw - last) as i32);
        self.references = Some((origin, unwrapped));
        (unwrapped - raw - origin) * TICK_US as i64 + OFFSET_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_on_over_the_wrap_and_back() {
        let mut clock = ReceiverClock::default();
        let highest = (1 << 23) - 1;
        let mut at_ms =
            |reference: i32| (clock.shift_us(reference) + i64::from(reference) * 64_000 - OFFSET_US) / 1_000;
        assert_eq!(at_ms(highest - 1), 0);
        assert_eq!(at_ms(highest), 64);
        assert_eq!(at_ms(-highest - 1), 128);
        assert_eq!(at_ms(highest), 64, "an older feedback that came late");
        assert_eq!(at_ms(-highest + 9), 128 + 10 * 64);
    }
}
