//! What the bell, the mailbox and the mesh are made of, for their model.

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

/// A bounded queue with one writer and one reader that promises as little: the items lie where loom does not look,
/// and only the counts are visible to the other thread.
#[derive(Debug)]
struct Ring<T> {
    items: Hidden<VecDeque<T>>,
    written: AtomicUsize,
    read: AtomicUsize,
    len_max: usize,
}

/// The end that is written.
#[derive(Debug)]
pub(super) struct Writer<T>(Arc<Ring<T>>);

/// The end that is read.
#[derive(Debug)]
pub(super) struct Reader<T>(Arc<Ring<T>>);

pub(super) fn ring<T>(len: usize) -> (Writer<T>, Reader<T>) {
    let items = Hidden::new(VecDeque::new());
    let ring = Ring { items, written: AtomicUsize::new(0), read: AtomicUsize::new(0), len_max: len };
    let ring = Arc::new(ring);
    (Writer(Arc::clone(&ring)), Reader(ring))
}

impl<T> Writer<T> {
    pub(super) fn len_max(&self) -> usize {
        self.0.len_max
    }

    pub(super) fn has_room_beside(&self, reserve: usize) -> bool {
        let waiting = self.0.written.load(Ordering::Relaxed) - self.0.read.load(Ordering::Acquire);
        self.0.len_max - waiting > reserve
    }

    pub(super) fn is_abandoned(&self) -> bool {
        false
    }
}

impl<T: Default> Writer<T> {
    pub(super) fn write(&mut self, write: impl FnOnce(&mut T)) -> bool {
        if !self.has_room_beside(0) {
            return false;
        }
        let mut item = T::default();
        write(&mut item);
        self.0.items.lock().unwrap().push_back(item);
        self.0.written.fetch_add(1, Ordering::Release);
        true
    }
}

impl<T> Reader<T> {
    /// What is not seen yet is not there.
    pub(super) fn read(&mut self, limit: usize, mut on_item: impl FnMut(&T)) -> usize {
        let waiting = self.0.written.load(Ordering::Acquire) - self.0.read.load(Ordering::Relaxed);
        for _ in 0..waiting.min(limit) {
            let item = self.0.items.lock().unwrap().pop_front();
            on_item(&item.unwrap());
            self.0.read.fetch_add(1, Ordering::Release);
        }
        waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.written.load(Ordering::Relaxed) == self.0.read.load(Ordering::Relaxed)
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
