//! The mailbox over a real eventfd, with real threads.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::mailbox::Mailbox;
use crate::mmsg::poller::Poller;
use crate::udp::system::EventFd;

type Parts = (Arc<Mailbox<u64>>, Arc<EventFd>, Poller);

fn mailbox(len_max: usize) -> Parts {
    let wake = Arc::new(EventFd::new().unwrap());
    let poller = Poller::new().unwrap();
    poller.add(&*wake, 0).unwrap();
    (Arc::new(Mailbox::new(len_max, Arc::clone(&wake))), wake, poller)
}

fn is_woken(wake: &EventFd, poller: &mut Poller) -> bool {
    let mut is_woken = false;
    poller.wait(Some(Duration::ZERO), |_| is_woken = true).unwrap();
    wake.clear();
    is_woken
}

#[test]
fn only_a_parked_reader_costs_a_wake_up_and_only_one() {
    let (mailbox, wake, mut poller) = mailbox(8);
    mailbox.try_push(1).unwrap();
    assert!(!is_woken(&wake, &mut poller));
    assert!(!mailbox.park(), "there is something to read");
    mailbox.drain(8, |_| ());
    assert!(mailbox.park());
    mailbox.try_push(2).unwrap();
    assert!(is_woken(&wake, &mut poller));
    mailbox.try_push(3).unwrap();
    assert!(!is_woken(&wake, &mut poller), "the first item has woken it");
}

#[test]
fn a_full_mailbox_gives_the_item_back() {
    let (mailbox, ..) = mailbox(2);
    assert_eq!([1, 2, 3].map(|item| mailbox.try_push(item)), [Ok(()), Ok(()), Err(3)]);
}

#[test]
fn no_wake_up_is_lost_under_stress() {
    const SENDERS: u64 = 3;
    const ITEMS: u64 = 20_000;
    let (mailbox, wake, mut poller) = mailbox(16);
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
            wake.clear();
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn a_closed_mailbox_drops_what_it_holds_and_what_comes() {
    let (mailbox, ..) = mailbox(2);
    mailbox.try_push(1).unwrap();
    mailbox.close();
    assert_eq!([2, 3, 4].map(|item| mailbox.try_push(item)), [Ok(()); 3]);
    mailbox.drain(8, |item| panic!("{item} was left behind"));
}
