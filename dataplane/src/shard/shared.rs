//! What a shard's thread and its handles share: queues, counters, and whether it lives.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use crate::command::{Envelope, Event};
use crate::counters::{Counters, add};
use crate::limits::{EVENTS_LEN_MAX, MAILBOX_LEN_MAX};
use crate::shard::bell::Bell;
use crate::shard::mailbox::Mailbox;
use crate::udp::figures::SendFigures;
use crate::udp::system::ThreadCpuClock;

/// In [`Shared::turn_started_ns`]: the shard waits.
const WAITING: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mailbox: Mailbox<Envelope>,
    pub(super) events: ArrayQueue<Event>,
    pub(super) counters: Arc<Counters>,
    pub(super) figures: Arc<SendFigures>,
    origin: Instant,
    turn_started_ns: AtomicU64,
    cpu_clock: OnceLock<ThreadCpuClock>,
    cpu_ns_at_end: AtomicU64,
}

impl Shared {
    /// Of a shard that is about to start at `now`.
    pub(super) fn new(bell: Arc<Bell>, now: Instant) -> Self {
        Self {
            mailbox: Mailbox::with_bell(MAILBOX_LEN_MAX, bell),
            events: ArrayQueue::new(EVENTS_LEN_MAX),
            counters: Arc::default(),
            figures: Arc::default(),
            origin: now,
            turn_started_ns: AtomicU64::new(WAITING),
            cpu_clock: OnceLock::new(),
            cpu_ns_at_end: AtomicU64::new(0),
        }
    }

    /// Says that a turn begins, and answers whether it is the last.
    pub(super) fn begin_turn(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.origin);
        self.turn_started_ns.store(since.as_nanos() as u64, Ordering::Relaxed);
        add(&self.counters.turns_total, 1);
        self.mailbox.is_stop_asked()
    }

    /// Says that the shard waits now.
    pub(super) fn end_turn(&self) {
        self.turn_started_ns.store(WAITING, Ordering::Relaxed);
    }

    /// How long the current turn has lasted; zero while the shard waits.
    pub(super) fn turn_age(&self, now: Instant) -> Duration {
        match self.turn_started_ns.load(Ordering::Relaxed) {
            WAITING => Duration::ZERO,
            started => {
                let since = now.saturating_duration_since(self.origin);
                since.saturating_sub(Duration::from_nanos(started))
            }
        }
    }

    /// Whether the thread still takes commands.
    pub(super) fn is_running(&self) -> bool {
        !self.mailbox.is_closed()
    }

    /// Called by the thread before its first turn: its CPU time can be read from now on.
    pub(super) fn enter_thread(&self) {
        if let Ok(clock) = ThreadCpuClock::of_current_thread() {
            let _ = self.cpu_clock.set(clock);
        }
    }

    /// Called by the thread as the last thing: whoever waits for a reply is told that none will come.
    pub(super) fn leave_thread(&self) {
        let cpu_ns = self.cpu_clock.get().and_then(|clock| clock.read_ns());
        self.cpu_ns_at_end.store(cpu_ns.unwrap_or_default(), Ordering::Relaxed);
        self.end_turn();
        self.mailbox.close();
    }

    /// CPU time of the thread, nanoseconds; after its end, what it had used by then.
    pub(super) fn cpu_ns(&self) -> u64 {
        let living = self.cpu_clock.get().filter(|_| self.is_running());
        let read = living.and_then(|clock| clock.read_ns());
        read.unwrap_or_else(|| self.cpu_ns_at_end.load(Ordering::Relaxed))
    }
}
