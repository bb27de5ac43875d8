//! Receiver reports where there is no transport-wide feedback (RFC 3550, section 6.4;
//! draft-ietf-rmcat-gcc-02, section 6 judges the loss).
//!
//! A receiver counts as lost what the publisher never got to us, because its numbers are kept open. So what it
//! *received* is compared with what we *sent*, which leaves the loss of this link alone.
#![forbid(unsafe_code)]

/// One stream's reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamReports {
    last: Option<Totals>,
}

/// What is known at one report.
#[derive(Clone, Copy, Debug)]
struct Totals {
    highest_sequence: u32,
    cumulative_lost: i32,
    sent: u64,
}

/// What became of the packets between two reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Packets that we sent.
    pub sent: u32,
    /// Packets that arrived; never more than were sent.
    pub received: u32,
}

impl StreamReports {
    /// Takes the next report. `sent` is how many packets we sent on the stream since its beginning. Nothing on
    /// the first report, and if the counters of the receiver began anew.
    pub fn note(&mut self, highest_sequence: u32, cumulative_lost: i32, sent: u64) -> Option<Delivered> {
        let totals = Totals { highest_sequence, cumulative_lost, sent };
        let before = self.last.replace(totals)?;
        let expected = highest_sequence.checked_sub(before.highest_sequence)?;
        let received = i64::from(expected) - (i64::from(cumulative_lost) - i64::from(before.cumulative_lost));
        let sent = u32::try_from(sent.checked_sub(before.sent)?).ok()?;
        let received = u32::try_from(received).ok()?.min(sent);
        Some(Delivered { sent, received })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_publisher_lost_is_not_charged_to_the_subscriber() {
        let mut reports = StreamReports::default();
        assert_eq!(reports.note(100, 0, 100), None);
        // 100 numbers, of which 20 were never sent; all that was sent has arrived.
        assert_eq!(reports.note(200, 20, 180), Some(Delivered { sent: 80, received: 80 }));
        // Another 100, all sent, 10 of them lost on the way.
        assert_eq!(reports.note(300, 30, 280), Some(Delivered { sent: 100, received: 90 }));
    }

    #[test]
    fn nonsense_says_nothing_and_harms_nobody() {
        let mut reports = StreamReports::default();
        reports.note(1_000, 0, 1_000);
        assert_eq!(reports.note(10, 0, 1_100), None);
        assert_eq!(reports.note(5_000, -8_000_000, 1_200), Some(Delivered { sent: 100, received: 100 }));
        assert_eq!(reports.note(5_010, 8_000_000, 1_300), None);
    }
}
