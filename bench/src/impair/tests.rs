//! Real packets through real links. Without permission for namespaces and TUN devices they are skipped.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Figures;
use super::line::BYTES_MAX;
use super::{Group, Impairments, World};
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
        let received = receiver.receive(to, |datagram| {
            let word = |at: usize| u64::from_be_bytes(datagram.bytes[at..at + 8].try_into().unwrap());
            let time = Duration::from_nanos(datagram.received_ns.saturating_sub(word(8)));
            arrived.push((word(0), time, datagram.received_ns));
        });
        received.unwrap();
        assert_eq!(socket::drops(to).unwrap(), 0, "the socket of the test has dropped packets");
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

    /// By the median time between two packets: where a busy machine held up the sender, the link had nothing
    /// to pass.
    fn bps(&self) -> f64 {
        let mut gaps: Vec<u64> =
            self.arrived.windows(2).map(|pair| pair[1].2.saturating_sub(pair[0].2)).collect();
        gaps.sort_unstable();
        self.len as f64 * 8.0 / (gaps[gaps.len() / 2] as f64 / 1e9)
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

#[test]
fn a_stream_sees_the_loss_and_the_delay_of_its_direction_only() {
    let Some(world) = world() else { return };
    let group = world.group("lossy", links("loss=10%,delay=40ms", "delay=5ms"), 7).unwrap();
    let ends = Ends::bind(&world, &group);
    let up = ends.up(2000, Duration::from_millis(1), 600, |_| {});
    let down = ends.down(300, Duration::from_millis(2), 600, |_| {});
    let figures = group.figures();
    assert_near(up.lost_share(), 0.1, 0.25, &figures);
    assert_eq!(figures.up.lost, 2000 - up.arrived.len() as u64);
    assert_eq!(down.arrived.len(), 300);
    let times = [up.time(0.0), up.time(0.5), down.time(0.0), down.time(0.5)];
    eprintln!(
        "40 ms: from {:?}, p50 {:?}; 5 ms: from {:?}, p50 {:?}",
        times[0], times[1], times[2], times[3]
    );
    // The wall clock of the test may be slewed by a hair.
    assert!(times[0] >= Duration::from_micros(39_900) && times[1] < Duration::from_millis(44), "{times:?}");
    assert!(times[2] >= Duration::from_micros(4_900) && times[3] < Duration::from_millis(9), "{times:?}");
    assert!(up.is_in_order() && down.is_in_order());
}

#[test]
fn losses_of_a_stream_come_in_bursts() {
    let Some(world) = world() else { return };
    let group = world.group("bursts", links("loss=20%,burst=5", "none"), 3).unwrap();
    let up = Ends::bind(&world, &group).up(4000, Duration::from_micros(250), 200, |_| {});
    let numbers: Vec<u64> = up.arrived.iter().map(|(number, ..)| *number).collect();
    let gaps: Vec<u64> =
        numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|gap| *gap > 0).collect();
    let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
    assert_near(mean, 5.0, 0.3, &group.figures());
    assert_near(up.lost_share(), 0.2, 0.35, &group.figures());
}

#[test]
fn a_narrow_link_passes_its_rate_and_its_queue_delays_no_longer_than_it_may() {
    let Some(world) = world() else { return };
    let group = world.group("narrow", links("none", "rate=2mbit,queue=100ms"), 1).unwrap();
    // 4 Mbit/s, whose packets take 4 ms each.
    let down = Ends::bind(&world, &group).down(1000, Duration::from_millis(2), 1000, |_| {});
    let figures = group.figures();
    eprintln!("2 Mbit/s: {:.0}; p50 {:?}, p99 {:?}", down.bps(), down.time(0.5), down.time(0.99));
    assert_near(down.bps(), 2e6, 0.02, &figures);
    assert_eq!(figures.down.queue_full, 1000 - down.arrived.len() as u64);
    assert_near(down.time(0.5).as_secs_f64(), 0.1, 0.1, &figures);
    assert!(down.time(0.95) < Duration::from_millis(115), "{:?}", down.time(0.95));
}

#[test]
fn capacity_falls_and_rises_while_packets_flow() {
    let Some(world) = world() else { return };
    let group = world.group("changing", links("rate=10mbit", "none"), 1).unwrap();
    let ends = Ends::bind(&world, &group);
    // 4 Mbit/s; for the second of three seconds only 1 passes.
    let up = ends.up(1500, Duration::from_millis(2), 1000, |number| match number {
        500 => group.set(links("rate=1mbit,queue=50ms", "none")),
        1000 => group.set(links("none", "none")),
        _ => {}
    });
    let passed =
        |from: u64, to: u64| up.arrived.iter().filter(|(number, ..)| (from..to).contains(number)).count();
    assert_eq!((passed(0, 490), passed(1010, 1500)), (490, 490));
    // A second of 1 Mbit/s, and what the queue held at its end.
    assert_near(passed(500, 1000) as f64, 131.0, 0.12, &group.figures());
}

#[test]
fn groups_have_links_of_their_own_and_the_server_sees_who_it_is() {
    let Some(world) = world() else { return };
    let near = world.group("near", Impairments::default(), 1).unwrap();
    let far = world.group("far", links("delay=60ms", "none"), 1).unwrap();
    assert_eq!(near.server_address(), world.address());
    assert_ne!(near.address(), far.address());
    for (group, least, most) in [(&near, 0, 20), (&far, 59, 80)] {
        let ends = Ends::bind(&world, group);
        let up = ends.up(50, Duration::from_millis(1), 100, |_| {});
        let range = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(range.contains(&up.time(0.5)), "{}: {:?}", group.address(), up.time(0.5));
        ends.client.send_to(b"who am I", ends.server.local_addr().unwrap()).unwrap();
        thread::sleep(Duration::from_millis(500));
        let (_, source) = ends.server.recv_from(&mut [0; 100]).unwrap();
        assert_eq!(source.ip(), group.address());
    }
    let count = near.figures().up.offered;
    drop(far);
    Ends::bind(&world, &near).up(10, Duration::from_millis(1), 100, |_| {});
    assert_eq!(near.figures().up.offered, count + 10);
}

#[test]
fn tcp_passes_too() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    let Some(world) = world() else { return };
    let group = world.group("web", links("delay=10ms", "delay=10ms"), 1).unwrap();
    let listener = world.enter(|| TcpListener::bind((world.address(), 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || listener.accept().unwrap().0.write_all(&[7; 100_000]).unwrap());
    let began = Instant::now();
    let mut stream = group.enter(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    serving.join().unwrap();
    assert_eq!(read, [7; 100_000]);
    assert!(began.elapsed() > Duration::from_millis(40));
}

#[test]
fn a_thread_comes_home_however_its_visit_ends() {
    let Some(world) = world() else { return };
    let network = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let home = network();
    let group = world.group("visited", Impairments::default(), 1).unwrap();
    let there = group.enter(network).unwrap();
    assert!(there != home && network() == home && world.enter(network).unwrap() != there);
    let ended =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.enter(|| panic!("on purpose"))));
    assert!(ended.is_err() && network() == home);
}

#[test]
fn nothing_is_seen_outside_and_nothing_remains() {
    let devices = || fs::read_to_string("/proc/net/dev").unwrap();
    let names = |text: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let before = names(&devices());
    let Some(world) = world() else { return };
    let group = world.group("hidden", Impairments::default(), 1).unwrap();
    assert_eq!(names(&devices()), before);
    let inside = world.enter(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    assert!(names(&inside).iter().any(|name| name.trim() == "group1"), "{inside}");
    drop(group);
    // A process that another test has just forked may hold the device until it runs its program.
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let inside = world.enter(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
        if !names(&inside).iter().any(|name| name.trim() == "group1") {
            return;
        }
        assert!(Instant::now() < give_up_at, "{inside}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_link_that_is_asked_for_too_much_says_so_and_counts_every_packet() {
    let Some(world) = world() else { return };
    let group = world.group("flooded", links("delay=10s", "none"), 1).unwrap();
    let ends = Ends::bind(&world, &group);
    let target = ends.server.local_addr().unwrap();
    // More bytes than a line holds, on the way for longer than this takes.
    let sent = BYTES_MAX / 1428 + 2000;
    for _ in 0..sent {
        ends.client.send_to(&[0; 1400], target).unwrap();
    }
    let counted = || {
        let figures = group.figures();
        (figures.up.offered + figures.health.overrun, figures)
    };
    let give_up_at = Instant::now() + PATIENCE;
    while counted().0 < sent && Instant::now() < give_up_at {
        thread::sleep(Duration::from_millis(10));
    }
    let (count, figures) = counted();
    assert_eq!(count, sent, "{figures:?}");
    assert!(figures.up.line_full + figures.health.overrun >= 2000, "{figures:?}");
    assert!(!figures.problems().is_empty(), "{figures:?}");
}
