//! Shares a subscriber's bandwidth out to its tracks: the estimate, its wishes and what flows go in, a target
//! layer for each track and the reason for it come out.
//!
//! One pure function, [`allocate`]: no clock, no chance, no state. What it has to remember of a track comes
//! out as a [`Memory`] and is handed in again the next time, so every decision can be logged and replayed.
//!
//! Audio is served first and is not decided here: its bitrate is taken off. Then everyone gets the lowest
//! layer, in order; then, round by round, one step each.
//!
//! # Invariants
//!
//! - What is granted fits into the estimate, with a margin.
//! - Nobody gets a second layer while another's lowest would fit instead.
//! - Down at once, up only on proof: what flows may stay while it fits the estimate of now, what is new must
//!   fit the lowest of the last seconds or a probe, one step in a call, and not soon after a fall.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::probe::Demand;
use crate::limits::{ALLOCATED_LAYERS_MAX, ALLOCATED_TRACKS_MAX};
use crate::wire::layer::Layer;

/// Of the estimate, so much is shared out.
const SHARE: f64 = 0.95;
/// The next step is probed for with so much of its cost in reserve.
const STEP_MARGIN: f64 = 1.2;
/// What is wanted in all is told with so much on top.
const DEMAND_MARGIN: f64 = 1.1;
/// Time in which a queue is to be emptied.
const DRAIN: Duration = Duration::from_millis(500);
/// Between two steps up of any tracks.
const UP_EVERY: Duration = Duration::from_secs(2);
/// After a fall no step up for this, twice as long after each step that was taken back.
const HOLD: Duration = Duration::from_secs(10);
const HOLD_MAX: Duration = Duration::from_secs(60);
/// A picture that was taken away altogether comes back sooner.
const HOLD_PAUSED: Duration = Duration::from_secs(2);
/// A step that is taken back within this has failed.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// After so long without a fall, failures are forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// What there is to share out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The estimate now, bits per second.
    pub estimate_bps: u64,
    /// The lowest estimate of the last five seconds.
    pub lowest_bps: u64,
    /// What a probe of the last five seconds has carried.
    pub probed_bps: Option<u64>,
    /// Whether the link is full now.
    pub is_overused: bool,
    /// What audio takes.
    pub audio_bps: u64,
    /// What retransmissions take.
    pub repeats_bps: u64,
    /// Bytes that wait to be sent.
    pub queue_bytes: u64,
}

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The subscriber wants it large.
    Pinned,
    /// A shared screen.
    Screen,
    /// Whoever speaks.
    ActiveSpeaker,
    /// Everyone else.
    Other,
}

/// One layer that a track may be sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerOption {
    /// Which one.
    pub layer: Layer,
    /// What it takes with all that it needs below it; measured, the larger of the last second and the last five.
    pub bitrate_bps: u64,
    /// Height of its picture, pixels; 0 if unknown.
    pub height: u16,
    /// Whether its packets come.
    pub is_live: bool,
}

/// What a subscriber would like of one track.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The track, in the caller's numbering.
    pub track: u16,
    /// Who is served first.
    pub priority: Priority,
    /// Height that it is shown at, pixels; `None` pauses it.
    pub height: Option<u16>,
    /// Its layers, lowest first; at most [`ALLOCATED_LAYERS_MAX`].
    pub options: &'a [LayerOption],
    /// The layer that is being sent.
    pub current: Option<Layer>,
    /// What the last allocation said of it.
    pub memory: Memory,
}

/// What is remembered of a track from one allocation to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    granted: Option<Layer>,
    risen_at: Option<Instant>,
    fallen_at: Option<Instant>,
    failures: u8,
}

/// Why a track gets the layer that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no better one.
    Best,
    /// The estimate has no room for a better one, or for any.
    Estimate,
    /// The subscriber shows it no larger.
    Request,
    /// A better one has to wait: after a fall, or for its turn.
    Policy,
    /// A better one does not flow, or none does.
    MissingLayer,
    /// It is granted, and flows from the next keyframe on.
    AwaitingKeyframe,
    /// The subscriber has paused it.
    Paused,
}

impl Reason {
    /// The stable snake_case name, for the API.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Best => "best",
            Reason::Estimate => "estimate",
            Reason::Request => "request",
            Reason::Policy => "policy",
            Reason::MissingLayer => "missing_layer",
            Reason::AwaitingKeyframe => "awaiting_keyframe",
            Reason::Paused => "paused",
        }
    }
}

/// What one track gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The track.
    pub track: u16,
    /// The layer to send; `None` pauses it.
    pub target: Option<Layer>,
    /// What it takes.
    pub bitrate_bps: u64,
    /// Why not more.
    pub reason: Reason,
    /// To be handed in the next time.
    pub memory: Memory,
}

/// What all tracks get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// In the order of the wishes.
    pub grants: ArrayVec<Grant, ALLOCATED_TRACKS_MAX>,
    /// What the granted layers take.
    pub total_bps: u64,
    /// What the estimator should look for.
    pub demand: Demand,
}

/// Decides. Wishes beyond [`ALLOCATED_TRACKS_MAX`] get no grant, options beyond [`ALLOCATED_LAYERS_MAX`] are
/// not looked at.
pub fn allocate(budget: &Budget, wishes: &[Wish<'_>], now: Instant) -> Allocation {
    let wishes = &wishes[..wishes.len().min(ALLOCATED_TRACKS_MAX)];
    let room = Room::new(budget, wishes, now);
    let mut shares: ArrayVec<Share<'_>, ALLOCATED_TRACKS_MAX> =
        wishes.iter().map(|wish| Share::new(wish, now)).collect();
    let mut order: ArrayVec<usize, ALLOCATED_TRACKS_MAX> = (0..shares.len()).collect();
    order.sort_unstable_by_key(|&at| (wishes[at].priority, Reverse(wishes[at].height), wishes[at].track));

    let mut rounds = Rounds { room, total_bps: 0, has_risen: false, next_step: None };
    // The first round gives the lowest layer, each further one a step; it ends when nobody rises.
    loop {
        let mut is_over = true;
        for &at in &order {
            is_over &= !rounds.step(&mut shares[at]);
        }
        if is_over {
            break;
        }
    }
    let grants = shares.iter().map(|share| share.grant(now)).collect();
    Allocation { grants, total_bps: rounds.total_bps, demand: rounds.demand(budget, &shares) }
}

/// Bits per second for video.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// For what flows already.
    keep_bps: f64,
    /// For what is new.
    up_bps: f64,
    /// Whether anything may rise.
    may_rise: bool,
}

impl Room {
    fn new(budget: &Budget, wishes: &[Wish<'_>], now: Instant) -> Self {
        let drain_bps = (budget.queue_bytes * 8) as f64 / DRAIN.as_secs_f64();
        let reserve_bps = (budget.audio_bps + budget.repeats_bps) as f64 + drain_bps;
        let proven_bps = budget.probed_bps.unwrap_or(budget.lowest_bps).min(budget.estimate_bps);
        let risen_at = wishes.iter().filter_map(|wish| wish.memory.risen_at).max();
        let is_turn = risen_at.is_none_or(|at| now.saturating_duration_since(at) >= UP_EVERY);
        Self {
            keep_bps: SHARE * budget.estimate_bps as f64 - reserve_bps,
            up_bps: SHARE * proven_bps as f64 - reserve_bps,
            may_rise: is_turn && !budget.is_overused,
        }
    }
}

/// The state between two steps.
#[derive(Debug)]
struct Rounds {
    room: Room,
    total_bps: u64,
    /// Something new was granted: that is enough for one call.
    has_risen: bool,
    /// Cost of the first step that lacked nothing but room.
    next_step: Option<u64>,
}

impl Rounds {
    /// Grants one track its next layer, if it may be.
    fn step(&mut self, share: &mut Share<'_>) -> bool {
        let Some((at, option)) = share.next() else { return false };
        let cost_bps = option.bitrate_bps.saturating_sub(share.bitrate_bps());
        let is_new = share.is_new(at);
        let total_bps = self.total_bps - share.bitrate_bps() + option.bitrate_bps;
        let room_bps = if is_new { self.room.up_bps } else { self.room.keep_bps };
        let is_held = is_new && share.is_held;
        if total_bps as f64 > room_bps && cost_bps > 0 {
            if !is_held {
                self.next_step.get_or_insert(cost_bps);
            }
            share.end(Reason::Estimate);
            return false;
        }
        // The lowest layer of somebody new does not wait for the steps of others.
        let is_turn = !is_new || share.is_first() || (self.room.may_rise && !self.has_risen);
        if is_held || !is_turn {
            share.end(Reason::Policy);
            return false;
        }
        self.has_risen |= is_new && !share.is_first();
        self.total_bps = total_bps;
        share.granted = Some(at);
        true
    }

    /// What the estimator should look for: the next step, and where all wishes end.
    fn demand(&self, budget: &Budget, shares: &[Share<'_>]) -> Demand {
        let others_bps = budget.audio_bps + budget.repeats_bps;
        let goal =
            |cost_bps: u64| ((self.total_bps + others_bps) as f64 + STEP_MARGIN * cost_bps as f64) / SHARE;
        let wanted_bps: u64 = shares.iter().map(Share::wanted_bps).sum();
        Demand {
            next_bps: self.next_step.map(|cost_bps| goal(cost_bps) as u64),
            all_bps: (DEMAND_MARGIN * (wanted_bps + others_bps) as f64) as u64,
        }
    }
}

/// One track while it is decided about.
#[derive(Debug)]
struct Share<'a> {
    wish: &'a Wish<'a>,
    options: &'a [LayerOption],
    /// Places of the highest layer that is worth sending; `None` if none is.
    wanted: Option<usize>,
    /// Place of what is granted so far.
    granted: Option<usize>,
    /// Place of what was granted the last time.
    before: Option<usize>,
    /// It must not rise, for it fell lately.
    is_held: bool,
    /// Why it rises no further.
    ended: Option<Reason>,
    memory: Memory,
}

impl<'a> Share<'a> {
    fn new(wish: &'a Wish<'a>, now: Instant) -> Self {
        let options = &wish.options[..wish.options.len().min(ALLOCATED_LAYERS_MAX)];
        let mut memory = wish.memory;
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        if since(memory.fallen_at).is_some_and(|since| since >= FORGIVEN_AFTER) {
            memory.failures = 0;
        }
        let hold = match memory.granted {
            Some(_) => (HOLD * (1 << memory.failures.min(3))).min(HOLD_MAX),
            None => HOLD_PAUSED,
        };
        Self {
            wish,
            options,
            wanted: wish.height.and_then(|height| wanted(options, height)),
            granted: None,
            before: memory.granted.and_then(|layer| options.iter().position(|option| option.layer == layer)),
            is_held: since(memory.fallen_at).is_some_and(|since| since < hold),
            ended: None,
            memory,
        }
    }

    /// The next better layer that flows and is wanted.
    fn next(&self) -> Option<(usize, &'a LayerOption)> {
        if self.ended.is_some() {
            return None;
        }
        let above = self.granted.map_or(0, |at| at + 1)..self.wanted.map_or(0, |at| at + 1);
        let options = self.options;
        above.map(|at| (at, &options[at])).find(|(_, option)| option.is_live)
    }

    fn is_new(&self, at: usize) -> bool {
        self.before.is_none_or(|before| at > before)
    }

    /// Whether it has got nothing yet, and has not been taken anything.
    fn is_first(&self) -> bool {
        self.granted.is_none() && self.memory.fallen_at.is_none()
    }

    fn end(&mut self, reason: Reason) {
        self.ended = Some(reason);
    }

    fn bitrate_bps(&self) -> u64 {
        self.granted.map_or(0, |at| self.options[at].bitrate_bps)
    }

    fn wanted_bps(&self) -> u64 {
        self.wanted.map_or(0, |at| self.options[at].bitrate_bps)
    }

    fn grant(&self, now: Instant) -> Grant {
        let target = self.granted.map(|at| self.options[at].layer);
        Grant {
            track: self.wish.track,
            target,
            bitrate_bps: self.bitrate_bps(),
            reason: self.reason(target),
            memory: self.remember(target, now),
        }
    }

    fn reason(&self, target: Option<Layer>) -> Reason {
        if self.wish.height.is_none() {
            return Reason::Paused;
        }
        if let Some(ended) = self.ended {
            return ended;
        }
        let Some(granted) = self.granted else { return Reason::MissingLayer };
        let is_flowing = |layer: Layer| Some(layer.spatial) == target.map(|target| target.spatial);
        if !self.wish.current.is_some_and(is_flowing) {
            return Reason::AwaitingKeyframe;
        }
        let (within, above) = self.options[granted + 1..].split_at(self.wanted.unwrap_or(granted) - granted);
        if !within.is_empty() {
            Reason::MissingLayer
        } else if above.iter().any(|option| option.is_live) {
            Reason::Request
        } else if above.is_empty() {
            Reason::Best
        } else {
            Reason::MissingLayer
        }
    }

    /// A fall is remembered only if the link is the cause.
    fn remember(&self, target: Option<Layer>, now: Instant) -> Memory {
        let mut memory = Memory { granted: target, ..self.memory };
        let has_fallen = match (self.before, self.granted) {
            (Some(before), Some(granted)) => granted < before,
            (before, granted) => before.is_some() && granted.is_none(),
        };
        if self.granted > self.before {
            memory.risen_at = Some(now);
        } else if has_fallen && self.ended == Some(Reason::Estimate) {
            let is_soon = |at: Instant| now.saturating_duration_since(at) < PROVEN_AFTER;
            if memory.risen_at.is_some_and(is_soon) {
                memory.failures = memory.failures.saturating_add(1);
            }
            memory.fallen_at = Some(now);
        }
        memory
    }
}

/// The place of the lowest layer that is as high as it is shown, or else of the highest.
fn wanted(options: &[LayerOption], height: u16) -> Option<usize> {
    let last = options.len().checked_sub(1)?;
    let first = options.iter().position(|option| option.height >= height);
    let Some(first) = first else { return Some(last) };
    // All temporal layers of that picture.
    let spatial = options[first].layer.spatial;
    Some(options.iter().rposition(|option| option.layer.spatial == spatial).unwrap_or(last))
}

#[cfg(test)]
mod tests;
