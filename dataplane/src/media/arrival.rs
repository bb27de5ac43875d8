//! Receive statistics of one run of numbers: what is new, what is a duplicate, and what a receiver
//! report says (RFC 3550, sections 6.4.1 and A.3, A.8).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// How far back a late packet is still told from a duplicate, packets.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The newest so far; `gap` packets before it are missing.
    Newest {
        /// How many are missing between the newest before and this one.
        gap: u64,
    },
    /// Fills an earlier gap.
    Late,
    /// Came before, or is too old to tell.
    Duplicate,
}

/// The arrivals of one run of numbers.
#[derive(Debug)]
pub struct Arrivals {
    first: u64,
    highest: u64,
    received_total: u64,
    seen: [u64; WORDS],
    jitter: f64,
    last_transit: Option<(Instant, u32)>,
    reported: Reported,
}

/// What the previous receiver report covered.
#[derive(Debug, Default)]
struct Reported {
    expected: u64,
    received: u64,
}

/// The loss figures of one report block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossReport {
    /// Fraction lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, clamped to 24 bits signed.
    pub cumulative_lost: i32,
    /// Extended highest sequence number.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
}

impl Arrivals {
    /// Begins with the packet `index`, which is thereby counted.
    pub fn new(index: u64) -> Self {
        let mut arrivals = Self {
            first: index,
            highest: index,
            received_total: 1,
            seen: [0; WORDS],
            jitter: 0.0,
            last_transit: None,
            reported: Reported::default(),
        };
        arrivals.set(index);
        arrivals
    }

    /// Counts a packet.
    pub fn note(&mut self, index: u64) -> Arrival {
        if index > self.highest {
            let gap = index - self.highest - 1;
            self.clear_between(index);
            self.highest = index;
            self.set(index);
            self.received_total += 1;
            return Arrival::Newest { gap };
        }
        if self.highest - index >= WINDOW || self.is_set(index) {
            return Arrival::Duplicate;
        }
        self.set(index);
        self.received_total += 1;
        self.first = self.first.min(index);
        Arrival::Late
    }

    /// Takes a packet that did not come for received, because its content came otherwise; false if it came or
    /// is too old to tell. It stays lost in reports.
    pub fn fill(&mut self, index: u64) -> bool {
        let is_missing = index < self.highest && self.highest - index < WINDOW && !self.is_set(index);
        if is_missing {
            self.set(index);
        }
        is_missing
    }

    /// Learns that `index` was sent, whether it came or not.
    pub fn advance_to(&mut self, index: u64) {
        if index > self.highest {
            self.clear_between(index + 1);
            self.highest = index;
        }
    }

    /// Measures jitter with a packet that came at `now` (RFC 3550, section A.8).
    pub fn measure_jitter(&mut self, timestamp: u32, now: Instant, clock_rate_hz: u32) {
        if let Some((then, before)) = self.last_transit {
            let arrived = now.saturating_duration_since(then).as_secs_f64() * f64::from(clock_rate_hz);
            let sent = f64::from(timestamp.wrapping_sub(before) as i32);
            self.jitter += ((arrived - sent).abs() - self.jitter) / 16.0;
        }
        self.last_transit = Some((now, timestamp));
    }

    /// The newest index.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Packets received, duplicates not counted.
    pub fn received_total(&self) -> u64 {
        self.received_total
    }

    /// The figures since the last call.
    pub fn report(&mut self) -> LossReport {
        let expected = self.highest - self.first + 1;
        let expected_now = expected - self.reported.expected.min(expected);
        let received_now = self.received_total - self.reported.received;
        self.reported = Reported { expected, received: self.received_total };
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255);
        let lost = expected as i64 - self.received_total as i64;
        LossReport {
            fraction_lost: fraction as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: self.highest as u32,
            jitter: self.jitter as u32,
        }
    }

    fn clear_between(&mut self, index: u64) {
        if index - self.highest >= WINDOW {
            self.seen.fill(0);
            return;
        }
        for skipped in self.highest + 1..index {
            let (word, bit) = place(skipped);
            self.seen[word] &= !bit;
        }
    }

    fn set(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.seen[word] |= bit;
    }

    fn is_set(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.seen[word] & bit != 0
    }
}

fn place(index: u64) -> (usize, u64) {
    let at = index % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

/// The publisher's newest sender report, and when it came.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport {
    /// Capture time on the publisher's clock.
    pub ntp: crate::time::NtpTime,
    /// The same instant in RTP units.
    pub rtp_timestamp: u32,
    /// When it arrived.
    pub received_at: Instant,
}

impl SenderReport {
    /// LSR and DLSR of a report block (RFC 3550, section 6.4.1).
    pub fn last_and_delay(&self, now: Instant) -> (u32, u32) {
        let delay: Duration = now.saturating_duration_since(self.received_at);
        (self.ntp.middle(), (delay.as_secs_f64() * 65_536.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_late_and_duplicate_are_told_apart() {
        let mut arrivals = Arrivals::new(100);
        assert_eq!(arrivals.note(101), Arrival::Newest { gap: 0 });
        assert_eq!(arrivals.note(104), Arrival::Newest { gap: 2 });
        assert_eq!(arrivals.note(102), Arrival::Late);
        assert_eq!(arrivals.note(102), Arrival::Duplicate);
        assert_eq!(arrivals.note(104), Arrival::Duplicate);
        assert_eq!(arrivals.note(104 + 5000), Arrival::Newest { gap: 4999 });
        assert_eq!(arrivals.note(103), Arrival::Duplicate, "too old to tell");
    }

    #[test]
    fn a_slot_of_the_window_is_clean_when_its_number_comes_round_again() {
        let mut arrivals = Arrivals::new(100);
        for index in (101..100 + WINDOW).filter(|index| index % 2 == 0) {
            arrivals.note(index);
        }
        arrivals.note(100 + WINDOW + 40);
        assert_eq!(arrivals.note(100 + WINDOW + 20), Arrival::Late);
    }

    #[test]
    fn a_report_covers_what_came_since_the_last_one() {
        let mut arrivals = Arrivals::new(1);
        for index in (2..=100).filter(|index| index % 4 != 0) {
            arrivals.note(index);
        }
        arrivals.note(101);
        let first = arrivals.report();
        assert_eq!((first.cumulative_lost, first.fraction_lost), (25, (25 * 256 / 101) as u8));
        for index in 102..=200 {
            arrivals.note(index);
        }
        let second = arrivals.report();
        assert_eq!((second.cumulative_lost, second.fraction_lost), (25, 0));
    }

    #[test]
    fn a_stream_on_its_beat_has_no_jitter() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(0);
        for frame in 0..100u32 {
            let now = start + Duration::from_millis(20) * frame;
            arrivals.measure_jitter(frame * 960, now, 48_000);
        }
        assert_eq!(arrivals.report().jitter, 0);
    }
}
