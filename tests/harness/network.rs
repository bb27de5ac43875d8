//! The network between the clients and the shard, by a seed: delay, jitter, loss, bursts of it, reordering,
//! duplication, and a queue in front of a narrow link.
//!
//! Each direction of each link draws its own numbers, so that one datagram more here changes nothing there.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::Random;

/// A datagram that would wait longer in the queue of a narrow link is lost.
const QUEUE_MAX: Duration = Duration::from_millis(200);
/// How much later than the others a datagram comes that is held back.
const HOLD: Duration = Duration::from_millis(40);

/// How one client's link behaves, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much is added at random, which also reorders.
    pub jitter: Duration,
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplication: f64,
    /// Probability that a datagram is overtaken by those behind it.
    pub reordering: f64,
    /// The longest time for which now and then nothing passes. Zero: never.
    pub burst: Duration,
    /// What passes in a second, with a queue of 200 ms in front. `None`: everything.
    pub bandwidth_bps: Option<u64>,
    /// Loss and bursts take media only, so that a test is about media.
    pub spares_handshakes: bool,
    /// Nothing passes at all.
    pub is_cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            burst: Duration::ZERO,
            bandwidth_bps: None,
            spares_handshakes: true,
            is_cut: false,
        }
    }
}

impl Link {
    /// Any link that a peer may have to live with: loss to 20 %, bursts to 500 ms, jitter to 100 ms.
    pub fn any(random: &mut Random) -> Self {
        let ms = |random: &mut Random, max: u64| Duration::from_millis(random.below(max + 1));
        let share = |random: &mut Random, max: f64| random.below(1001) as f64 / 1000.0 * max;
        Self {
            delay: Duration::from_millis(5) + ms(random, 75),
            jitter: if random.chance(0.5) { ms(random, 100) } else { Duration::ZERO },
            loss: if random.chance(0.7) { share(random, 0.2) } else { 0.0 },
            duplication: if random.chance(0.3) { share(random, 0.05) } else { 0.0 },
            reordering: if random.chance(0.3) { share(random, 0.05) } else { 0.0 },
            burst: if random.chance(0.4) { ms(random, 500) } else { Duration::ZERO },
            bandwidth_bps: random.chance(0.3).then(|| 300_000 + random.below(2_000_000)),
            spares_handshakes: false,
            is_cut: false,
        }
    }
}

/// A datagram under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Who sent it, as the receiver sees it.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// Its UDP payload.
    pub bytes: Vec<u8>,
}

/// One direction of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// From the client of this place to the shard.
    Up(usize),
    /// From the shard to the client of this place.
    Down(usize),
    /// To or from who is no client.
    Other,
}

/// What one direction of a link has come to.
#[derive(Debug)]
struct LaneState {
    random: Random,
    /// When the last datagram has left the queue.
    busy_until: Option<Instant>,
    burst_from: Option<Instant>,
    burst_until: Option<Instant>,
}

/// All datagrams under way.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    lanes: HashMap<Lane, LaneState>,
    /// Ordered by arrival, then by departure.
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    flights: Vec<Option<Flight>>,
    departures: u64,
}

impl Network {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self { seed, lanes: HashMap::new(), queue: BinaryHeap::new(), flights: Vec::new(), departures: 0 }
    }

    /// Sends a datagram over a direction of `link`.
    pub fn send(&mut self, lane: Lane, link: &Link, flight: Flight, now: Instant) {
        let seed = self.seed;
        let state = self.lanes.entry(lane).or_insert_with(|| LaneState::new(seed, lane));
        let is_media = flight.bytes.first().is_some_and(|byte| (128..192).contains(byte));
        // Drawn for every datagram, so that what one of them is does not shift the fate of the others.
        let is_lost = state.random.chance(link.loss) || state.is_in_burst(link.burst, now);
        if link.is_cut || (is_lost && (is_media || !link.spares_handshakes)) {
            return;
        }
        let Some(departure) = state.queue(link.bandwidth_bps, flight.bytes.len(), now) else { return };
        let copies = if state.random.chance(link.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = Duration::from_micros(state.random.below(link.jitter.as_micros() as u64 + 1));
            let hold = if state.random.chance(link.reordering) { HOLD } else { Duration::ZERO };
            self.departures += 1;
            let arrival = departure + link.delay + jitter + hold;
            self.queue.push(Reverse((arrival, self.departures, self.flights.len())));
            self.flights.push(Some(flight.clone()));
        }
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((arrival, _, _))| *arrival)
    }

    /// The next datagram that has arrived by `now`, and when it did.
    pub fn receive(&mut self, now: Instant) -> Option<(Instant, Flight)> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse((arrived_at, _, at)) = self.queue.pop()?;
        let flight = self.flights[at].take();
        if self.queue.is_empty() {
            self.flights.clear();
        }
        flight.map(|flight| (arrived_at, flight))
    }
}

impl LaneState {
    fn new(seed: u64, lane: Lane) -> Self {
        let place = match lane {
            Lane::Up(client) => 2 + 2 * client as u64,
            Lane::Down(client) => 3 + 2 * client as u64,
            Lane::Other => 1,
        };
        let seed = Random(seed ^ place.wrapping_mul(0x2545_f491_4f6c_dd1d)).number();
        Self { random: Random(seed), busy_until: None, burst_from: None, burst_until: None }
    }

    /// Bursts come every few seconds, and are up to `longest` long.
    fn is_in_burst(&mut self, longest: Duration, now: Instant) -> bool {
        if longest.is_zero() {
            self.burst_from = None;
            self.burst_until = None;
            return false;
        }
        if self.burst_until.is_none_or(|until| now >= until) {
            let pause = Duration::from_millis(300 + self.random.below(3_000));
            let len = Duration::from_millis(self.random.below(longest.as_millis() as u64 + 1));
            self.burst_from = Some(now + pause);
            self.burst_until = Some(now + pause + len);
        }
        self.burst_from.is_some_and(|from| now >= from)
    }

    /// When a datagram has left the queue; `None` if there is no room in it.
    fn queue(&mut self, bandwidth_bps: Option<u64>, len: usize, now: Instant) -> Option<Instant> {
        let Some(bandwidth_bps) = bandwidth_bps else { return Some(now) };
        let begins = self.busy_until.map_or(now, |busy| busy.max(now));
        if begins > now + QUEUE_MAX {
            return None;
        }
        let takes = Duration::from_secs_f64((len * 8) as f64 / bandwidth_bps as f64);
        self.busy_until = Some(begins + takes);
        self.busy_until
    }
}
