//! The story of the sealed world: real peers on bad links, which heal now and then.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::command::Command;
use dataplane::id::TrackId;
use dataplane::media::format::MediaKind;
use dataplane::transport::negotiate::{Negotiator, PeerRole};

use super::{CLEARING, FREEZE_MAX, PICTURE_BACK, links_of};
use crate::checker::{Checker, Rule};
use crate::meddling::Meddler;
use crate::network::Link;
use crate::random::Random;
use crate::sealed::SealedClient;
use crate::seeds::Played;
use crate::world::{World, client_address, server_address, transport_id};

const FRAME: Duration = Duration::from_millis(33);
/// Clients of one story, gone ones included.
const CLIENTS_MAX: usize = 16;
const LIVE_MAX: usize = 7;
/// How long all links are without fault between two bad times.
const HEALTH: Duration = Duration::from_secs(3);

/// A client and its part.
struct Actor {
    room: usize,
    role: PeerRole,
    is_here: bool,
    rebinds: u8,
    /// Since when it is connected, and the shard knows its address.
    ready_at: Option<Instant>,
}

struct Story {
    world: World<SealedClient>,
    negotiator: Negotiator,
    random: Random,
    rooms: Vec<TrackId>,
    actors: Vec<Actor>,
    healed_at: Option<Instant>,
    /// How often a picture was looked at and had to move.
    looks: u64,
}

/// Plays the story of `seed`. str0m draws random numbers of its own, so that two plays differ in bytes;
/// who comes, goes and loses what and when is from the seed.
pub fn play(seed: u64, negotiator: &Negotiator, meddler: Option<Meddler>) -> Played {
    let mut story = Story::new(seed, negotiator.clone());
    story.world.meddler = meddler;
    story.play();
    Played {
        failure: story.world.violation().map(ToString::to_string),
        lasted: story.world.elapsed(),
        looks: story.looks,
        summary: format!("{} clients", story.actors.len()),
        trace: story.world.trace,
    }
}

impl Story {
    fn new(seed: u64, negotiator: Negotiator) -> Self {
        let mut world = World::new(seed);
        world.checker = Some(Checker::new(false));
        let mut random = Random(seed ^ 0x57_0e1e5);
        if random.chance(0.3) {
            world.forgery = 0.02;
        }
        let rooms = 1 + random.below(2);
        let rooms = (1..=rooms).map(|track| world.add_track(track, MediaKind::Video)).collect();
        Self { world, negotiator, random, rooms, actors: Vec::new(), healed_at: None, looks: 0 }
    }

    fn play(&mut self) {
        for room in 0..self.rooms.len() {
            self.join(room, PeerRole::Subscriber);
        }
        for _ in 0..2 + self.random.below(2) {
            self.fill_rooms();
            self.fall_ill();
            let bad = Duration::from_millis(1_500 + self.random.below(3_500));
            self.run(bad, true);
            self.heal();
            self.run(HEALTH, false);
        }
        self.check_lines();
        if self.world.violation().is_none() {
            self.leave_all();
        }
    }

    fn run(&mut self, duration: Duration, has_deeds: bool) {
        let end = self.world.now + duration;
        while self.world.now < end && self.world.violation().is_none() {
            if has_deeds && self.random.chance(0.08) {
                self.act();
            }
            let now = self.world.now;
            for (at, actor) in self.actors.iter().enumerate() {
                let client = &mut self.world.clients[at];
                if actor.is_here && actor.role == PeerRole::Publisher && client.is_connected {
                    client.send_frame(now);
                }
            }
            self.world.run_for(FRAME);
            self.look();
        }
    }

    fn act(&mut self) {
        let room = self.random.below(self.rooms.len() as u64) as usize;
        match self.random.below(10) {
            0..=2 => self.join(room, PeerRole::Subscriber),
            3 => self.join(room, PeerRole::Publisher),
            4 => self.leave(PeerRole::Subscriber),
            5 => self.leave(PeerRole::Publisher),
            6 => self.vanish(),
            7..=8 => self.rebind(),
            _ => self.hang_up(),
        }
    }

    /// Whoever is missing comes: a room is worth a look if somebody publishes and somebody watches.
    fn fill_rooms(&mut self) {
        for room in 0..self.rooms.len() {
            for role in [PeerRole::Publisher, PeerRole::Subscriber] {
                let is_fit = |actor: &Actor| actor.is_here && actor.room == room && actor.role == role;
                if !self.actors.iter().any(is_fit) {
                    self.join(room, role);
                }
            }
        }
    }

    fn join(&mut self, room: usize, role: PeerRole) {
        let live = self.actors.iter().filter(|actor| actor.is_here).count();
        if self.actors.len() >= CLIENTS_MAX || live >= LIVE_MAX {
            return;
        }
        let index = self.actors.len();
        let (mut client, transport) = SealedClient::connect(
            &self.negotiator,
            role,
            client_address(index),
            server_address(),
            self.world.now,
            |offer| offer,
        );
        client.is_impatient = true;
        client.count_from((index as u32) << 20);
        let joined = self.world.join(client, transport, &[(self.rooms[room], MediaKind::Video)]);
        self.actors.push(Actor { room, role, is_here: joined.is_ok(), rebinds: 0, ready_at: None });
        if self.healed_at.is_none() {
            self.world.links[index] = Link::any(&mut self.random);
        }
    }

    /// One of those who are here, of this role if any is asked for.
    fn pick(&mut self, role: Option<PeerRole>) -> Option<usize> {
        let is_fit = |actor: &Actor| actor.is_here && role.is_none_or(|role| actor.role == role);
        let all: Vec<usize> =
            self.actors.iter().enumerate().filter(|(_, actor)| is_fit(actor)).map(|(at, _)| at).collect();
        let at = self.random.below(all.len() as u64) as usize;
        all.get(at).copied()
    }

    fn leave(&mut self, role: PeerRole) {
        let Some(at) = self.pick(Some(role)) else { return };
        self.actors[at].is_here = false;
        self.world.command(Command::RemoveTransport { id: transport_id(at) });
    }

    fn hang_up(&mut self) {
        let Some(at) = self.pick(None) else { return };
        self.actors[at].is_here = false;
        self.world.clients[at].hang_up();
    }

    fn vanish(&mut self) {
        let Some(at) = self.pick(None) else { return };
        self.actors[at].is_here = false;
        self.world.links[at].is_cut = true;
    }

    fn rebind(&mut self) {
        let Some(at) = self.pick(None) else { return };
        let actor = &mut self.actors[at];
        actor.rebinds += 1;
        actor.ready_at = None;
        let public = SocketAddr::from(([10, 7, at as u8, actor.rebinds], 6_000));
        self.world.rebind(at, public);
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
            let is_ready = self.world.clients[at].is_connected
                && self.world.checker.as_ref().is_some_and(|checker| checker.is_vouched(at, public));
            if is_ready {
                self.actors[at].ready_at.get_or_insert(now);
            }
        }
        let Some(healed_at) = self.healed_at else { return };
        for at in 0..self.actors.len() {
            let actor = &self.actors[at];
            let publishers = self.actors.iter().filter(|other| {
                other.is_here && other.room == actor.room && other.role == PeerRole::Publisher
            });
            let (Some(mine), Some(theirs)) = (actor.ready_at, publishers.filter_map(|it| it.ready_at).max())
            else {
                continue;
            };
            let well_since = healed_at.max(mine).max(theirs);
            if !actor.is_here || actor.role == PeerRole::Publisher || now < well_since + PICTURE_BACK {
                continue;
            }
            self.looks += 1;
            let shown_at = self.world.clients[at].decoder.shown_at;
            if shown_at.is_none_or(|shown| now > shown + FREEZE_MAX) {
                let well = now - well_since;
                let still = shown_at.map(|shown| now - shown);
                let text =
                    format!("client {at} is well for {well:?}, its picture stands still for {still:?}");
                self.world.break_rule(Rule::Picture, text);
            }
        }
    }

    fn check_lines(&mut self) {
        if let Some(checker) = &mut self.world.checker {
            checker.check_lines();
        }
    }

    /// Everyone leaves, each in its own way; what is theirs is free once consent has run out.
    fn leave_all(&mut self) {
        for at in 0..self.actors.len() {
            if std::mem::take(&mut self.actors[at].is_here) {
                match self.random.below(3) {
                    0 => drop(self.world.command(Command::RemoveTransport { id: transport_id(at) })),
                    1 => self.world.clients[at].hang_up(),
                    _ => self.world.links[at].is_cut = true,
                }
            }
        }
        self.world.run_for(CLEARING);
        let seen = self.world.occupancy();
        let tracks = self.rooms.len();
        if let Some(checker) = &mut self.world.checker {
            checker.check_empty(&seen, tracks);
        }
        for track in std::mem::take(&mut self.rooms) {
            self.world.command(Command::RemoveTrack { track });
        }
        let seen = self.world.occupancy();
        if let Some(checker) = &mut self.world.checker {
            checker.check_empty(&seen, 0);
        }
    }
}
