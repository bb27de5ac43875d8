//! Finds out which packets of an encoding are missing, and when to ask for them (RFC 4585, section 6.2.1).
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{NACK_LIST_LEN_MAX, NACK_REORDER_WAIT, NACK_TRIES_MAX};

/// The missing packets of one run of numbers, oldest first.
#[derive(Debug, Default)]
pub struct MissingPackets {
    list: VecDeque<Missing>,
    /// Packets that never came, although asked for.
    lost_total: u64,
}

#[derive(Debug)]
struct Missing {
    index: u64,
    ask_at: Instant,
    tries: u8,
}

impl MissingPackets {
    /// Everything between `highest` and `index` is missing. On overflow the oldest are given up.
    pub fn note_gap(&mut self, highest: u64, index: u64, now: Instant) {
        let first = (highest + 1).max(index.saturating_sub(NACK_LIST_LEN_MAX as u64));
        self.lost_total += first - (highest + 1);
        for missing in first..index {
            if self.list.len() == NACK_LIST_LEN_MAX {
                self.list.pop_front();
                self.lost_total += 1;
            }
            self.list.push_back(Missing { index: missing, ask_at: now + NACK_REORDER_WAIT, tries: 0 });
        }
    }

    /// How many packets are missing and still asked for.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether a packet is missing and still asked for.
    pub fn contains(&self, index: u64) -> bool {
        self.list.binary_search_by_key(&index, |missing| missing.index).is_ok()
    }

    /// A missing packet came after all.
    pub fn note_arrival(&mut self, index: u64) {
        if let Ok(at) = self.list.binary_search_by_key(&index, |missing| missing.index) {
            self.list.remove(at);
        }
    }

    /// When the next question is due.
    pub fn due_at(&self) -> Option<Instant> {
        self.list.iter().map(|missing| missing.ask_at).min()
    }

    /// Writes the sequence numbers to ask for at `now` into `out`, in order, and returns how many. What
    /// was asked for too often is given up.
    pub fn take_due(&mut self, now: Instant, retry: Duration, out: &mut [u16]) -> usize {
        let before = self.list.len();
        self.list.retain(|missing| missing.ask_at > now || missing.tries < NACK_TRIES_MAX);
        self.lost_total += (before - self.list.len()) as u64;

        let mut count = 0;
        for missing in self.list.iter_mut().filter(|missing| missing.ask_at <= now) {
            let Some(slot) = out.get_mut(count) else { break };
            *slot = missing.index as u16;
            missing.ask_at = now + retry;
            missing.tries += 1;
            count += 1;
        }
        count
    }

    /// Packets given up so far.
    pub fn lost_total(&self) -> u64 {
        self.lost_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_millis(100);

    #[test]
    fn a_gap_is_asked_for_after_the_reorder_wait_and_again_after_a_round_trip() {
        let start = Instant::now();
        let mut missing = MissingPackets::default();
        missing.note_gap(10, 13, start);
        assert!(ask(&mut missing, start).is_empty());
        assert_eq!(ask(&mut missing, start + NACK_REORDER_WAIT), [11, 12]);
        missing.note_arrival(11);
        assert_eq!(ask(&mut missing, start + NACK_REORDER_WAIT + RETRY), [12]);
    }

    #[test]
    fn a_packet_that_never_comes_is_given_up() {
        let start = Instant::now();
        let mut missing = MissingPackets::default();
        missing.note_gap(10, 12, start);
        let asked: usize = (0..100).map(|turn| ask(&mut missing, start + RETRY * turn).len()).sum();
        assert_eq!(asked, usize::from(NACK_TRIES_MAX));
        assert_eq!((missing.lost_total(), missing.due_at()), (1, None));
    }

    #[test]
    fn a_jump_does_not_grow_the_list_without_bound() {
        let start = Instant::now();
        let mut missing = MissingPackets::default();
        missing.note_gap(0, 1_000_000, start);
        assert_eq!(missing.list.len(), NACK_LIST_LEN_MAX);
        assert_eq!(missing.lost_total(), 999_999 - NACK_LIST_LEN_MAX as u64);
    }

    fn ask(missing: &mut MissingPackets, now: Instant) -> Vec<u16> {
        let mut out = [0; 64];
        let count = missing.take_due(now, RETRY, &mut out);
        out[..count].to_vec()
    }
}
