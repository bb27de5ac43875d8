//! One subscriber's view of one track: what it asks for, which source it follows, and how its packets are
//! rewritten.
//!
//! What is forwarded is decided by the [`LayerSelector`]; what is forwarded gets its number, its timestamp and its
//! picture ids here, and what is left out closes its number.
//!
//! # Invariants
//!
//! - Every packet that is sent has a number of its own, see [`Numbering`].
//! - The number of a packet that is left out by choice is closed, or filled if it was open already; the number of
//!   one that never came stays open.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::arrival::SenderReport;
use super::dependency_line::DependencyLine;
use super::format::{Codec, Format};
use super::keyframe::KeyframeBudget;
use super::ladder::Ladder;
use super::numbering::{Joint, Numbering};
use super::overwrite::{DependencyOverwrite, Overwrite, PayloadOverwrite};
use super::packet::{Packet, Source};
use super::packet_cache::CacheKey;
use super::picture::Head;
use super::picture_line::PictureLine;
use super::selector::{LayerSelector, Marks, PacketMeta, Pick, Target};
use super::sent_log::SentLog;
use super::timeline::Timeline;
use super::wish::{Reason, Resolved, Wish, WishBudget};
use crate::counters::DropReason;
use crate::id::{PayloadType, Ssrc};
use crate::limits::RTX_BURST_MAX;
use crate::wire::dependency_descriptor::rewrite::GROWTH_BYTES_MAX;
use crate::wire::dependency_descriptor::structure::Structure;
use crate::wire::layer::Layer;

/// A packet of the track on offer, with what the track knows of its source.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Where its payload is.
    pub key: CacheKey,
    /// The packet.
    pub packet: &'a Packet,
    /// Its format at the publisher.
    pub format: &'a Format,
    /// Which publisher it is of: changes when one leaves and another comes.
    pub feed: u32,
    /// The encodings of the track.
    pub ladder: &'a Ladder,
    /// The structure that its dependency descriptor is read with.
    pub structure: Option<&'a Structure>,
    /// The newest sender report of its source.
    pub report: Option<SenderReport>,
    /// Whether it is among the newest of its source, so that what came before it out of order is at hand.
    pub is_recent: bool,
}

/// What becomes of an offered packet.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Verdict {
    /// It is sent.
    Forward(Outgoing),
    /// It is sent, and begins a new source.
    Switch(Outgoing),
    /// It is not sent.
    Drop(DropReason),
}

/// A packet to be sealed for one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Where the payload is.
    pub key: CacheKey,
    /// The payload type that it leaves with.
    pub payload_type: PayloadType,
    /// The egress number: sequence number and SRTP index.
    pub number: u64,
    /// The egress timestamp.
    pub timestamp: u32,
    /// What is written over it.
    pub overwrite: Overwrite,
    /// In which form it is sent.
    pub form: OutgoingForm,
    /// It is the first of its source.
    pub begins_source: bool,
}

/// In which form a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingForm {
    /// As media.
    Media,
    /// As padding only: its number was held open for a packet that has nothing to show.
    Padding,
    /// Again, over RTX (RFC 4588).
    Repeat {
        /// The number on the RTX stream.
        rtx_number: u64,
    },
}

/// The state of one subscription.
#[derive(Debug)]
pub struct Subscription {
    /// The SSRC that the subscriber was promised.
    pub ssrc: Ssrc,
    /// The SSRC of its retransmissions.
    pub rtx_ssrc: Option<Ssrc>,
    /// The timestamps that leave.
    pub timeline: Timeline,
    /// What was sent since the beginning, for sender reports.
    pub sent: SentTotals,
    /// Whether the subscriber has reported on this SSRC, and so knows its MID.
    pub is_known_to_peer: bool,
    /// Bytes of the largest dependency descriptor that the subscriber can get; 0 if it negotiated none.
    pub dependency_len_max: usize,
    wish: Wish,
    wishes: WishBudget,
    resolved: Resolved,
    /// The version of the ladder that the wish was resolved on.
    ladder_version: Option<u32>,
    selector: LayerSelector,
    /// The source that is being sent, or was until it paused.
    current: Option<Current>,
    refused: Option<Codec>,
    /// The source that was refused, so that it is said once.
    refused_source: Option<Source>,
    numbering: Numbering,
    rtx_next: u64,
    pictures: PictureLine,
    dependencies: DependencyLine,
    log: SentLog,
    is_last_marked: bool,
    budget: KeyframeBudget,
    repeats: RepeatBudget,
}

/// What a subscription asks for, should get and gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerState {
    /// What the subscriber asks for.
    pub requested: Wish,
    /// Where to go.
    pub target: Option<Target>,
    /// The encoding that is being sent, with its highest layer that is.
    pub current: Option<(u8, Option<Layer>)>,
    /// Why.
    pub reason: Reason,
}

/// Bounds what a subscriber can pull by NACKs within one second (docs/SECURITY.md M2).
#[derive(Debug, Default)]
struct RepeatBudget {
    second_began: Option<Instant>,
    sent: u32,
    repeated: u32,
}

impl RepeatBudget {
    fn may_send(&mut self, now: Instant) -> bool {
        let is_over = self.second_began.is_none_or(|began| now >= began + Duration::from_secs(1));
        if is_over {
            *self = Self { second_began: Some(now), sent: 0, repeated: 0 };
        }
        self.repeated < RTX_BURST_MAX + self.sent / 2
    }
}

/// Packets and payload octets sent on one SSRC (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct SentTotals {
    /// Packets.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
}

impl SentTotals {
    /// Counts a packet that left. Repeats have an SSRC of their own.
    pub fn note(&mut self, outgoing: &Outgoing, payload_len: usize) {
        if !matches!(outgoing.form, OutgoingForm::Repeat { .. }) {
            self.packets += 1;
            self.octets += payload_len as u64;
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Current {
    source: Source,
    feed: u32,
    format: Format,
}

impl Subscription {
    /// A subscription whose first numbers are `first` and `first_rtx`, in 1..=32767.
    pub fn new(ssrc: Ssrc, rtx_ssrc: Option<Ssrc>, first: u64, first_rtx: u64) -> Self {
        Self {
            ssrc,
            rtx_ssrc,
            timeline: Timeline::default(),
            sent: SentTotals::default(),
            is_known_to_peer: false,
            wish: Wish::default(),
            wishes: WishBudget::default(),
            resolved: Resolved::default(),
            ladder_version: None,
            selector: LayerSelector::default(),
            current: None,
            refused: None,
            refused_source: None,
            numbering: Numbering::new(first),
            rtx_next: first_rtx,
            pictures: PictureLine::default(),
            dependencies: DependencyLine::default(),
            dependency_len_max: 0,
            log: SentLog::default(),
            is_last_marked: true,
            budget: KeyframeBudget::default(),
            repeats: RepeatBudget::default(),
        }
    }

    /// Decides the fate of the next packet of the track, in the order of arrival. `formats` are those that
    /// the subscriber negotiated.
    pub fn offer(&mut self, offer: &Offer<'_>, formats: &[Format], now: Instant) -> Verdict {
        self.aim(offer.ladder);
        let source = offer.packet.source;
        if offer.packet.is_recovered && !self.needs_recovered(source) {
            return Verdict::Drop(DropReason::Redundant);
        }
        let is_followed = self.selector.follows(source);
        if is_followed && offer.packet.payload_len == 0 {
            return self.leave_out(offer, DropReason::PaddingOnly, now);
        }
        if !is_followed && self.is_refused(offer, formats) {
            return Verdict::Drop(DropReason::CodecNotNegotiated);
        }
        let meta = PacketMeta {
            source,
            index: offer.packet.index,
            timestamp: offer.packet.timestamp,
            picture: &offer.packet.picture,
            structure: offer.structure,
            is_way_in: offer.packet.picture.is_entry && offer.is_recent,
            // Those of AV1 are told by the dependency descriptor alone; without it nothing would be decoded.
            tells_layers: offer.format.codec != Codec::Av1 || self.dependency_len_max > 0,
        };
        match self.selector.select(&meta, now) {
            Pick::Forward(marks) => self.follow(offer, marks, now),
            Pick::Switch(marks) => {
                let format = Format::best_for(formats, offer.format).unwrap_or(offer.format);
                self.switch(offer, *format, marks, now)
            }
            Pick::Drop(reason) if self.selector.follows(source) => self.leave_out(offer, reason, now),
            Pick::Drop(reason) => Verdict::Drop(reason),
        }
    }

    /// Whether the packet is of what should be sent, in a codec that the subscriber did not negotiate.
    fn is_refused(&mut self, offer: &Offer<'_>, formats: &[Format]) -> bool {
        let source = offer.packet.source;
        let is_target = self.resolved.target.is_some_and(|target| target.encoding == source.encoding);
        if !is_target || Format::best_for(formats, offer.format).is_some() {
            return false;
        }
        if self.refused_source.replace(source) != Some(source) {
            self.refused = Some(offer.format.codec);
        }
        true
    }

    /// Resolves the wish on the ladder of now.
    fn aim(&mut self, ladder: &Ladder) {
        if self.ladder_version != Some(ladder.version()) {
            self.ladder_version = Some(ladder.version());
            self.resolved = self.wish.resolve(ladder);
            self.selector.set_target(self.resolved.target);
        }
    }

    /// The subscriber asks for other layers; false if it did so too often of late.
    pub fn request(&mut self, wish: Wish, ladder: &Ladder, now: Instant) -> bool {
        if wish != self.wish {
            if !self.wishes.spend(now) {
                return false;
            }
            self.wish = wish;
            self.ladder_version = None;
        }
        self.aim(ladder);
        true
    }

    /// The encoding that should be sent.
    pub fn target_encoding(&self, ladder: &Ladder) -> Option<u8> {
        self.wish.resolve(ladder).target.map(|target| target.encoding)
    }

    /// The encodings that this subscription has a use for, one bit each: what it gets, what it should get, and what
    /// it would get if that flowed.
    pub fn wanted_encodings(&mut self, ladder: &Ladder) -> u32 {
        self.aim(ladder);
        self.resolved.encodings() | self.current_encoding().map_or(0, |current| 1 << current)
    }

    /// Whether what is sent waits for a keyframe of its own encoding to rise, or to fall.
    pub fn awaits_keyframe(&self) -> bool {
        self.selector.awaits_keyframe()
    }

    /// What it asks for, should get and gets.
    pub fn layer_state(&mut self, ladder: &Ladder) -> LayerState {
        self.aim(ladder);
        let Resolved { target, reason, .. } = self.resolved;
        let is_waiting = target.is_some() && !self.selector.has_arrived();
        LayerState {
            requested: self.wish,
            target,
            current: self.selector.current(),
            reason: if is_waiting { Reason::AwaitingKeyframe } else { reason },
        }
    }

    /// Whether a packet that was recovered from redundancy closes a gap of what is sent.
    fn needs_recovered(&self, source: Source) -> bool {
        self.current.is_some_and(|current| current.source == source && current.format.red.is_none())
    }

    /// The encoding that is being sent.
    pub fn current_encoding(&self) -> Option<u8> {
        self.selector.current().map(|current| current.0)
    }

    /// Whether `source` is what is being sent.
    pub fn follows(&self, source: Source) -> bool {
        self.selector.follows(source)
    }

    /// The codec that the track sends and the subscriber did not negotiate, once per refusal.
    pub fn take_refused(&mut self) -> Option<Codec> {
        self.refused.take()
    }

    /// The clock rate of what is being sent, Hz.
    pub fn clock_rate_hz(&self) -> Option<u32> {
        self.current.map(|current| current.format.clock_rate_hz)
    }

    /// The packet to repeat for a NACK of `sequence_number`, as RTX. `None` if it was never sent, came too
    /// soon again, or RTX was not negotiated: a repeat on the media SSRC would repeat a nonce.
    pub fn repeat(&mut self, sequence_number: u16, round_trip: Duration, now: Instant) -> Option<Outgoing> {
        self.rtx_ssrc?;
        let payload_type = self.current?.format.rtx?;
        if !self.repeats.may_send(now) {
            return None;
        }
        let number = self.numbering.unwrap(sequence_number)?;
        let sent = self.log.repeat(number, round_trip, now)?;
        self.repeats.repeated += 1;
        let rtx_number = self.rtx_next;
        self.rtx_next += 1;
        Some(Outgoing {
            key: sent.key,
            payload_type,
            number: sent.number,
            timestamp: sent.timestamp,
            overwrite: sent.overwrite,
            form: OutgoingForm::Repeat { rtx_number },
            begins_source: false,
        })
    }

    /// The subscriber reports that something did not reach it.
    pub fn note_loss(&mut self, now: Instant) {
        self.budget.note_loss(now);
    }

    /// Spends one keyframe request; if there is none left, says when there is.
    pub fn spend_keyframe_request(&mut self, now: Instant) -> Result<(), Instant> {
        self.budget.spend(now)
    }

    fn switch(&mut self, offer: &Offer<'_>, format: Format, marks: Marks, now: Instant) -> Verdict {
        let packet = offer.packet;
        let is_new_feed = self.current.is_some_and(|current| current.feed != offer.feed);
        if is_new_feed {
            self.timeline.forget_clock();
        }
        if self.current.is_some_and(|current| current.format != format) {
            // What was sent before would be repeated under the payload type of now.
            self.log.clear();
        }
        // Each packet of audio is whole.
        let is_whole = self.is_last_marked || format.codec == Codec::Opus;
        let joint = if is_whole { Joint::Whole } else { Joint::Cut };
        let number = self.numbering.switch(packet.index, joint);
        self.timeline.switch(packet.timestamp, offer.report, format.clock_rate_hz, now);
        self.pictures.switch(&packet.picture);
        self.dependencies.switch();
        self.current = Some(Current { source: packet.source, feed: offer.feed, format });
        self.refused_source = None;
        let first = self.outgoing(offer, number, marks, now);
        Verdict::Switch(Outgoing { begins_source: true, ..first })
    }

    fn follow(&mut self, offer: &Offer<'_>, marks: Marks, now: Instant) -> Verdict {
        match self.numbering.place(offer.packet.index) {
            Some(number) => Verdict::Forward(self.outgoing(offer, number, marks, now)),
            None => Verdict::Drop(DropReason::TooLate),
        }
    }

    /// Leaves out a packet of the current source. The number of a late one is open, and is filled: it would be
    /// asked for for ever.
    fn leave_out(&mut self, offer: &Offer<'_>, reason: DropReason, now: Instant) -> Verdict {
        self.pictures.skip(&offer.packet.picture);
        let Some(number) = self.numbering.skip(offer.packet.index) else { return Verdict::Drop(reason) };
        self.repeats.sent += 1;
        Verdict::Forward(Outgoing {
            key: offer.key,
            payload_type: self
                .current
                .map_or(offer.format.payload_type, |current| current.format.payload_type),
            number,
            timestamp: self.timeline.place(offer.packet.timestamp, now),
            overwrite: Overwrite::default(),
            form: OutgoingForm::Padding,
            begins_source: false,
        })
    }

    fn outgoing(&mut self, offer: &Offer<'_>, number: u64, marks: Marks, now: Instant) -> Outgoing {
        let packet = offer.packet;
        let timestamp = self.timeline.place(packet.timestamp, now);
        let format = self.current.map_or(*offer.format, |current| current.format);
        let (payload_type, payload) = self.payload_for(offer, &format);
        let ends_picture = marks.ends_picture && !packet.marker;
        let overwrite = Overwrite { payload, dependency: self.dependency_for(packet, marks), ends_picture };
        if number + 1 == self.numbering.next() {
            self.is_last_marked = packet.marker || ends_picture;
        }
        if self.rtx_ssrc.is_some() {
            self.log.note(number, offer.key, timestamp, overwrite);
        }
        self.repeats.sent += 1;
        let form = OutgoingForm::Media;
        Outgoing { key: offer.key, payload_type, number, timestamp, overwrite, form, begins_source: false }
    }

    /// The payload type that a packet leaves with, and what is written over its payload.
    fn payload_for(&mut self, offer: &Offer<'_>, format: &Format) -> (PayloadType, PayloadOverwrite) {
        let picture = &offer.packet.picture;
        match (&picture.head, format.red) {
            (Head::Red(_), None) => (format.payload_type, PayloadOverwrite::RedPrimary),
            (Head::Red(_), Some(red)) if format.payload_type == offer.format.payload_type => {
                (red, PayloadOverwrite::Keep)
            }
            (Head::Red(_), Some(red)) => (red, PayloadOverwrite::RedInner(format.payload_type)),
            _ => (format.payload_type, self.pictures.place(picture)),
        }
    }

    fn dependency_for(&mut self, packet: &Packet, marks: Marks) -> Option<DependencyOverwrite> {
        let len = usize::from(packet.dependency_len);
        let shift =
            self.dependencies.place(packet.picture.dependency.as_ref()?, len <= self.dependency_len_max)?;
        let has_room = len + GROWTH_BYTES_MAX <= self.dependency_len_max;
        Some(DependencyOverwrite { shift, targets: marks.targets.filter(|_| has_room) })
    }
}
