//! The pitfalls of io_uring, each against the kernel of this machine.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, types};

use super::ring::{Ring, Sizes, build};
use super::{SIZES, Uring};
use crate::counters::{Counters, DropReason};
use crate::limits::{PACKETS_PER_TURN, SEND_SLAB_BYTES, ZERO_COPY_WATCH};
use crate::shard::backend::probe_uring;
use crate::shard::clock;
use crate::transport::path::{Egress, Path};
use crate::udp::Surroundings;
use crate::udp::socket;
use crate::udp::system::EventFd;

const PATIENCE: Duration = Duration::from_secs(10);
/// More than a thread may register.
const RINGS: usize = 40;

/// The queues, or `None` and a loud word where this machine allows none.
fn queues(sizes: Sizes) -> Option<IoUring> {
    if let Err(refusal) = probe_uring() {
        let _ = writeln!(std::io::stderr(), "SKIPPED, and not tested here: {refusal}");
        return None;
    }
    Some(build(sizes).unwrap())
}

struct Bench<'ring> {
    uring: Uring<'ring>,
    address: SocketAddr,
    counters: Arc<Counters>,
}

fn open(queues: &mut IoUring, sizes: Sizes, port: u16, has_zero_copy: bool) -> Bench<'_> {
    let sockets = socket::open_all(&[IpAddr::from([127, 0, 0, 1])], port).unwrap();
    let counters = Arc::<Counters>::default();
    let address = sockets[0].facts().address;
    let surroundings = Surroundings {
        wake: Arc::new(EventFd::new().unwrap()),
        counters: Arc::clone(&counters),
        figures: Arc::default(),
        clock: clock::now,
    };
    let uring = Uring::open(queues, sizes, sockets.into(), surroundings, has_zero_copy).unwrap();
    Bench { uring, address, counters }
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// The numbers that have come once there are `count`, or no more come.
fn receive(bench: &mut Bench<'_>, limit: usize, count: usize) -> Vec<u32> {
    let deadline = Instant::now() + PATIENCE;
    let mut numbers = Vec::new();
    while numbers.len() < count && Instant::now() < deadline {
        bench.uring.submit_and_wait(Some(Instant::now() + Duration::from_millis(200))).unwrap();
        bench.uring.drain_received(limit, clock::read(), |datagram| {
            numbers.push(u32::from_ne_bytes(datagram.bytes[..4].try_into().unwrap()));
        });
    }
    numbers
}

fn send_numbers(peer: &UdpSocket, to: SocketAddr, count: u32) {
    (0..count).for_each(|number| {
        peer.send_to(&number.to_ne_bytes(), to).unwrap();
    });
}

#[test]
fn a_ring_that_is_dropped_frees_its_port_at_once_and_takes_no_packets_along() {
    let mut port = 0;
    for round in 0..RINGS {
        let Some(mut queues) = queues(SIZES) else { return };
        // Bound at once, on the port that the ring before has had.
        let mut bench = open(&mut queues, SIZES, port, false);
        port = bench.address.port();
        let peer = peer();
        send_numbers(&peer, bench.address, 300);
        if round % 2 == 0 {
            assert_eq!(receive(&mut bench, PACKETS_PER_TURN, 300), (0..300).collect::<Vec<_>>());
        }
        // In the other rounds they lie in the socket and in the buffers when it goes.
        drop(bench);
        UdpSocket::bind(("127.0.0.1", port)).expect("the queues live on, and hold no socket");
    }
}

#[test]
fn more_rings_than_a_thread_may_register_can_come_and_go() {
    for _ in 0..RINGS {
        let Some(mut queues) = queues(SIZES) else { return };
        assert!(Ring::new(&mut queues).is_registered(), "the one before has given its place back");
    }
}

#[test]
fn more_rings_than_a_thread_may_register_work_side_by_side() {
    let sizes = Sizes { submissions: 8, completions: 64, buffers: 8 };
    let mut all: Vec<IoUring> = (0..RINGS / 2).map_while(|_| queues(sizes)).collect();
    for bench in &mut all.iter_mut().map(|queues| open(queues, sizes, 0, false)).collect::<Vec<_>>() {
        send_numbers(&peer(), bench.address, 20);
        assert_eq!(receive(bench, PACKETS_PER_TURN, 20).len(), 20);
    }
}

#[test]
fn a_burst_beyond_all_buffers_waits_in_the_socket() {
    let sizes = Sizes { buffers: 8, ..SIZES };
    let Some(mut queues) = queues(sizes) else { return };
    let mut bench = open(&mut queues, sizes, 0, false);
    let peer = peer();
    // Twice, so that reception has resumed; and in small portions, so that the buffers stay taken.
    for limit in [PACKETS_PER_TURN, 3] {
        send_numbers(&peer, bench.address, 2_000);
        let numbers = receive(&mut bench, limit, 2_000);
        assert_eq!(bench.counters.receive_overflow_total.load(Relaxed), 0, "the socket had room for all");
        assert_eq!(numbers, (0..2_000).collect::<Vec<_>>(), "in portions of {limit}");
    }
    assert!(bench.counters.receive_buffers_exhausted_total.load(Relaxed) > 2);
    assert_eq!(bench.counters.receive_errors_total.load(Relaxed), 0);
}

#[test]
fn completions_beyond_the_queue_are_late_and_not_lost() {
    let sizes = Sizes { submissions: 4, completions: 8, buffers: 512 };
    let Some(mut queues) = queues(sizes) else { return };
    let mut ring = Ring::new(&mut queues);
    for token in 0..20 {
        // SAFETY: it names no memory.
        assert!(unsafe { ring.push(&opcode::Nop::new().build().user_data(token)) });
        ring.submit().unwrap();
    }
    assert!(ring.has_overflow());
    let mut tokens = Vec::new();
    for _ in 0..20 {
        while let Some(completion) = ring.next_completion() {
            tokens.push(completion.token);
        }
        ring.poll().unwrap();
    }
    assert_eq!(tokens, (0..20).collect::<Vec<_>>());
}

#[test]
fn a_shard_with_a_queue_that_overflows_loses_neither_datagrams_nor_refusals() {
    let sizes = Sizes { submissions: 4, completions: 8, buffers: 512 };
    let Some(mut queues) = queues(sizes) else { return };
    let mut bench = open(&mut queues, sizes, 0, false);
    let peer = peer();
    let unreachable = Path { local: bench.address, remote: "198.51.100.1:9".parse().unwrap() };
    for _ in 0..10 {
        send_numbers(&peer, bench.address, 500);
        for len in 1..=100 {
            bench.uring.queue().reserve();
            bench.uring.queue().commit(unreachable, len, None);
        }
        assert_eq!(receive(&mut bench, PACKETS_PER_TURN, 500), (0..500).collect::<Vec<_>>());
    }
    assert_eq!(bench.counters.dropped(DropReason::SendRefused), 1_000);
}

#[test]
fn a_full_socket_refuses_at_once_and_keeps_no_buffer() {
    let Some(mut queues) = queues(SIZES) else { return };
    let (socket, _far_end) = UnixDatagram::pair().unwrap();
    let mut ring = Ring::new(&mut queues);
    let bytes = [7u8; 1_000];
    for token in 0..10_000 {
        let file = types::Fd(socket.as_raw_fd());
        let request = opcode::Send::new(file, bytes.as_ptr(), bytes.len() as u32).flags(libc::MSG_DONTWAIT);
        // SAFETY: the bytes outlive the ring.
        assert!(unsafe { ring.push(&request.build().user_data(token)) });
        ring.submit().unwrap();
        let completion = ring.next_completion().expect("it is over when submit returns");
        assert_eq!(completion.token, token);
        if completion.error() == Some(libc::EAGAIN) {
            assert!(token > 0);
            return;
        }
        assert_eq!(completion.result, 1_000);
    }
    panic!("the socket was never full");
}

#[test]
fn long_trains_without_a_copy_arrive_whole_and_are_given_up_where_they_are_copied() {
    let Some(mut queues) = queues(SIZES) else { return };
    let mut bench = open(&mut queues, SIZES, 0, true);
    let peer = peer();
    let path = Path { local: bench.address, remote: peer.local_addr().unwrap() };
    let start = Instant::now();
    let sends = || bench.counters.zero_copy_sends_total.load(Relaxed);
    let mut sent = 0u8;
    let mut bytes = [0; 2048];
    while start.elapsed() < ZERO_COPY_WATCH + Duration::from_millis(300) {
        // Two batches at once, so that the second is written while the kernel may read the first.
        for letter in [sent, sent + 1] {
            for _ in 0..40 {
                bench.uring.queue().reserve()[..1_000].fill(letter);
                bench.uring.queue().commit(path, 1_000, None);
            }
            bench.uring.queue().submit();
        }
        for index in 0..80 {
            let len = peer.recv(&mut bytes).unwrap();
            assert_eq!(bytes[..len], [sent + index / 40; 1_000]);
        }
        bench.uring.submit_and_wait(Some(Instant::now() + Duration::from_millis(10))).unwrap();
        sent = (sent + 2) % 100;
    }
    let (sent, copied) = (sends(), bench.counters.zero_copy_copied_total.load(Relaxed));
    assert!(sent > 10 && copied == sent, "loopback copies: {copied} of {sent}");
    bench.uring.queue().reserve()[..1_000].fill(1);
    (0..40).for_each(|_| {
        bench.uring.queue().reserve();
        bench.uring.queue().commit(path, 1_000, None);
    });
    bench.uring.queue().submit();
    assert_eq!(sends(), sent, "it is switched off");
    assert_eq!(bench.counters.dropped(DropReason::SendRefused), 0);
    const { assert!(SEND_SLAB_BYTES > 2 * 40 * 1_000) };
}
