//! The sequence numbers of one egress SSRC: continuous where the source is, with the gap of a real loss
//! left open.
//!
//! A packet that we chose not to send closes its number; a packet that never reached us keeps its number
//! open, so that the receiver asks for it and it can still be sent when it comes late. Numbers of an SSRC
//! are never used twice: they are the SRTP index, and a repeated index is a repeated nonce.
#![forbid(unsafe_code)]

/// Changes of the offset that a late packet can still be placed by.
const RANGES_LEN_MAX: usize = 64;

/// Maps the packet numbers of the current source to egress numbers.
#[derive(Debug)]
pub struct Numbering {
    /// The next unused egress number.
    next: u64,
    /// The newest number of the source, once there is one.
    highest: Option<u64>,
    /// From which source number on which offset holds, oldest first: `egress = source - offset`.
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    offset: i64,
}

/// How a new source joins the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// The last frame was sent whole: the next number follows.
    Whole,
    /// The last frame was cut: one number is left out, so that the decoder knows.
    Cut,
}

impl Numbering {
    /// A line whose first number is `first`, in 1..=32767 so that no receiver mistakes the rollover
    /// counter.
    pub fn new(first: u64) -> Self {
        Self { next: first, highest: None, ranges: Vec::new() }
    }

    /// Goes over to a source whose first packet is `index`, and returns the number of that packet.
    pub fn switch(&mut self, index: u64, joint: Joint) -> u64 {
        let number = match (self.highest, joint) {
            (Some(_), Joint::Cut) => self.next + 1,
            _ => self.next,
        };
        self.ranges.clear();
        self.ranges.push(Range { from: index, offset: index as i64 - number as i64 });
        self.highest = Some(index);
        self.next = number + 1;
        number
    }

    /// The number of a packet that is sent; `None` if it is too late to have one.
    pub fn place(&mut self, index: u64) -> Option<u64> {
        let range = self.ranges.iter().rev().find(|range| range.from <= index)?;
        let number = u64::try_from(index as i64 - range.offset).ok()?;
        if self.highest.is_none_or(|highest| index > highest) {
            self.highest = Some(index);
            self.next = number + 1;
        }
        Some(number)
    }

    /// Closes the number of a packet that is not sent. A late one has its number open already: that is
    /// returned, to be filled.
    pub fn skip(&mut self, index: u64) -> Option<u64> {
        if self.highest.is_some_and(|highest| index <= highest) {
            return self.place(index);
        }
        let last = *self.ranges.last()?;
        self.highest = Some(index);
        // What is missing before it keeps the old offset, and so its open numbers.
        self.next = u64::try_from(index as i64 - last.offset).unwrap_or(self.next);
        if let Some(empty) = self.ranges.last_mut().filter(|range| range.from == index) {
            // The one before was skipped too: no number hangs on this range yet.
            *empty = Range { from: index + 1, offset: last.offset + 1 };
            return None;
        }
        if self.ranges.len() == RANGES_LEN_MAX {
            self.ranges.remove(0);
        }
        self.ranges.push(Range { from: index + 1, offset: last.offset + 1 });
        None
    }

    /// The number that the next new packet will get.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Puts a 16-bit sequence number of the receiver on the line. `None` if it was never sent.
    pub fn unwrap(&self, sequence_number: u16) -> Option<u64> {
        let last = self.next.checked_sub(1)?;
        last.checked_sub(u64::from((last as u16).wrapping_sub(sequence_number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn the_gap_of_a_loss_stays_and_the_gap_of_a_skip_closes() {
        let mut line = Numbering::new(100);
        assert_eq!(line.switch(7, Joint::Whole), 100);
        assert_eq!(line.place(8), Some(101));
        assert_eq!(line.skip(9), None);
        assert_eq!(line.place(10), Some(102));
        assert_eq!(line.place(13), Some(105), "11 and 12 are missing");
        assert_eq!(line.place(11), Some(103), "and take their own numbers when they come");
    }

    #[test]
    fn a_skip_behind_a_gap_leaves_the_gap_open() {
        let mut line = Numbering::new(100);
        line.switch(7, Joint::Whole);
        assert_eq!(line.skip(10), None, "8 and 9 are missing");
        assert_eq!(line.place(11), Some(103));
        assert_eq!(line.place(8), Some(101));
        assert_eq!(line.skip(9), Some(102), "its number was left open and is to be filled");
    }

    #[test]
    fn a_cut_frame_shows_as_a_hole_at_the_switch() {
        let mut line = Numbering::new(100);
        assert_eq!(line.switch(7, Joint::Cut), 100, "nothing was sent yet, so nothing was cut");
        assert_eq!(line.switch(5_000, Joint::Whole), 101);
        assert_eq!(line.switch(60, Joint::Cut), 103);
        assert_eq!(line.place(59), None, "older than the switch");
    }

    #[test]
    fn a_sequence_number_that_was_never_sent_has_no_place() {
        let mut line = Numbering::new(5);
        line.switch(7, Joint::Whole);
        assert_eq!(line.unwrap(5), Some(5));
        assert_eq!(line.unwrap(6), None);
    }

    proptest! {
        /// Over any loss, reordering, skips and switches no number is ever given twice.
        #[test]
        fn no_number_is_given_twice(steps in prop::collection::vec((0u8..20, 0u64..40, any::<bool>()), 1..400)) {
            let mut line = Numbering::new(1);
            let mut given = HashSet::new();
            let mut offered = HashSet::new();
            let mut base = 1_000u64;
            let mut newest = base;
            prop_assert!(given.insert(line.switch(base, Joint::Whole)));
            offered.insert(base);
            for (kind, step, flag) in steps {
                match kind {
                    0 => {
                        base = newest + 10_000;
                        newest = base;
                        offered.clear();
                        offered.insert(base);
                        let joint = if flag { Joint::Whole } else { Joint::Cut };
                        prop_assert!(given.insert(line.switch(base, joint)));
                    }
                    kind => {
                        let index = if flag { newest + 1 + step / 10 } else { newest.saturating_sub(step) };
                        if index < base || !offered.insert(index) {
                            continue;
                        }
                        newest = newest.max(index);
                        let number = if kind < 4 { line.skip(index) } else { line.place(index) };
                        if let Some(number) = number {
                            prop_assert!(given.insert(number), "{number} twice");
                        }
                    }
                }
            }
        }
    }
}
