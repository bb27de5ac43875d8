//! What the control plane may tell a shard, what the shard answers, and what it says unasked.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use futures_channel::oneshot;

use crate::id::{Mid, Rid, ShardId, TrackId, TransportId};
use crate::media::format::{Codec, MediaKind};
use crate::media::wish::{Reason, Wish};
use crate::transport::Transport;

/// A command and where its reply goes.
#[derive(Debug)]
pub struct Envelope {
    /// What to do.
    pub command: Command,
    /// Takes the reply; nobody may be waiting any more.
    pub reply: oneshot::Sender<Reply>,
}

/// What a shard can be told. Applied in order; each has exactly one [`Reply`].
#[derive(Debug)]
pub enum Command {
    /// Makes a track that transports may feed and subscribe to. It starts without a publisher.
    AddTrack {
        /// Its name.
        track: TrackId,
        /// Audio or video.
        kind: MediaKind,
    },
    /// Makes a track that transports of this shard may subscribe to, and that is fed on another one. Its
    /// packets cross as soon as somebody here watches, and no longer.
    MirrorTrack {
        /// Its name.
        track: TrackId,
        /// Audio or video.
        kind: MediaKind,
        /// The shard that feeds it.
        home: ShardId,
    },
    /// Ends a track and every subscription to it, and says goodbye to the transport that feeds it.
    RemoveTrack {
        /// Its name.
        track: TrackId,
    },
    /// Takes over a negotiated transport. Media flows as soon as its handshake is done.
    AddTransport {
        /// Its name.
        id: TransportId,
        /// What negotiation made.
        transport: Box<Transport>,
        /// Which track each of its media sections feeds or shows. A section that is not named is idle.
        bindings: Vec<Binding>,
    },
    /// Says goodbye (RTCP BYE, DTLS close_notify) and frees the transport.
    RemoveTransport {
        /// Its name.
        id: TransportId,
    },
    /// Asks for other layers of a track, or for a pause. The picture follows at the next switch point.
    RequestLayer {
        /// The subscriber.
        id: TransportId,
        /// Its media section that shows the track; `None`: each that shows video.
        mid: Option<Mid>,
        /// What it asks for from now on.
        wish: Wish,
    },
    /// Asks what a transport is doing.
    DescribeTransport {
        /// Its name.
        id: TransportId,
    },
    /// Asks what a track is doing.
    DescribeTrack {
        /// Its name.
        track: TrackId,
    },
    /// Says goodbye on every transport and frees them all. The shard goes on running.
    CloseAll,
}

/// Ties a media section of a transport to a track: an ingress section feeds it, an egress section
/// shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The media section.
    pub mid: Mid,
    /// The track.
    pub track: TrackId,
}

/// What a shard answers.
#[derive(Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// It cannot be done.
    Refused(Refusal),
    /// Answer to [`Command::DescribeTransport`].
    Transport(TransportReport),
    /// Answer to [`Command::DescribeTrack`].
    Track(TrackReport),
}

/// Why a command was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No transport of that name is on this shard.
    #[error("no such transport")]
    UnknownTransport,
    /// No track of that name is on this shard.
    #[error("no such track")]
    UnknownTrack,
    /// The name is taken.
    #[error("the name is taken")]
    AlreadyExists,
    /// The track is fed by another transport, or on another shard.
    #[error("the track has a publisher already")]
    TrackIsPublished,
    /// A binding names a section that was not negotiated, or of the other kind.
    #[error("the binding fits no negotiated media section")]
    BindingDoesNotFit,
    /// The transport is shown nothing in a media section of that name, or no video at all.
    #[error("nothing is shown to this session in that media section")]
    UnknownSection,
    /// The publisher of the track has no encoding of that name.
    #[error("the track has no encoding of that name")]
    UnknownEncoding,
    /// More than `WISHES_PER_WINDOW_MAX` requests for layers.
    #[error("other layers were asked for too often")]
    TooManyWishes,
    /// `TRANSPORTS_PER_SHARD_MAX` or `TRACKS_PER_SHARD_MAX` is reached.
    #[error("the shard is full")]
    ShardFull,
}

/// The state of a transport, for the API.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportReport {
    /// Whether ICE and DTLS are done.
    pub is_connected: bool,
    /// The peer's nominated address.
    pub remote: Option<SocketAddr>,
    /// The SRTP profile in use, in the words of the IANA registry.
    pub srtp_profile: Option<&'static str>,
    /// Round-trip time from receiver reports, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// RTP packets received and accepted.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Fraction lost that the peer reported last, 0..=1.
    pub fraction_lost: f64,
    /// What its link carries; `None` if nothing is sent to it.
    pub estimate: Option<EstimateReport>,
    /// What it is shown, in the order of its media sections.
    pub subscriptions: Vec<SubscriptionReport>,
}

/// What a transport is shown in one media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionReport {
    /// The media section.
    pub mid: Mid,
    /// What it shows.
    pub track: TrackId,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the subscriber asks for.
    pub requested: Wish,
    /// What it should get; `None` if nothing.
    pub target: Option<LayerPlace>,
    /// What it gets; `None` if nothing.
    pub current: Option<LayerPlace>,
    /// Why.
    pub reason: Reason,
}

/// A place among the encodings and layers of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPlace {
    /// The encoding, in simulcast.
    pub rid: Option<Rid>,
    /// The highest spatial layer of the encoding; `None` if all there are, or if it has none.
    pub spatial: Option<u8>,
    /// The highest temporal layer; `None` as above.
    pub temporal: Option<u8>,
}

/// What the link towards a peer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EstimateReport {
    /// Bits per second, everything from the IP header on.
    pub bitrate_bps: u64,
    /// What it comes from: the name of a `congestion::estimator::Cause`.
    pub cause: &'static str,
}

/// The state of a track, for the API.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackReport {
    /// Audio or video.
    pub kind: MediaKind,
    /// The codec of the packets that flow; `None` until the first.
    pub codec: Option<Codec>,
    /// Its encodings, best first.
    pub encodings: Vec<EncodingReport>,
    /// How many subscriptions it has.
    pub subscription_count: usize,
}

/// The state of one encoding of a track.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodingReport {
    /// Its RID, if it is part of simulcast.
    pub rid: Option<String>,
    /// Whether packets came within `ENCODING_SILENCE_MAX`.
    pub is_flowing: bool,
    /// Bits per second of RTP payload, over the last second.
    pub bitrate_bps: u64,
    /// Width and height of the last keyframe, pixels, where the codec shows it.
    pub size: Option<(u16, u16)>,
    /// Packets received.
    pub packets_received: u64,
    /// Packets lost and never recovered.
    pub packets_lost: u64,
    /// Whether anybody wants it: false if nobody has for `UNWANTED_AFTER`.
    pub is_wanted: bool,
    /// The layers that its publisher says it sends, lowest first; empty if it does not say.
    pub layers: Vec<LayerReport>,
}

/// One spatial layer of an encoding, as the publisher announces it (video-layers-allocation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// Which spatial layer.
    pub spatial: u8,
    /// The target bitrate up to each temporal layer, kbit/s. Each includes those before it.
    pub bitrates_kbps: Vec<u32>,
    /// Width and height, pixels.
    pub size: Option<(u16, u16)>,
    /// The largest frame rate.
    pub frame_rate: Option<u8>,
}

/// What a shard says unasked.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// ICE and DTLS are done and the fingerprint matched.
    TransportConnected {
        /// Which one.
        id: TransportId,
    },
    /// The transport is gone; its bindings are undone.
    TransportClosed {
        /// Which one.
        id: TransportId,
        /// Why.
        reason: CloseReason,
    },
    /// The first packets of a publisher arrived, or its codec changed.
    TrackStarted {
        /// Which one.
        track: TrackId,
        /// What flows.
        codec: Codec,
    },
    /// The publisher of the track left.
    TrackStopped {
        /// Which one.
        track: TrackId,
    },
    /// Nobody wants an encoding any more, so that its publisher may stop sending it; or somebody does again.
    EncodingDemand {
        /// The track.
        track: TrackId,
        /// The encoding; `None` if the track has only one.
        rid: Option<Rid>,
        /// Whether somebody wants it.
        is_wanted: bool,
    },
    /// A subscriber cannot show a track: it did not negotiate the codec.
    CodecNotNegotiated {
        /// The subscriber.
        id: TransportId,
        /// The track.
        track: TrackId,
        /// The codec that flows.
        codec: Codec,
    },
}

/// Why a transport ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// By [`Command::RemoveTransport`] or [`Command::CloseAll`].
    Requested,
    /// The peer said goodbye (DTLS close_notify).
    PeerLeft,
    /// No authenticated packet for `CONSENT_TIMEOUT`.
    ConsentExpired,
    /// Not connected within `CONNECT_TIMEOUT`.
    ConnectTimedOut,
    /// The handshake failed: wrong fingerprint, or DTLS gave up.
    HandshakeFailed,
    /// Its turn panicked (D14).
    Panicked,
}

impl CloseReason {
    /// The stable snake_case name, for logs, metrics and the API.
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::Requested => "requested",
            CloseReason::PeerLeft => "peer_left",
            CloseReason::ConsentExpired => "consent_expired",
            CloseReason::ConnectTimedOut => "connect_timed_out",
            CloseReason::HandshakeFailed => "handshake_failed",
            CloseReason::Panicked => "panicked",
        }
    }
}
