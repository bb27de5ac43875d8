//! The live state of rooms and sessions, as the API shows it.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use dataplane::command::{
    Command, EncodingReport, LayerPlace, LayerReport, Reply, SubscriptionReport, TrackReport,
};
use dataplane::id::Rid;
use dataplane::media::wish::Wish;
use dataplane::transport::negotiate::PeerRole;
use serde::Serialize;

use super::name::{RoomName, SessionId};
use super::rooms::{CodecProblem, Room, RoomTrack, kind_name};
use super::{Error, Service};
use crate::limits::ROOMS_DESCRIBED_MAX;
use crate::shards::Pending;

/// A room.
#[derive(Clone, Debug, Serialize)]
pub struct RoomView {
    /// Its name.
    pub name: String,
    /// `broadcast`: one publisher, many subscribers.
    pub kind: &'static str,
    /// The shard of its publisher.
    pub shard: u16,
    /// All shards that have its tracks, ascending.
    pub shards: Vec<u16>,
    /// Its publisher, or null.
    pub publisher: Option<PublisherView>,
    /// How many subscribers it has, those that are still connecting included.
    pub subscribers: usize,
    /// Its tracks.
    pub tracks: Vec<TrackView>,
    /// What keeps subscribers from seeing it; each problem once.
    pub problems: Vec<ProblemView>,
}

/// The publisher of a room.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PublisherView {
    /// Whether its ICE and DTLS are done.
    pub connected: bool,
}

/// A track of a room.
#[derive(Clone, Debug, Serialize)]
pub struct TrackView {
    /// `audio` or `video`.
    pub kind: &'static str,
    /// The codec that flows, or null.
    pub codec: Option<&'static str>,
    /// Bits per second over all encodings.
    pub bitrate_bps: u64,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Its encodings, best first.
    pub encodings: Vec<EncodingView>,
}

/// An encoding of a track.
#[derive(Clone, Debug, Serialize)]
pub struct EncodingView {
    /// Its RID in simulcast, or null.
    pub rid: Option<String>,
    /// Whether packets come.
    pub flowing: bool,
    /// Whether anybody wants it: if not, its publisher may stop sending it.
    pub wanted: bool,
    /// Bits per second over the last second.
    pub bitrate_bps: u64,
    /// Pixels, where the codec shows them.
    pub width: Option<u16>,
    /// Pixels, where the codec shows them.
    pub height: Option<u16>,
    /// Packets received.
    pub packets_received: u64,
    /// Packets lost and never recovered.
    pub packets_lost: u64,
    /// The spatial layers that the publisher says it sends, lowest first; left out if it does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerView>,
}

/// A spatial layer of an encoding, as the publisher announces it.
#[derive(Clone, Debug, Serialize)]
pub struct LayerView {
    /// Which one, 0 the lowest.
    pub spatial: u8,
    /// Target bits per second up to each temporal layer, the lower ones included.
    pub target_bitrates_bps: Vec<u64>,
    /// Pixels, or null.
    pub width: Option<u16>,
    /// Pixels, or null.
    pub height: Option<u16>,
    /// The largest frame rate, or null.
    pub frame_rate: Option<u8>,
}

/// A session, for whoever holds its name.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Its room.
    pub room: String,
    /// `publisher` or `subscriber`.
    pub role: &'static str,
    /// `connecting` or `connected`.
    pub state: &'static str,
    /// What keeps it from working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemView>,
    /// Round-trip time, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// The SRTP profile in use.
    pub srtp_profile: Option<&'static str>,
    /// RTP packets received from the peer.
    pub packets_received: u64,
    /// RTP packets sent to the peer.
    pub packets_sent: u64,
    /// Fraction lost that the peer reported last, 0 to 1.
    pub fraction_lost: f64,
    /// What the link to a subscriber carries; left out for a publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<EstimateView>,
    /// What it is shown, in the order of its media sections; left out if it publishes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionView>,
}

/// What a session is shown in one media section.
#[derive(Clone, Debug, Serialize)]
pub struct SubscriptionView {
    /// The media section.
    pub mid: String,
    /// `audio` or `video`.
    pub kind: &'static str,
    /// What it asked for.
    pub requested: RequestedView,
    /// What it should get, or null.
    pub target: Option<LayerPlaceView>,
    /// What it gets, or null.
    pub current: Option<LayerPlaceView>,
    /// Why: `best`, `request`, `missing_layer`, `awaiting_keyframe`, `paused` or `no_media`.
    pub reason: &'static str,
}

/// What was asked for; null leaves it to the server.
#[derive(Clone, Debug, Serialize)]
pub struct RequestedView {
    /// Nothing is to be sent.
    pub paused: bool,
    /// The encoding.
    pub rid: Option<String>,
    /// The highest spatial layer. In simulcast each encoding counts as one.
    pub max_spatial_layer: Option<u8>,
    /// The highest temporal layer.
    pub max_temporal_layer: Option<u8>,
    /// Pixels.
    pub max_width: Option<u16>,
    /// Pixels.
    pub max_height: Option<u16>,
}

/// A place among the encodings and layers of a track.
#[derive(Clone, Debug, Serialize)]
pub struct LayerPlaceView {
    /// The encoding in simulcast, or null.
    pub rid: Option<String>,
    /// The highest spatial layer within it; null if it has none, or if there is no bound.
    pub spatial_layer: Option<u8>,
    /// The highest temporal layer; null as above.
    pub temporal_layer: Option<u8>,
}

impl From<&SubscriptionReport> for SubscriptionView {
    fn from(report: &SubscriptionReport) -> Self {
        let Wish { is_paused, rid, spatial_max, temporal_max, width_max, height_max } = report.requested;
        let place = |place: LayerPlace| LayerPlaceView {
            rid: place.rid.map(rid_text),
            spatial_layer: place.spatial,
            temporal_layer: place.temporal,
        };
        Self {
            mid: report.mid.0.as_str().to_owned(),
            kind: kind_name(report.kind),
            requested: RequestedView {
                paused: is_paused,
                rid: rid.map(rid_text),
                max_spatial_layer: spatial_max,
                max_temporal_layer: temporal_max,
                max_width: width_max,
                max_height: height_max,
            },
            target: report.target.map(place),
            current: report.current.map(place),
            reason: report.reason.name(),
        }
    }
}

fn rid_text(rid: Rid) -> String {
    rid.0.as_str().to_owned()
}

/// What the link to a subscriber carries.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EstimateView {
    /// Bits per second, everything from the IP header on.
    pub bitrate_bps: u64,
    /// What it comes from: `start`, `delay`, `loss`, `application_limited`, `remb` or `silence`.
    pub cause: &'static str,
}

/// A problem of a session that was accepted, in the members of RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemView {
    /// `codec_not_supported`.
    pub code: &'static str,
    /// What is wrong, for people.
    pub title: &'static str,
    /// What is wrong with this session, for people.
    pub detail: String,
    /// The codec that the publisher sends.
    pub codec: &'static str,
    /// `audio` or `video`.
    pub kind: &'static str,
    /// The codecs that the viewer offered, of those that the server forwards.
    pub offered: Vec<&'static str>,
}

impl From<&CodecProblem> for ProblemView {
    fn from(problem: &CodecProblem) -> Self {
        Self {
            code: "codec_not_supported",
            title: "This viewer cannot decode what is published",
            detail: problem.to_string(),
            codec: problem.codec.name(),
            kind: kind_name(problem.kind),
            offered: problem.offered.iter().map(|codec| codec.name()).collect(),
        }
    }
}

impl Service {
    /// Every room, by name. The first [`ROOMS_DESCRIBED_MAX`] are shown with the figures of their tracks.
    pub async fn rooms_view(&self) -> Vec<RoomView> {
        let mut names: Vec<RoomName> = self.rooms().rooms().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        let mut views = Vec::with_capacity(names.len());
        for (index, name) in names.into_iter().enumerate() {
            views.extend(self.describe(&name, index < ROOMS_DESCRIBED_MAX).await);
        }
        views
    }

    /// One room.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRoom`].
    pub async fn room_view(&self, name: &RoomName) -> Result<RoomView, Error> {
        self.describe(name, true).await.ok_or_else(|| Error::UnknownRoom(name.clone()))
    }

    async fn describe(&self, name: &RoomName, with_figures: bool) -> Option<RoomView> {
        let (mut view, tracks) = {
            let rooms = self.rooms();
            let room = rooms.room(name)?;
            let is_connected = |id| rooms.session(id).is_some_and(|session| session.is_connected);
            let publisher = room.publisher.map(|id| PublisherView { connected: is_connected(id) });
            let mut problems: Vec<ProblemView> = Vec::new();
            for (_, session) in rooms.sessions().filter(|(_, session)| session.room == *name) {
                let problem = session.problem.as_ref().map(|(_, problem)| ProblemView::from(problem));
                problems.extend(problem.filter(|problem| !problems.contains(problem)));
            }
            (self.frame(name, room, publisher, problems), self.ask(room, with_figures))
        };
        for (track, asked) in tracks {
            let mut reports = Vec::with_capacity(asked.len());
            for pending in asked.into_iter().flatten() {
                if let Ok(Reply::Track(report)) = pending.reply().await {
                    reports.push(report);
                }
            }
            view.tracks.push(TrackView::new(&track, &reports));
        }
        Some(view)
    }

    fn frame(
        &self,
        name: &RoomName,
        room: &Room,
        publisher: Option<PublisherView>,
        problems: Vec<ProblemView>,
    ) -> RoomView {
        let mirrors = room.tracks.iter().flat_map(|track| &track.mirrors);
        let shards: BTreeSet<u16> = mirrors.chain([&room.shard]).map(|shard| shard.0).collect();
        RoomView {
            name: name.as_str().to_owned(),
            kind: "broadcast",
            shard: room.shard.0,
            shards: shards.into_iter().collect(),
            publisher,
            subscribers: room.subscriber_count,
            tracks: Vec::new(),
            problems,
        }
    }

    /// Asks the shards for every track at once, so that the answers are awaited together. That of the room is
    /// asked first; of the others only their subscriptions are new.
    fn ask(&self, room: &Room, with_figures: bool) -> Vec<(RoomTrack, Vec<Option<Pending>>)> {
        let ask = |track: &RoomTrack| {
            let shards = [room.shard].into_iter().chain(track.mirrors.iter().copied());
            let shards = shards.filter(|_| with_figures);
            shards
                .map(|shard| self.shards.send(shard, Command::DescribeTrack { track: track.id }).ok())
                .collect()
        };
        room.tracks.iter().map(|track| (track.clone(), ask(track))).collect()
    }

    /// One session.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSession`].
    pub async fn session_view(&self, id: SessionId) -> Result<SessionView, Error> {
        let session = self.session(id, None)?;
        let command = Command::DescribeTransport { id: session.transport };
        let report = match self.shards.call(session.shard, command).await {
            Ok(Reply::Transport(report)) => Some(report),
            _ => None,
        };
        let role = match session.role {
            PeerRole::Publisher => "publisher",
            PeerRole::Subscriber => "subscriber",
        };
        Ok(SessionView {
            room: session.room.as_str().to_owned(),
            role,
            state: if session.is_connected { "connected" } else { "connecting" },
            problem: session.problem.as_ref().map(|(_, problem)| ProblemView::from(problem)),
            round_trip_ms: report.as_ref().and_then(|report| report.round_trip_ms),
            srtp_profile: report.as_ref().and_then(|report| report.srtp_profile),
            packets_received: report.as_ref().map_or(0, |report| report.packets_received),
            packets_sent: report.as_ref().map_or(0, |report| report.packets_sent),
            fraction_lost: report.as_ref().map_or(0.0, |report| report.fraction_lost),
            estimate: report
                .as_ref()
                .and_then(|report| report.estimate)
                .map(|estimate| EstimateView { bitrate_bps: estimate.bitrate_bps, cause: estimate.cause }),
            subscriptions: report
                .map(|report| report.subscriptions.iter().map(SubscriptionView::from).collect())
                .unwrap_or_default(),
        })
    }
}

impl TrackView {
    /// The figures are those of the first report, which is of the shard that feeds the track.
    fn new(track: &RoomTrack, reports: &[TrackReport]) -> Self {
        let fed = reports.first();
        let encodings = fed.map_or(&[][..], |report| &report.encodings);
        Self {
            kind: kind_name(track.kind),
            codec: track.codec.or(fed.and_then(|report| report.codec)).map(|codec| codec.name()),
            bitrate_bps: encodings.iter().map(|encoding| encoding.bitrate_bps).sum(),
            subscriptions: reports.iter().map(|report| report.subscription_count).sum(),
            encodings: encodings.iter().map(|encoding| EncodingView::new(track, encoding)).collect(),
        }
    }
}

impl EncodingView {
    fn new(track: &RoomTrack, report: &EncodingReport) -> Self {
        let is_it = |rid: &Option<Rid>| rid.as_ref().map(|rid| rid.0.as_str()) == report.rid.as_deref();
        Self {
            rid: report.rid.clone(),
            flowing: report.is_flowing,
            wanted: !track.unwanted.iter().any(is_it),
            bitrate_bps: report.bitrate_bps,
            width: report.size.map(|(width, _)| width),
            height: report.size.map(|(_, height)| height),
            packets_received: report.packets_received,
            packets_lost: report.packets_lost,
            layers: report.layers.iter().map(LayerView::from).collect(),
        }
    }
}

impl From<&LayerReport> for LayerView {
    fn from(report: &LayerReport) -> Self {
        Self {
            spatial: report.spatial,
            target_bitrates_bps: report.bitrates_kbps.iter().map(|kbps| u64::from(*kbps) * 1_000).collect(),
            width: report.size.map(|(width, _)| width),
            height: report.size.map(|(_, height)| height),
            frame_rate: report.frame_rate,
        }
    }
}

/// How many there are of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// Rooms, those that linger empty included.
    pub rooms: usize,
    /// Publishers.
    pub publishers: usize,
    /// Subscribers.
    pub subscribers: usize,
}

impl Service {
    /// How many there are of everything, now.
    pub fn population(&self) -> Population {
        let rooms = self.rooms();
        Population {
            rooms: rooms.rooms().count(),
            publishers: rooms.count(PeerRole::Publisher),
            subscribers: rooms.count(PeerRole::Subscriber),
        }
    }
}
