//! Temporal layers of VP8 (RFC 7741, section 4.2): which pictures of one source one subscriber gets.
#![forbid(unsafe_code)]

use super::Marks;
use super::fates::{Fate, Fates, Since};
use crate::counters::DropReason;
use crate::wire::layer::Layer;
use crate::wire::vp8::Temporal;

/// Pictures of a wanted layer that are dropped before a keyframe is asked for: an encoder that marks no
/// picture as a way up has none but that.
const PATIENCE: u16 = 64;

/// The state of one source.
#[derive(Debug, Default)]
pub(super) struct TemporalFilter {
    fates: Fates,
    /// The highest layer that is sent.
    limit: Since<u8>,
    /// The highest layer that was seen.
    highest: u8,
    /// Pictures of wanted layers that were dropped since the limit was what is wanted.
    waited: u16,
}

impl TemporalFilter {
    pub(super) fn layer(&self) -> Layer {
        Layer { spatial: 0, temporal: self.limit.now().unwrap_or(0).min(self.highest) }
    }

    pub(super) fn awaits_keyframe(&self) -> bool {
        self.waited >= PATIENCE
    }

    /// Decides over a packet of the picture `id`. `is_entry`: it begins a keyframe.
    pub(super) fn decide(
        &mut self,
        id: u64,
        temporal: Temporal,
        is_entry: bool,
        wanted: u8,
    ) -> Result<Marks, DropReason> {
        self.highest = self.highest.max(temporal.tid);
        if is_entry && self.fates.newest().is_none_or(|newest| id >= newest) {
            self.limit.set(id, wanted);
        }
        let fate = match self.fates.of(id) {
            Fate::Unknown => self.judge(id, temporal, wanted),
            fate => fate,
        };
        match fate {
            Fate::Forwarded => Ok(Marks::default()),
            Fate::Forgotten => Err(DropReason::TooLate),
            _ => Err(DropReason::TemporalLayer),
        }
    }

    fn judge(&mut self, id: u64, temporal: Temporal, wanted: u8) -> Fate {
        if self.fates.is_newest(id) {
            let limit = self.limit.now().unwrap_or(wanted).min(wanted);
            // Whatever follows in this layer leans on this picture or on the base.
            let is_way_up = temporal.is_sync && temporal.tid <= wanted;
            self.limit.set(id, if is_way_up { limit.max(temporal.tid) } else { limit });
        }
        let is_forwarded = self.limit.at(id).is_some_and(|limit| temporal.tid <= limit);
        self.waited = match is_forwarded {
            true if self.limit.now() >= Some(wanted.min(self.highest)) => 0,
            true => self.waited,
            false => self.waited.saturating_add(u16::from(temporal.tid <= wanted)),
        };
        self.fates.note(id, is_forwarded);
        if is_forwarded { Fate::Forwarded } else { Fate::Dropped }
    }
}
