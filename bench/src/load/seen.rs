//! Which packets one subscriber has got: exact loss, whatever came late, twice or out of order.
#![forbid(unsafe_code)]

use std::ops::Range;

/// Packets that may be remembered: more than an hour of the stream. What lies beyond is not counted.
const SEQUENCE_MAX: u64 = 1 << 20;

/// A set of packet numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// Adds a number; `false` if it was there.
    pub(crate) fn insert(&mut self, sequence: u64) -> bool {
        if sequence >= SEQUENCE_MAX {
            return false;
        }
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// How many numbers of `range` are not there.
    pub(crate) fn missing(&self, range: Range<u64>) -> u64 {
        range.filter(|&sequence| !self.contains(sequence)).count() as u64
    }

    fn contains(&self, sequence: u64) -> bool {
        let word = self.words.get((sequence / 64) as usize).copied().unwrap_or(0);
        word & (1 << (sequence % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_counts_gaps_and_what_never_came_but_not_what_came_twice_or_late() {
        let mut seen = Seen::default();
        for sequence in [0, 1, 3, 2, 2, 64, 66] {
            seen.insert(sequence);
        }
        assert_eq!(seen.missing(0..4), 0);
        assert_eq!(seen.missing(64..67), 1);
        assert_eq!(seen.missing(66..200), 133);
        assert!(!seen.insert(66) && seen.insert(65));
        assert!(!seen.insert(u64::MAX), "a wild number takes no memory");
    }
}
