//! The bounded queue into a shard, how a sleeping shard learns of it, and how it ends.
//!
//! The bell sees to it that no wake-up is lost (`bell.rs`).
//!
//! # Why no item is left behind
//!
//! As with the bell: the shard closes, passes a fence and empties the queue; a sender pushes, passes a
//! fence, and empties the queue too if it is closed by then. So each item is taken or dropped, whoever comes first.
//!
//! Both are checked with every order of threads and every value that the memory model allows (`model.rs`).
#![forbid(unsafe_code)]

use super::bell::Bell;
use super::sync::{Arc, ArrayQueue, AtomicBool, EventFd, Ordering, fence};

/// A bounded queue with many senders and one reader, which may sleep.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    is_stopping: AtomicBool,
    is_closed: AtomicBool,
    bell: Arc<Bell>,
}

impl<T> Mailbox<T> {
    /// Holds at most `len_max` items. `wake` is what the reader sleeps on.
    pub fn new(len_max: usize, wake: Arc<EventFd>) -> Self {
        Self::with_bell(len_max, Arc::new(Bell::new(wake)))
    }

    /// The same for a reader that has other queues, too, which ring the same bell.
    pub fn with_bell(len_max: usize, bell: Arc<Bell>) -> Self {
        Self {
            queue: ArrayQueue::new(len_max),
            is_stopping: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            bell,
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
        self.bell.ring();
        Ok(())
    }

    /// Asks the reader to end after what is in the queue, and wakes it.
    pub fn ask_to_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.bell.ring_always();
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
        self.park_if(|| true)
    }

    /// The same for a reader that has other queues, too: `others_are_empty` says whether nothing waits there.
    #[must_use]
    pub fn park_if(&self, others_are_empty: impl FnOnce() -> bool) -> bool {
        self.bell.park(|| self.queue.is_empty() && others_are_empty())
    }

    /// Says that the reader is awake.
    pub fn unpark(&self) {
        self.bell.unpark();
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
