//! Watches whether zero-copy sends really are, and gives up where they are not.
//!
//! Loopback, devices without checksums in hardware and most bridges of containers copy all the same, and then the
//! notification is pure cost (`IORING_SEND_ZC_REPORT_USAGE` tells).
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::limits::ZERO_COPY_WATCH;

/// What became of the zero-copy sends of one socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyWatch {
    since: Option<Instant>,
    sent: u32,
    copied: u32,
    is_off: bool,
}

impl CopyWatch {
    /// Whether the next send may be one without a copy.
    pub fn is_on(&self) -> bool {
        !self.is_off
    }

    /// No more of them on this socket.
    pub fn switch_off(&mut self) {
        self.is_off = true;
    }

    /// Takes down how a send ended. Answers whether this has switched the rest off: more than half of those within
    /// [`ZERO_COPY_WATCH`] were copied.
    pub fn note(&mut self, was_copied: bool, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.sent += 1;
        self.copied += u32::from(was_copied);
        if now.saturating_duration_since(since) < ZERO_COPY_WATCH {
            return false;
        }
        let is_in_vain = self.copied > self.sent / 2 && self.is_on();
        *self = Self { is_off: self.is_off || is_in_vain, ..Self::default() };
        is_in_vain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// One letter is one send, c copied or z not, `step` after the one before. Answers whether it is on at the end.
    fn is_on_after(script: &str, step: Duration) -> bool {
        let mut watch = CopyWatch::default();
        let start = Instant::now();
        for (index, letter) in script.chars().enumerate() {
            watch.note(letter == 'c', start + step * index as u32);
        }
        watch.is_on()
    }

    #[test]
    fn more_than_half_copied_in_a_second_switches_off() {
        let step = Duration::from_millis(250);
        assert!(!is_on_after("ccccc", step));
        assert!(!is_on_after("czczc", step));
        assert!(is_on_after("zczcz", step));
        assert!(is_on_after("zzzzz", step));
    }

    #[test]
    fn nothing_is_judged_before_the_second_is_over_and_each_second_anew() {
        assert!(is_on_after("cccc", Duration::from_millis(250)));
        assert!(!is_on_after("zzzzzccccc", Duration::from_millis(250)));
    }

    #[test]
    fn what_was_switched_off_stays_off_and_says_so_once() {
        let mut watch = CopyWatch::default();
        let start = Instant::now();
        let said: Vec<bool> =
            (0..4).map(|second| watch.note(true, start + ZERO_COPY_WATCH * second)).collect();
        assert_eq!(said.iter().filter(|said| **said).count(), 1, "{said:?}");
        assert!(!watch.is_on());
    }
}
