//! What the person at the terminal sees while a run goes on: what is done now, and what remains.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// Progress of one run, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    total: usize,
    done: usize,
    started: Instant,
    is_silent: bool,
}

impl Progress {
    /// Of `total` rounds.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0, started: Instant::now(), is_silent: false }
    }

    /// Says nothing, for tests.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { is_silent: true, ..Self::new(1) }
    }

    /// A round begins.
    pub(crate) fn begin(&self, what: &str) {
        self.say(&format!("[{}/{}] {what}: ", self.done + 1, self.total));
    }

    /// A step of the round begins.
    pub(crate) fn step(&self, what: &str) {
        self.say(&format!("{what} .. "));
    }

    /// The round is over.
    pub(crate) fn end(&mut self, summary: &str) {
        self.done += 1;
        let left = self.total.saturating_sub(self.done);
        let remains = match self.remaining(left) {
            Some(time) if time > Duration::from_secs(1) => {
                format!("  ({} left, about {})", left, human(time))
            }
            _ => String::new(),
        };
        self.say(&format!("{summary}{remains}\n"));
    }

    fn remaining(&self, left: usize) -> Option<Duration> {
        let each = self.started.elapsed().checked_div(u32::try_from(self.done).ok()?)?;
        (left > 0).then(|| each * u32::try_from(left).unwrap_or(u32::MAX))
    }

    fn say(&self, text: &str) {
        if !self.is_silent {
            eprint!("{text}");
        }
    }
}

/// `8 s`, `3 min`, `2.5 h`.
fn human(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=89 => format!("{seconds} s"),
        seconds @ 90..=5399 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let of = |seconds| human(Duration::from_secs(seconds));
        assert_eq!([of(8), of(89), of(90), of(3000), of(9000)], ["8 s", "89 s", "2 min", "50 min", "2.5 h"]);
    }
}
