//! One transport with what flows over it: the tracks it feeds and the tracks it watches.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::TrackIndex;
use super::header::Forms;
use super::streams::Streams;
use crate::command::CloseReason;
use crate::congestion::estimator::{Estimate, Estimator};
use crate::congestion::reports::StreamReports;
use crate::congestion::twcc_log::TwccLog;
use crate::id::{Mid, Ssrc, TransportId};
use crate::limits::{OUTBOX_LEN_MAX, REFERENCE_TIMES_LEN_MAX, ROUND_TRIP_MIN, RTCP_PER_SECOND_MAX};
use crate::media::format::{ExtensionIds, ExtensionKind};
use crate::media::subscription::{Outgoing, Subscription};
use crate::transport::Transport;
use crate::transport::description::{Description, SectionRole};
use crate::transport::path::Path;

/// The state of one peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: TransportId,
    pub(super) transport: Box<Transport>,
    /// Our SSRC in receiver reports and feedback.
    pub(super) rtcp_ssrc: Ssrc,
    /// ICE and DTLS are done, and it is not being closed: media may flow.
    pub(super) is_live: bool,
    /// It is being closed, for this reason.
    pub(super) closing: Option<CloseReason>,
    /// What it was sent, for its BYE.
    pub(super) farewell_ssrcs: Vec<Ssrc>,
    /// It is closed, and is forgotten at the end of its flush.
    pub(super) is_gone: bool,
    /// It is on the list of peers to flush.
    pub(super) is_dirty: bool,

    pub(super) streams: Streams,
    pub(super) feeds: Vec<Feed>,
    /// The extension ids of everything it sends: one numbering for a whole BUNDLE (RFC 9143, section 9.1).
    pub(super) ingress_extensions: ExtensionIds,
    /// What arrived with transport-wide numbers, until it is reported.
    pub(super) twcc_log: TwccLog,
    /// Seconds from the peer's clock to ours.
    pub(super) clock_offset_seconds: Option<f64>,

    pub(super) watches: Vec<Watch>,
    /// Packets to be sealed in this turn, each with the place of its watch.
    pub(super) outbox: Vec<(u16, Outgoing)>,
    /// What its link carries.
    pub(super) estimator: Estimator,
    /// Where it was sent to last: another path is another link.
    pub(super) sent_path: Option<Path>,
    /// Its estimate as it stands in the gauges.
    pub(super) shown_estimate: Option<Estimate>,

    pub(super) reports_due: Instant,
    /// The newest reference time of each of its receivers: to be answered with the next report.
    pub(super) reference_times: ArrayVec<ReferenceTime, REFERENCE_TIMES_LEN_MAX>,
    pub(super) rtcp_budget: RtcpBudget,
    pub(super) stats: PeerStats,
}

/// A media section that feeds a track.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed {
    /// Its place in the description.
    pub(super) section: usize,
    pub(super) track: TrackIndex,
}

/// A media section that shows a track.
#[derive(Debug)]
pub(super) struct Watch {
    /// Its place in the description.
    pub(super) section: usize,
    pub(super) track: TrackIndex,
    pub(super) mid: Mid,
    pub(super) extensions: ExtensionIds,
    /// The forms of extension blocks that it can read.
    pub(super) forms: Forms,
    pub(super) subscription: Subscription,
    /// What was reported of it last.
    pub(super) reports: StreamReports,
    /// A keyframe that it asked for too soon; it is asked for then.
    pub(super) keyframe_due: Option<Instant>,
}

/// A receiver reference time (RFC 3611, section 4.4), as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReferenceTime {
    pub(super) receiver: Ssrc,
    pub(super) middle: u32,
    pub(super) received_at: Instant,
}

/// What the API shows of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeerStats {
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    pub(super) fraction_lost: f64,
    pub(super) round_trip: Option<Duration>,
}

/// Counts RTCP datagrams per second (docs/SECURITY.md M4).
#[derive(Debug)]
pub(super) struct RtcpBudget {
    began_at: Instant,
    used: u32,
}

impl RtcpBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self { began_at: now, used: 0 }
    }

    /// Whether one more datagram is read at `now`.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if now >= self.began_at + Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.used += 1;
        self.used <= RTCP_PER_SECOND_MAX
    }
}

impl Peer {
    pub(super) fn new(id: TransportId, transport: Box<Transport>, rtcp_ssrc: Ssrc, now: Instant) -> Self {
        let ingress_extensions = merge_ingress(transport.description());
        Self {
            id,
            transport,
            rtcp_ssrc,
            is_live: false,
            closing: None,
            farewell_ssrcs: Vec::new(),
            is_gone: false,
            is_dirty: false,
            streams: Streams::default(),
            feeds: Vec::new(),
            ingress_extensions,
            twcc_log: TwccLog::default(),
            clock_offset_seconds: None,
            watches: Vec::new(),
            outbox: Vec::new(),
            estimator: Estimator::new(rtcp_ssrc.0.into()),
            sent_path: None,
            shown_estimate: None,
            reports_due: now,
            reference_times: ArrayVec::new(),
            rtcp_budget: RtcpBudget::new(now),
            stats: PeerStats::default(),
        }
    }

    /// Keeps the newest reference time of each receiver; what does not fit is not answered.
    pub(super) fn note_reference_time(&mut self, asked: ReferenceTime) {
        self.reference_times.retain(|known| known.receiver != asked.receiver);
        let _ = self.reference_times.try_push(asked);
    }

    /// Queues a packet for this turn; false if the outbox is full.
    pub(super) fn enqueue(&mut self, watch: u16, outgoing: Outgoing) -> bool {
        let has_room = self.outbox.len() < OUTBOX_LEN_MAX;
        if has_room {
            self.outbox.push((watch, outgoing));
        }
        has_room
    }

    /// The canonical name of all our streams to this peer.
    pub(super) fn cname(&self) -> &str {
        &self.transport.description().cname
    }

    /// The round trip to assume where none is measured. What a peer claims has a floor: limits that hang on
    /// it must not go away.
    pub(super) fn round_trip_or(&self, default: Duration) -> Duration {
        self.stats.round_trip.unwrap_or(default).max(ROUND_TRIP_MIN)
    }
}

fn merge_ingress(description: &Description) -> ExtensionIds {
    let mut merged = ExtensionIds::default();
    for section in &description.sections {
        if !matches!(section.role, SectionRole::Ingress { .. }) {
            continue;
        }
        for kind in ExtensionKind::ALL {
            if let Some(id) = section.extensions.id(kind) {
                merged.set(kind, id);
            }
        }
    }
    merged
}
