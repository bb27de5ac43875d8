//! Opens, looks at and closes sessions.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use dataplane::command::{Binding, Command, Refusal};
use dataplane::id::{ShardId, TrackId, TransportId};
use dataplane::transport::Transport;
use dataplane::transport::negotiate::{AnswerSettings, Answered, PeerRole};

use super::name::{RoomName, SessionId, hex};
use super::rooms::{Admission, Bound, Rooms, Session, Wanted};
use super::{Error, Service};
use crate::limits::CANDIDATES_PER_SESSION_MAX;
use crate::random;
use crate::shards::{CallError, Pending};

/// An offer that arrived.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The room that it is for.
    pub room: RoomName,
    /// Whether it publishes or watches.
    pub role: PeerRole,
    /// The SDP.
    pub sdp: String,
    /// The username fragment in it.
    pub ufrag: Option<String>,
    /// Whom it came from.
    pub peer: IpAddr,
}

/// A session that was made.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its name.
    pub id: SessionId,
    /// The SDP answer.
    pub answer: String,
    /// The entity tag of its ICE session, without quotes.
    pub etag: String,
}

impl Service {
    /// Makes a session of an offer. It is made to the end, or undone, even if the client hangs up.
    ///
    /// # Errors
    ///
    /// If the rules, the offer or the shard are against it.
    pub async fn open_session(self: &Arc<Self>, offer: Offer) -> Result<Opened, Error> {
        let service = Arc::clone(self);
        tokio::spawn(async move { service.open(offer).await }).await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "making a session panicked");
            Err(Error::Internal)
        })
    }

    async fn open(&self, offer: Offer) -> Result<Opened, Error> {
        if self.is_stopping.load(Relaxed) {
            return Err(Error::Stopping);
        }
        let id = SessionId::new(random::bytes());
        let etag = hex(&random::bytes::<8>());
        let admission = Admission {
            id,
            room: offer.room.clone(),
            role: offer.role,
            address: rate_key(offer.peer),
            new_shard: self.shards.least_loaded()?,
            viewer_shards: self.shards.for_viewers(),
            etag: etag.clone(),
            remote_ufrag: offer.ufrag.clone(),
        };
        let (transport, shard) = self.rooms().admit(admission, Instant::now())?;
        match self.install(id, transport, shard, &offer).await {
            Ok(answer) => {
                self.metrics.session_opened(offer.role);
                tracing::info!(session = id.short(), room = %offer.room, role = ?offer.role, "session opened");
                Ok(Opened { id, answer, etag })
            }
            Err(error) => {
                self.rooms().close(id, Instant::now());
                tracing::info!(room = %offer.room, role = ?offer.role, %error, "session refused");
                Err(error)
            }
        }
    }

    async fn install(
        &self,
        id: SessionId,
        transport: TransportId,
        shard: ShardId,
        offer: &Offer,
    ) -> Result<String, Error> {
        let answered = self.negotiate(offer, shard).await?;
        let pending = self.command(id, transport, shard, answered.transport)?;
        let mut outcome = Ok(());
        for (what, pending) in pending {
            let reply = pending.reply().await;
            match (what, reply) {
                (_, Ok(_)) | (Sent::RemoveOld, Err(CallError::Refused(Refusal::UnknownTransport))) => {}
                (Sent::AddTrack(track), Err(CallError::Refused(refusal))) => {
                    for mirror in self.rooms().forget_track(track) {
                        let _ = self.shards.send(mirror, Command::RemoveTrack { track });
                    }
                    outcome = outcome.and(Err(CallError::Refused(refusal)));
                }
                (Sent::MirrorTrack(track), Err(CallError::Refused(refusal))) => {
                    self.rooms().forget_mirror(shard, track);
                    outcome = outcome.and(Err(CallError::Refused(refusal)));
                }
                (_, Err(error)) => outcome = outcome.and(Err(error)),
            }
        }
        if let Err(error) = outcome {
            // It may have been applied after all, or only its tracks were refused.
            let _ = self.shards.send(shard, Command::RemoveTransport { id: transport });
            return Err(error.into());
        }
        if let Some(session) = self.rooms().session_mut(id) {
            session.is_installed = true;
        }
        Ok(answered.sdp)
    }

    /// Negotiation takes up to a millisecond and reads what a stranger wrote: it runs beside the
    /// requests, and a panic in it costs this request (D14).
    async fn negotiate(&self, offer: &Offer, shard: ShardId) -> Result<Answered, Error> {
        let negotiator = self.negotiator.clone();
        let candidates = self.candidates.get(usize::from(shard.0)).cloned().unwrap_or_default();
        let (sdp, role) = (offer.sdp.clone(), offer.role);
        let answering = tokio::task::spawn_blocking(move || {
            let settings = AnswerSettings { role, shard, candidates: &candidates };
            negotiator.answer(&sdp, &settings, Instant::now())
        });
        match answering.await {
            Ok(answered) => Ok(answered?),
            Err(panic) => {
                tracing::error!(%panic, "negotiation panicked");
                Err(Error::Internal)
            }
        }
    }

    /// Binds the session and tells the shard, in one step under the lock.
    fn command(
        &self,
        id: SessionId,
        transport: TransportId,
        shard: ShardId,
        negotiated: Box<Transport>,
    ) -> Result<Vec<(Sent, Pending)>, Error> {
        let wanted: Vec<Wanted> = negotiated
            .description()
            .sections
            .iter()
            .map(|section| {
                let mut codecs: Vec<_> = section.formats.iter().map(|format| format.codec).collect();
                codecs.dedup();
                Wanted { kind: section.kind, codecs }
            })
            .collect();
        let mut rooms = self.rooms();
        let bound = rooms.bind(id, &wanted)?;
        let mut pending = Vec::new();
        self.replace(&mut rooms, id, &bound, &mut pending)?;
        self.make_tracks(&mut rooms, shard, &bound, &mut pending)?;
        let sections = negotiated.description().sections.iter();
        let bindings =
            sections.zip(&bound.tracks).map(|(section, track)| Binding { mid: section.mid, track: *track });
        let bindings = bindings.collect();
        let command = Command::AddTransport { id: transport, transport: negotiated, bindings };
        pending.push((Sent::AddTransport, self.shards.send(shard, command)?));
        Ok(pending)
    }

    /// Makes the tracks that are missing, each on the shard of its room and, as a mirror, on that of the session.
    fn make_tracks(
        &self,
        rooms: &mut Rooms,
        shard: ShardId,
        bound: &Bound,
        pending: &mut Vec<(Sent, Pending)>,
    ) -> Result<(), Error> {
        let home = bound.home;
        for (position, (track, kind)) in bound.new_tracks.iter().enumerate() {
            match self.shards.send(home, Command::AddTrack { track: *track, kind: *kind }) {
                Ok(reply) => pending.push((Sent::AddTrack(*track), reply)),
                Err(error) => {
                    bound.new_mirrors.iter().for_each(|(track, _)| rooms.forget_mirror(shard, *track));
                    for (track, _) in &bound.new_tracks[position..] {
                        rooms.forget_track(*track);
                    }
                    return Err(error.into());
                }
            }
        }
        for (position, (track, kind)) in bound.new_mirrors.iter().enumerate() {
            match self.shards.send(shard, Command::MirrorTrack { track: *track, kind: *kind, home }) {
                Ok(reply) => pending.push((Sent::MirrorTrack(*track), reply)),
                Err(error) => {
                    let missing = bound.new_mirrors[position..].iter();
                    missing.for_each(|(track, _)| rooms.forget_mirror(shard, *track));
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn replace(
        &self,
        rooms: &mut Rooms,
        id: SessionId,
        bound: &Bound,
        pending: &mut Vec<(Sent, Pending)>,
    ) -> Result<(), Error> {
        let Some((old, shard, transport)) = bound.replaced else { return Ok(()) };
        match self.shards.send(shard, Command::RemoveTransport { id: transport }) {
            Ok(reply) => pending.push((Sent::RemoveOld, reply)),
            Err(error) => {
                rooms.restore_publisher(id, old);
                for (track, _) in &bound.new_tracks {
                    rooms.forget_track(*track);
                }
                return Err(error.into());
            }
        }
        if rooms.close(old, Instant::now()).is_some() {
            tracing::info!(session = old.short(), "publisher replaced");
            self.metrics.session_closed("replaced");
        }
        Ok(())
    }

    /// A copy of the state of a session.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSession`].
    pub fn session(&self, id: SessionId, role: Option<PeerRole>) -> Result<Session, Error> {
        let rooms = self.rooms();
        let session = rooms.session(id).filter(|session| role.is_none_or(|role| session.role == role));
        session.cloned().ok_or(Error::UnknownSession)
    }

    /// Counts candidates that a session trickled; `false` if they are more than it may send.
    pub fn count_candidates(&self, id: SessionId, count: usize) -> bool {
        let mut rooms = self.rooms();
        let Some(session) = rooms.session_mut(id) else { return true };
        let is_fit = session.candidate_count + count <= CANDIDATES_PER_SESSION_MAX;
        if is_fit {
            session.candidate_count += count;
        }
        is_fit
    }

    /// Ends a session (RFC 9725, section 4.2): the shard says goodbye to the peer.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSession`], or the shard's; then the session goes on.
    pub async fn close_session(&self, id: SessionId, role: PeerRole) -> Result<(), Error> {
        let pending = {
            let mut rooms = self.rooms();
            let session = rooms.session(id).filter(|session| session.role == role);
            let session = session.ok_or(Error::UnknownSession)?;
            let command = Command::RemoveTransport { id: session.transport };
            let pending = self.shards.send(session.shard, command)?;
            rooms.close(id, Instant::now());
            pending
        };
        self.metrics.session_closed("requested");
        tracing::info!(session = id.short(), "session deleted");
        match pending.reply().await {
            Ok(_) | Err(CallError::Refused(Refusal::UnknownTransport)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Which command an answer belongs to.
enum Sent {
    RemoveOld,
    AddTrack(TrackId),
    MirrorTrack(TrackId),
    AddTransport,
}

/// What one customer of a network cannot change at will: an IPv4 address, or an IPv6 /64. docs/SECURITY.md H8.
pub fn rate_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // docs/SECURITY.md H8
    #[test]
    fn addresses_of_one_ipv6_network_share_a_key_and_mapped_ones_are_ipv4() {
        let key = |text: &str| rate_key(text.parse().unwrap()).to_string();
        assert_eq!(key("2001:db8:1:2:aaaa::1"), key("2001:db8:1:2:bbbb::2"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(key("::1"), "::1");
    }
}
