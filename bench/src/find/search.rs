//! Searching the largest number that holds: doubling until one fails, then halving the gap.
//!
//! It knows nothing of what is measured: it says which number is next and is told what came of it.
//!
//! # Invariants
//!
//! - No number is tried twice, and none outside the bounds.
//! - `largest` held, and nothing above it that was tried did.
#![forbid(unsafe_code)]

use std::fmt;

/// Where it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The first number that is tried.
    pub(crate) start: u64,
    /// The largest one that may be tried.
    pub(crate) max: u64,
    /// The search ends when the gap between what holds and what fails is at most this many percent.
    pub(crate) resolution_percent: u64,
}

/// What came of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The objective holds.
    Holds,
    /// It does not, and this is why.
    Fails(String),
    /// The generator cannot tell, and this is why.
    Invalid(String),
}

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search {
    bounds: Bounds,
    holds: Option<u64>,
    fails: Option<(u64, String)>,
    invalid: Option<(u64, String)>,
    tried: Vec<(u64, Option<bool>)>,
    current: Option<u64>,
}

impl Search {
    /// Nothing is known yet.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, holds: None, fails: None, invalid: None, tried: Vec::new(), current: None }
    }

    /// The number to try now; `None` when the search is over.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.current = self.propose();
        self.current
    }

    fn propose(&self) -> Option<u64> {
        if self.invalid.is_some() {
            return None;
        }
        let next = match (self.holds, &self.fails) {
            (None, None) => self.bounds.start.min(self.bounds.max),
            (Some(holds), None) => holds.saturating_mul(2).min(self.bounds.max),
            (holds, Some((fails, _))) => {
                let holds = holds.unwrap_or(0);
                let is_fine = (fails - holds) * 100 <= self.bounds.resolution_percent * holds;
                if is_fine { holds } else { holds + (fails - holds) / 2 }
            }
        };
        let is_new = next > 0 && Some(next) != self.holds;
        is_new.then_some(next)
    }

    /// Tells what came of the number that [`Search::next`] gave.
    pub(crate) fn tell(&mut self, outcome: Outcome) {
        let number = self.current.take().expect("an outcome belongs to a number");
        self.tried.push((
            number,
            match outcome {
                Outcome::Holds => Some(true),
                Outcome::Fails(_) => Some(false),
                Outcome::Invalid(_) => None,
            },
        ));
        match outcome {
            Outcome::Holds => self.holds = Some(number),
            Outcome::Fails(why) => self.fails = Some((number, why)),
            Outcome::Invalid(why) => self.invalid = Some((number, why)),
        }
    }

    /// The largest number that held.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.holds
    }

    /// Each number that was tried and whether it held; `None`: the generator could not tell.
    pub(crate) fn tried(&self) -> &[(u64, Option<bool>)] {
        &self.tried
    }

    /// Why the search is over, for a person.
    pub(crate) fn ended(&self) -> String {
        match (&self.invalid, &self.fails) {
            (Some((number, why)), _) => format!("INVALID at {number}: {why}"),
            (None, Some((number, why))) => format!("{number} fails: {why}"),
            (None, None) => format!("{} is the largest that may be tried", self.bounds.max),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => write!(f, "holds"),
            Self::Fails(why) => write!(f, "fails: {why}"),
            Self::Invalid(why) => write!(f, "INVALID: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_until_one_fails_and_halves_the_gap() {
        check(10, 5000, 5, |n| n <= 137, "10 20 40 80 160x 120 140x 130 135", Some(135));
    }

    #[test]
    fn it_goes_down_if_the_first_one_fails() {
        check(10, 5000, 5, |n| n <= 3, "10x 5x 2 3 4x", Some(3));
        check(10, 5000, 5, |_| false, "10x 5x 2x 1x", None);
    }

    #[test]
    fn it_stops_at_the_largest_that_may_be_tried() {
        check(10, 70, 5, |_| true, "10 20 40 70", Some(70));
        check(100, 70, 5, |_| true, "70", Some(70));
        let mut search = Search::new(Bounds { start: 8, max: 8, resolution_percent: 5 });
        assert_eq!(search.next(), Some(8));
        search.tell(Outcome::Holds);
        assert_eq!((search.next(), search.ended().contains("8 is the largest")), (None, true));
    }

    #[test]
    fn an_invalid_point_ends_it_and_keeps_what_is_known() {
        let mut search = Search::new(Bounds { start: 10, max: 5000, resolution_percent: 5 });
        assert_eq!(search.next(), Some(10));
        search.tell(Outcome::Holds);
        assert_eq!(search.next(), Some(20));
        search.tell(Outcome::Invalid("the publisher was late".to_owned()));
        assert_eq!(search.next(), None);
        assert_eq!(search.largest(), Some(10));
        assert_eq!(search.ended(), "INVALID at 20: the publisher was late");
        assert_eq!(search.tried(), [(10, Some(true)), (20, None)]);
    }

    #[test]
    fn the_answer_is_within_the_resolution_of_the_truth() {
        for truth in 1..600 {
            let mut search = Search::new(Bounds { start: 10, max: 500, resolution_percent: 10 });
            let mut tries = 0;
            while let Some(number) = search.next() {
                tries += 1;
                let outcome = if number <= truth { Outcome::Holds } else { Outcome::Fails(String::new()) };
                search.tell(outcome);
            }
            let found = search.largest().unwrap_or(0);
            assert!(found <= truth && (truth.min(500) - found) * 10 <= found, "{truth}: {found}");
            assert!(tries < 16, "{truth}: {tries} tries");
        }
    }

    /// What is tried, a failure marked by x, and what is found.
    #[track_caller]
    fn check(
        start: u64,
        max: u64,
        resolution_percent: u64,
        holds: impl Fn(u64) -> bool,
        expected: &str,
        largest: Option<u64>,
    ) {
        let mut search = Search::new(Bounds { start, max, resolution_percent });
        let mut tried = Vec::new();
        while let Some(number) = search.next() {
            let is_held = holds(number);
            tried.push(format!("{number}{}", if is_held { "" } else { "x" }));
            search.tell(if is_held { Outcome::Holds } else { Outcome::Fails("no".to_owned()) });
        }
        assert_eq!(tried.join(" "), expected);
        assert_eq!(search.largest(), largest);
    }
}
