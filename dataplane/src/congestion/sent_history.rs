//! What was sent with which transport-wide number, until feedback says what became of it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, sections 2 and 3).
//!
//! # Invariants
//!
//! - A number of feedback is looked for below the last one sent, never above: what was not sent cannot be
//!   acknowledged.
//! - A packet is acknowledged once, and counts as lost or received once.
//! - The ring grows only while it holds less than [`SENT_HISTORY_AGE`], and never over
//!   [`SENT_HISTORY_LEN_MAX`].
#![forbid(unsafe_code)]

use std::ops::Range;

use crate::limits::{SENT_HISTORY_AGE, SENT_HISTORY_LEN_MAX, SENT_HISTORY_LEN_MIN};

/// A packet that is not acknowledged is lost when one that was sent this much later is: reordering heals
/// itself, and jitter reorders.
const REORDER_WAIT_US: u64 = 60_000;

/// One sent packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// When, microseconds.
    pub(super) at_us: u64,
    /// Bytes on the wire.
    pub(super) size_bytes: u16,
    /// The probe that it belongs to; 0 if to none.
    pub(super) cluster: u8,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// No feedback has named it.
    #[default]
    Open,
    /// Feedback did not have it, so far.
    Missing,
    Received,
}

/// Packets whose fate is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) received: u32,
    pub(super) lost: u32,
}

/// The packets sent last.
#[derive(Debug, Default)]
pub(super) struct SentHistory {
    ring: Vec<Sent>,
    /// The number of the next packet.
    next: u64,
    /// The first packet whose fate is not final.
    unsettled: u64,
    /// When the newest packet that is acknowledged was sent.
    acknowledged_us: u64,
}

impl SentHistory {
    /// The number that the next packet gets, as it stands on the wire.
    pub(super) fn next_number(&self) -> u16 {
        self.next as u16
    }

    /// Notes that the next packet leaves.
    pub(super) fn note(&mut self, size_bytes: u16, at_us: u64, cluster: u8) {
        if self.ring.is_empty() {
            self.ring.resize(SENT_HISTORY_LEN_MIN, Sent::default());
        } else if self.next >= self.ring.len() as u64 {
            let age_us = at_us.saturating_sub(self.ring[self.place(self.next)].at_us);
            if age_us < SENT_HISTORY_AGE.as_micros() as u64 && self.ring.len() < SENT_HISTORY_LEN_MAX {
                self.grow();
            }
        }
        let place = self.place(self.next);
        self.ring[place] = Sent { at_us, size_bytes, cluster, fate: Fate::Open };
        self.next += 1;
    }

    /// The packets that feedback of `count` statuses from `base` on is about. `None` if more than half of them
    /// were never sent, or so long ago that nobody knows.
    pub(super) fn range(&self, base: u16, count: u16) -> Option<Range<u64>> {
        let last = self.next.checked_sub(1)?;
        let first = last.checked_sub(u64::from((last as u16).wrapping_sub(base)))?;
        let end = first + u64::from(count);
        let known = first.max(self.oldest())..end.min(self.next);
        let known_count = known.end.saturating_sub(known.start);
        (known_count * 2 >= u64::from(count)).then_some(first..end)
    }

    /// Notes that a packet was received. Its record, the first time that it is said of one that is known.
    pub(super) fn acknowledge(&mut self, number: u64) -> Option<Sent> {
        let sent = self.record(number).filter(|sent| sent.fate != Fate::Received)?;
        sent.fate = Fate::Received;
        let sent = *sent;
        self.acknowledged_us = self.acknowledged_us.max(sent.at_us);
        Some(sent)
    }

    /// Notes that a packet was not received when the feedback was written.
    pub(super) fn note_missing(&mut self, number: u64) {
        if let Some(sent) = self.record(number).filter(|sent| sent.fate == Fate::Open) {
            sent.fate = Fate::Missing;
        }
    }

    /// Counts packets whose fate has become final. Those that no feedback has named are not counted: it was the
    /// feedback that was lost.
    pub(super) fn settle(&mut self) -> Settled {
        let mut settled = Settled::default();
        self.unsettled = self.unsettled.max(self.oldest());
        while self.unsettled < self.next {
            let sent = &self.ring[self.place(self.unsettled)];
            if sent.at_us + REORDER_WAIT_US > self.acknowledged_us {
                break;
            }
            match sent.fate {
                Fate::Received => settled.received += 1,
                Fate::Missing => settled.lost += 1,
                Fate::Open => {}
            }
            self.unsettled += 1;
        }
        settled
    }

    /// When the newest packet left that nothing is known of; `None` if there is none.
    pub(super) fn waiting_since_us(&self) -> Option<u64> {
        let newest = self.next.checked_sub(1)?;
        let sent = &self.ring[self.place(newest)];
        (sent.at_us > self.acknowledged_us).then_some(sent.at_us)
    }

    fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.ring.len() as u64)
    }

    fn record(&mut self, number: u64) -> Option<&mut Sent> {
        let is_known = (self.oldest()..self.next).contains(&number);
        let place = self.place(number);
        is_known.then(|| &mut self.ring[place])
    }

    fn place(&self, number: u64) -> usize {
        number as usize & self.ring.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let mut grown = vec![Sent::default(); self.ring.len() * 2];
        for number in self.oldest()..self.next {
            grown[number as usize & (self.ring.len() * 2 - 1)] = self.ring[self.place(number)];
        }
        self.ring = grown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(count: u64, every_us: u64) -> SentHistory {
        let mut history = SentHistory::default();
        for number in 0..count {
            history.note(100, number * every_us, 0);
        }
        history
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let mut history = sent(100, 10_000);
        assert_eq!(history.range(90, 10), Some(90..100));
        assert_eq!(history.range(100, 10), None, "the next ten");
        assert_eq!(history.range(95, 65_000), None);
        assert_eq!(history.range(95, 8), Some(95..103));
        assert!(history.acknowledge(99).is_some() && history.acknowledge(100).is_none());
        assert_eq!(SentHistory::default().range(0, 1), None);
    }

    #[test]
    fn a_packet_is_acknowledged_once() {
        let mut history = sent(10, 10_000);
        assert_eq!(history.acknowledge(3).map(|sent| sent.at_us), Some(30_000));
        assert!(history.acknowledge(3).is_none());
        history.note_missing(3);
        assert!(history.acknowledge(3).is_none());
    }

    #[test]
    fn a_loss_is_final_when_what_was_sent_later_has_come_and_lost_feedback_says_nothing() {
        let mut history = sent(20, 10_000);
        for number in [0, 1, 3, 5] {
            assert!(history.acknowledge(number).is_some());
        }
        history.note_missing(2);
        assert_eq!(history.settle(), Settled::default());
        assert!(history.acknowledge(10).is_some());
        // Packet 4 was never named.
        assert_eq!(history.settle(), Settled { received: 3, lost: 1 });
        assert_eq!(history.settle(), Settled::default());
    }

    #[test]
    fn numbers_go_on_over_the_wrap() {
        let mut history = sent(65_540, 10_000);
        assert_eq!(history.next_number(), 4);
        let range = history.range(65_530, 14);
        assert_eq!(range, Some(65_530..65_544));
        assert!(history.acknowledge(65_537).is_some());
    }

    #[test]
    fn the_ring_grows_with_the_rate_and_has_a_bound() {
        assert_eq!(sent(100_000, 10_000).ring.len(), SENT_HISTORY_LEN_MIN);
        let mut fast = sent(2_000, 1_000);
        assert_eq!(fast.ring.len(), 2_048);
        assert!((0..2_000).all(|number| fast.acknowledge(number).is_some()));
        assert_eq!(sent(100_000, 1).ring.len(), SENT_HISTORY_LEN_MAX);
    }
}
