//! The bell, the mailbox and the mesh under loom: every order of threads, and every value that a load may return.
//!
//! `bell.rs`, `mailbox.rs` and `mesh.rs` are compiled a second time here, with [`sync`] in the place of the real
//! one. Its queues promise less than the real ones (an emptiness check may be out of date), so that the fences of
//! bell and mailbox have to hold by themselves.
//!
//! loom ends a test that goes on for ever, and calls a reader that sleeps through its signal a deadlock.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

// The point of it: one source, two meanings of its imports.
#[allow(clippy::duplicate_mod, dead_code)]
#[path = "bell.rs"]
mod bell;
#[allow(clippy::duplicate_mod, dead_code)]
#[path = "mailbox.rs"]
mod mailbox;
#[allow(clippy::duplicate_mod, dead_code)]
#[path = "mesh.rs"]
mod mesh;
mod mesh_model;
mod sync;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

use mailbox::Mailbox;
use sync::EventFd;

/// Preemptions of one thread by another that are tried; bugs of this kind need two.
const PREEMPTIONS: usize = 3;

/// A mailbox with its reader, and what became of the items.
struct Shard {
    mailbox: Mailbox<Item>,
    wake: Arc<EventFd>,
    taken: AtomicUsize,
}

/// Counts its own end.
struct Item(Arc<AtomicUsize>);

impl Drop for Item {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Shard {
    fn new(len_max: usize) -> Arc<Self> {
        let wake = Arc::new(EventFd::new());
        let mailbox = Mailbox::new(len_max, Arc::clone(&wake));
        Arc::new(Self { mailbox, wake, taken: AtomicUsize::new(0) })
    }

    fn drain(&self) {
        self.mailbox.drain(2, |_| {
            self.taken.fetch_add(1, Relaxed);
        });
    }

    /// Sleeps as the worker does.
    fn sleep(&self) {
        if self.mailbox.park() {
            self.wake.wait();
            self.wake.clear();
            self.mailbox.unpark();
        }
    }

    /// The loop of the worker until `count` items were taken.
    fn take(&self, count: usize) {
        loop {
            self.drain();
            if self.taken.load(Relaxed) >= count {
                return;
            }
            self.sleep();
        }
    }

    /// The loop of the worker until it is asked to stop, with its end.
    fn run(&self) {
        loop {
            let is_last = self.mailbox.is_stop_asked();
            self.drain();
            if is_last {
                self.mailbox.close();
                return;
            }
            self.sleep();
        }
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(body);
}

#[test]
fn no_wake_up_is_lost() {
    model(|| {
        let (shard, ended) = (Shard::new(2), Arc::new(AtomicUsize::new(0)));
        let senders = [(); 2].map(|()| {
            let (shard, item) = (Arc::clone(&shard), Item(Arc::clone(&ended)));
            thread::spawn(move || shard.mailbox.try_push(item).is_ok())
        });
        shard.take(2);
        assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
        assert_eq!(ended.load(Relaxed), 2);
    });
}

#[test]
fn a_sender_that_goes_on_wakes_each_time() {
    model(|| {
        let (shard, ended) = (Shard::new(2), Arc::new(AtomicUsize::new(0)));
        let sender = {
            let (shard, ended) = (Arc::clone(&shard), Arc::clone(&ended));
            thread::spawn(move || (0..2).all(|_| shard.mailbox.try_push(Item(Arc::clone(&ended))).is_ok()))
        };
        shard.take(2);
        assert!(sender.join().unwrap());
    });
}

#[test]
fn what_was_pushed_before_the_stop_is_taken() {
    model(|| {
        let (shard, ended) = (Shard::new(2), Arc::new(AtomicUsize::new(0)));
        let stopper = {
            let (shard, item) = (Arc::clone(&shard), Item(Arc::clone(&ended)));
            thread::spawn(move || {
                assert!(shard.mailbox.try_push(item).is_ok());
                shard.mailbox.ask_to_stop();
            })
        };
        shard.run();
        stopper.join().unwrap();
        assert_eq!(shard.taken.load(Relaxed), 1);
    });
}

#[test]
fn what_is_pushed_beside_the_stop_is_taken_or_dropped_and_never_kept() {
    model(|| {
        let (shard, ended) = (Shard::new(1), Arc::new(AtomicUsize::new(0)));
        let stopper = {
            let shard = Arc::clone(&shard);
            thread::spawn(move || shard.mailbox.ask_to_stop())
        };
        let sender = {
            let (shard, item) = (Arc::clone(&shard), Item(Arc::clone(&ended)));
            thread::spawn(move || shard.mailbox.try_push(item).is_ok())
        };
        shard.run();
        stopper.join().unwrap();
        assert!(sender.join().unwrap());
        assert_eq!(ended.load(Relaxed), 1, "whoever waits for its answer is told");
    });
}
