//! Real packets through real links. Without permission for namespaces and TUN devices they are skipped.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::{Figures, Group, Impairments, World};
use crate::load::socket::{self, Receiver};
use crate::load::wall_ns;

/// A machine that runs other tests lets threads wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A world, or word of why there is none.
fn world() -> Option<World> {
    match World::make() {
        Ok(world) => Some(world),
        Err(failure) => {
            eprintln!("SKIPPED: {failure}");
            None
        }
    }
}

fn links(up: &str, down: &str) -> Impairments {
    Impairments { up: up.parse().unwrap(), down: down.parse().unwrap() }
}

/// A socket of a client and one of a server.
struct Ends {
    client: UdpSocket,
    server: UdpSocket,
}

/// What came at one end: number, one-way time, when.
struct Stream {
    arrived: Vec<(u64, Duration, u64)>,
    sent: u64,
    len: usize,
}

impl Ends {
    fn bind(world: &World, group: &Group) -> Self {
        let client = group.enter(|| socket::bind(group.address().into())).unwrap().unwrap();
        let server = world.enter(|| socket::bind(group.server_address().into())).unwrap().unwrap();
        Self { client, server }
    }

    fn up(&self, count: u64, gap: Duration, len: usize, each: impl FnMut(u64)) -> Stream {
        stream(&self.client, &self.server, count, gap, len, each)
    }

    fn down(&self, count: u64, gap: Duration, len: usize, each: impl FnMut(u64)) -> Stream {
        stream(&self.server, &self.client, count, gap, len, each)
    }
}

/// Sends `count` packets of `len` bytes (of IP), one every `gap`, and waits until nothing more comes.
fn stream(
    from: &UdpSocket,
    to: &UdpSocket,
    count: u64,
    gap: Duration,
    len: usize,
    mut each: impl FnMut(u64),
) -> Stream {
    let target = to.local_addr().unwrap();
    let mut receiver = Receiver::new();
    let mut arrived = Vec::new();
    let mut payload = vec![0; len - 28];
    let mut take = |arrived: &mut Vec<(u64, Duration, u64)>| {
        let drops = receiver.receive(to, |datagram| {
            let word = |at: usize| u64::from_be_bytes(datagram.bytes[at..at + 8].try_into().unwrap());
            let time = Duration::from_nanos(datagram.received_ns.saturating_sub(word(8)));
            arrived.push((word(0), time, datagram.received_ns));
        });
        assert_eq!(drops.unwrap().unwrap_or(0), 0, "the socket of the test has dropped packets");
    };
    let start = Instant::now();
    for number in 0..count {
        thread::sleep((start + gap * number as u32).saturating_duration_since(Instant::now()));
        each(number);
        payload[..8].copy_from_slice(&number.to_be_bytes());
        payload[8..16].copy_from_slice(&wall_ns().to_be_bytes());
        from.send_to(&payload, target).unwrap();
        take(&mut arrived);
    }
    let mut last = Instant::now();
    let mut known = arrived.len();
    while last.elapsed() < Duration::from_millis(600) {
        thread::sleep(Duration::from_millis(2));
        take(&mut arrived);
        if arrived.len() > known {
            (known, last) = (arrived.len(), Instant::now());
        }
    }
    Stream { arrived, sent: count, len }
}

impl Stream {
    fn lost_share(&self) -> f64 {
        1.0 - self.arrived.len() as f64 / self.sent as f64
    }

    fn time(&self, quantile: f64) -> Duration {
        let mut times: Vec<Duration> = self.arrived.iter().map(|(_, time, _)| *time).collect();
        times.sort();
        times[((times.len() - 1) as f64 * quantile) as usize]
    }

    fn bps(&self) -> f64 {
        let (first, last) = (self.arrived[0].2, self.arrived[self.arrived.len() - 1].2);
        (self.arrived.len() - 1) as f64 * self.len as f64 * 8.0 / ((last - first) as f64 / 1e9)
    }

    fn is_in_order(&self) -> bool {
        self.arrived.is_sorted()
    }
}

#[track_caller]
fn assert_near(measured: f64, wanted: f64, tolerance: f64, figures: &Figures) {
    let is_near = (measured / wanted - 1.0).abs() <= tolerance;
    assert!(is_near, "{measured} instead of {wanted}; {figures:?} {:?}", figures.problems());
}

#[test]
fn a_link_that_does_nothing_passes_all_within_a_fraction_of_a_millisecond() {
    let Some(world) = world() else { return };
    let group = world.group("clean", Impairments::default(), 1).unwrap();
    let ends = Ends::bind(&world, &group);
    for stream in [
        ends.up(2000, Duration::from_micros(500), 1200, |_| {}),
        ends.down(2000, Duration::from_micros(500), 1200, |_| {}),
    ] {
        assert_eq!(stream.arrived.len(), 2000);
        assert!(stream.is_in_order());
        assert!(stream.time(0.5) < Duration::from_millis(2), "{:?}", stream.time(0.5));
        eprintln!("added: p50 {:?}, p95 {:?}", stream.time(0.5), stream.time(0.95));
    }
    let figures = group.figures();
    eprintln!("CPU of a packet: {:?}; waited {:?}", figures.cpu_per_packet(), figures.health.waited);
    assert_eq!((figures.up.passed, figures.down.passed), (2000, 2000));
    assert!(figures.health.cpu > Duration::from_millis(1), "{figures:?}");
}
