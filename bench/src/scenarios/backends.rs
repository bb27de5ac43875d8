//! The two ways to move datagrams, side by side: what each costs, and how fast each wakes.
//!
//! Shards without an engine: what comes in is copied to 100 receivers on loopback, in trains of a wanted length.
//! Both run in this process, one at a time, on the same CPU; every figure is taken in turns, and the order is
//! reversed every round.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use dataplane::command::{Command, Envelope, Event, Refusal, Reply};
use dataplane::id::{ShardId, TransportId};
use dataplane::shard::affinity::{allowed_cpus, pin_current_thread};
use dataplane::shard::backend::{IoChoice, IoSettings};
use dataplane::shard::turn::Turn;
use dataplane::shard::{ShardConfig, ShardHandle};
use dataplane::transport::path::{Datagram, Egress, Path};
use serde::Serialize;

use super::Scenario;
use crate::failure::{Failure, OrFail};
use crate::load::socket;
use crate::measure::machine::Machine;
use crate::report::{markdown, median};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "backends",
    question: "What do io_uring and mmsg cost per packet and train, how fast do they wake, what do they cost idle?",
};

/// Receivers that each packet goes to.
const RECEIVERS: usize = 100;
const PACKET_BYTES: usize = 1100;
/// Packets that each receiver gets for one kick: few enough for its socket to hold.
const PACKETS_PER_KICK: usize = 48;
/// Kicks of one measurement.
const KICKS: usize = 20;
/// Round trips of one measurement, and the pause before each: long enough for the shard to sleep.
const PINGS: usize = 300;
const PING_PAUSE: Duration = Duration::from_millis(1);
/// How long an idle shard is watched, and how often one that has timers is woken.
const IDLE_WATCH: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(5);
/// What takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// io_uring beside epoll, recvmmsg and sendmmsg: CPU per packet, wake latency, idle CPU.
///
/// Per round and train length 20 times 48 packets of 1100 bytes go to each of 100 receivers on loopback, without
/// SRTP. Then come round trips to a sleeping shard, and idle shards. Medians over the rounds are shown.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Options {
    /// Lengths of trains, packets
    #[arg(long, value_delimiter = ',', default_value = "1,4,8,16", value_parser = clap::value_parser!(u16).range(1..=48))]
    trains: Vec<u16>,
    /// Measurements of each figure; medians are shown
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// What to compare; ratios are to the first
    #[arg(long = "backend", value_delimiter = ',', default_value = "mmsg,uring")]
    backends: Vec<Contender>,
    /// Where the JSON goes; by default nowhere
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    json: Option<PathBuf>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Contender {
    /// epoll, recvmmsg and sendmmsg
    Mmsg,
    /// io_uring
    Uring,
    /// io_uring, trains of 32 packets or more sent without a copy
    UringZeroCopy,
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Contender::Mmsg => "mmsg",
            Contender::Uring => "uring",
            Contender::UringZeroCopy => "uring-zero-copy",
        }
    }

    fn settings(self) -> IoSettings {
        let choice = if self == Contender::Mmsg { IoChoice::Mmsg } else { IoChoice::Uring };
        IoSettings { choice, has_zero_copy: self == Contender::UringZeroCopy }
    }
}

/// Runs the scenario.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let cpus = allowed_cpus().or_fail("the CPUs of this process", "")?;
    if let [_, own, ..] = cpus[..] {
        pin_current_thread(own).or_fail("pinning the generator", "")?;
    }
    let mut stages = Vec::new();
    for &contender in &options.backends {
        stages.push(Stage::start(contender, cpus.first().copied())?);
    }
    let mut figures = Vec::new();
    for round in 1..=options.rounds {
        eprint!("\rround {round} of {}", options.rounds);
        for &train in &options.trains {
            in_turns(round, &mut stages, |stage| {
                let value = stage.cost(train)?;
                figures.push(Figure::new(stage, round, format!("ns/packet, trains of {train}"), value));
                Ok(())
            })?;
        }
        in_turns(round, &mut stages, |stage| stage.wakes(round, &mut figures))?;
        in_turns(round, &mut stages, |stage| stage.idles(round, &mut figures))?;
    }
    eprintln!();
    println!("{}", table(&figures, &options.backends));
    for stage in &stages {
        println!("{}: {}", stage.contender.name(), stage.remark());
    }
    options.json.as_ref().map_or(Ok(()), |path| {
        let document =
            Document { schema: 1, scenario: SCENARIO.name, machine: Machine::read(), options, figures };
        let text = serde_json::to_string_pretty(&document).or_fail("the JSON", "")?;
        std::fs::write(path, text + "\n")
            .or_fail(path.display(), "name a file that can be written by --json FILE")
    })
}

fn in_turns(
    round: u32,
    stages: &mut [Stage],
    mut measure: impl FnMut(&mut Stage) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if round.is_multiple_of(2) {
        stages.iter_mut().rev().try_for_each(&mut measure)
    } else {
        stages.iter_mut().try_for_each(&mut measure)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    scenario: &'static str,
    machine: Machine,
    options: &'a Options,
    figures: Vec<Figure>,
}

/// One measured value.
#[derive(Debug, Serialize)]
struct Figure {
    backend: &'static str,
    round: u32,
    what: String,
    value: f64,
}

impl Figure {
    fn new(stage: &Stage, round: u32, what: impl Into<String>, value: f64) -> Self {
        Self { backend: stage.contender.name(), round, what: what.into(), value }
    }
}

/// A row for each figure: medians with their spread, then ratios to the first backend.
fn table(figures: &[Figure], backends: &[Contender]) -> String {
    let mut rows = vec![vec!["median (min..max)".to_owned()]];
    let names = || backends.iter().map(|backend| backend.name());
    rows[0].extend(names().map(str::to_owned));
    rows[0].extend(names().skip(1).map(|name| format!("{name}/{}", backends[0].name())));
    let mut seen: Vec<&str> = Vec::new();
    for figure in figures {
        if !seen.contains(&figure.what.as_str()) {
            seen.push(&figure.what);
        }
    }
    for what in seen {
        let of = |name: &str| -> Vec<f64> {
            let mine = figures.iter().filter(|figure| figure.what == what && figure.backend == name);
            mine.map(|figure| figure.value).collect()
        };
        let medians: Vec<f64> = names().map(|name| median(of(name)).unwrap_or(f64::NAN)).collect();
        let mut row = vec![what.to_owned()];
        row.extend(names().zip(&medians).map(|(name, median)| {
            let (low, high) = of(name)
                .iter()
                .fold((f64::MAX, 0.0f64), |(low, high), &value| (low.min(value), high.max(value)));
            format!("{median:.0} ({low:.0}..{high:.0})")
        }));
        row.extend(medians.iter().skip(1).map(|median| match medians[0] {
            0.0 => "-".to_owned(),
            first => format!("{:.3}", median / first),
        }));
        rows.push(row);
    }
    markdown(&rows)
}

/// What the shard is to do with what it gets.
#[derive(Debug, Default)]
struct Orders {
    /// Datagrams that are copied to every receiver together: the length of the trains; 0: answer each.
    train: AtomicUsize,
    /// Whether the engine asks to be woken every [`TICK`].
    ticks: AtomicU64,
}

/// A shard on one backend, and whom it sends to.
struct Stage {
    contender: Contender,
    shard: ShardHandle,
    orders: Arc<Orders>,
    source: UdpSocket,
    receivers: Vec<UdpSocket>,
}

impl Stage {
    fn start(contender: Contender, cpu: Option<usize>) -> Result<Self, Failure> {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let bind = || socket::bind(localhost).or_fail("a socket of the generator", "");
        let receivers = (0..RECEIVERS).map(|_| bind()).collect::<Result<Vec<_>, _>>()?;
        let remotes = receivers.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>();
        let remotes = remotes.or_fail("a socket of the generator", "")?;
        let orders = Arc::<Orders>::default();
        let config = ShardConfig {
            id: ShardId(0),
            listen: vec![localhost],
            port: 0,
            cpu,
            seed: 1,
            io: contender.settings(),
        };
        let engine_orders = Arc::clone(&orders);
        let shard =
            ShardHandle::start_with(config, Arc::new(|| {}), |_, _| Copier::new(engine_orders, remotes))
                .or_fail(format!("a shard on {}", contender.name()), "leave it out by --backend")?;
        let source = UdpSocket::bind((localhost, 0)).or_fail("a socket of the generator", "")?;
        source.connect(shard.local_addresses()[0]).or_fail("a socket of the generator", "")?;
        source.set_read_timeout(Some(PATIENCE)).or_fail("a socket of the generator", "")?;
        Ok(Self { contender, shard, orders, source, receivers })
    }

    /// CPU time of the shard's thread for each packet that it sends, ns.
    fn cost(&mut self, train: u16) -> Result<f64, Failure> {
        let train = usize::from(train);
        self.orders.train.store(train, Relaxed);
        let kicks = PACKETS_PER_KICK / train * train;
        // The first kick is not measured: it brings the thread and its caches back.
        let mut before = 0;
        for kick in 0..=KICKS {
            if kick == 1 {
                before = self.shard.cpu_ns();
            }
            self.kick(kicks)?;
        }
        let spent = self.shard.cpu_ns() - before;
        Ok(spent as f64 / (KICKS * kicks * RECEIVERS) as f64)
    }

    /// Sends the shard so many packets and takes from the receivers what it makes of them.
    fn kick(&self, count: usize) -> Result<(), Failure> {
        let sent = || self.shard.counters().packets_sent_total.load(Relaxed);
        let (wanted, deadline) = (sent() + (count * RECEIVERS) as u64, Instant::now() + PATIENCE);
        for _ in 0..count {
            self.source.send(&[7; PACKET_BYTES]).or_fail("sending to the shard", "")?;
        }
        while sent() < wanted {
            if Instant::now() > deadline {
                return Err(Failure::new("the shard does not send what it should", ""));
            }
            std::hint::spin_loop();
        }
        let mut bytes = [0; 2048];
        for receiver in &self.receivers {
            let came = std::iter::from_fn(|| receiver.recv(&mut bytes).ok()).count();
            if came != count {
                return Err(Failure::new(
                    format!("a receiver got {came} of {count} packets"),
                    "raise net.core.rmem_max to 1 MiB or more",
                ));
            }
        }
        // The thread goes to sleep before its time is read.
        thread::sleep(Duration::from_micros(200));
        Ok(())
    }

    /// Round trips to a sleeping shard.
    fn wakes(&mut self, round: u32, figures: &mut Vec<Figure>) -> Result<(), Failure> {
        self.orders.train.store(0, Relaxed);
        let mut by_datagram = Vec::with_capacity(PINGS);
        let mut by_command = Vec::with_capacity(PINGS);
        let mut bytes = [0; 2048];
        for _ in 0..PINGS {
            thread::sleep(PING_PAUSE);
            let start = Instant::now();
            self.source.send(&[7; 100]).or_fail("sending to the shard", "")?;
            self.source.recv(&mut bytes).or_fail("the answer of the shard", "")?;
            by_datagram.push(start.elapsed());
            thread::sleep(PING_PAUSE);
            let start = Instant::now();
            let command = Command::DescribeTransport { id: TransportId(0) };
            let mut reply = self.shard.try_call(command).or_fail("a command", "")?;
            while !matches!(reply.try_recv(), Ok(Some(_))) {
                if start.elapsed() > PATIENCE {
                    return Err(Failure::new("the shard does not reply", ""));
                }
                std::hint::spin_loop();
            }
            by_command.push(start.elapsed());
        }
        for (what, mut times) in [("datagram", by_datagram), ("command", by_command)] {
            times.sort_unstable();
            for (name, index) in [("p50", PINGS / 2), ("p99", PINGS * 99 / 100)] {
                let value = times[index].as_nanos() as f64 / 1e3;
                figures.push(Figure::new(self, round, format!("wake by {what} {name}, us"), value));
            }
        }
        Ok(())
    }

    /// CPU time of a shard with nothing to do, and of one that only has timers.
    fn idles(&mut self, round: u32, figures: &mut Vec<Figure>) -> Result<(), Failure> {
        for (what, ticks) in [("idle", 0), ("idle with a timer every 5 ms", 1)] {
            self.orders.ticks.store(ticks, Relaxed);
            // A datagram shows the engine its orders.
            self.source.send(&[7; 100]).or_fail("sending to the shard", "")?;
            self.source.recv(&mut [0; 2048]).or_fail("the answer of the shard", "")?;
            thread::sleep(TICK);
            let before = self.shard.cpu_ns();
            thread::sleep(IDLE_WATCH);
            let value = (self.shard.cpu_ns() - before) as f64 / 1e3 / IDLE_WATCH.as_secs_f64();
            figures.push(Figure::new(self, round, format!("{what}, us of CPU a second"), value));
        }
        self.orders.ticks.store(0, Relaxed);
        self.source.send(&[7; 100]).or_fail("sending to the shard", "")?;
        self.source.recv(&mut [0; 2048]).or_fail("the answer of the shard", "")?;
        Ok(())
    }

    fn remark(&self) -> String {
        let counters = self.shard.counters();
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        format!(
            "{} packets in {} sends, {} of them without a copy, of which the kernel copied {} all the same; \
             receive buffers exhausted {} times",
            read(&counters.packets_sent_total),
            read(&counters.trains_sent_total),
            read(&counters.zero_copy_sends_total),
            read(&counters.zero_copy_copied_total),
            read(&counters.receive_buffers_exhausted_total),
        )
    }
}

/// Copies what it gets to everybody, or answers it.
struct Copier {
    orders: Arc<Orders>,
    paths: Vec<Path>,
    remotes: Vec<std::net::SocketAddr>,
    waiting: usize,
    last: Vec<u8>,
    received_at: Option<Instant>,
    answers: Vec<Path>,
    next_tick: Option<Instant>,
}

impl Copier {
    fn new(orders: Arc<Orders>, remotes: Vec<std::net::SocketAddr>) -> Self {
        Self {
            orders,
            paths: Vec::new(),
            remotes,
            waiting: 0,
            last: Vec::with_capacity(PACKET_BYTES),
            received_at: None,
            answers: Vec::with_capacity(PACKETS_PER_KICK),
            next_tick: None,
        }
    }
}

impl Turn for Copier {
    fn apply(&mut self, envelope: Envelope, _now: Instant) {
        let _ = envelope.reply.send(Reply::Refused(Refusal::UnknownTransport));
    }

    fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        if self.paths.is_empty() {
            let local = datagram.path.local;
            self.paths = self.remotes.iter().map(|&remote| Path { local, remote }).collect();
        }
        self.next_tick = (self.orders.ticks.load(Relaxed) != 0).then(|| now + TICK);
        if datagram.bytes.len() != PACKET_BYTES {
            self.answers.push(datagram.path);
            return;
        }
        self.waiting += 1;
        self.received_at = Some(datagram.received_at);
        self.last.clear();
        self.last.extend_from_slice(datagram.bytes);
    }

    fn expire(&mut self, now: Instant) {
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.next_tick = Some(now + TICK);
        }
    }

    fn transmit(&mut self, egress: &mut impl Egress, _now: Instant) {
        for path in self.answers.drain(..) {
            egress.reserve()[..100].fill(7);
            egress.commit(path, 100, None);
        }
        let train = self.orders.train.load(Relaxed).max(1);
        while self.waiting >= train {
            self.waiting -= train;
            for &path in &self.paths {
                for _ in 0..train {
                    egress.reserve()[..PACKET_BYTES].copy_from_slice(&self.last);
                    egress.commit(path, PACKET_BYTES, self.received_at);
                }
            }
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_tick
    }
}
