//! Watches one shard: says, once each, that it hangs, that it goes on and after how long, and that it has
//! ended. Knows nothing of what shards do. docs/SECURITY.md P3.
//!
//! # Invariants
//!
//! - A turn longer than [`STALLED_AFTER_TURN`] is reported within [`STALL_REPORTED_WITHIN`] of its beginning,
//!   if [`Watch::look`] is called every [`WATCH_INTERVAL`].
//! - One stall is one report, and is counted once.
//!
//! [`STALL_REPORTED_WITHIN`]: crate::limits::STALL_REPORTED_WITHIN
//! [`WATCH_INTERVAL`]: crate::limits::WATCH_INTERVAL
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataplane::id::ShardId;
use dataplane::shard::ShardHandle;

use crate::limits::{STALLED_AFTER_PROBES, STALLED_AFTER_TURN};

/// What is known of one shard.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Unanswered probes in a row.
    missed: AtomicU32,
    /// Times that it began to hang.
    stalls_total: AtomicU64,
    /// Since when it hangs, if it does and that was said.
    stalled_since: Mutex<Option<Instant>>,
    /// When the shard was looked at last, and the CPU time that its thread had used by then.
    seen: Mutex<Option<(Instant, u64)>>,
    is_ended: AtomicBool,
}

/// What the thread of a shard that hangs is doing, as far as its CPU time tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Computing,
    Waiting,
    Unknown,
}

impl Watch {
    /// Remembers whether a probe was answered.
    pub(super) fn note_probe(&self, is_answered: bool) {
        if is_answered {
            self.missed.store(0, Relaxed);
        } else {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// Says, once, that the shard has ended.
    pub(super) fn note_end(&self, shard: ShardId) {
        if !self.is_ended.swap(true, Relaxed) {
            tracing::error!(
                shard = shard.0,
                "SHARD {} HAS ENDED: its sessions are closed, and it takes no more until the process is \
                 started again",
                shard.0
            );
        }
    }

    /// Whether it hangs: in one turn for [`STALLED_AFTER_TURN`], or without an answer for
    /// [`STALLED_AFTER_PROBES`] probes in a row.
    pub(super) fn is_stalled(&self, handle: &ShardHandle) -> bool {
        handle.turn_age() > STALLED_AFTER_TURN || self.missed.load(Relaxed) >= STALLED_AFTER_PROBES
    }

    /// Times that it began to hang.
    pub(super) fn stalls_total(&self) -> u64 {
        self.stalls_total.load(Relaxed)
    }

    /// Looks at a shard that runs, and says what has changed.
    pub(super) fn look(&self, handle: &ShardHandle) {
        let doing = self.note_cpu(Instant::now(), handle.cpu_ns());
        let is_stalled = self.is_stalled(handle);
        let mut since = self.stalled_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (*since, is_stalled) {
            (None, true) => {
                let turn_age = handle.turn_age();
                *since = Instant::now().checked_sub(turn_age);
                self.stalls_total.fetch_add(1, Relaxed);
                say_stall(handle.id(), turn_age, doing);
            }
            (Some(began), false) => {
                *since = None;
                let stalled_ms = began.elapsed().as_millis() as u64;
                let shard = handle.id().0;
                tracing::warn!(shard, stalled_ms, "shard {shard} goes on after {stalled_ms} ms");
            }
            _ => {}
        }
    }

    fn note_cpu(&self, now: Instant, cpu_ns: u64) -> Doing {
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace((now, cpu_ns));
        before.map_or(Doing::Unknown, |(then, cpu_ns_then)| {
            doing(
                now.saturating_duration_since(then),
                Duration::from_nanos(cpu_ns.saturating_sub(cpu_ns_then)),
            )
        })
    }
}

/// A thread that used a quarter of the time that has passed is computing.
fn doing(passed: Duration, used: Duration) -> Doing {
    match (passed.is_zero(), used >= passed / 4) {
        (true, _) => Doing::Unknown,
        (false, true) => Doing::Computing,
        (false, false) => Doing::Waiting,
    }
}

fn say_stall(shard: ShardId, turn_age: Duration, doing: Doing) {
    let shard = shard.0;
    let turn_ms = turn_age.as_millis() as u64;
    let look_at = match doing {
        Doing::Computing => {
            "its thread computes: look at its load (sluice_packets_received_total, sluice_transports) and at \
             `perf top -t` of its thread"
        }
        Doing::Waiting => {
            "its thread gets no CPU or waits: look at other load on its CPU, at steal and swapping (`vmstat 1`), \
             and at the cgroup's CPU quota (`sluice doctor`)"
        }
        Doing::Unknown => "look at load, steal and swapping (`vmstat 1`) and at `sluice doctor`",
    };
    let how = if turn_age.is_zero() { "does not answer" } else { "hangs" };
    tracing::error!(shard, turn_ms, "shard {shard} {how}, so media on it stands still; {look_at}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gets_no_cpu_is_told_from_one_that_computes() {
        let ms = Duration::from_millis;
        assert_eq!(doing(ms(20), ms(20)), Doing::Computing);
        assert_eq!(doing(ms(20), ms(5)), Doing::Computing);
        assert_eq!(doing(ms(20), ms(1)), Doing::Waiting);
        assert_eq!(doing(ms(0), ms(0)), Doing::Unknown);
    }

    #[test]
    fn cpu_time_is_compared_with_that_of_the_last_look() {
        let watch = Watch::default();
        let start = Instant::now();
        assert_eq!(watch.note_cpu(start, 5_000_000), Doing::Unknown);
        assert_eq!(watch.note_cpu(start + Duration::from_millis(20), 24_000_000), Doing::Computing);
        assert_eq!(watch.note_cpu(start + Duration::from_millis(40), 24_100_000), Doing::Waiting);
    }
}
