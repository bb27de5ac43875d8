//! What the mailbox is made of, for its model.

use std::collections::VecDeque;
use std::sync::Mutex as Hidden;

pub(super) use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
pub(super) use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::sync::{Condvar, Mutex};

/// A bounded queue that promises what every such queue does and no more: an item is seen whole by who takes it,
/// and whoever looks may see the past.
///
/// The items lie where loom does not look; only the counts are visible to other threads, and they order nothing
/// but the items themselves.
#[derive(Debug)]
pub(super) struct ArrayQueue<T> {
    items: Hidden<VecDeque<T>>,
    pushed: AtomicUsize,
    popped: AtomicUsize,
    len_max: usize,
}

impl<T> ArrayQueue<T> {
    pub(super) fn new(len_max: usize) -> Self {
        let items = Hidden::new(VecDeque::new());
        Self { items, pushed: AtomicUsize::new(0), popped: AtomicUsize::new(0), len_max }
    }

    pub(super) fn push(&self, item: T) -> Result<(), T> {
        {
            let mut items = self.items.lock().unwrap();
            if items.len() >= self.len_max {
                return Err(item);
            }
            items.push_back(item);
        }
        self.pushed.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What is not seen yet is not there.
    pub(super) fn pop(&self) -> Option<T> {
        let popped = self.popped.load(Ordering::Relaxed);
        if self.pushed.load(Ordering::Acquire) <= popped {
            return None;
        }
        let item = self.items.lock().unwrap().pop_front()?;
        self.popped.fetch_add(1, Ordering::Relaxed);
        Some(item)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pushed.load(Ordering::Relaxed) <= self.popped.load(Ordering::Relaxed)
    }
}

/// A counter in the kernel: whoever waits is woken by a signal of before or of now.
#[derive(Debug)]
pub(super) struct EventFd {
    is_signalled: Mutex<bool>,
    changed: Condvar,
}

impl EventFd {
    pub(super) fn new() -> Self {
        Self { is_signalled: Mutex::new(false), changed: Condvar::new() }
    }

    pub(super) fn signal(&self) {
        *self.is_signalled.lock().unwrap() = true;
        self.changed.notify_one();
    }

    pub(super) fn wait(&self) {
        let mut is_signalled = self.is_signalled.lock().unwrap();
        while !*is_signalled {
            is_signalled = self.changed.wait(is_signalled).unwrap();
        }
    }

    pub(super) fn clear(&self) {
        *self.is_signalled.lock().unwrap() = false;
    }
}
