//! The bounded queue into a shard, and how a sleeping shard learns of it.
//!
//! # Why no wake-up is lost
//!
//! The shard parks in three steps: it sets `is_parked`, passes a fence, and looks into the queue once more;
//! only if that is empty does it sleep. A sender pushes, passes a fence, and then reads `is_parked`. The
//! fences are sequentially consistent, so one of them comes first. If the shard's does, the sender sees
//! `is_parked` and signals; if the sender's does, the shard sees the item and does not sleep. In both cases
//! an eventfd that was signalled before the sleep ends it at once. Whoever takes `is_parked` down signals,
//! so a burst costs one system call, and a shard that is awake none.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::queue::ArrayQueue;

use crate::udp::system::EventFd;

/// A bounded queue with many senders and one reader, which may sleep.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    is_parked: AtomicBool,
    wake: Arc<EventFd>,
}

impl<T> Mailbox<T> {
    /// Holds at most `len_max` items. `wake` is what the reader sleeps on.
    pub fn new(len_max: usize, wake: Arc<EventFd>) -> Self {
        Self { queue: ArrayQueue::new(len_max), is_parked: AtomicBool::new(false), wake }
    }

    /// Puts an item in and wakes the reader if it sleeps. Never waits; a full queue gives the item back.
    pub fn try_push(&self, item: T) -> Result<(), T> {
        self.queue.push(item)?;
        fence(Ordering::SeqCst);
        if self.is_parked.load(Ordering::Relaxed) && self.is_parked.swap(false, Ordering::Relaxed) {
            self.wake.signal();
        }
        Ok(())
    }

    /// Wakes the reader whether it sleeps or not: it has to look at something else than the queue.
    pub fn wake(&self) {
        self.wake.signal();
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
        self.is_parked.store(true, Ordering::Relaxed);
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mmsg::poller::Poller;
    use std::time::Duration;

    fn mailbox(len_max: usize) -> (Arc<Mailbox<u64>>, Poller) {
        let wake = Arc::new(EventFd::new().unwrap());
        let poller = Poller::new().unwrap();
        poller.add(&*wake, 0).unwrap();
        (Arc::new(Mailbox::new(len_max, wake)), poller)
    }

    fn is_woken(mailbox: &Mailbox<u64>, poller: &mut Poller) -> bool {
        let mut is_woken = false;
        poller.wait(Some(Duration::ZERO), |_| is_woken = true).unwrap();
        mailbox.wake.clear();
        is_woken
    }

    #[test]
    fn only_a_parked_reader_costs_a_wake_up_and_only_one() {
        let (mailbox, mut poller) = mailbox(8);
        mailbox.try_push(1).unwrap();
        assert!(!is_woken(&mailbox, &mut poller));
        assert!(!mailbox.park(), "there is something to read");
        mailbox.drain(8, |_| ());
        assert!(mailbox.park());
        mailbox.try_push(2).unwrap();
        assert!(is_woken(&mailbox, &mut poller));
        mailbox.try_push(3).unwrap();
        assert!(!is_woken(&mailbox, &mut poller), "the first item has woken it");
    }

    #[test]
    fn a_full_mailbox_gives_the_item_back() {
        let (mailbox, _) = mailbox(2);
        assert_eq!([1, 2, 3].map(|item| mailbox.try_push(item)), [Ok(()), Ok(()), Err(3)]);
    }

    #[test]
    fn no_wake_up_is_lost_under_stress() {
        const SENDERS: u64 = 3;
        const ITEMS: u64 = 20_000;
        let (mailbox, mut poller) = mailbox(16);
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                std::thread::spawn(move || {
                    for item in 0..ITEMS {
                        while mailbox.try_push(item).is_err() {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut count = 0;
        while count < SENDERS * ITEMS {
            mailbox.drain(4, |_| count += 1);
            if count < SENDERS * ITEMS && mailbox.park() {
                let mut is_woken = false;
                poller.wait(Some(Duration::from_secs(20)), |_| is_woken = true).unwrap();
                assert!(is_woken, "slept through an item after {count}");
                mailbox.unpark();
                mailbox.wake.clear();
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
}
