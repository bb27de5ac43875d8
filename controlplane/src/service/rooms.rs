//! The rules of rooms, without shards, sockets or clocks: who may come in, which track a media section
//! is bound to, and what the events of a shard mean.
//!
//! A viewer is bound to the tracks of the room and not to a publisher, so a publisher may go and come
//! back and nobody has to do anything.
//!
//! # Invariants
//!
//! - A room has at most one publisher, and at most `TRACKS_PER_KIND_MAX` tracks of each kind.
//! - A session is in `sessions` and its transport in `transports`, or in neither.
//! - Publishers of a room are on the shard of the room, which is the home of all its tracks.
//! - A shard with a session of a room has all tracks that the session is bound to, or a mirror of each.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::command::{CloseReason, Event};
use dataplane::id::{Rid, ShardId, TrackId, TransportId};
use dataplane::limits::{ENCODINGS_PER_TRACK_MAX, TRACKS_PER_KIND_MAX};
use dataplane::media::format::{Codec, MediaKind};
use dataplane::transport::negotiate::PeerRole;

use super::name::{RoomName, SessionId};
use crate::config::{SecondPublisher, WithoutPublisher};
use crate::limits::{PENDING_PER_ADDRESS_MAX, ROOM_SHARD_ADVANCE, ROOMS_MAX};

/// The configured rules.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What happens to a second publisher.
    pub second_publisher: SecondPublisher,
    /// What happens to a viewer without a publisher.
    pub without_publisher: WithoutPublisher,
    /// Publishers of the process.
    pub publishers_max: usize,
    /// Subscribers of the process.
    pub subscribers_max: usize,
    /// Subscribers of one room.
    pub subscribers_per_room_max: usize,
    /// Sessions of the process that are not connected yet.
    pub pending_max: usize,
    /// How long an empty room is kept.
    pub linger: Duration,
}

/// Why a session is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The room has a publisher, and the policy is to reject a second one.
    #[error("room {0} has a publisher already")]
    PublisherPresent(RoomName),
    /// The room has no publisher, and the policy is to refuse viewers until there is one.
    #[error("room {0} has no publisher yet")]
    NoPublisher(RoomName),
    /// `subscribers_per_room_max` is reached.
    #[error("room {0} is full")]
    RoomFull(RoomName),
    /// A cap of the process is reached.
    #[error("this server has reached its limit of {0}")]
    ServerFull(&'static str),
    /// This address has `PENDING_PER_ADDRESS_MAX` sessions that are not connected yet.
    #[error("{PENDING_PER_ADDRESS_MAX} sessions of this address are still connecting")]
    TooManyPending,
    /// More media sections of one kind than a room has tracks.
    #[error("the offer has more than {TRACKS_PER_KIND_MAX} {0} sections")]
    TooManySections(&'static str),
    /// The viewer cannot decode what is published.
    #[error("{0}")]
    Codec(CodecProblem),
    /// The session was closed while it was being made.
    #[error("the session was closed while it was being set up")]
    ClosedMeanwhile,
}

/// A viewer lacks the codec of the publisher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the publisher sends {} {}, which the {} section of this viewer did not offer{}",
    .codec.name(), kind_name(*.kind), kind_name(*.kind), offered_words(.offered)
)]
pub struct CodecProblem {
    /// What the publisher sends.
    pub codec: Codec,
    /// Which kind of media.
    pub kind: MediaKind,
    /// What the viewer offered, of the codecs that Sluice forwards.
    pub offered: Vec<Codec>,
}

fn offered_words(offered: &[Codec]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = offered.iter().map(|codec| codec.name()).collect();
    format!("; it offered {}", names.join(", "))
}

/// The word for a kind of media, in texts and in the API.
pub fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// One track of a room. It outlives its publishers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomTrack {
    /// Its name on the shard.
    pub id: TrackId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The codec that flows; `None` while nothing does.
    pub codec: Option<Codec>,
    /// The encodings that nobody wants; `None` is the only one of a track without simulcast.
    pub unwanted: Vec<Option<Rid>>,
    /// The shards, besides that of the room, that were told of it.
    pub mirrors: Vec<ShardId>,
}

impl RoomTrack {
    fn new(id: TrackId, kind: MediaKind) -> Self {
        Self { id, kind, codec: None, unwanted: Vec::new(), mirrors: Vec::new() }
    }
}

/// One room.
#[derive(Clone, Debug)]
pub struct Room {
    /// The shard of its publishers, and the home of its tracks.
    pub shard: ShardId,
    /// Its publisher.
    pub publisher: Option<SessionId>,
    /// How many subscribers it has.
    pub subscriber_count: usize,
    /// Its tracks, audio and video mixed; the k-th of a kind is the k-th in this order.
    pub tracks: Vec<RoomTrack>,
    empty_since: Option<Instant>,
}

/// One WHIP or WHEP session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its room.
    pub room: RoomName,
    /// What it does there.
    pub role: PeerRole,
    /// Its transport.
    pub transport: TransportId,
    /// The shard of its transport.
    pub shard: ShardId,
    /// Whether ICE and DTLS are done.
    pub is_connected: bool,
    /// What keeps it from working, if anything does.
    pub problem: Option<(TrackId, CodecProblem)>,
    /// The entity tag of its ICE session (RFC 9725, section 4.3.1), without quotes.
    pub etag: String,
    /// The username fragment of the peer.
    pub remote_ufrag: Option<String>,
    /// Candidates that it trickled.
    pub candidate_count: usize,
    /// When it was made.
    pub since: Instant,
    /// Whether the shard was told of its transport.
    pub is_installed: bool,
    address: IpAddr,
    /// What its media sections are bound to, each with the codecs that both sides have.
    pub tracks: Vec<(TrackId, Vec<Codec>)>,
}

/// Who asks to come in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The name that the session gets.
    pub id: SessionId,
    /// To which room.
    pub room: RoomName,
    /// To do what.
    pub role: PeerRole,
    /// From where: an IPv4 address, or an IPv6 /64.
    pub address: IpAddr,
    /// The shard of the room, if it is a new one.
    pub new_shard: ShardId,
    /// Where a viewer may go; empty: to the shard of its room.
    pub viewer_shards: Vec<ShardId>,
    /// The entity tag of its ICE session.
    pub etag: String,
    /// The username fragment of the offer.
    pub remote_ufrag: Option<String>,
}

/// What one accepted media section of a session is, for binding it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Audio or video.
    pub kind: MediaKind,
    /// The codecs that both sides have.
    pub codecs: Vec<Codec>,
}

/// What a session is bound to, and what has to be done for it first, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The shard of the room.
    pub home: ShardId,
    /// The publisher that makes room, with its shard.
    pub replaced: Option<(SessionId, ShardId, TransportId)>,
    /// Tracks that the shard of the room does not know yet.
    pub new_tracks: Vec<(TrackId, MediaKind)>,
    /// Tracks that the shard of the session does not know yet, and that are fed on that of the room.
    pub new_mirrors: Vec<(TrackId, MediaKind)>,
    /// The track of each section, in the order of the sections.
    pub tracks: Vec<TrackId>,
}

/// What a shard that has ended took with it.
#[derive(Debug, Default)]
pub struct Lost {
    /// Its sessions, and those elsewhere that watched what it fed.
    pub sessions: Vec<(SessionId, Session)>,
    /// The mirrors of its tracks.
    pub mirrors: Vec<(ShardId, TrackId)>,
}

/// Every room and every session of the process.
#[derive(Debug)]
pub struct Rooms {
    policy: Policy,
    rooms: HashMap<RoomName, Room>,
    sessions: HashMap<SessionId, Session>,
    transports: HashMap<TransportId, SessionId>,
    tracks: HashMap<TrackId, RoomName>,
    next_transport: u64,
    next_track: u64,
}

impl Rooms {
    /// No room yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            rooms: HashMap::new(),
            sessions: HashMap::new(),
            transports: HashMap::new(),
            tracks: HashMap::new(),
            next_transport: 1,
            next_track: 1,
        }
    }

    /// Lets a session in, before its offer is read: everything that costs nothing to find out is checked
    /// here. docs/SECURITY.md H1.
    ///
    /// # Errors
    ///
    /// If a rule or a cap is against it; then nothing was changed.
    pub fn admit(&mut self, admission: Admission, now: Instant) -> Result<(TransportId, ShardId), RoomError> {
        self.check_caps(&admission)?;
        self.check_room(&admission)?;
        let viewer_shard = self.place(&admission);
        let room = self.rooms.entry(admission.room.clone()).or_insert_with(|| Room {
            shard: admission.new_shard,
            publisher: None,
            subscriber_count: 0,
            tracks: Vec::new(),
            empty_since: None,
        });
        room.empty_since = None;
        match admission.role {
            PeerRole::Publisher if room.publisher.is_none() => room.publisher = Some(admission.id),
            PeerRole::Publisher => {}
            PeerRole::Subscriber => room.subscriber_count += 1,
        }
        let transport = TransportId(self.next_transport);
        self.next_transport += 1;
        let shard = viewer_shard.unwrap_or(room.shard);
        self.transports.insert(transport, admission.id);
        let session = Session {
            room: admission.room,
            role: admission.role,
            transport,
            shard,
            is_connected: false,
            problem: None,
            etag: admission.etag,
            remote_ufrag: admission.remote_ufrag,
            candidate_count: 0,
            since: now,
            is_installed: false,
            address: admission.address,
            tracks: Vec::new(),
        };
        self.sessions.insert(admission.id, session);
        Ok((transport, shard))
    }

    /// Where a viewer goes, if its room is spread: to the shard with the fewest sessions, but rather to one that
    /// has the room already, as long as that has not many more. So a small room stays together, and a large one
    /// spreads.
    fn place(&self, admission: &Admission) -> Option<ShardId> {
        if admission.role == PeerRole::Publisher {
            return None;
        }
        let home = self.rooms.get(&admission.room).map_or(admission.new_shard, |room| room.shard);
        let load = |shard: ShardId| self.sessions.values().filter(|session| session.shard == shard).count();
        let has_room = |shard: ShardId| {
            shard == home || self.sessions.values().any(|it| it.shard == shard && it.room == admission.room)
        };
        let shards = admission.viewer_shards.iter();
        shards.copied().min_by_key(|shard| {
            let advance = if has_room(*shard) { 0 } else { ROOM_SHARD_ADVANCE };
            (load(*shard) + advance, *shard != home)
        })
    }

    fn check_caps(&self, admission: &Admission) -> Result<(), RoomError> {
        let pending = || self.sessions.values().filter(|session| !session.is_connected);
        let is_exempt = admission.address.is_loopback();
        let of_address = pending().filter(|session| session.address == admission.address).count();
        if !is_exempt && of_address >= PENDING_PER_ADDRESS_MAX {
            return Err(RoomError::TooManyPending);
        }
        if pending().count() >= self.policy.pending_max {
            return Err(RoomError::ServerFull("sessions that are still connecting"));
        }
        let (limit, what) = match admission.role {
            PeerRole::Publisher => (self.policy.publishers_max, "publishers"),
            PeerRole::Subscriber => (self.policy.subscribers_max, "subscribers"),
        };
        if self.count(admission.role) >= limit {
            return Err(RoomError::ServerFull(what));
        }
        if self.rooms.len() >= ROOMS_MAX && !self.rooms.contains_key(&admission.room) {
            return Err(RoomError::ServerFull("rooms"));
        }
        Ok(())
    }

    fn check_room(&self, admission: &Admission) -> Result<(), RoomError> {
        let room = self.rooms.get(&admission.room);
        let has_publisher = room.is_some_and(|room| room.publisher.is_some());
        match admission.role {
            PeerRole::Publisher if has_publisher => match self.policy.second_publisher {
                SecondPublisher::Reject => Err(RoomError::PublisherPresent(admission.room.clone())),
                SecondPublisher::Takeover => Ok(()),
            },
            PeerRole::Publisher => Ok(()),
            PeerRole::Subscriber => {
                if !has_publisher && self.policy.without_publisher == WithoutPublisher::Refuse {
                    return Err(RoomError::NoPublisher(admission.room.clone()));
                }
                let count = room.map_or(0, |room| room.subscriber_count);
                if count >= self.policy.subscribers_per_room_max {
                    return Err(RoomError::RoomFull(admission.room.clone()));
                }
                Ok(())
            }
        }
    }

    /// Binds the media sections of a session to the tracks of its room: the k-th of a kind to the k-th of
    /// that kind. A publisher that takes over becomes the publisher now: its offer was good.
    ///
    /// # Errors
    ///
    /// If there are too many sections, or a viewer lacks a codec that flows; then nothing was changed.
    pub fn bind(&mut self, id: SessionId, wanted: &[Wanted]) -> Result<Bound, RoomError> {
        let session = self.sessions.get_mut(&id).ok_or(RoomError::ClosedMeanwhile)?;
        let room = self.rooms.get_mut(&session.room).ok_or(RoomError::ClosedMeanwhile)?;
        check_sections(room, session.role, wanted)?;
        let mut bound = Bound {
            home: room.shard,
            replaced: None,
            new_tracks: Vec::new(),
            new_mirrors: Vec::new(),
            tracks: Vec::new(),
        };
        let mut taken = [0usize; 2];
        for section in wanted {
            let nth = &mut taken[section.kind as usize];
            let mut of_kind = room.tracks.iter().enumerate().filter(|(_, track)| track.kind == section.kind);
            let known = of_kind.nth(*nth).map(|(at, _)| at);
            *nth += 1;
            let at = known.unwrap_or_else(|| {
                let id = TrackId(self.next_track);
                self.next_track += 1;
                room.tracks.push(RoomTrack::new(id, section.kind));
                self.tracks.insert(id, session.room.clone());
                bound.new_tracks.push((id, section.kind));
                room.tracks.len() - 1
            });
            let RoomTrack { id: track, mirrors, .. } = &mut room.tracks[at];
            let track = *track;
            if session.shard != room.shard && !mirrors.contains(&session.shard) {
                mirrors.push(session.shard);
                bound.new_mirrors.push((track, section.kind));
            }
            bound.tracks.push(track);
            session.tracks.push((track, section.codecs.clone()));
        }
        let old = room.publisher.filter(|old| session.role == PeerRole::Publisher && *old != id);
        if session.role == PeerRole::Publisher {
            room.publisher = Some(id);
        }
        if let Some(old) = old
            && let Some(replaced) = self.sessions.get(&old)
        {
            bound.replaced = Some((old, replaced.shard, replaced.transport));
        }
        Ok(bound)
    }

    /// Undoes a takeover: `old` could not be told to leave, so it stays the publisher and not `new`.
    pub fn restore_publisher(&mut self, new: SessionId, old: SessionId) {
        let room = self.sessions.get(&old).map(|session| session.room.clone());
        if let Some(room) = room.and_then(|name| self.rooms.get_mut(&name))
            && room.publisher == Some(new)
        {
            room.publisher = Some(old);
        }
    }

    /// Takes a session out. Its room stays for a while.
    pub fn close(&mut self, id: SessionId, now: Instant) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.transports.remove(&session.transport);
        if let Some(room) = self.rooms.get_mut(&session.room) {
            match session.role {
                PeerRole::Publisher if room.publisher == Some(id) => room.publisher = None,
                PeerRole::Publisher => {}
                PeerRole::Subscriber => room.subscriber_count -= 1,
            }
            self.note_emptiness(&session.room, now);
        }
        Some(session)
    }

    fn note_emptiness(&mut self, name: &RoomName, now: Instant) {
        let is_empty = !self.sessions.values().any(|session| session.room == *name);
        if let Some(room) = self.rooms.get_mut(name)
            && is_empty
        {
            room.empty_since = Some(now);
        }
    }

    /// Learns what a shard says. Gives the session that this ended, and why.
    pub fn handle_event(&mut self, event: &Event, now: Instant) -> Option<(SessionId, Session, CloseReason)> {
        match event {
            Event::TransportConnected { id } => {
                if let Some(session) = self.session_of_mut(*id) {
                    session.is_connected = true;
                }
                None
            }
            Event::TransportClosed { id, reason } => {
                let session = *self.transports.get(id)?;
                self.close(session, now).map(|closed| (session, closed, *reason))
            }
            Event::TrackStarted { track, codec } => {
                self.set_codec(*track, Some(*codec));
                None
            }
            Event::TrackStopped { track } => {
                self.set_codec(*track, None);
                None
            }
            Event::EncodingDemand { track, rid, is_wanted } => {
                self.note_demand(*track, *rid, *is_wanted);
                None
            }
            Event::CodecNotNegotiated { id, track, codec } => {
                self.note_codec_problem(*id, *track, *codec);
                None
            }
        }
    }

    fn note_demand(&mut self, id: TrackId, rid: Option<Rid>, is_wanted: bool) {
        let Some(room) = self.tracks.get(&id).and_then(|name| self.rooms.get_mut(name)) else { return };
        let Some(track) = room.tracks.iter_mut().find(|track| track.id == id) else { return };
        track.unwanted.retain(|unwanted| *unwanted != rid);
        // What a publisher sends is bounded by its offer.
        if !is_wanted && track.unwanted.len() < ENCODINGS_PER_TRACK_MAX {
            track.unwanted.push(rid);
        }
    }

    fn session_of_mut(&mut self, transport: TransportId) -> Option<&mut Session> {
        self.transports.get(&transport).and_then(|id| self.sessions.get_mut(id))
    }

    /// What flows now may be what a viewer can show after all, so its problem is forgotten.
    fn set_codec(&mut self, id: TrackId, codec: Option<Codec>) {
        let Some(room) = self.tracks.get(&id).and_then(|name| self.rooms.get_mut(name)) else { return };
        let Some(track) = room.tracks.iter_mut().find(|track| track.id == id) else { return };
        if track.codec == codec {
            return;
        }
        track.codec = codec;
        if codec.is_none() {
            track.unwanted.clear();
        }
        for session in self.sessions.values_mut() {
            session.problem.take_if(|(track, problem)| *track == id && Some(problem.codec) != codec);
        }
    }

    fn note_codec_problem(&mut self, transport: TransportId, track: TrackId, codec: Codec) {
        let Some(kind) = self.track(track).map(|track| track.kind) else { return };
        if let Some(session) = self.session_of_mut(transport) {
            let bound = session.tracks.iter().find(|(bound, _)| *bound == track);
            let offered = bound.map(|(_, codecs)| codecs.clone()).unwrap_or_default();
            session.problem = Some((track, CodecProblem { codec, kind, offered }));
        }
    }

    fn track(&self, id: TrackId) -> Option<&RoomTrack> {
        let room = self.rooms.get(self.tracks.get(&id)?)?;
        room.tracks.iter().find(|track| track.id == id)
    }

    /// The rooms that have been empty for longer than the policy allows.
    pub fn expired(&self, now: Instant) -> Vec<RoomName> {
        let is_expired = |room: &Room| {
            room.empty_since.is_some_and(|since| now.saturating_duration_since(since) >= self.policy.linger)
        };
        self.rooms.iter().filter(|(_, room)| is_expired(room)).map(|(name, _)| name.clone()).collect()
    }

    /// Forgets an empty room; gives its shard and the tracks that the shard has to forget.
    pub fn remove(&mut self, name: &RoomName) -> Option<Room> {
        let is_empty = self.rooms.get(name)?.empty_since.is_some();
        let room = if is_empty { self.rooms.remove(name) } else { None }?;
        for track in &room.tracks {
            self.tracks.remove(&track.id);
        }
        Some(room)
    }

    /// Forgets everything on a shard that has ended; gives the sessions that this ended, and the tracks that
    /// other shards have to forget.
    pub fn forget_shard(&mut self, shard: ShardId, now: Instant) -> Lost {
        let mut lost = Lost::default();
        let rooms: Vec<(RoomName, Room)> = self.rooms.extract_if(|_, room| room.shard == shard).collect();
        for track in rooms.iter().flat_map(|(_, room)| &room.tracks) {
            self.tracks.remove(&track.id);
            lost.mirrors.extend(track.mirrors.iter().map(|mirror| (*mirror, track.id)));
        }
        lost.mirrors.retain(|(mirror, _)| *mirror != shard);
        for track in self.rooms.values_mut().flat_map(|room| &mut room.tracks) {
            track.mirrors.retain(|mirror| *mirror != shard);
        }
        let is_lost =
            |session: &Session| session.shard == shard || rooms.iter().any(|(name, _)| *name == session.room);
        let ids = self.sessions.iter().filter(|(_, session)| is_lost(session)).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            lost.sessions.extend(self.close(id, now).map(|session| (id, session)));
        }
        lost
    }

    /// The mirrors that no session needs any more.
    pub fn idle_mirrors(&self) -> Vec<(ShardId, TrackId)> {
        let used: HashSet<(&RoomName, ShardId)> =
            self.sessions.values().map(|session| (&session.room, session.shard)).collect();
        let mut idle = Vec::new();
        for (name, room) in &self.rooms {
            for track in &room.tracks {
                let unused = track.mirrors.iter().filter(|shard| !used.contains(&(name, **shard)));
                idle.extend(unused.map(|shard| (*shard, track.id)));
            }
        }
        idle
    }

    /// Forgets that a shard has a mirror of a track.
    pub fn forget_mirror(&mut self, shard: ShardId, id: TrackId) {
        let room = self.tracks.get(&id).and_then(|name| self.rooms.get_mut(name));
        if let Some(track) = room.and_then(|room| room.tracks.iter_mut().find(|track| track.id == id)) {
            track.mirrors.retain(|mirror| *mirror != shard);
        }
    }

    /// Forgets a track that the shard would not make; gives the shards that have a mirror of it.
    pub fn forget_track(&mut self, id: TrackId) -> Vec<ShardId> {
        let Some(room) = self.tracks.remove(&id).and_then(|name| self.rooms.get_mut(&name)) else {
            return Vec::new();
        };
        let forgotten = room.tracks.extract_if(.., |track| track.id == id);
        forgotten.flat_map(|track| track.mirrors).collect()
    }

    /// A room.
    pub fn room(&self, name: &RoomName) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// Every room.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, &Room)> {
        self.rooms.iter()
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// A session, to be changed.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Every session.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// How many sessions have a role.
    pub fn count(&self, role: PeerRole) -> usize {
        self.sessions.values().filter(|session| session.role == role).count()
    }
}

fn check_sections(room: &Room, role: PeerRole, wanted: &[Wanted]) -> Result<(), RoomError> {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let sections = wanted.iter().filter(|section| section.kind == kind);
        if sections.clone().count() > TRACKS_PER_KIND_MAX {
            return Err(RoomError::TooManySections(kind_name(kind)));
        }
        let tracks = room.tracks.iter().filter(|track| track.kind == kind);
        for (section, track) in sections.zip(tracks) {
            if let (PeerRole::Subscriber, Some(codec)) = (role, track.codec)
                && !section.codecs.contains(&codec)
            {
                let offered = section.codecs.clone();
                return Err(RoomError::Codec(CodecProblem { codec, kind, offered }));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
