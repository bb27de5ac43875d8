//! The network between the clients and the shard: delay, jitter, loss, duplication, by a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::Random;

/// How one client's link behaves, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much is added at random, which also reorders.
    pub jitter: Duration,
    /// Probability that a media datagram is lost. STUN and DTLS pass, so that a test is about media.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplication: f64,
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

/// All datagrams under way.
#[derive(Debug)]
pub struct Network {
    random: Random,
    /// Ordered by arrival, then by departure.
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    flights: Vec<Option<Flight>>,
    departures: u64,
}

impl Network {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), queue: BinaryHeap::new(), flights: Vec::new(), departures: 0 }
    }

    /// Sends a datagram over `link`.
    pub fn send(&mut self, link: &Link, flight: Flight, now: Instant) {
        let is_media = flight.bytes.first().is_some_and(|byte| (128..192).contains(byte));
        if link.is_cut || (is_media && self.random.chance(link.loss)) {
            return;
        }
        let copies = if self.random.chance(link.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = self.random.below(link.jitter.as_micros() as u64 + 1);
            let arrival = now + link.delay + Duration::from_micros(jitter);
            self.departures += 1;
            self.queue.push(Reverse((arrival, self.departures, self.flights.len())));
            self.flights.push(Some(flight.clone()));
        }
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((arrival, _, _))| *arrival)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Flight> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse((_, _, at)) = self.queue.pop()?;
        let flight = self.flights[at].take();
        if self.queue.is_empty() {
            self.flights.clear();
        }
        flight
    }
}
