//! The RTP timestamps of one egress stream, over switches of the source.
//!
//! Timestamps are the publisher's, shifted by a constant per source. The shift comes from capture times
//! (sender reports), never from arrival, unless nothing better is known: otherwise lips drift a little more
//! with every switch.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::arrival::SenderReport;
use crate::time::NtpTime;

/// How far after the last frame a new source begins at least if nothing tells when it was captured.
const FRAME_DEFAULT: Duration = Duration::from_millis(33);
/// The same where capture times are known: as little as keeps the frames in order.
const PUSH: Duration = Duration::from_millis(1);
/// A capture-time step at a switch that is larger than this is not believed.
const STEP_MAX: Duration = Duration::from_secs(5);

/// Maps the timestamps of the current source to egress timestamps.
#[derive(Debug, Default)]
pub struct Timeline {
    shift: u32,
    last: Option<Last>,
    /// A capture time and the egress timestamp that belongs to it, from the current source.
    anchor: Option<(NtpTime, u32)>,
    /// How far the line was pushed ahead of capture time so that frames follow each other, in ticks. The next
    /// switch measures from capture time again, so that pushes do not add up.
    pushed: i64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    sent_at: Instant,
}

impl Timeline {
    /// Goes over to a source whose first packet has `timestamp`. `report` is that source's newest sender
    /// report, if its publisher is the one that `anchor` came from.
    pub fn switch(&mut self, timestamp: u32, report: Option<SenderReport>, clock_rate_hz: u32, now: Instant) {
        let Some(last) = self.last else {
            self.shift = 0;
            self.anchor = report.map(|report| (report.ntp, report.rtp_timestamp));
            return;
        };
        let placed = match self.ahead_by_capture(timestamp, report, last, clock_rate_hz) {
            Some(ahead) => {
                let ahead = ahead - self.pushed;
                let placed = ahead.max(ticks(PUSH, clock_rate_hz));
                self.pushed = placed - ahead;
                placed
            }
            None => {
                self.pushed = 0;
                let elapsed = ticks(now.saturating_duration_since(last.sent_at), clock_rate_hz);
                elapsed.max(ticks(FRAME_DEFAULT, clock_rate_hz))
            }
        };
        self.shift = last.timestamp.wrapping_add(placed as u32).wrapping_sub(timestamp);
        self.anchor = report.map(|report| (report.ntp, report.rtp_timestamp.wrapping_add(self.shift)));
    }

    /// The egress timestamp of a packet that is sent at `now`.
    pub fn place(&mut self, timestamp: u32, now: Instant) -> u32 {
        let placed = timestamp.wrapping_add(self.shift);
        let is_newer = self.last.is_none_or(|last| placed.wrapping_sub(last.timestamp) as i32 >= 0);
        if is_newer {
            self.last = Some(Last { timestamp: placed, sent_at: now });
        }
        placed
    }

    /// Takes a sender report of the current source.
    pub fn note_report(&mut self, report: SenderReport) {
        self.anchor = Some((report.ntp, report.rtp_timestamp.wrapping_add(self.shift)));
    }

    /// Forgets capture times: the next source has another clock.
    pub fn forget_clock(&mut self) {
        self.anchor = None;
    }

    /// The egress timestamp of the capture instant `ntp` of the publisher's clock.
    pub fn at_capture(&self, ntp: NtpTime, clock_rate_hz: u32) -> Option<u32> {
        let (anchor_ntp, anchor_timestamp) = self.anchor?;
        let moved = ntp.seconds_since(anchor_ntp) * f64::from(clock_rate_hz);
        Some(anchor_timestamp.wrapping_add(moved.round() as i64 as u32))
    }

    /// How far the packet is captured after the last one that was sent, in ticks.
    fn ahead_by_capture(
        &self,
        timestamp: u32,
        report: Option<SenderReport>,
        last: Last,
        clock_rate_hz: u32,
    ) -> Option<i64> {
        let report = report?;
        let since_report = f64::from(timestamp.wrapping_sub(report.rtp_timestamp) as i32);
        let captured = report.ntp.plus_seconds(since_report / f64::from(clock_rate_hz));
        let placed = self.at_capture(captured, clock_rate_hz)?;
        let ahead = i64::from(placed.wrapping_sub(last.timestamp) as i32);
        (ahead.abs() <= ticks(STEP_MAX, clock_rate_hz)).then_some(ahead)
    }
}

fn ticks(duration: Duration, clock_rate_hz: u32) -> i64 {
    (duration.as_secs_f64() * f64::from(clock_rate_hz)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;

    #[test]
    fn a_switch_between_encodings_keeps_capture_time() {
        let start = Instant::now();
        let report = |rtp_timestamp, unix_ms| SenderReport {
            ntp: NtpTime::from_unix(Duration::from_millis(unix_ms)),
            rtp_timestamp,
            received_at: start,
        };
        let mut line = Timeline::default();
        line.switch(1_000, Some(report(1_000, 10_000)), RATE, start);
        assert_eq!(line.place(1_000 + 9_000, start), 10_000);
        // The other encoding has its own random start: 700_000 was captured at 10.000 s as well. Its
        // packet was captured 120 ms later, 20 ms after the last one sent, though it comes 500 ms later.
        let late = start + Duration::from_millis(500);
        line.switch(700_000 + 10_800, Some(report(700_000, 10_000)), RATE, late);
        assert_eq!(line.place(700_000 + 10_800, late), 10_000 + 1_800);
    }

    /// All encodings of one picture are captured at once, so each switch up is at the capture time of the
    /// last frame. A hundred of them leave the line where it was.
    #[test]
    fn switches_at_one_capture_time_do_not_add_up() {
        let start = Instant::now();
        let ntp = NtpTime::from_unix(Duration::from_secs(10));
        let report = SenderReport { ntp, rtp_timestamp: 0, received_at: start };
        let mut line = Timeline::default();
        line.switch(0, Some(report), RATE, start);
        line.place(0, start);
        for frame in 1..=200 {
            let timestamp = frame * 3_000;
            line.place(timestamp, start);
            line.switch(timestamp, Some(report), RATE, start);
            assert!(line.place(timestamp, start) <= timestamp + 100, "frame {frame}");
            line.switch(timestamp + 3_000, Some(report), RATE, start);
        }
    }

    #[test]
    fn time_never_stands_still_or_runs_back_at_a_switch() {
        let start = Instant::now();
        let mut line = Timeline::default();
        line.switch(5_000, None, RATE, start);
        let before = line.place(5_000, start);
        line.switch(77, None, RATE, start);
        assert!(line.place(77, start).wrapping_sub(before) as i32 > 0);
    }

    #[test]
    fn after_a_pause_without_reports_the_elapsed_time_counts() {
        let start = Instant::now();
        let mut line = Timeline::default();
        line.switch(5_000, None, RATE, start);
        line.place(5_000, start);
        let back = start + Duration::from_secs(3);
        line.switch(0xffff_fff0, None, RATE, back);
        assert_eq!(line.place(0xffff_fff0, back), 5_000 + 270_000);
    }
}
