//! The bounded queue into a shard, how a sleeping shard learns of it, and how it ends.
//!
//! # Why no wake-up is lost
//!
//! The shard parks in three steps: it sets `is_parked`, passes a fence, and looks into the queue once more;
//! only if that is empty does it sleep. A sender pushes, passes a fence, and then reads `is_parked`. The
//! fences are sequentially consistent, so one of them comes first. If the shard's does, the sender sees
//! `is_parked` and signals; if the sender's does, the shard sees the item and does not sleep. In both cases
//! an eventfd that was signalled before the sleep ends it at once. Whoever takes `is_parked` down signals,
//! so a burst costs one system call, and a shard that is awake none.
//!
//! # Why no item is left behind
//!
//! The same with `is_closed`: the shard closes, passes a fence and empties the queue; a sender pushes, passes a
//! fence, and empties the queue too if it is closed by then. So each item is taken or dropped, whoever comes first.
//!
//! Both are checked with every order of threads and every value that the memory model allows (`model.rs`).
#![forbid(unsafe_code)]

use super::sync::{Arc, ArrayQueue, AtomicBool, EventFd, Ordering, fence};

/// A bounded queue with many senders and one reader, which may sleep.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    is_parked: AtomicBool,
    is_stopping: AtomicBool,
    is_closed: AtomicBool,
    wake: Arc<EventFd>,
}

impl<T> Mailbox<T> {
    /// Holds at most `len_max` items. `wake` is what the reader sleeps on.
    pub fn new(len_max: usize, wake: Arc<EventFd>) -> Self {
        Self {
            queue: ArrayQueue::new(len_max),
            is_parked: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            wake,
        }
    }

    /// Puts an item in and wakes the reader if it sleeps. Never waits; a full queue gives the item back. A
    /// closed one drops it, and all that is in it.
    pub fn try_push(&self, item: T) -> Result<(), T> {
        let pushed = self.queue.push(item);
        fence(Ordering::SeqCst);
        if self.is_closed() {
            while self.queue.pop().is_some() {}
            return Ok(());
        }
        pushed?;
        if self.is_parked.load(Ordering::Relaxed) && self.is_parked.swap(false, Ordering::Release) {
            self.wake.signal();
        }
        Ok(())
    }

    /// Asks the reader to end after what is in the queue, and wakes it.
    pub fn ask_to_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.signal();
    }

    /// Whether the reader was asked to end. What its asker pushed before is in the queue then.
    pub fn is_stop_asked(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Takes out at most `limit` items.
    pub fn drain(&self, limit: usize, mut on_item: impl FnMut(T)) {
        for _ in 0..limit {
            let Some(item) = self.queue.pop() else { return };
            on_item(item);
        }
    }

    /// Says that the reader is about to sleep. It may only if the answer is yes.
    #[must_use]
    pub fn park(&self) -> bool {
        // A swap, so that a sender that took it down in vain is ordered before; loom cannot tell otherwise.
        self.is_parked.swap(true, Ordering::Acquire);
        fence(Ordering::SeqCst);
        let may_sleep = self.queue.is_empty();
        if !may_sleep {
            self.unpark();
        }
        may_sleep
    }

    /// Says that the reader is awake.
    pub fn unpark(&self) {
        self.is_parked.store(false, Ordering::Relaxed);
    }

    /// The reader ends: drops what is in the queue, and what will be pushed.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.queue.pop().is_some() {}
    }

    /// Whether the reader has ended.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}
