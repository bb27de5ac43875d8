//! The loop with engines of the tests' own, over real sockets of this machine.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use super::backend::IoSettings;
use super::turn::Turn;
use super::{ShardConfig, ShardHandle, Wake};
use crate::command::{Command, Envelope, Event, Refusal, Reply};
use crate::id::{ShardId, TrackId};
use crate::limits::{EVENTS_LEN_MAX, MAILBOX_LEN_MAX};
use crate::media::format::MediaKind;
use crate::transport::path::{Datagram, Egress, Path};

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers each datagram with its bytes, `copies` times, and says goodbye to all peers on `CloseAll`.
#[derive(Default)]
struct Echo {
    copies: usize,
    peers: Vec<Path>,
    outbox: Vec<(Path, Vec<u8>, Option<Instant>)>,
    events: Vec<Event>,
    deadline: Option<Instant>,
    expired: Arc<AtomicU64>,
}

impl Turn for Echo {
    fn apply(&mut self, envelope: Envelope, now: Instant) {
        let reply = match envelope.command {
            Command::AddTrack { track: TrackId(666), .. } => panic!("this test engine was told to"),
            Command::AddTrack { track: TrackId(555), .. } => {
                std::thread::sleep(Duration::from_millis(400));
                Reply::Done
            }
            Command::AddTrack { track: TrackId(milliseconds), .. } => {
                self.deadline = Some(now + Duration::from_millis(milliseconds));
                Reply::Done
            }
            Command::RemoveTrack { track } => {
                self.events.push(Event::TrackStopped { track });
                Reply::Done
            }
            Command::CloseAll => {
                self.outbox.extend(self.peers.drain(..).map(|peer| (peer, b"bye".to_vec(), None)));
                Reply::Done
            }
            _ => Reply::Refused(Refusal::UnknownTransport),
        };
        let _ = envelope.reply.send(reply);
    }

    fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        assert!(datagram.received_at <= now);
        if !self.peers.contains(&datagram.path) {
            self.peers.push(datagram.path);
        }
        for _ in 0..self.copies {
            self.outbox.push((datagram.path, datagram.bytes.to_vec(), Some(datagram.received_at)));
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.expired.fetch_add(1, Relaxed);
        }
    }

    fn transmit(&mut self, egress: &mut impl Egress, _now: Instant) {
        for (path, bytes, received_at) in self.outbox.drain(..) {
            egress.reserve()[..bytes.len()].copy_from_slice(&bytes);
            egress.commit(path, bytes.len(), received_at);
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

struct Running {
    shard: ShardHandle,
    wakes: Arc<AtomicU64>,
    expired: Arc<AtomicU64>,
}

fn start() -> Running {
    let (wakes, expired) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let config = ShardConfig {
        id: ShardId(3),
        listen: vec!["127.0.0.1".parse().unwrap()],
        port: 0,
        cpu: Some(0),
        seed: 1,
        io: IoSettings::default(),
        mesh: None,
    };
    let wake: Wake = Arc::new({
        let wakes = Arc::clone(&wakes);
        move || {
            wakes.fetch_add(1, Relaxed);
        }
    });
    let engine = Echo { copies: 2, expired: Arc::clone(&expired), ..Echo::default() };
    let shard = ShardHandle::start_with(config, wake, |_, _| engine).unwrap();
    Running { shard, wakes, expired }
}

fn wait_for(reply: &mut oneshot::Receiver<Reply>) -> Option<Reply> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match reply.try_recv() {
            Ok(Some(reply)) => return Some(reply),
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    panic!("neither a reply nor a refusal in time");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn peer_of(shard: &ShardHandle) -> UdpSocket {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(shard.local_addresses()[0]).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn next(peer: &UdpSocket) -> Vec<u8> {
    let mut bytes = [0; 2048];
    let len = peer.recv(&mut bytes).unwrap();
    bytes[..len].to_vec()
}

const SLOW: Command = Command::AddTrack { track: TrackId(555), kind: MediaKind::Audio };
const PANIC: Command = Command::AddTrack { track: TrackId(666), kind: MediaKind::Audio };

#[test]
fn datagrams_go_through_the_engine_and_are_measured() {
    let Running { shard, .. } = start();
    let peer = peer_of(&shard);
    for round in 0..50u8 {
        peer.send(&[round; 200]).unwrap();
        assert_eq!([next(&peer), next(&peer)], [[round; 200], [round; 200]]);
    }
    until("figures", || shard.latency().len() == 100);
    assert_eq!(shard.train_lengths()[2], 50);
    assert!(shard.cpu_ns() > 0);
    assert!(shard.counters().turns_total.load(Relaxed) >= 50);
    assert_eq!(shard.id(), ShardId(3));
    assert_eq!(shard.sockets()[0].address, shard.local_addresses()[0]);
}

#[test]
fn a_sleeping_shard_is_woken_by_a_command_and_says_what_happened() {
    let Running { shard, wakes, .. } = start();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(2));
        let mut reply = shard.try_call(Command::RemoveTrack { track: TrackId(7) }).unwrap();
        assert!(matches!(wait_for(&mut reply), Some(Reply::Done)));
    }
    until("the last wake", || wakes.load(Relaxed) == 20);
    for _ in 0..20 {
        assert_eq!(shard.poll_event(), Some(Event::TrackStopped { track: TrackId(7) }));
    }
    assert_eq!(shard.poll_event(), None);
}

#[test]
fn a_deadline_of_the_engine_ends_the_wait() {
    let Running { shard, expired, .. } = start();
    let kind = MediaKind::Audio;
    let mut reply = shard.try_call(Command::AddTrack { track: TrackId(20), kind }).unwrap();
    assert!(wait_for(&mut reply).is_some());
    assert_eq!(expired.load(Relaxed), 0);
    until("the deadline", || expired.load(Relaxed) == 1);
    let turns = shard.counters().turns_total.load(Relaxed);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(shard.counters().turns_total.load(Relaxed), turns, "a shard without work sleeps");
}

#[test]
fn a_full_mailbox_and_a_full_event_queue_are_said_at_once() {
    let Running { shard, .. } = start();
    let mut slow = shard.try_call(SLOW).unwrap();
    until("the slow turn", || shard.turn_age() > Duration::ZERO);
    let refused = (0..MAILBOX_LEN_MAX + 100)
        .filter(|_| shard.try_call(Command::RemoveTrack { track: TrackId(1) }).is_err())
        .count();
    assert!((99..=100).contains(&refused), "{refused} commands were refused");
    assert!(wait_for(&mut slow).is_some());

    let mut said = MAILBOX_LEN_MAX + 100 - refused;
    while said < EVENTS_LEN_MAX + 500 {
        match shard.try_call(Command::RemoveTrack { track: TrackId(1) }) {
            Ok(_) => said += 1,
            Err(_) => std::thread::yield_now(),
        }
    }
    let dropped = || shard.counters().events_dropped_total.load(Relaxed);
    until("the dropped events", || dropped() == 500);
    assert_eq!(std::iter::from_fn(|| shard.poll_event()).count(), EVENTS_LEN_MAX);
}

#[test]
fn a_stall_shows_while_it_lasts() {
    let Running { shard, .. } = start();
    assert_eq!(shard.turn_age(), Duration::ZERO);
    let mut reply = shard.try_call(SLOW).unwrap();
    until("the stall", || shard.turn_age() > Duration::from_millis(250));
    wait_for(&mut reply);
    until("the end of the stall", || shard.turn_age() == Duration::ZERO);
}

#[test]
fn a_stop_sends_what_was_commanded_before_it() {
    let Running { shard, .. } = start();
    let peers: Vec<UdpSocket> = (0..100).map(|_| peer_of(&shard)).collect();
    for peer in &peers {
        peer.send(b"hello").unwrap();
        assert_eq!([next(peer), next(peer)], [b"hello", b"hello"]);
    }
    let mut reply = shard.try_call(Command::CloseAll).unwrap();
    shard.stop();
    assert!(matches!(reply.try_recv(), Ok(Some(Reply::Done))));
    assert!(peers.iter().all(|peer| next(peer) == b"bye"));
    assert!(!shard.is_running());
    let cpu_ns = shard.cpu_ns();
    assert!(cpu_ns > 0);
    assert_eq!(shard.cpu_ns(), cpu_ns, "an ended thread uses no more time");
    shard.stop();
}

#[test]
fn a_stopped_shard_refuses_commands_and_frees_its_port() {
    let Running { shard, .. } = start();
    let address: SocketAddr = shard.local_addresses()[0];
    shard.stop();
    assert!(wait_for(&mut shard.try_call(Command::CloseAll).unwrap()).is_none());
    UdpSocket::bind(address).unwrap();
}

#[test]
fn the_last_handle_stops_the_shard() {
    let Running { shard, .. } = start();
    let (address, clone) = (shard.local_addresses()[0], shard.clone());
    drop(shard);
    assert!(clone.is_running());
    drop(clone);
    UdpSocket::bind(address).unwrap();
}

#[test]
fn an_escaped_panic_ends_its_shard_and_nothing_else() {
    let (Running { shard, wakes, .. }, other) = (start(), start());
    let mut panicking = shard.try_call(PANIC).unwrap();
    let mut waiting = shard.try_call(Command::CloseAll).ok();
    assert!(wait_for(&mut panicking).is_none());
    until("the end of the thread", || !shard.is_running());
    if let Some(waiting) = &mut waiting {
        assert!(wait_for(waiting).is_none(), "nobody waits for a reply that will not come");
    }
    assert_eq!(shard.counters().panics_total.load(Relaxed), 1);
    until("the last wake", || wakes.load(Relaxed) == 1);
    assert!(wait_for(&mut shard.try_call(Command::CloseAll).unwrap()).is_none());
    assert!(wait_for(&mut other.shard.try_call(Command::CloseAll).unwrap()).is_some());
}

#[test]
fn a_wake_that_stops_its_own_shard_does_not_hang() {
    let slot: Arc<std::sync::OnceLock<ShardHandle>> = Arc::default();
    let wake: Wake = Arc::new({
        let slot = Arc::clone(&slot);
        move || {
            if let Some(shard) = slot.get() {
                shard.stop();
            }
        }
    });
    let listen = vec!["127.0.0.1".parse().unwrap()];
    let config = ShardConfig {
        id: ShardId(0),
        listen,
        port: 0,
        cpu: None,
        seed: 1,
        io: IoSettings::default(),
        mesh: None,
    };
    let shard = ShardHandle::start_with(config, wake, |_, _| Echo::default()).unwrap();
    assert!(slot.set(shard.clone()).is_ok());
    drop(shard.try_call(Command::RemoveTrack { track: TrackId(1) }).unwrap());
    until("the stop", || !shard.is_running());
}
