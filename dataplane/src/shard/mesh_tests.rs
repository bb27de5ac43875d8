//! The mesh with real rings, and shards that are real threads.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::mesh::{Mesh, Port};
use crate::id::ShardId;
use crate::media::crossing::Rank;
use crate::mmsg::poller::Poller;
use crate::udp::system::EventFd;

fn mesh(shards: usize, len: usize) -> Mesh<u64> {
    Mesh::with_ring_len((0..shards).map(|_| EventFd::new().unwrap()).collect(), len)
}

fn put(port: &mut Port<u64>, to: u16, rank: Rank, item: u64) -> bool {
    port.offer(ShardId(to), |len| rank.reserve(len), |place| *place = item)
}

fn take(port: &mut Port<u64>) -> Vec<u64> {
    let mut taken = Vec::new();
    port.drain(|_, item| taken.push(*item));
    taken
}

/// docs/OPERATIONS.md says how much memory a ring takes.
#[test]
fn a_hop_takes_about_two_kilobytes() {
    let size = size_of::<crate::engine::Hop>();
    assert!((1_500..=2_304).contains(&size), "{size} bytes");
}

#[test]
fn a_port_is_given_out_once_and_to_members_only() {
    let mesh = mesh(2, 4);
    assert!(mesh.claim(ShardId(0)).is_some());
    assert!(mesh.claim(ShardId(0)).is_none());
    assert!(mesh.claim(ShardId(2)).is_none());
}

#[test]
fn what_was_put_in_comes_out_in_order_and_from_whom() {
    let mesh = mesh(3, 16);
    let [mut first, mut second, mut reader] = [0, 1, 2].map(|id| mesh.claim(ShardId(id)).unwrap());
    for item in 0..5 {
        assert!(put(&mut first, 2, Rank::Base, item));
        assert!(put(&mut second, 2, Rank::Base, 10 + item));
    }
    let mut seen = Vec::new();
    assert_eq!(reader.drain(|from, item| seen.push((from.0, *item))), 10);
    assert_eq!(seen, Vec::from_iter((0..5).map(|item| (0, item)).chain((0..5).map(|item| (1, 10 + item)))));
    assert!(reader.is_empty() && take(&mut reader).is_empty());
}

#[test]
fn a_filling_ring_gives_up_the_highest_layers_first_and_keyframes_last() {
    let mesh = mesh(2, 64);
    let mut port = mesh.claim(ShardId(0)).unwrap();
    let _reader = mesh.claim(ShardId(1)).unwrap();
    let ranks = [Rank::Smooth, Rank::Temporal, Rank::Spatial, Rank::Base, Rank::Keyframe, Rank::Word];
    let depths = ranks.map(|rank| {
        let mut fits = 0;
        while put(&mut port, 1, rank, 0) {
            fits += 1;
        }
        fits
    });
    assert_eq!(depths, [32, 8, 8, 8, 4, 4], "each rank gets what the one before it left, to its own mark");
}

#[test]
fn a_ring_whose_reader_is_gone_takes_everything_and_keeps_nothing() {
    let mesh = mesh(2, 4);
    let mut port = mesh.claim(ShardId(0)).unwrap();
    drop(mesh.claim(ShardId(1)));
    assert!((0..100).all(|item| put(&mut port, 1, Rank::Smooth, item)));
    assert!(
        put(&mut port, 0, Rank::Base, 1) && put(&mut port, 9, Rank::Base, 1),
        "nor is there one to itself"
    );
}

#[test]
fn only_a_shard_that_sleeps_is_woken_and_once_for_a_batch() {
    let mesh = mesh(2, 16);
    let (mut port, bell) = (mesh.claim(ShardId(0)).unwrap(), mesh.bell(ShardId(1)).unwrap());
    let _reader = mesh.claim(ShardId(1)).unwrap();
    assert!(put(&mut port, 1, Rank::Base, 1));
    assert_eq!(port.ring(), 0, "it is awake");
    assert!(bell.park(|| true));
    assert_eq!(port.ring(), 0, "nothing is new");
    assert!((0..3).all(|item| put(&mut port, 1, Rank::Base, item)));
    assert_eq!(port.ring(), 1);
    assert!(put(&mut port, 1, Rank::Base, 1));
    assert_eq!(port.ring(), 0, "it is awake by now");
}

#[test]
fn no_hop_and_no_wake_up_is_lost_under_stress() {
    const SENDERS: u16 = 3;
    const ITEMS: u64 = 20_000;
    let mesh = mesh(usize::from(SENDERS) + 1, 16);
    let senders: Vec<_> = (1..=SENDERS)
        .map(|id| {
            let mut port = mesh.claim(ShardId(id)).unwrap();
            std::thread::spawn(move || {
                for item in 0..ITEMS {
                    while !put(&mut port, 0, Rank::Word, item) {
                        port.ring();
                        std::thread::yield_now();
                    }
                    if item % 3 == 0 || item + 1 == ITEMS {
                        port.ring();
                    }
                }
            })
        })
        .collect();
    let (mut reader, bell) = (mesh.claim(ShardId(0)).unwrap(), Arc::clone(mesh.bell(ShardId(0)).unwrap()));
    let mut poller = Poller::new().unwrap();
    poller.add(&**bell.wake_fd(), 0).unwrap();
    let mut next = [0; SENDERS as usize + 1];
    let mut count = 0;
    while count < u64::from(SENDERS) * ITEMS {
        reader.drain(|from, item| {
            assert_eq!(*item, next[usize::from(from.0)]);
            next[usize::from(from.0)] += 1;
            count += 1;
        });
        if count < u64::from(SENDERS) * ITEMS && bell.park(|| reader.is_empty()) {
            let mut is_woken = false;
            poller.wait(Some(Duration::from_secs(20)), |_| is_woken = true).unwrap();
            assert!(is_woken, "slept through a hop after {count}");
            bell.unpark();
            bell.wake_fd().clear();
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}
