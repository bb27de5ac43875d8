//! One stream that a client receives: what its reports say (RFC 3550, appendix A), and what it asks for
//! again (RFC 4585, section 6.2.1).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use dataplane::id::Ssrc;
use dataplane::time::NtpTime;
use dataplane::wire::rtcp::ReportBlock;
use dataplane::wire::serial::Unwrapper;

/// Missing packets that are remembered; of a longer gap only the newest.
const MISSING_MAX: usize = 256;
/// A packet is asked for this often, then given up; as in libwebrtc.
const TRIES_MAX: u8 = 10;
/// Time between two requests for one packet. A receiver does not know its round-trip time: longer than most.
const RETRY_INTERVAL: Duration = Duration::from_millis(120);

/// What is known of it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) ssrc: Ssrc,
    /// Ticks of the RTP timestamp per second.
    clock_rate: u32,
    /// Whether lost packets are asked for.
    is_repaired: bool,
    sequence: Unwrapper,
    first: u64,
    packets: u64,
    /// Expected and received at the last report.
    at_report: (u64, u64),
    /// The last sender report, and when it came.
    sender_report: Option<(NtpTime, Instant)>,
    /// Arrival minus timestamp of the last packet, ticks, and the jitter, sixteenths of a tick.
    transit: Option<u32>,
    jitter: u32,
    /// In ascending order.
    missing: Vec<Missing>,
    next_request: Option<Instant>,
}

#[derive(Debug)]
struct Missing {
    number: u64,
    tries: u8,
    due: Instant,
}

impl Received {
    /// A stream of which nothing came yet.
    pub(super) fn new(ssrc: Ssrc, clock_rate: u32, is_repaired: bool) -> Self {
        Self {
            ssrc,
            clock_rate,
            is_repaired,
            sequence: Unwrapper::default(),
            first: 0,
            packets: 0,
            at_report: (0, 0),
            sender_report: None,
            transit: None,
            jitter: 0,
            missing: Vec::new(),
            next_request: None,
        }
    }

    /// Takes a packet as it came first; whether it was not there before.
    pub(super) fn count(&mut self, number: u16, timestamp: u32, received_ns: u64, now: Instant) -> bool {
        let highest = self.sequence.highest();
        let extended = self.sequence.extend(number);
        match highest {
            None => self.first = extended,
            Some(highest) if extended > highest => self.note_gap(highest + 1..extended, now),
            Some(_) => return self.repair_at(extended),
        }
        self.packets += 1;
        self.note_transit(timestamp, received_ns);
        true
    }

    /// Takes a packet that was sent again; whether it was missing.
    pub(super) fn repair(&mut self, number: u16) -> bool {
        let extended = self.sequence.peek(number);
        self.repair_at(extended)
    }

    /// Whether this packet is asked for.
    pub(super) fn is_missing(&self, number: u16) -> bool {
        let extended = self.sequence.peek(number);
        self.missing.iter().any(|missing| missing.number == extended)
    }

    fn repair_at(&mut self, extended: u64) -> bool {
        let Some(at) = self.missing.iter().position(|missing| missing.number == extended) else {
            return false;
        };
        self.missing.remove(at);
        self.packets += 1;
        true
    }

    fn note_gap(&mut self, gap: std::ops::Range<u64>, now: Instant) {
        if !self.is_repaired || gap.is_empty() {
            return;
        }
        let gap = gap.start.max(gap.end.saturating_sub(MISSING_MAX as u64))..gap.end;
        self.missing.extend(gap.map(|number| Missing { number, tries: 0, due: now }));
        let surplus = self.missing.len().saturating_sub(MISSING_MAX);
        self.missing.drain(..surplus);
        self.next_request = Some(now);
    }

    /// RFC 3550, appendix A.8.
    fn note_transit(&mut self, timestamp: u32, received_ns: u64) {
        let arrival = u128::from(received_ns) * u128::from(self.clock_rate) / 1_000_000_000;
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter = self.jitter.saturating_add(difference).saturating_sub((self.jitter + 8) >> 4);
        }
    }

    /// A sender report of this stream came.
    pub(super) fn note_sender_report(&mut self, ntp: NtpTime, now: Instant) {
        self.sender_report = Some((ntp, now));
    }

    /// When [`Received::requests`] has something to ask for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_request
    }

    /// The packets to be asked for now, ascending.
    pub(super) fn requests(&mut self, now: Instant, into: &mut Vec<u16>) {
        self.missing.retain(|missing| missing.tries < TRIES_MAX || missing.due > now);
        for missing in self.missing.iter_mut().filter(|missing| missing.due <= now) {
            into.push(missing.number as u16);
            missing.tries += 1;
            missing.due = now + RETRY_INTERVAL;
        }
        self.next_request = self.missing.iter().map(|missing| missing.due).min();
    }

    /// Packets that the numbers promise, and packets that came, repaired ones included.
    pub(super) fn expected_and_received(&self) -> (u64, u64) {
        let highest = self.sequence.highest().unwrap_or(self.first);
        match self.packets {
            0 => (0, 0),
            packets => (highest - self.first.min(highest) + 1, packets),
        }
    }

    /// The block of a receiver report.
    pub(super) fn report(&mut self, now: Instant) -> ReportBlock {
        let highest = self.sequence.highest().unwrap_or(self.first);
        let (expected, packets) = self.expected_and_received();
        let (expected_before, packets_before) = self.at_report;
        self.at_report = (expected, packets);
        let expected_since = expected - expected_before;
        let lost_since = expected_since.saturating_sub(packets - packets_before);
        let (last_sr, delay) = match self.sender_report {
            Some((ntp, at)) => (ntp.middle(), now.saturating_duration_since(at)),
            None => (0, Duration::ZERO),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: (lost_since * 256)
                .checked_div(expected_since)
                .map_or(0, |share| share.min(255) as u8),
            cumulative_lost: expected.saturating_sub(packets) as i32,
            // The unwrapper starts one cycle up.
            highest_sequence: (highest - (1 << 16)) as u32,
            jitter: self.jitter >> 4,
            last_sr,
            delay_since_last_sr: (delay.as_micros() * 65_536 / 1_000_000) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Received {
        Received::new(Ssrc(100), 90_000, true)
    }

    #[test]
    fn a_gap_is_reported_as_lost_until_it_is_repaired() {
        let now = Instant::now();
        let mut stream = stream();
        for number in [1, 2, 4] {
            assert!(stream.count(number, 0, 0, now));
        }
        let block = stream.report(now);
        assert_eq!((block.fraction_lost, block.cumulative_lost, block.highest_sequence), (64, 1, 4));
        assert!(stream.is_missing(3) && stream.repair(3) && !stream.repair(3));
        assert_eq!(stream.report(now).cumulative_lost, 0);
        assert!(!stream.count(4, 0, 0, now), "it was there");
    }

    #[test]
    fn a_missing_packet_is_asked_for_at_once_and_again_until_it_is_given_up() {
        let start = Instant::now();
        let mut stream = stream();
        stream.count(65_534, 0, 0, start);
        stream.count(1, 0, 0, start);
        let mut asked = Vec::new();
        stream.requests(start, &mut asked);
        assert_eq!(asked, [65_535, 0]);
        asked.clear();
        stream.requests(start + RETRY_INTERVAL / 2, &mut asked);
        assert!(asked.is_empty(), "it is on its way");
        stream.repair(0);
        let mut now = start;
        for _ in 0..20 {
            now += RETRY_INTERVAL;
            stream.requests(now, &mut asked);
        }
        assert_eq!(asked, [65_535; TRIES_MAX as usize - 1]);
        assert_eq!(stream.deadline(), None);
    }

    #[test]
    fn an_endless_gap_takes_no_memory() {
        let now = Instant::now();
        let mut stream = stream();
        for number in 0..400u16 {
            stream.count(number.wrapping_mul(16_000), 0, 0, now);
        }
        assert!(stream.missing.len() <= MISSING_MAX);
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let now = Instant::now();
        let mut stream = stream();
        // 10 ms too late every other time: 900 ticks.
        for number in 0..200u64 {
            let late_ns = if number % 2 == 0 { 10_000_000 } else { 0 };
            stream.count(number as u16, number as u32 * 3000, number * 1_000_000_000 / 30 + late_ns, now);
        }
        assert!((850..=950).contains(&stream.report(now).jitter), "{}", stream.report(now).jitter);
    }
}
