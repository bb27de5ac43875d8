//! Every backend against real sockets of this machine: one set of promises.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use io_uring::IoUring;

use super::backend::{Backend, probe_uring};
use super::clock;
use crate::counters::{Counters, DropReason};
use crate::limits::{PACKETS_PER_TURN, TRAINS_PER_SEND_MAX};
use crate::mmsg::Mmsg;
use crate::transport::path::{Egress, Path};
use crate::udp::Surroundings;
use crate::udp::figures::SendFigures;
use crate::udp::socket::{self, Socket};
use crate::udp::system::EventFd;
use crate::uring::{SIZES, Uring, ring};

const PATIENCE: Duration = Duration::from_secs(10);
const BACKENDS_PER_PROMISE_MAX: usize = 8;

/// A backend on sockets of its own, with what it counts.
struct Bench<B> {
    backend: B,
    address: SocketAddr,
    counters: Arc<Counters>,
    figures: Arc<SendFigures>,
    wake: Arc<EventFd>,
}

/// Opens a backend on these addresses.
type Open<'a, B> = &'a dyn Fn(&[&str]) -> Bench<B>;

fn open<B>(listen: &[&str], make: impl FnOnce(Arc<[Socket]>, Surroundings) -> B) -> Bench<B> {
    let addresses: Vec<IpAddr> = listen.iter().map(|ip| ip.parse().unwrap()).collect();
    let wake = Arc::new(EventFd::new().unwrap());
    let (counters, figures) = <(Arc<Counters>, Arc<SendFigures>)>::default();
    let surroundings = Surroundings {
        wake: Arc::clone(&wake),
        counters: Arc::clone(&counters),
        figures: Arc::clone(&figures),
        clock: clock::now,
    };
    let sockets: Arc<[Socket]> = socket::open_all(&addresses, 0).unwrap().into();
    let address = sockets[0].facts().address;
    Bench { backend: make(sockets, surroundings), address, counters, figures, wake }
}

fn on_mmsg(promise: impl FnOnce(Open<'_, Mmsg>)) {
    promise(&|listen| open(listen, |sockets, surroundings| Mmsg::open(sockets, surroundings).unwrap()));
}

/// With zero-copy sends too: they must not differ.
fn on_uring(has_zero_copy: bool, promise: impl for<'ring> FnOnce(Open<'_, Uring<'ring>>)) {
    if let Err(refusal) = probe_uring() {
        let _ = writeln!(std::io::stderr(), "SKIPPED, and not tested here: {refusal}");
        return;
    }
    let mut queues: Vec<IoUring> =
        (0..BACKENDS_PER_PROMISE_MAX).map(|_| ring::build(SIZES).unwrap()).collect();
    let unused = RefCell::new(queues.iter_mut());
    promise(&|listen| {
        let queues = unused.borrow_mut().next().expect("a promise needs no more backends");
        open(listen, |sockets, surroundings| {
            Uring::open(queues, SIZES, sockets, surroundings, has_zero_copy).unwrap()
        })
    });
}

/// Makes a test of each promise for each backend.
macro_rules! kept_by_every_backend {
    ($($promise:ident,)*) => {
        mod mmsg {
            $(#[test] fn $promise() { super::on_mmsg(|open| super::$promise(open)); })*
        }
        mod uring {
            $(#[test] fn $promise() { super::on_uring(false, |open| super::$promise(open)); })*
        }
        mod uring_without_copies {
            $(#[test] fn $promise() { super::on_uring(true, |open| super::$promise(open)); })*
        }
    };
}

kept_by_every_backend! {
    an_answer_leaves_from_the_address_that_was_dialled,
    a_train_arrives_as_the_datagrams_it_was_made_of,
    more_peers_than_fit_one_send_are_all_served,
    receive_times_are_those_of_the_kernel,
    a_datagram_that_is_too_long_or_empty_is_dropped_by_name,
    what_overflows_a_full_socket_is_counted,
    a_drain_keeps_to_its_limit_and_the_rest_comes_later,
    what_cannot_be_sent_is_dropped_by_name,
    a_wait_ends_at_its_deadline_or_when_it_is_woken,
    a_wake_up_that_comes_during_a_turn_ends_the_next_wait,
}

impl<B: Backend> Bench<B> {
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits until so many datagrams have come: where they went between, when, and their bytes.
    fn receive(&mut self, count: usize) -> Vec<(Path, Instant, Vec<u8>)> {
        let deadline = Instant::now() + PATIENCE;
        let mut received = Vec::new();
        while received.len() < count && Instant::now() < deadline {
            self.backend.submit_and_wait(Some(deadline)).unwrap();
            self.backend.drain_received(PACKETS_PER_TURN, clock::read(), |datagram| {
                received.push((datagram.path, datagram.received_at, datagram.bytes.to_vec()));
            });
        }
        received
    }

    fn send(&mut self, path: Path, bytes: &[u8], received_at: Option<Instant>) {
        self.backend.tx().reserve()[..bytes.len()].copy_from_slice(bytes);
        self.backend.tx().commit(path, bytes.len(), received_at);
    }
}

fn peer(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn next(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = [0; 2048];
    let (len, from) = peer.recv_from(&mut bytes).unwrap();
    (bytes[..len].to_vec(), from)
}

/// A peer at `peer_ip` talks to `dialled` on a shard that listens on `listen`, and is answered.
fn check_round_trip<B: Backend>(open: Open<'_, B>, listen: &[&str], peer_ip: &str, dialled: &str) {
    let mut bench = open(listen);
    let dialled = SocketAddr::new(dialled.parse().unwrap(), bench.port());
    let peer = peer(peer_ip);
    peer.send_to(b"ping", dialled).unwrap();

    let received = bench.receive(1);
    let expected = Path { local: dialled, remote: peer.local_addr().unwrap() };
    assert_eq!(received[0].0, expected, "listening on {listen:?}");
    assert_eq!(received[0].2, b"ping");

    bench.send(expected, b"pong", None);
    bench.backend.submit();
    assert_eq!(next(&peer), (b"pong".to_vec(), dialled), "listening on {listen:?}");
}

fn an_answer_leaves_from_the_address_that_was_dialled<B: Backend>(open: Open<'_, B>) {
    check_round_trip(open, &["127.0.0.1"], "127.0.0.1", "127.0.0.1");
    check_round_trip(open, &["0.0.0.0"], "127.0.0.1", "127.0.0.1");
    check_round_trip(open, &["0.0.0.0"], "127.0.0.1", "127.0.0.9");
    check_round_trip(open, &["127.0.0.1", "127.0.0.2"], "127.0.0.1", "127.0.0.2");
    check_round_trip(open, &["::1"], "::1", "::1");
    check_round_trip(open, &["::"], "::1", "::1");
    check_round_trip(open, &["0.0.0.0", "::"], "::1", "::1");
    check_round_trip(open, &["0.0.0.0", "::"], "127.0.0.1", "127.0.0.1");
}

fn check_train<B: Backend>(open: Open<'_, B>, listen: &str) {
    let mut bench = open(&[listen]);
    let peers = [peer(listen), peer(listen)];
    let local = bench.address;
    let lens = [1100, 1100, 1100, 700, 1200, 1200];
    for peer in &peers {
        let path = Path { local, remote: peer.local_addr().unwrap() };
        for (index, len) in lens.into_iter().enumerate() {
            bench.send(path, &vec![index as u8; len], Some(Instant::now()));
        }
    }
    bench.backend.submit();
    for peer in &peers {
        for (index, len) in lens.into_iter().enumerate() {
            assert_eq!(next(peer), (vec![index as u8; len], local));
        }
    }
    assert_eq!(bench.figures.train_lengths()[..6], [0, 0, 2, 0, 2, 0], "trains of 4 and of 2");
    assert_eq!(bench.counters.packets_sent_total.load(Relaxed), 12);
    assert_eq!(bench.counters.trains_sent_total.load(Relaxed), 4);
    let latency = bench.figures.latency();
    assert_eq!(latency.len(), 12);
    assert!(latency.max() < PATIENCE.as_nanos() as u64);
}

fn a_train_arrives_as_the_datagrams_it_was_made_of<B: Backend>(open: Open<'_, B>) {
    check_train(open, "127.0.0.1");
    check_train(open, "::1");
}

fn more_peers_than_fit_one_send_are_all_served<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let local = bench.address;
    let peers: Vec<UdpSocket> = (0..TRAINS_PER_SEND_MAX * 2 + 1).map(|_| peer("127.0.0.1")).collect();
    for round in 0..4u8 {
        for peer in &peers {
            let path = Path { local, remote: peer.local_addr().unwrap() };
            (0..3).for_each(|_| bench.send(path, &[round; 1200], None));
        }
        bench.backend.submit();
        for peer in &peers {
            (0..3).for_each(|_| assert_eq!(next(peer).0, [round; 1200]));
        }
    }
}

/// The kernel begins to stamp datagrams some time after the first socket of the machine asks for it; until then
/// they are stamped when they are read.
fn receive_times_are_those_of_the_kernel<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let peer = peer("127.0.0.1");
    let slack = Duration::from_millis(100);
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let before = Instant::now();
        peer.send_to(b"x", bench.address).unwrap();
        let sent = Instant::now();
        std::thread::sleep(Duration::from_millis(300));
        let received_at = bench.receive(1)[0].1;
        if received_at + slack >= before && received_at <= sent + slack {
            return;
        }
        assert!(Instant::now() < give_up_at, "not the time of the kernel, but of the read");
    }
}

fn a_datagram_that_is_too_long_or_empty_is_dropped_by_name<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let to = bench.address;
    let peer = peer("127.0.0.1");
    for bytes in [&[1; 1501][..], &[2; 9000], &[], &[3; 1500]] {
        peer.send_to(bytes, to).unwrap();
    }
    let received = bench.receive(1);
    assert_eq!(received[0].2, [3; 1500]);
    assert_eq!(bench.counters.dropped(DropReason::BadSize), 3);
}

fn what_overflows_a_full_socket_is_counted<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let to = bench.address;
    let peer = peer("127.0.0.1");
    let sent = 60_000u64;
    (0..sent).for_each(|_| assert!(peer.send_to(&[7; 1400], to).is_ok()));
    let mut count = 0u64;
    let mut drain = |bench: &mut Bench<B>| {
        bench.backend.submit_and_wait(Some(Instant::now())).unwrap();
        let before = count;
        bench.backend.drain_received(PACKETS_PER_TURN, clock::read(), |_| count += 1);
        count > before
    };
    while drain(&mut bench) {}
    // The kernel tells with the next datagram.
    peer.send_to(&[7; 1400], to).unwrap();
    while drain(&mut bench) {}
    let lost = bench.counters.receive_overflow_total.load(Relaxed);
    assert!(lost > 0, "the socket has held {count} datagrams of 1400 bytes");
    assert_eq!(count + lost, sent + 1);
}

fn a_drain_keeps_to_its_limit_and_the_rest_comes_later<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let peer = peer("127.0.0.1");
    (0..150u8).for_each(|index| {
        peer.send_to(&[index], bench.address).unwrap();
    });
    let mut received = Vec::new();
    for expected in [100, 150] {
        bench.backend.submit_and_wait(Some(Instant::now() + PATIENCE)).unwrap();
        bench.backend.drain_received(100, clock::read(), |datagram| received.push(datagram.bytes[0]));
        assert_eq!(received.len(), expected);
    }
    assert_eq!(received, (0..150).collect::<Vec<u8>>());
}

fn what_cannot_be_sent_is_dropped_by_name<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let local = bench.address;
    let remote = peer("127.0.0.1").local_addr().unwrap();
    let foreign = Path { local: "192.0.2.77:1".parse().unwrap(), remote };
    bench.send(foreign, b"no socket of ours", None);
    bench.send(Path { local, remote: "198.51.100.1:9".parse().unwrap() }, b"no route from loopback", None);
    bench.backend.tx().reserve();
    bench.backend.tx().commit(Path { local, remote }, 0, None);
    bench.backend.submit();
    assert_eq!(bench.counters.dropped(DropReason::SendRefused), 2);
    assert_eq!(bench.counters.dropped(DropReason::BadSize), 1);
    assert_eq!(bench.counters.packets_sent_total.load(Relaxed), 0);
}

fn a_wait_ends_at_its_deadline_or_when_it_is_woken<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let start = Instant::now();
    bench.backend.submit_and_wait(Some(start + Duration::from_millis(5))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(5));
    bench.wake.signal();
    bench.backend.submit_and_wait(Some(Instant::now() + PATIENCE)).unwrap();
    assert!(start.elapsed() < PATIENCE);
    let start = Instant::now();
    bench.backend.submit_and_wait(Some(start + Duration::from_millis(5))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(5), "a wake-up counts once");
}

/// A turn that receives and sends reads completions, the one of the wake-up among them.
fn a_wake_up_that_comes_during_a_turn_ends_the_next_wait<B: Backend>(open: Open<'_, B>) {
    let mut bench = open(&["127.0.0.1"]);
    let peer = peer("127.0.0.1");
    let path = Path { local: bench.address, remote: peer.local_addr().unwrap() };
    bench.wake.signal();
    bench.send(path, b"media", None);
    bench.backend.submit();
    bench.backend.drain_received(PACKETS_PER_TURN, clock::read(), |_| ());
    let start = Instant::now();
    bench.backend.submit_and_wait(Some(start + PATIENCE)).unwrap();
    assert!(start.elapsed() < PATIENCE, "it slept through the wake-up");
}
