//! Several engines in one thread, meshed without delay, that take commands and datagrams as one shard does.
//!
//! It stands for the control plane, too: all tracks are at home on the first shard, publishers go there, and
//! everybody else goes round.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use dataplane::command::{Command, Envelope, Event};
use dataplane::counters::Counters;
use dataplane::engine::{Engine, EngineConfig, Hop, Occupancy, Outlets};
use dataplane::id::{ShardId, TransportId};
use dataplane::limits::MESH_RING_LEN_MAX;
use dataplane::media::crossing::Rank;
use dataplane::time::WallClock;
use dataplane::transport::Transport;
use dataplane::transport::description::SectionRole;
use dataplane::transport::path::{Datagram, Egress};
use futures_channel::oneshot;

/// The shard that feeds every track.
const HOME: usize = 0;

/// The address of a shard.
pub fn shard_address(shard: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000 + shard))
}

/// See the module.
pub(crate) struct Cluster {
    engines: Vec<Engine>,
    places: HashMap<TransportId, usize>,
    hops: Hops,
}

/// The rings.
struct Hops {
    waiting: VecDeque<(ShardId, ShardId, Hop)>,
    /// How many hops one ring holds.
    ring_len: usize,
    /// Nothing is taken out.
    are_held: bool,
}

impl Cluster {
    /// `count` shards with the same seed.
    pub(crate) fn new(seed: u64, count: u16, wall_clock: WallClock, counters: &Arc<Counters>) -> Self {
        let engine = |shard| {
            let config = EngineConfig { shard: ShardId(shard), seed, wall_clock };
            Engine::new(config, Arc::clone(counters))
        };
        let hops = Hops { waiting: VecDeque::new(), ring_len: MESH_RING_LEN_MAX, are_held: false };
        Self { engines: (0..count).map(engine).collect(), places: HashMap::new(), hops }
    }

    /// The address that a transport sends to.
    pub(crate) fn address_of(&self, id: TransportId) -> SocketAddr {
        shard_address(self.places.get(&id).map_or(HOME, |place| *place) as u16)
    }

    /// The other shards stop to take hops out of rings of this length, or go on.
    pub(crate) fn hold_hops(&mut self, ring_len: Option<usize>, now: Instant) {
        self.hops.are_held = ring_len.is_some();
        self.hops.ring_len = ring_len.unwrap_or(MESH_RING_LEN_MAX);
        self.cross(now);
    }

    pub(crate) fn apply(&mut self, envelope: Envelope, now: Instant) {
        let place = self.place_of(&envelope.command);
        let others = self.engines.len();
        for other in (0..others).filter(|other| *other != place) {
            let command = match &envelope.command {
                Command::AddTrack { track, kind } => {
                    Command::MirrorTrack { track: *track, kind: *kind, home: ShardId(HOME as u16) }
                }
                Command::RemoveTrack { track } => Command::RemoveTrack { track: *track },
                Command::CloseAll => Command::CloseAll,
                _ => continue,
            };
            let (reply, _) = oneshot::channel();
            self.engines[other].apply(Envelope { command, reply }, now);
            self.cross(now);
        }
        self.engines[place].apply(envelope, now);
        self.cross(now);
    }

    fn place_of(&mut self, command: &Command) -> usize {
        match command {
            Command::AddTransport { id, transport, .. } => {
                let place = if publishes(transport) { HOME } else { id.0 as usize % self.engines.len() };
                self.places.insert(*id, place);
                place
            }
            Command::RemoveTransport { id }
            | Command::DescribeTransport { id }
            | Command::RequestLayer { id, .. } => self.places.get(id).map_or(HOME, |place| *place),
            _ => HOME,
        }
    }

    pub(crate) fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        let place = usize::from(datagram.path.local.port() - shard_address(0).port());
        self.engines[place].receive(datagram, now);
        self.cross(now);
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.engines.iter_mut().for_each(|engine| engine.expire(now));
        self.cross(now);
    }

    pub(crate) fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        self.engines.iter_mut().for_each(|engine| engine.transmit(egress, now));
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.engines.iter_mut().find_map(Engine::poll_event)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.engines.iter().filter_map(Engine::next_deadline).min()
    }

    /// The sum of counts, and the largest of what is a maximum.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let all = self.engines.iter().map(Engine::occupancy);
        all.reduce(|a, b| Occupancy {
            peers: a.peers + b.peers,
            tracks: a.tracks + b.tracks,
            publishers: a.publishers + b.publishers,
            subscribers: a.subscribers + b.subscribers,
            mirrors: a.mirrors + b.mirrors,
            watches: a.watches + b.watches,
            paths: a.paths + b.paths,
            ufrags: a.ufrags + b.ufrags,
            deadlines: a.deadlines + b.deadlines,
            dirty: a.dirty + b.dirty,
            leaving: a.leaving + b.leaving,
            events: a.events + b.events,
            outbox_max: a.outbox_max.max(b.outbox_max),
            paths_max: a.paths_max.max(b.paths_max),
            streams_max: a.streams_max.max(b.streams_max),
            twcc_pending_max: a.twcc_pending_max.max(b.twcc_pending_max),
            missing_max: a.missing_max.max(b.missing_max),
            encodings_max: a.encodings_max.max(b.encodings_max),
            cached_max: a.cached_max.max(b.cached_max),
        })
        .unwrap_or_default()
    }

    /// Lets everything cross, and what that brings about.
    fn cross(&mut self, now: Instant) {
        loop {
            for (from, engine) in self.engines.iter_mut().enumerate() {
                engine.poll_hops(&mut Ways { from: ShardId(from as u16), hops: &mut self.hops }, now);
            }
            if self.hops.are_held || self.hops.waiting.is_empty() {
                return;
            }
            for (from, to, hop) in std::mem::take(&mut self.hops.waiting) {
                self.engines[usize::from(to.0)].receive_hop(from, &hop, now);
            }
        }
    }
}

fn publishes(transport: &Transport) -> bool {
    let sections = &transport.description().sections;
    sections.iter().any(|section| matches!(section.role, SectionRole::Ingress { .. }))
}

struct Ways<'a> {
    from: ShardId,
    hops: &'a mut Hops,
}

impl Outlets for Ways<'_> {
    fn offer(&mut self, to: ShardId, rank: Rank, write: impl FnOnce(&mut Hop)) -> bool {
        let is_mine = |hop: &&(ShardId, ShardId, Hop)| hop.0 == self.from && hop.1 == to;
        let depth = self.hops.waiting.iter().filter(is_mine).count();
        let has_room = depth + rank.reserve(self.hops.ring_len) < self.hops.ring_len;
        if has_room {
            let mut hop = Hop::default();
            write(&mut hop);
            self.hops.waiting.push_back((self.from, to, hop));
        }
        has_room
    }
}
