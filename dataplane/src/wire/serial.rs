//! Numbers that wrap on the wire, made numbers that do not (RFC 1982; RFC 3550, appendix A.1).
//!
//! # Invariants
//!
//! - A number is extended to the candidate nearest to the highest so far, so up to half a cycle of
//!   reordering is understood.
//! - The first number is put one cycle up, so that those before it have a place too.
#![forbid(unsafe_code)]

/// Whether `a` comes after `b` within half a cycle (RFC 1982, section 3.2).
pub fn is_newer_u16(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 15
}

/// Whether `a` comes after `b` within half a cycle (RFC 1982, section 3.2).
pub fn is_newer_u32(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// Extends 16-bit sequence numbers to 64 bits. The low 16 bits stay what they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// The extended number, remembered if it is the highest so far.
    pub fn extend(&mut self, number: u16) -> u64 {
        let extended = self.peek(number);
        self.highest = self.highest.max(Some(extended));
        extended
    }

    /// The extended number, not remembered: for what is not authenticated yet.
    pub fn peek(&self, number: u16) -> u64 {
        match self.highest {
            None => (1 << 16) + u64::from(number),
            Some(highest) => {
                let step = number.wrapping_sub(highest as u16) as i16;
                highest.wrapping_add_signed(i64::from(step))
            }
        }
    }

    /// The highest extended number so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends 32-bit RTP timestamps to 64 bits. The low 32 bits stay what they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    /// The extended timestamp, remembered if it is the highest so far.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = self.peek(timestamp);
        self.highest = self.highest.max(Some(extended));
        extended
    }

    /// The extended timestamp, not remembered: for what is not authenticated yet.
    pub fn peek(&self, timestamp: u32) -> u64 {
        match self.highest {
            None => (1 << 32) + u64::from(timestamp),
            Some(highest) => {
                let step = timestamp.wrapping_sub(highest as u32) as i32;
                highest.wrapping_add_signed(i64::from(step))
            }
        }
    }

    /// The highest extended timestamp so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn newer_means_within_half_a_cycle_ahead() {
        assert!(is_newer_u16(1, 0) && is_newer_u16(0, 65535) && is_newer_u16(32767, 0));
        assert!(!is_newer_u16(0, 0) && !is_newer_u16(65535, 0) && !is_newer_u16(32768, 0));
        assert!(is_newer_u32(0, u32::MAX) && !is_newer_u32(u32::MAX, 0) && !is_newer_u32(7, 7));
    }

    #[test]
    fn a_number_before_the_first_has_a_place() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.extend(0), 65536);
        assert_eq!(unwrapper.extend(65535), 65535);
        assert_eq!(unwrapper.extend(1), 65537);
        assert_eq!(unwrapper.highest(), Some(65537));
        let mut timestamps = TimestampUnwrapper::default();
        assert_eq!(timestamps.extend(5), (1 << 32) + 5);
        assert_eq!(timestamps.extend(u32::MAX), u64::from(u32::MAX));
    }

    #[test]
    fn a_peek_changes_nothing() {
        let mut unwrapper = Unwrapper::default();
        unwrapper.extend(100);
        assert_eq!(unwrapper.peek(30_000), 65536 + 30_000);
        assert_eq!(unwrapper.highest(), Some(65536 + 100));
    }

    proptest! {
        #[test]
        fn a_walk_of_small_steps_is_followed(
            start: u16, steps in proptest::collection::vec(-3_000i64..6_000, 0..200),
        ) {
            let (mut unwrapper, mut timestamps) = (Unwrapper::default(), TimestampUnwrapper::default());
            let mut truth = 65536 + i64::from(start);
            prop_assert_eq!(unwrapper.extend(start), truth as u64);
            let mut timestamp = (1i64 << 32) + i64::from(start);
            prop_assert_eq!(timestamps.extend(start.into()), timestamp as u64);
            for step in steps {
                truth = (truth + step).max(unwrapper.highest().map_or(0, |h| h as i64) - 32_767);
                prop_assert_eq!(unwrapper.extend(truth as u16), truth as u64);
                timestamp = (timestamp + step * 100_000)
                    .max(timestamps.highest().map_or(0, |h| h as i64) - 0x7fff_ffff);
                prop_assert_eq!(timestamps.extend(timestamp as u32), timestamp as u64);
            }
        }
    }
}
