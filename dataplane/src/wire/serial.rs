//! Numbers that wrap on the wire, made numbers that do not (RFC 1982; RFC 3550, appendix A.1).
//!
//! # Invariants
//!
//! - A number is extended to the candidate nearest to the highest so far, so up to half a cycle of
//!   reordering is understood.
//! - The first number is put one cycle up, so that those before it have a place too.
#![forbid(unsafe_code)]

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_before_the_first_has_a_place() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.extend(0), 65536);
        assert_eq!(unwrapper.extend(65535), 65535);
        assert_eq!(unwrapper.extend(1), 65537);
        assert_eq!(unwrapper.highest(), Some(65537));
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
            let mut unwrapper = Unwrapper::default();
            let mut truth = 65536 + i64::from(start);
            prop_assert_eq!(unwrapper.extend(start), truth as u64);
            for step in steps {
                truth = (truth + step).max(unwrapper.highest().map_or(0, |h| h as i64) - 32_767);
                prop_assert_eq!(unwrapper.extend(truth as u16), truth as u64);
            }
        }
    }
}
