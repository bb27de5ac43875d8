//! How a shard that sleeps learns that something waits for it, in whatever queue.
//!
//! # Why no wake-up is lost
//!
//! The shard parks in three steps: it sets `is_parked`, passes a fence, and looks into its queues once more;
//! only if they are empty does it sleep. A sender pushes, passes a fence, and then reads `is_parked`. The
//! fences are sequentially consistent, so one of them comes first. If the shard's does, the sender sees
//! `is_parked` and signals; if the sender's does, the shard sees the item and does not sleep. In both cases
//! an eventfd that was signalled before the sleep ends it at once. Whoever takes `is_parked` down signals,
//! so a burst costs one system call, and a shard that is awake none.
//!
//! Checked with every order of threads and every value that the memory model allows (`model.rs`).
#![forbid(unsafe_code)]

use super::sync::{Arc, AtomicBool, EventFd, Ordering, fence};

/// Wakes one shard.
#[derive(Debug)]
pub struct Bell {
    is_parked: AtomicBool,
    wake: Arc<EventFd>,
}

impl Bell {
    /// `wake` is what the shard sleeps on.
    pub fn new(wake: Arc<EventFd>) -> Self {
        Self { is_parked: AtomicBool::new(false), wake }
    }

    /// What the shard sleeps on.
    pub fn wake_fd(&self) -> &Arc<EventFd> {
        &self.wake
    }

    /// Wakes the shard if it sleeps; to be called after pushing. Whether it had to be woken.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        let must_wake =
            self.is_parked.load(Ordering::Relaxed) && self.is_parked.swap(false, Ordering::Release);
        if must_wake {
            self.wake.signal();
        }
        must_wake
    }

    /// Wakes the shard whether it sleeps or not: its next sleep ends at once.
    pub fn ring_always(&self) {
        self.wake.signal();
    }

    /// Says that the shard is about to sleep. It may only if the answer is yes: `is_idle` is asked whether all
    /// its queues are empty.
    #[must_use]
    pub fn park(&self, is_idle: impl FnOnce() -> bool) -> bool {
        // A swap, so that a sender that took it down in vain is ordered before; loom cannot tell otherwise.
        self.is_parked.swap(true, Ordering::Acquire);
        fence(Ordering::SeqCst);
        let may_sleep = is_idle();
        if !may_sleep {
            self.unpark();
        }
        may_sleep
    }

    /// Says that the shard is awake.
    pub fn unpark(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
    }
}
