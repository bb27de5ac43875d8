//! Asks publishers for keyframes, merged and limited: many wish, few requests leave (docs/SECURITY.md M1).
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::limits::{
    KEYFRAME_REQUEST_INTERVAL, KEYFRAME_REQUEST_WINDOW, KEYFRAME_REQUESTS_ON_LOSS_MAX,
    KEYFRAME_REQUESTS_PER_WINDOW_MAX, LOSS_MEMORY,
};

/// The wishes for a keyframe of one encoding. Whoever waits is never forgotten: the request is repeated
/// until the keyframe comes.
#[derive(Debug, Default)]
pub struct KeyframeRequests {
    is_wanted: bool,
    last_sent: Option<Instant>,
    sequence_number: u8,
}

impl KeyframeRequests {
    /// Somebody wants a keyframe.
    pub fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether somebody waits already.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// A keyframe arrived: every wish is granted.
    pub fn granted(&mut self) {
        self.is_wanted = false;
    }

    /// When the next request may leave; `None` if nobody waits.
    pub fn due_at(&self, now: Instant) -> Option<Instant> {
        let after_last = self.last_sent.map_or(now, |sent| sent + KEYFRAME_REQUEST_INTERVAL);
        self.is_wanted.then_some(after_last)
    }

    /// Takes the request that is due at `now`, if any: its FIR sequence number (RFC 5104, section 4.3.1).
    pub fn take_due(&mut self, now: Instant) -> Option<u8> {
        self.due_at(now).filter(|due| *due <= now)?;
        self.last_sent = Some(now);
        self.sequence_number = self.sequence_number.wrapping_add(1);
        Some(self.sequence_number)
    }
}

/// How many keyframe requests one subscriber may still make.
#[derive(Debug, Default)]
pub struct KeyframeBudget {
    window_began: Option<Instant>,
    used: u32,
    /// When the subscriber reported loss last.
    loss_reported_at: Option<Instant>,
}

impl KeyframeBudget {
    /// The subscriber reports that something did not reach it.
    pub fn note_loss(&mut self, now: Instant) {
        self.loss_reported_at = Some(now);
    }

    /// Accepts one more request at `now`, or says when one is accepted again.
    pub fn spend(&mut self, now: Instant) -> Result<(), Instant> {
        let began = self.window_began.filter(|began| now < *began + KEYFRAME_REQUEST_WINDOW);
        let began = *self.window_began.insert(began.unwrap_or_else(|| {
            self.used = 0;
            now
        }));
        let has_lost = self.loss_reported_at.is_some_and(|lost| now < lost + LOSS_MEMORY);
        let max = if has_lost { KEYFRAME_REQUESTS_ON_LOSS_MAX } else { KEYFRAME_REQUESTS_PER_WINDOW_MAX };
        if self.used >= max {
            return Err(began + KEYFRAME_REQUEST_WINDOW);
        }
        self.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_hundred_wishes_make_one_request_until_the_interval_is_over() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        let mut sent = 0;
        for ms in 0..1100 {
            requests.want();
            sent += u32::from(requests.take_due(start + Duration::from_millis(ms)).is_some());
        }
        assert_eq!(sent, 3, "at 0, 500 and 1000 ms");
    }

    #[test]
    fn a_request_is_repeated_until_the_keyframe_comes() {
        let start = Instant::now();
        let mut requests = KeyframeRequests::default();
        requests.want();
        assert!(requests.take_due(start).is_some());
        assert!(requests.take_due(start + Duration::from_millis(499)).is_none());
        assert!(requests.take_due(start + Duration::from_millis(500)).is_some());
        requests.granted();
        assert!(requests.take_due(start + Duration::from_secs(9)).is_none());
    }

    #[test]
    fn a_hostile_subscriber_runs_out_of_budget_and_gets_it_back() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::default();
        let accepted =
            (0..1000).filter(|ms| budget.spend(start + Duration::from_millis(*ms)).is_ok()).count();
        assert_eq!(accepted, 3);
        let later = start + Duration::from_secs(10);
        assert_eq!(budget.spend(start + Duration::from_secs(5)), Err(later));
        assert_eq!(budget.spend(later), Ok(()));
    }

    #[test]
    fn who_reports_loss_may_ask_more_often_and_not_without_end() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::default();
        let at = |ms| start + Duration::from_millis(ms);
        let accepted = |budget: &mut KeyframeBudget, from: u64, to: u64| {
            (from..to).filter(|ms| budget.spend(at(*ms)).is_ok()).count()
        };
        assert_eq!(accepted(&mut budget, 0, 1_000), 3);
        budget.note_loss(at(1_000));
        assert_eq!(accepted(&mut budget, 1_000, 1_005), 5, "a loss explains more");
        assert_eq!(accepted(&mut budget, 4_000, 5_000), 0, "for three seconds");
        budget.note_loss(at(5_000));
        assert_eq!(accepted(&mut budget, 5_000, 8_000), 7, "15 in all");
    }
}
