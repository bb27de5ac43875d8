//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01) about what a client received.
#![forbid(unsafe_code)]

use std::time::Duration;

use dataplane::id::Ssrc;
use dataplane::wire::rtcp::RtcpWriter;
use dataplane::wire::serial::Unwrapper;
use dataplane::wire::twcc::Feedback;

/// Arrivals that have not been fed back yet.
#[derive(Debug, Default)]
pub(super) struct FeedbackLog {
    sequence: Unwrapper,
    arrivals: Vec<(u64, Duration)>,
    base: Option<u64>,
    count: u8,
}

impl FeedbackLog {
    /// A packet with this transport-wide number came.
    pub(super) fn note(&mut self, number: u16, received_ns: u64) {
        let number = self.sequence.extend(number);
        self.arrivals.push((number, Duration::from_nanos(received_ns)));
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Writes one feedback packet; what does not fit waits for the next.
    pub(super) fn write(&mut self, writer: &mut RtcpWriter<'_>, sender: Ssrc, media: Ssrc) {
        self.arrivals.sort_unstable_by_key(|arrival| arrival.0);
        let base = self.base.or(self.arrivals.first().map(|first| first.0)).unwrap_or(0);
        if let Some(feedback) = Feedback::new(base, self.count, &self.arrivals) {
            writer.transport_feedback(sender, media, &feedback);
            self.count = self.count.wrapping_add(1);
            self.base = Some(feedback.next_base());
            self.arrivals.drain(..feedback.consumed());
        }
    }
}
