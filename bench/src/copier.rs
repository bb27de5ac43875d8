//! A shard without an engine: it copies what comes in to 100 receivers on loopback, in trains of a wanted length,
//! or answers it. What it costs is the backend's alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::command::{Command, Envelope, Event, Refusal, Reply};
use dataplane::id::{ShardId, TransportId};
use dataplane::shard::affinity::{allowed_cpus, pin_current_thread};
use dataplane::shard::backend::{IoChoice, IoSettings};
use dataplane::shard::turn::Turn;
use dataplane::shard::{ShardConfig, ShardHandle};
use dataplane::transport::path::{Datagram, Egress, Path};

use crate::failure::{Failure, OrFail};
use crate::load::socket;

/// Receivers that each packet goes to.
const RECEIVERS: usize = 100;
const PACKET_BYTES: usize = 1100;
const PING_BYTES: usize = 100;
/// Packets that each receiver gets for one kick, at most: few enough for its socket to hold.
pub(crate) const PACKETS_PER_KICK: usize = 48;
/// The pause before a round trip: long enough for the shard to sleep.
const PING_PAUSE: Duration = Duration::from_millis(1);
/// How often a shard that has timers is woken.
const TICK: Duration = Duration::from_millis(5);
/// What takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// epoll, recvmmsg and sendmmsg.
    Mmsg,
    /// io_uring.
    Uring,
    /// io_uring, trains of 32 packets or more sent without a copy.
    UringZeroCopy,
}

impl Contender {
    /// What its figures are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mmsg => "mmsg",
            Self::Uring => "uring",
            Self::UringZeroCopy => "uring_zero_copy",
        }
    }

    fn settings(self) -> IoSettings {
        let choice = if self == Self::Mmsg { IoChoice::Mmsg } else { IoChoice::Uring };
        IoSettings { choice, has_zero_copy: self == Self::UringZeroCopy }
    }
}

/// Pins this thread beside the shards, if there is a second CPU; returns the CPU for the shards.
pub(crate) fn pin() -> Result<Option<usize>, Failure> {
    let cpus = allowed_cpus().or_fail("the CPUs of this process", "")?;
    if let [_, own, ..] = cpus[..] {
        pin_current_thread(own).or_fail("pinning the generator", "")?;
    }
    Ok(cpus.first().copied())
}

/// What the shard is to do with what it gets.
#[derive(Debug, Default)]
struct Orders {
    /// Datagrams that are copied to every receiver together: the length of the trains; 0: answer each.
    train: AtomicUsize,
    /// Whether the engine asks to be woken every [`TICK`].
    has_timer: AtomicBool,
}

/// A shard on one backend, and whom it sends to.
pub(crate) struct Stage {
    shard: ShardHandle,
    orders: Arc<Orders>,
    source: UdpSocket,
    receivers: Vec<UdpSocket>,
}

impl Stage {
    /// Starts a shard on `cpu`.
    ///
    /// # Errors
    ///
    /// If its backend is refused here.
    pub(crate) fn start(contender: Contender, cpu: Option<usize>) -> Result<Self, Failure> {
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
            mesh: None,
        };
        let engine_orders = Arc::clone(&orders);
        let shard =
            ShardHandle::start_with(config, Arc::new(|| {}), |_, _| Copier::new(engine_orders, remotes))
                .or_fail(format!("a shard on {}", contender.name()), "")?;
        let source = UdpSocket::bind((localhost, 0)).or_fail("a socket of the generator", "")?;
        source.connect(shard.local_addresses()[0]).or_fail("a socket of the generator", "")?;
        source.set_read_timeout(Some(PATIENCE)).or_fail("a socket of the generator", "")?;
        Ok(Self { shard, orders, source, receivers })
    }

    /// CPU time of the shard's thread for `kicks` times as many packets as [`PACKETS_PER_KICK`] holds trains of
    /// that length, and how many packets it sent for it.
    pub(crate) fn cost(&mut self, train: usize, kicks: usize) -> Result<(Duration, usize), Failure> {
        self.orders.train.store(train, Relaxed);
        let packets = PACKETS_PER_KICK / train * train;
        // The first kick is not measured: it brings the thread and its caches back.
        self.kick(packets)?;
        let before = self.shard.cpu_ns();
        for _ in 0..kicks {
            self.kick(packets)?;
        }
        let spent = self.shard.cpu_ns() - before;
        Ok((Duration::from_nanos(spent), kicks * packets * RECEIVERS))
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

    /// The round trip of a datagram to a shard that sleeps.
    pub(crate) fn wake_by_datagram(&mut self) -> Result<Duration, Failure> {
        self.orders.train.store(0, Relaxed);
        thread::sleep(PING_PAUSE);
        let start = Instant::now();
        self.ping()?;
        Ok(start.elapsed())
    }

    /// From putting a command into the mailbox of a shard that sleeps until its reply is seen.
    pub(crate) fn wake_by_command(&mut self) -> Result<Duration, Failure> {
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
        Ok(start.elapsed())
    }

    /// CPU time that a shard without work takes within `watch`; with a timer, it is woken every 5 ms.
    pub(crate) fn idle(&mut self, has_timer: bool, watch: Duration) -> Result<Duration, Failure> {
        self.order_timer(has_timer)?;
        thread::sleep(TICK);
        let before = self.shard.cpu_ns();
        thread::sleep(watch);
        let spent = self.shard.cpu_ns() - before;
        self.order_timer(false)?;
        Ok(Duration::from_nanos(spent))
    }

    fn order_timer(&self, has_timer: bool) -> Result<(), Failure> {
        self.orders.has_timer.store(has_timer, Relaxed);
        // A datagram shows the engine its orders.
        self.ping()
    }

    fn ping(&self) -> Result<(), Failure> {
        self.source.send(&[7; PING_BYTES]).or_fail("sending to the shard", "")?;
        self.source.recv(&mut [0; 2048]).or_fail("the answer of the shard", "")?;
        Ok(())
    }

    /// How many of its sends were to go without a copy, and how many of these the kernel copied all the same.
    pub(crate) fn zero_copy_sends(&self) -> (u64, u64) {
        let counters = self.shard.counters();
        (counters.zero_copy_sends_total.load(Relaxed), counters.zero_copy_copied_total.load(Relaxed))
    }
}

/// Copies what it gets to everybody, or answers it.
struct Copier {
    orders: Arc<Orders>,
    paths: Vec<Path>,
    remotes: Vec<SocketAddr>,
    waiting: usize,
    last: Vec<u8>,
    received_at: Option<Instant>,
    answers: Vec<Path>,
    next_tick: Option<Instant>,
}

impl Copier {
    fn new(orders: Arc<Orders>, remotes: Vec<SocketAddr>) -> Self {
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
        self.next_tick = (self.orders.has_timer.load(Relaxed)).then(|| now + TICK);
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
            egress.reserve()[..PING_BYTES].fill(7);
            egress.commit(path, PING_BYTES, None);
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
