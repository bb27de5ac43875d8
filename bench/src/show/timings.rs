//! How long requests took that were made while media flowed.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Of all requests of a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timings {
    /// From the wish to come in, with making the offer, to the answer: ns, ascending.
    pub(crate) answers_ns: Vec<u64>,
    /// From a question to the answer of a shard: ns, ascending.
    pub(crate) commands_ns: Vec<u64>,
    /// Requests that failed.
    pub(crate) refused: u64,
}

/// What the tasks of the clerk write into.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopwatch(Arc<Mutex<Timings>>);

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Answer,
    Command,
}

impl Stopwatch {
    /// A request that was made at `start` is done.
    pub(super) fn note(&self, kind: Kind, start: Instant, is_done: bool) {
        let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut timings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (is_done, kind) {
            (false, _) => timings.refused += 1,
            (true, Kind::Answer) => timings.answers_ns.push(elapsed_ns),
            (true, Kind::Command) => timings.commands_ns.push(elapsed_ns),
        }
    }

    /// What was noted.
    pub(super) fn read(&self) -> Timings {
        let mut timings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        timings.answers_ns.sort_unstable();
        timings.commands_ns.sort_unstable();
        timings
    }
}
