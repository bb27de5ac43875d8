//! The story of the replay world: rooms in which people come, go, vanish and come back, publish in any codec
//! and any number of encodings, ask for too much, change their address and set their clocks, while strangers
//! throw bytes at the shard. Everything is from the seed, so that equal seeds give equal traces.

mod cast;
mod deeds;

use std::time::{Duration, Instant};

use dataplane::command::Command;
use dataplane::id::TrackId;
use dataplane::media::format::{Codec, MediaKind};

use super::{CLEARING, FREEZE_MAX, PICTURE_BACK, links_of};
use crate::checker::{Checker, Rule};
use crate::meddling::Meddler;
use crate::network::Link;
use crate::random::Random;
use crate::replay::ReplayClient;
use crate::seeds::Played;
use crate::world::{World, transport_id};

/// Events of one trace, at least.
pub const EVENTS_MIN: usize = 10_000;
/// A frame of sound; every second one comes with a frame of video.
const TICK: Duration = Duration::from_millis(20);
/// The longest story, in the world's own time.
const LENGTH_MAX: Duration = Duration::from_secs(120);
/// How long what was sent before may be under way on a bad link, asked for again included.
const UNDER_WAY_MAX: Duration = Duration::from_millis(500);
/// How long all links are without fault between two bad times.
const HEALTH: Duration = Duration::from_secs(3);

/// A track of a room.
#[derive(Clone, Copy, Debug)]
struct Lane {
    track: TrackId,
    kind: MediaKind,
}

/// A client and its part.
#[derive(Debug)]
struct Actor {
    /// The tracks that it publishes, each with its codec, by media section.
    publishes: Vec<(TrackId, Codec)>,
    /// The tracks that it watches, each with what it can show; behind those that it publishes.
    watches: Vec<(TrackId, Vec<Codec>)>,
    is_here: bool,
    /// Encodings that it sends of each video.
    encodings: usize,
    rebinds: u8,
    restarts: u8,
    /// It has asked for nothing to be sent.
    is_paused: bool,
    /// When encodings that have stopped are known to have.
    settled_at: Option<Instant>,
    /// How far its clock is off.
    clock_error: f64,
    /// Since when the shard knows its address.
    ready_at: Option<Instant>,
}

struct Story {
    world: World<ReplayClient>,
    random: Random,
    rooms: Vec<Vec<Lane>>,
    actors: Vec<Actor>,
    next_track: u64,
    ticks: u64,
    /// Since when all links are well and nothing changes.
    healed_at: Option<Instant>,
    looks: u64,
    deeds: u64,
}

/// Plays the story of `seed` twice: the traces have to be equal.
pub fn play_twice(seed: u64) -> Played {
    let (mut first, second) = (play(seed, None), play(seed, None));
    if first.failure.is_none() && first.trace.len() < EVENTS_MIN {
        first.failure = Some(format!("only {} events, {EVENTS_MIN} wanted", first.trace.len()));
    }
    if let Some(at) = first.trace.first_difference(&second.trace) {
        let (mine, theirs) = (first.trace.tail(at + 1, 1), second.trace.tail(at + 1, 1));
        first.failure = Some(format!("equal seeds, different traces:\n{mine}{theirs}"));
    }
    first
}

/// Plays the story of `seed`.
pub fn play(seed: u64, meddler: Option<Meddler>) -> Played {
    let mut story = Story::new(seed);
    story.world.meddler = meddler;
    story.play();
    Played {
        failure: story.world.violation().map(ToString::to_string),
        lasted: story.world.elapsed(),
        looks: story.looks,
        summary: format!("{} clients, {} deeds", story.actors.len(), story.deeds),
        trace: story.world.trace,
    }
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.checker = Some(Checker::new(true));
        Self {
            world,
            random: Random(seed ^ 0x0add_5107),
            rooms: Vec::new(),
            actors: Vec::new(),
            next_track: 1,
            ticks: 0,
            healed_at: None,
            looks: 0,
            deeds: 0,
        }
    }

    fn play(&mut self) {
        for _ in 0..1 + self.random.below(2) {
            let room = self.open_room();
            self.join_viewer(room);
        }
        while self.world.trace.len() < EVENTS_MIN && !self.is_over() {
            self.fill_rooms();
            self.fall_ill();
            let bad = Duration::from_millis(2_000 + self.random.below(3_000));
            self.run(bad, true);
            self.heal();
            self.run(HEALTH, false);
        }
        if let Some(checker) = &mut self.world.checker {
            checker.check_lines();
        }
        if self.world.violation().is_none() {
            self.leave_all();
        }
    }

    fn is_over(&self) -> bool {
        self.world.violation().is_some() || self.world.elapsed() >= LENGTH_MAX
    }

    fn run(&mut self, duration: Duration, has_deeds: bool) {
        let end = self.world.now + duration;
        while self.world.now < end && self.world.violation().is_none() {
            if has_deeds && self.random.chance(0.2) {
                self.deeds += 1;
                self.act();
            }
            self.publish();
            self.world.run_for(TICK);
            self.look();
        }
    }

    fn publish(&mut self) {
        self.ticks += 1;
        let now = self.world.wall_clock.ntp(self.world.now);
        for (at, actor) in self.actors.iter().enumerate() {
            if !actor.is_here || actor.publishes.is_empty() {
                continue;
            }
            let client = &mut self.world.clients[at];
            client.send_sound();
            if self.ticks.is_multiple_of(2) {
                client.send_frame(actor.encodings);
            }
            if (self.ticks + at as u64).is_multiple_of(50) {
                client.send_sender_reports(now.plus_seconds(actor.clock_error));
            }
        }
    }

    fn fall_ill(&mut self) {
        self.healed_at = None;
        for link in links_of(&mut self.world, |at| self.actors[at].is_here) {
            *link = Link::any(&mut self.random);
        }
    }

    fn heal(&mut self) {
        self.healed_at = Some(self.world.now);
        links_of(&mut self.world, |at| self.actors[at].is_here).for_each(|link| *link = Link::default());
    }

    /// The picture of each viewer moves, once its link and its publisher's have been well for long enough.
    fn look(&mut self) {
        let now = self.world.now;
        for at in 0..self.actors.len() {
            let public = self.world.public(at);
            if self.world.checker.as_ref().is_some_and(|checker| checker.is_vouched(at, public)) {
                self.actors[at].ready_at.get_or_insert(now);
            }
        }
        let Some(healed_at) = self.healed_at else { return };
        let mut still = None;
        for at in 0..self.actors.len() {
            let actor = &self.actors[at];
            for (section, decoder) in self.world.clients[at].decoders() {
                let (track, codecs) = &actor.watches[section - actor.publishes.len()];
                let Some(theirs) = shown_since(&self.actors, *track, codecs) else { continue };
                let Some(mine) = actor.ready_at.filter(|_| actor.is_here && !actor.is_paused) else {
                    continue;
                };
                let well_since = healed_at.max(mine).max(theirs);
                if now < well_since + PICTURE_BACK {
                    continue;
                }
                self.looks += 1;
                if decoder.shown_at.is_none_or(|shown| now > shown + FREEZE_MAX) {
                    let (well, stands) = (now - well_since, decoder.shown_at.map(|shown| now - shown));
                    still = Some(format!(
                        "client {at} is well for {well:?}, its picture of {track:?} stands still for {stands:?}"
                    ));
                }
            }
        }
        if let Some(text) = still {
            self.world.break_rule(Rule::Picture, text);
        }
    }

    /// Everyone leaves, each in its own way; what is theirs is free once consent has run out.
    fn leave_all(&mut self) {
        for at in 0..self.actors.len() {
            if !std::mem::take(&mut self.actors[at].is_here) {
                continue;
            }
            if self.random.chance(0.5) {
                self.world.command(Command::RemoveTransport { id: transport_id(at) });
            }
            self.world.clients[at].is_silent = true;
        }
        self.world.run_for(CLEARING);
        let tracks = self.rooms.iter().map(Vec::len).sum();
        let seen = self.world.occupancy();
        if let Some(checker) = &mut self.world.checker {
            checker.check_empty(&seen, tracks);
        }
        for lane in std::mem::take(&mut self.rooms).into_iter().flatten() {
            self.world.command(Command::RemoveTrack { track: lane.track });
        }
        let seen = self.world.occupancy();
        if let Some(checker) = &mut self.world.checker {
            checker.check_empty(&seen, 0);
        }
    }
}

/// Since when somebody publishes the track who is well, in a codec out of these.
fn shown_since(actors: &[Actor], track: TrackId, codecs: &[Codec]) -> Option<Instant> {
    let is_shown = |published: &(TrackId, Codec)| published.0 == track && codecs.contains(&published.1);
    let mut publishers = actors.iter().filter(|actor| actor.is_here && actor.publishes.iter().any(is_shown));
    let publisher = publishers.next()?;
    publisher.ready_at.max(publisher.settled_at).filter(|_| publisher.ready_at.is_some())
}
