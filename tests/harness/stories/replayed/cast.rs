//! Who is in the story: rooms with their tracks, and who publishes and watches them.

use dataplane::command::Command;
use dataplane::id::TrackId;
use dataplane::media::format::{Codec, MediaKind};

use super::{Actor, Lane, Story};
use crate::network::Link;
use crate::replay::{Encoding, Publishing, ReplayClient, Role};
use crate::world::{client_address, transport_id};

/// Clients of one story, gone ones included, and at one time.
const CLIENTS_MAX: usize = 150;
const LIVE_MAX: usize = 9;
const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
const LADDER: [Encoding; 3] = [
    Encoding { rid: "l", size: (320, 180) },
    Encoding { rid: "m", size: (640, 360) },
    Encoding { rid: "h", size: (1280, 720) },
];
const ALONE: Encoding = Encoding { rid: "", size: (640, 360) };

impl Story {
    /// Opens a room with one track of sound and one or two of video; gives its place.
    pub(super) fn open_room(&mut self) -> usize {
        let lanes = self.new_lanes();
        self.rooms.push(lanes);
        self.rooms.len() - 1
    }

    /// New tracks for a room.
    pub(super) fn new_lanes(&mut self) -> Vec<Lane> {
        let videos = 1 + self.random.below(2) as usize;
        let kinds = [MediaKind::Audio].into_iter().chain([MediaKind::Video; 2].into_iter().take(videos));
        let mut lanes = Vec::new();
        for kind in kinds {
            let track = self.world.add_track(self.next_track, kind);
            self.next_track += 1;
            lanes.push(Lane { track, kind });
        }
        lanes
    }

    /// Whoever is missing comes: a room is worth a look if somebody publishes and somebody watches.
    pub(super) fn fill_rooms(&mut self) {
        for room in 0..self.rooms.len() {
            let track = self.rooms[room][0].track;
            let here = || self.actors.iter().filter(|actor| actor.is_here);
            let has_publisher = here().any(|actor| actor.publishes.iter().any(|it| it.0 == track));
            let has_viewer = here().any(|actor| actor.watches.iter().any(|it| it.0 == track));
            if !has_publisher {
                self.join_publisher(room);
            }
            if !has_viewer {
                self.join_viewer(room);
            }
        }
    }

    /// Somebody publishes into a room, or is refused because somebody else does.
    pub(super) fn join_publisher(&mut self, room: usize) {
        let lanes = self.rooms[room].clone();
        let mut publishes = Vec::new();
        let mut sections = Vec::new();
        for lane in &lanes {
            let codec = match lane.kind {
                MediaKind::Audio => Codec::Opus,
                MediaKind::Video => self.choose(&VIDEO),
            };
            let is_simulcast = matches!(codec, Codec::Vp8) && self.random.chance(0.6);
            let encodings = if is_simulcast { LADDER.to_vec() } else { vec![ALONE] };
            publishes.push((lane.track, codec));
            sections.push(Publishing { codec, encodings });
        }
        // Now and then it watches another room too.
        let other = self.random.below(self.rooms.len() as u64) as usize;
        let watches = if other != room && self.random.chance(0.5) { self.watches(other) } else { Vec::new() };
        self.join(publishes, sections, watches);
    }

    /// Somebody watches a room.
    pub(super) fn join_viewer(&mut self, room: usize) {
        let watches = self.watches(room);
        self.join(Vec::new(), Vec::new(), watches);
    }

    /// What a viewer of a room watches, with the codecs that it can show.
    fn watches(&mut self, room: usize) -> Vec<(TrackId, Vec<Codec>)> {
        let lanes = self.rooms[room].clone();
        let shows = |story: &mut Self, lane: &Lane| match lane.kind {
            MediaKind::Audio => vec![Codec::Opus],
            MediaKind::Video if story.random.chance(0.8) => VIDEO.to_vec(),
            MediaKind::Video => vec![story.choose(&VIDEO)],
        };
        lanes.iter().map(|lane| (lane.track, shows(self, lane))).collect()
    }

    fn join(
        &mut self,
        publishes: Vec<(TrackId, Codec)>,
        sections: Vec<Publishing>,
        watches: Vec<(TrackId, Vec<Codec>)>,
    ) {
        let live = self.actors.iter().filter(|actor| actor.is_here).count();
        if self.actors.len() >= CLIENTS_MAX || live >= LIVE_MAX {
            return;
        }
        let index = self.actors.len();
        let role = Role {
            publishes: sections,
            watches: watches.iter().map(|watch| watch.1.clone()).collect(),
            has_transport_cc: self.random.chance(0.7),
            has_rtx: self.random.chance(0.7),
        };
        let (client, transport) = ReplayClient::new(index, client_address(index), &role, self.world.now);
        let all = publishes.iter().map(|it| it.0).chain(watches.iter().map(|it| it.0));
        let bindings: Vec<(usize, TrackId)> = all.enumerate().collect();
        let joined = self.world.join_bound(client, transport, &bindings);
        self.actors.push(Actor {
            publishes,
            watches,
            is_here: joined.is_ok(),
            encodings: 1 + self.random.below(3) as usize,
            settled_at: None,
            rebinds: 0,
            restarts: 0,
            is_paused: false,
            clock_error: self.random.below(7_200) as f64 - 3_600.0,
            ready_at: None,
        });
        if joined.is_err() {
            self.world.clients[index].is_silent = true;
        }
        if self.healed_at.is_none() {
            self.world.links[index] = Link::any(&mut self.random);
        }
    }

    /// One of those who are here and fit.
    pub(super) fn pick(&mut self, is_fit: impl Fn(&Actor) -> bool) -> Option<usize> {
        let actors = self.actors.iter().enumerate();
        let all: Vec<usize> =
            actors.filter(|(_, actor)| actor.is_here && is_fit(actor)).map(|(at, _)| at).collect();
        let at = self.random.below(all.len() as u64) as usize;
        all.get(at).copied()
    }

    pub(super) fn choose<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len() as u64) as usize]
    }

    /// One leaves: the control plane says so.
    pub(super) fn leave(&mut self, is_fit: impl Fn(&Actor) -> bool) {
        let Some(at) = self.pick(is_fit) else { return };
        self.actors[at].is_here = false;
        self.world.command(Command::RemoveTransport { id: transport_id(at) });
        self.world.clients[at].is_silent = true;
    }
}
