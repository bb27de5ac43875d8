//! Whether anybody wants an encoding, so that its publisher may stop sending what nobody sees.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::limits::UNWANTED_AFTER;

/// The demand for one encoding. It counts as wanted until nobody has wanted it for [`UNWANTED_AFTER`].
#[derive(Debug, Default)]
pub struct Demand {
    unwanted_since: Option<Instant>,
    is_unwanted: bool,
}

impl Demand {
    /// Whether the encoding is wanted.
    pub fn is_wanted(&self) -> bool {
        !self.is_unwanted
    }

    /// Takes in whether somebody wants it now; says so if that changes what the publisher should know.
    pub fn note(&mut self, is_wanted: bool, now: Instant) -> Option<bool> {
        if is_wanted {
            self.unwanted_since = None;
            return std::mem::take(&mut self.is_unwanted).then_some(true);
        }
        let since = *self.unwanted_since.get_or_insert(now);
        let is_due = !self.is_unwanted && now >= since + UNWANTED_AFTER;
        self.is_unwanted |= is_due;
        is_due.then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_short_lack_of_demand_is_nobodys_business_and_demand_is_said_at_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut demand = Demand::default();
        let mut said = Vec::new();
        for (ms, is_wanted) in [
            (0, false),
            (1_900, false),
            (1_950, true),
            (2_000, false),
            (3_999, false),
            (4_000, false),
            (4_100, false),
            (4_200, true),
            (4_300, true),
        ] {
            said.extend(demand.note(is_wanted, at(ms)).map(|word| (ms, word)));
        }
        assert_eq!(said, [(4_000, false), (4_200, true)]);
    }
}
