//! The receiving half of transport-wide congestion control: what arrived when, for the sender's estimator
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Every authenticated packet that carries the extension is noted, bound to a track or not: a sender probes
//! with packets that belong to none.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::id::Ssrc;
use crate::limits::{TWCC_INTERVAL, TWCC_PENDING_LEN_MAX};
use crate::wire::rtcp::RtcpWriter;
use crate::wire::serial::Unwrapper;
use crate::wire::twcc::Feedback;

/// The arrivals that are not reported yet.
#[derive(Debug, Default)]
pub struct TwccLog {
    unwrapper: Unwrapper,
    /// Transport-wide number and arrival since `epoch`, by number.
    pending: Vec<(u64, Duration)>,
    /// Where the next feedback begins, unless something older came late.
    next_base: Option<u64>,
    feedback_count: u8,
    epoch: Option<Instant>,
    due_at: Option<Instant>,
    media: Option<Ssrc>,
}

impl TwccLog {
    /// Notes a packet of the stream `media` that arrived at `at`. A duplicate changes nothing: the first
    /// arrival counts. When too many wait, the oldest is forgotten.
    pub fn note(&mut self, sequence_number: u16, media: Ssrc, at: Instant) {
        let number = self.unwrapper.extend(sequence_number);
        let epoch = *self.epoch.get_or_insert(at);
        let mut place = self.pending.partition_point(|pending| pending.0 < number);
        if self.pending.get(place).is_some_and(|pending| pending.0 == number) {
            return;
        }
        if self.pending.len() == TWCC_PENDING_LEN_MAX {
            self.pending.remove(0);
            place = place.saturating_sub(1);
        }
        self.pending.insert(place, (number, at.saturating_duration_since(epoch)));
        self.media = Some(media);
        self.due_at.get_or_insert(at + TWCC_INTERVAL);
    }

    /// How many arrivals wait to be reported.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// When the next feedback is due; `None` if nothing waits.
    pub fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Writes one feedback packet from the SSRC `sender`. What did not fit stays due.
    pub fn write_feedback(&mut self, sender: Ssrc, writer: &mut RtcpWriter<'_>, now: Instant) {
        self.due_at = None;
        let (Some(media), Some(first)) = (self.media, self.pending.first()) else { return };
        let base = self.next_base.map_or(first.0, |next| next.min(first.0));
        let feedback = Feedback::new(base, self.feedback_count, &self.pending);
        let Some(feedback) = feedback.filter(|feedback| writer.transport_feedback(sender, media, feedback))
        else {
            self.pending.clear();
            return;
        };
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next_base = self.next_base.max(Some(feedback.next_base()));
        self.pending.drain(..feedback.consumed());
        self.due_at = (!self.pending.is_empty()).then_some(now);
    }
}
