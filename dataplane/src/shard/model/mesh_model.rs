//! The mesh: shards that hand each other things, and sleep.

use loom::sync::Arc;
use loom::thread;

use super::bell::Bell;
use super::mailbox::Mailbox;
use super::mesh::{Mesh, Port};
use super::model;
use super::sync::EventFd;
use crate::id::ShardId;

const READER: ShardId = ShardId(0);

/// The shard that reads.
struct Shard {
    port: Port<u32>,
    bell: Arc<Bell>,
    taken: Vec<(ShardId, u32)>,
}

fn mesh(shards: usize) -> (Mesh<u32>, Shard) {
    let mesh = Mesh::with_ring_len((0..shards).map(|_| EventFd::new()).collect(), 2);
    let bell = Arc::clone(mesh.bell(READER).unwrap());
    let shard = Shard { port: mesh.claim(READER).unwrap(), bell, taken: Vec::new() };
    (mesh, shard)
}

impl Shard {
    fn drain(&mut self) {
        let taken = &mut self.taken;
        self.port.drain(|from, item| taken.push((from, *item)));
    }

    /// Sleeps as the worker does.
    fn sleep(&self, others_are_empty: impl FnOnce() -> bool) {
        if self.bell.park(|| self.port.is_empty() && others_are_empty()) {
            self.bell.wake_fd().wait();
            self.bell.wake_fd().clear();
            self.bell.unpark();
        }
    }

    /// The loop of the worker until `count` items were taken.
    fn take(&mut self, count: usize) {
        loop {
            self.drain();
            if self.taken.len() >= count {
                return;
            }
            self.sleep(|| true);
        }
    }
}

fn put(port: &mut Port<u32>, item: u32) -> bool {
    port.offer(READER, |_| 0, |place| *place = item)
}

#[test]
fn no_wake_up_of_two_shards_is_lost() {
    model(|| {
        let (mesh, mut shard) = mesh(3);
        let senders = [1, 2].map(|id| {
            let mut port = mesh.claim(ShardId(id)).unwrap();
            thread::spawn(move || {
                assert!(put(&mut port, u32::from(id)));
                port.ring();
            })
        });
        shard.take(2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn a_batch_wakes_once_and_a_shard_that_goes_on_wakes_each_time() {
    model(|| {
        let (mesh, mut shard) = mesh(2);
        let mut port = mesh.claim(ShardId(1)).unwrap();
        let sender = thread::spawn(move || {
            let mut woken = 0;
            for batch in [&[1, 2][..], &[3]] {
                for item in batch {
                    while !put(&mut port, *item) {
                        thread::yield_now();
                    }
                }
                woken += port.ring();
            }
            woken
        });
        shard.take(3);
        assert!(sender.join().unwrap() <= 2, "one wake-up for each batch at most");
        let items: Vec<u32> = shard.taken.iter().map(|(_, item)| *item).collect();
        assert_eq!(items, [1, 2, 3], "in order");
    });
}

#[test]
fn a_command_and_a_hop_wake_by_one_bell() {
    model(|| {
        let (mesh, mut shard) = mesh(2);
        let mailbox = Arc::new(Mailbox::with_bell(1, Arc::clone(&shard.bell)));
        let caller = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || assert!(mailbox.try_push(7).is_ok()))
        };
        let mut port = mesh.claim(ShardId(1)).unwrap();
        let sender = thread::spawn(move || {
            assert!(put(&mut port, 1));
            port.ring();
        });
        let mut commands = 0;
        loop {
            mailbox.drain(1, |_| commands += 1);
            shard.drain();
            if commands + shard.taken.len() == 2 {
                break;
            }
            let park = mailbox.park_if(|| shard.port.is_empty());
            if park {
                shard.bell.wake_fd().wait();
                shard.bell.wake_fd().clear();
                mailbox.unpark();
            }
        }
        caller.join().unwrap();
        sender.join().unwrap();
    });
}
