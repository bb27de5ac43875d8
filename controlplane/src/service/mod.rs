//! What the control plane does: sessions in rooms, on shards. Knows no HTTP.
//!
//! Decisions are taken in [`rooms`], under one lock that is never held while waiting. Commands are put
//! into the mailboxes under the same lock, so a shard sees them in the order of the decisions.
#![forbid(unsafe_code)]

pub mod candidates;
pub mod layers;
pub mod name;
pub mod rooms;
mod sessions;
pub mod status;
pub mod view;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dataplane::command::{Command, Event, Reply};
use dataplane::id::{Rid, ShardId, Token, TrackId};
use dataplane::transport::negotiate::{NegotiateError, Negotiator};

use crate::metrics::Metrics;
use crate::shards::{CallError, Shards};
use layers::LayerError;
use name::{RoomName, SessionId};
use rooms::{Policy, RoomError, Rooms};

pub use sessions::{Offer, Opened, rate_key};

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules of the room.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The offer.
    #[error(transparent)]
    Negotiate(#[from] NegotiateError),
    /// The shard.
    #[error(transparent)]
    Shard(#[from] CallError),
    /// The request for layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// There is no such session, or it has ended.
    #[error("there is no such session; it may have ended")]
    UnknownSession,
    /// There is no such room.
    #[error("nobody is in room {0}")]
    UnknownRoom(RoomName),
    /// The server stops.
    #[error("this server is shutting down")]
    Stopping,
    /// A mistake of ours.
    #[error("the server made a mistake; its log says which")]
    Internal,
}

/// The service behind the API.
#[derive(Debug)]
pub struct Service {
    shards: Arc<Shards>,
    negotiator: Negotiator,
    rooms: Mutex<Rooms>,
    /// The candidates of each shard, in the order of their ids.
    candidates: Vec<Vec<SocketAddr>>,
    metrics: Arc<Metrics>,
    is_stopping: AtomicBool,
}

impl Service {
    /// A service without rooms.
    pub fn new(
        shards: Arc<Shards>,
        negotiator: Negotiator,
        policy: Policy,
        candidates: Vec<Vec<SocketAddr>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let rooms = Mutex::new(Rooms::new(policy));
        Self { shards, negotiator, rooms, candidates, metrics, is_stopping: AtomicBool::new(false) }
    }

    /// The lock is held for a decision, never across an await. A panic under it leaves whole rooms behind:
    /// each change of [`Rooms`] is done before the next can fail.
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shards.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Refuses new sessions from now on.
    pub fn stop_accepting(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    /// Whether new sessions can come in.
    pub fn readiness(&self) -> Result<(), String> {
        if self.is_stopping.load(Relaxed) {
            return Err("shutting down".to_owned());
        }
        let wrong: Vec<String> = [("hang", self.shards.stalled()), ("have ended", self.shards.ended())]
            .into_iter()
            .filter(|(_, shards)| !shards.is_empty())
            .map(|(what, shards)| {
                let names: Vec<String> = shards.iter().map(|shard| shard.0.to_string()).collect();
                format!("shards that {what}: {}", names.join(", "))
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Whether there is a shard that runs. Without one only a new start helps.
    pub fn is_alive(&self) -> bool {
        self.is_stopping.load(Relaxed) || self.shards.ended().len() < self.shards.count()
    }

    /// Finds out how the shards are. The sessions of one that has ended are closed and its rooms forgotten,
    /// so that whoever comes back finds the room on another shard. docs/SECURITY.md P3.
    pub fn look_at_shards(&self) {
        for shard in self.shards.look() {
            let lost = self.rooms().forget_shard(shard, Instant::now());
            // Whoever watched elsewhere what this shard fed would wait for ever.
            for (mirror, track) in lost.mirrors {
                let _ = self.shards.send(mirror, Command::RemoveTrack { track });
            }
            for (_, session) in lost.sessions.iter().filter(|(_, session)| session.shard != shard) {
                let _ = self.shards.send(session.shard, Command::RemoveTransport { id: session.transport });
            }
            let sessions = lost.sessions;
            if !sessions.is_empty() {
                let count = sessions.len();
                tracing::error!(shard = shard.0, sessions = count, "sessions were lost with their shard");
            }
            for (id, session) in sessions {
                tracing::info!(session = id.short(), room = %session.room, reason = "shard_ended", "session ended");
                self.metrics.session_closed("shard_ended");
            }
        }
    }

    /// Takes over what a shard said.
    pub fn handle_event(&self, event: &Event) {
        let closed = self.rooms().handle_event(event, Instant::now());
        tracing::debug!(?event, "event");
        if let Some((id, session, reason)) = closed {
            tracing::info!(session = id.short(), room = %session.room, reason = reason.name(), "session ended");
            self.metrics.session_closed(reason.name());
        }
    }

    /// Forgets the rooms that were empty for long enough, and the mirrors that nobody needs. What a shard has no
    /// place for now is forgotten the next time.
    pub fn expire(&self, now: Instant) {
        let mut rooms = self.rooms();
        for (shard, track) in rooms.idle_mirrors() {
            if self.forgets(shard, track) {
                rooms.forget_mirror(shard, track);
            }
        }
        for name in rooms.expired(now) {
            let Some(room) = rooms.room(&name) else { continue };
            let is_told = room.tracks.iter().all(|track| self.forgets(room.shard, track.id));
            if is_told {
                rooms.remove(&name);
            }
        }
    }

    /// Tells a shard to forget a track; false if it has no place for the command now.
    fn forgets(&self, shard: ShardId, track: TrackId) -> bool {
        !matches!(self.shards.send(shard, Command::RemoveTrack { track }), Err(CallError::Overloaded))
    }

    /// Asks a shard for the state of everything on it, after it had to drop events.
    pub async fn reread(&self, shard: ShardId) {
        let sessions: Vec<_> = self
            .rooms()
            .sessions()
            .filter(|(_, session)| session.shard == shard && session.is_installed)
            .map(|(id, session)| (id, session.transport))
            .collect();
        for (id, transport) in sessions {
            self.reread_session(id, shard, transport).await;
        }
        let tracks: Vec<_> = self
            .rooms()
            .rooms()
            .filter(|(_, room)| room.shard == shard)
            .flat_map(|(_, room)| room.tracks.iter().map(|track| track.id))
            .collect();
        for track in tracks {
            let Ok(Reply::Track(report)) = self.shards.call(shard, Command::DescribeTrack { track }).await
            else {
                continue;
            };
            self.handle_event(&match report.codec {
                Some(codec) => Event::TrackStarted { track, codec },
                None => Event::TrackStopped { track },
            });
            for encoding in report.encodings {
                let rid = encoding.rid.and_then(|rid| Token::new(rid.as_bytes())).map(Rid);
                let is_wanted = encoding.is_wanted;
                self.handle_event(&Event::EncodingDemand { track, rid, is_wanted });
            }
        }
    }

    async fn reread_session(&self, id: SessionId, shard: ShardId, transport: dataplane::id::TransportId) {
        use dataplane::command::Refusal::UnknownTransport;
        match self.shards.call(shard, Command::DescribeTransport { id: transport }).await {
            Ok(Reply::Transport(report)) if report.is_connected => {
                self.handle_event(&Event::TransportConnected { id: transport });
            }
            Err(CallError::Refused(UnknownTransport)) if self.rooms().close(id, Instant::now()).is_some() => {
                self.metrics.session_closed("unknown");
            }
            _ => {}
        }
    }
}
