//! One subscriber's view of one track: which source it follows, and how its packets are rewritten.
//!
//! | word     | set by                   | meaning                        |
//! |----------|--------------------------|--------------------------------|
//! | `target` | the track                | the encoding we want to send   |
//! | current  | this module, at an entry | the source that is being sent  |
//!
//! # Invariants
//!
//! - The current source changes only at a packet that a decoder can start with, and until that packet comes
//!   the old source keeps flowing: waiting for a better picture never freezes the one there is.
//! - Every packet that is sent has a number of its own, see [`Numbering`].
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::arrival::SenderReport;
use super::dependency_line::DependencyLine;
use super::format::{Codec, Format};
use super::keyframe::KeyframeBudget;
use super::numbering::{Joint, Numbering};
use super::overwrite::{Overwrite, PayloadOverwrite};
use super::packet::{Packet, Source};
use super::packet_cache::CacheKey;
use super::picture::Head;
use super::picture_line::PictureLine;
use super::sent_log::SentLog;
use super::timeline::Timeline;
use crate::counters::DropReason;
use crate::id::{PayloadType, Ssrc};
use crate::limits::RTX_BURST_MAX;
use crate::wire::dependency_descriptor::Shift;

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
    /// The encoding that subscribers should get.
    pub target: Option<u8>,
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
        let source = offer.packet.source;
        if offer.packet.is_recovered && !self.needs_recovered(source) {
            return Verdict::Drop(DropReason::Redundant);
        }
        if self.current.is_some_and(|current| current.source == source) {
            return self.follow(offer, now);
        }
        if Some(source.encoding) != offer.target {
            return Verdict::Drop(DropReason::OtherEncoding);
        }
        let Some(format) = Format::best_for(formats, offer.format) else {
            if self.refused_source.replace(source) != Some(source) {
                self.refused = Some(offer.format.codec);
            }
            return Verdict::Drop(DropReason::CodecNotNegotiated);
        };
        if !offer.packet.picture.is_entry || !offer.is_recent {
            return Verdict::Drop(DropReason::AwaitingKeyframe);
        }
        self.switch(offer, *format, now)
    }

    /// Whether a packet that was recovered from redundancy closes a gap of what is sent.
    fn needs_recovered(&self, source: Source) -> bool {
        self.current.is_some_and(|current| current.source == source && current.format.red.is_none())
    }

    /// The encoding that is being sent.
    pub fn current_encoding(&self) -> Option<u8> {
        self.current.map(|current| current.source.encoding)
    }

    /// Whether `source` is what is being sent.
    pub fn follows(&self, source: Source) -> bool {
        self.current.is_some_and(|current| current.source == source)
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

    fn switch(&mut self, offer: &Offer<'_>, format: Format, now: Instant) -> Verdict {
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
        let first = self.outgoing(offer, number, OutgoingForm::Media, now);
        Verdict::Switch(Outgoing { begins_source: true, ..first })
    }

    fn follow(&mut self, offer: &Offer<'_>, now: Instant) -> Verdict {
        let index = offer.packet.index;
        if offer.packet.payload_len == 0 {
            return match self.numbering.skip(index) {
                Some(number) => Verdict::Forward(self.outgoing(offer, number, OutgoingForm::Padding, now)),
                None => Verdict::Drop(DropReason::PaddingOnly),
            };
        }
        match self.numbering.place(index) {
            Some(number) => Verdict::Forward(self.outgoing(offer, number, OutgoingForm::Media, now)),
            None => Verdict::Drop(DropReason::TooLate),
        }
    }

    fn outgoing(&mut self, offer: &Offer<'_>, number: u64, form: OutgoingForm, now: Instant) -> Outgoing {
        let packet = offer.packet;
        let timestamp = self.timeline.place(packet.timestamp, now);
        let format = self.current.map_or(*offer.format, |current| current.format);
        let (payload_type, payload) = self.payload_for(offer, &format);
        let overwrite = Overwrite { payload, dependency: self.dependency_for(packet) };
        if number + 1 == self.numbering.next() {
            self.is_last_marked = packet.marker;
        }
        if form == OutgoingForm::Media && self.rtx_ssrc.is_some() {
            self.log.note(number, offer.key, timestamp, overwrite);
        }
        self.repeats.sent += 1;
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

    fn dependency_for(&mut self, packet: &Packet) -> Option<Shift> {
        let fits = usize::from(packet.dependency_len) <= self.dependency_len_max;
        self.dependencies.place(packet.picture.dependency.as_ref()?, fits)
    }
}
