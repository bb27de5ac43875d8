//! One direction of a link: a queue in front of a narrow place, and the way behind it.
//!
//! A packet first waits until those before it have passed the narrow place (`rate`, `queue`), and is then
//! under way for `delay` and `jitter`. What is lost is lost behind the narrow place: it has used its room.
//! The line knows no clock, no sockets and nothing of what a packet holds.
//!
//! # Invariants
//!
//! - Packets leave in the order in which they came, those excepted that `reorder` holds back. Jitter and a
//!   delay that shrinks bunch packets up; they never turn them round.
//! - Times come from the plan, not from when the line was looked at: who looks late makes one packet late,
//!   and neither the rate nor the packets behind it.
//! - Every packet that came is under way, has left, or was dropped for a counted reason.
//! - At most [`PACKETS_MAX`] packets and [`BYTES_MAX`] bytes are held.
#![forbid(unsafe_code)]

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::chance::{Losses, Random};
use super::spec::{Impairment, Queue};

/// A gigabit of audio packets for a second.
pub(crate) const PACKETS_MAX: usize = 100_000;
/// Half a gigabit for a second.
pub(crate) const BYTES_MAX: u64 = 64_000_000;
/// How much later a packet comes that is held back: longer than the gap between two packets of most streams.
const HOLD: Duration = Duration::from_millis(20);

/// Why a packet did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// It was lost on the way.
    Lost,
    /// The queue in front of the narrow place had no room.
    QueueFull,
    /// The line holds as much as it may: more than it was made for.
    LineFull,
}

/// What became of the packets so far, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Packets that came.
    pub(crate) offered: u64,
    /// Packets that left.
    pub(crate) passed: u64,
    /// Their bytes.
    pub(crate) passed_bytes: u64,
    /// Dropped: [`DropReason::Lost`].
    pub(crate) lost: u64,
    /// Dropped: [`DropReason::QueueFull`].
    pub(crate) queue_full: u64,
    /// Dropped: [`DropReason::LineFull`].
    pub(crate) line_full: u64,
    /// Packets that are waiting or under way.
    pub(crate) held: u64,
    /// Time that a packet which came now would wait.
    pub(crate) queue: Duration,
}

/// One direction of a link, for packets that are `T`.
#[derive(Debug)]
pub(crate) struct Line<T> {
    impairment: Impairment,
    losses: Losses,
    reorders: Random,
    jitter_seed: u64,
    /// From where the steps of the jitter are counted.
    origin: Option<Instant>,
    /// The first one is passing the narrow place.
    queue: VecDeque<Waiting<T>>,
    /// When the first one will have passed it.
    first_passes_at: Option<Instant>,
    queue_bytes: u64,
    /// Packets in the queue that will be lost.
    queue_lost: usize,
    under_way: BinaryHeap<Reverse<UnderWay<T>>>,
    under_way_bytes: u64,
    /// When the last packet leaves whose order is kept.
    newest: Option<Instant>,
    departures: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Waiting<T> {
    len: u64,
    /// `None`: it will be lost, and only takes room.
    packet: Option<T>,
    is_held_back: bool,
}

#[derive(Debug)]
struct UnderWay<T> {
    leaves_at: Instant,
    /// Decides where times are equal.
    departure: u64,
    len: u64,
    packet: T,
}

impl<T> Line<T> {
    /// An empty line. Equal seeds give equal fates.
    pub(crate) fn new(impairment: Impairment, seed: u64) -> Self {
        let mut seeds = Random(seed);
        Self {
            impairment,
            losses: Losses::new(seeds.number()),
            reorders: Random(seeds.number()),
            jitter_seed: seeds.number(),
            origin: None,
            queue: VecDeque::new(),
            first_passes_at: None,
            queue_bytes: 0,
            queue_lost: 0,
            under_way: BinaryHeap::new(),
            under_way_bytes: 0,
            newest: None,
            departures: 0,
            counts: Counts::default(),
        }
    }

    /// From now on the line is another. What waits passes at the new rate, what is under way stays so; a
    /// queue that is too long now drains by itself.
    pub(crate) fn set(&mut self, impairment: Impairment, now: Instant) {
        self.advance(now);
        if let (Some(passes_at), Some(before)) = (self.first_passes_at, self.impairment.rate_bps) {
            let rest = passes_at.saturating_duration_since(now);
            let scale = impairment.rate_bps.map_or(0.0, |after| before as f64 / after as f64);
            self.first_passes_at = Some(now + rest.mul_f64(scale));
        }
        self.impairment = impairment;
        self.advance(now);
    }

    /// A packet of `len` bytes comes. Times never go back.
    ///
    /// # Errors
    ///
    /// Why it will not leave.
    pub(crate) fn accept(&mut self, now: Instant, len: usize, packet: T) -> Result<(), DropReason> {
        self.advance(now);
        self.origin.get_or_insert(now);
        self.counts.offered += 1;
        // Drawn for every packet, so that what becomes of one does not shift the fate of the others.
        let is_lost = self.losses.take_next(&self.impairment);
        let is_held_back = self.reorders.share() < self.impairment.reorder;
        let len = len as u64;
        if !self.has_room(len) {
            self.counts.line_full += 1;
            return Err(DropReason::LineFull);
        }
        if !self.queue_has_room(now, len) {
            self.counts.queue_full += 1;
            return Err(DropReason::QueueFull);
        }
        self.counts.lost += u64::from(is_lost);
        self.queue_lost += usize::from(is_lost);
        self.queue_bytes += len;
        self.queue.push_back(Waiting { len, packet: (!is_lost).then_some(packet), is_held_back });
        if self.first_passes_at.is_none() {
            self.first_passes_at = Some(now + self.time_for(len));
        }
        self.advance(now);
        if is_lost { Err(DropReason::Lost) } else { Ok(()) }
    }

    /// When to look at the line next; `None` if it is empty.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let leaves_at = self.under_way.peek().map(|Reverse(first)| first.leaves_at);
        // Who is in the queue cannot leave earlier.
        let passes_at = self.first_passes_at.map(|passes_at| passes_at + self.impairment.delay);
        passes_at.into_iter().chain(leaves_at).min()
    }

    /// The next packet that leaves by `now`, and when it was to.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.advance(now);
        if self.under_way.peek().is_none_or(|Reverse(first)| first.leaves_at > now) {
            return None;
        }
        let Reverse(first) = self.under_way.pop()?;
        self.under_way_bytes -= first.len;
        self.counts.passed += 1;
        self.counts.passed_bytes += first.len;
        Some((first.leaves_at, first.packet))
    }

    /// What became of the packets so far.
    pub(crate) fn counts(&self, now: Instant) -> Counts {
        let held = self.queue.len() - self.queue_lost + self.under_way.len();
        Counts { held: held as u64, queue: self.queue_time(now), ..self.counts }
    }

    /// Lets pass the narrow place what has passed it by `now`.
    fn advance(&mut self, now: Instant) {
        while let Some(passed_at) = self.first_passes_at.filter(|passes_at| *passes_at <= now) {
            let first = self.queue.pop_front().expect("there is a first one while it has a time");
            self.queue_bytes -= first.len;
            // Who waits has come before, so there is no pause between two.
            self.first_passes_at = self.queue.front().map(|next| passed_at + self.time_for(next.len));
            match first.packet {
                Some(packet) => self.depart(passed_at, first.len, first.is_held_back, packet),
                None => self.queue_lost -= 1,
            }
        }
    }

    fn depart(&mut self, passed_at: Instant, len: u64, is_held_back: bool, packet: T) {
        let mut leaves_at = passed_at + self.impairment.delay + self.jitter(passed_at);
        if is_held_back {
            leaves_at += HOLD;
        } else {
            leaves_at = self.newest.map_or(leaves_at, |newest| newest.max(leaves_at));
            self.newest = Some(leaves_at);
        }
        self.departures += 1;
        self.under_way_bytes += len;
        self.under_way.push(Reverse(UnderWay { leaves_at, departure: self.departures, len, packet }));
    }

    /// The same for all packets of one step, so that it does not depend on how many there are: with one draw
    /// for each, many packets that keep their order would all be as late as the latest.
    fn jitter(&self, at: Instant) -> Duration {
        let (jitter, step) = (self.impairment.jitter, self.impairment.jitter / 2);
        let since = self.origin.map_or(Duration::ZERO, |origin| at.saturating_duration_since(origin));
        match since.as_nanos().checked_div(step.as_nanos()) {
            Some(index) => jitter.mul_f64(Random(self.jitter_seed ^ index as u64).share()),
            None => Duration::ZERO,
        }
    }

    fn has_room(&self, len: u64) -> bool {
        self.queue.len() + self.under_way.len() < PACKETS_MAX
            && self.queue_bytes + self.under_way_bytes + len <= BYTES_MAX
    }

    fn queue_has_room(&self, now: Instant, len: u64) -> bool {
        match self.impairment.queue {
            Queue::Time(max) => self.queue_time(now) <= max,
            Queue::Bytes(max) => {
                let passing = self.queue.front().map_or(0, |first| first.len);
                self.first_passes_at.is_none() || self.queue_bytes - passing + len <= max
            }
        }
    }

    /// Until all that waits has passed.
    fn queue_time(&self, now: Instant) -> Duration {
        let Some(passes_at) = self.first_passes_at else { return Duration::ZERO };
        let passing = self.queue.front().map_or(0, |first| first.len);
        passes_at.saturating_duration_since(now) + self.time_for(self.queue_bytes - passing)
    }

    /// How long the narrow place takes for so many bytes.
    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = |rate_bps: u64| u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate_bps);
        Duration::from_nanos(self.impairment.rate_bps.map_or(0, nanos) as u64)
    }
}

impl<T> Ord for UnderWay<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.leaves_at, self.departure).cmp(&(other.leaves_at, other.departure))
    }
}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for UnderWay<T> {}

#[cfg(test)]
mod tests;
