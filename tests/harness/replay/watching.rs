//! One section that a replay client watches: what arrived, what is missing, what can be shown.

use std::collections::BTreeMap;
use std::time::Instant;

use dataplane::id::Ssrc;
use dataplane::media::format::MediaKind;
use dataplane::wire::rtp::RtpHeader;

use super::PATIENCE;
use super::role::{self, Role};
use crate::decoder::Decoder;
use crate::frames;
use crate::lines::extend;

/// What is missing for longer is given up, and no more than this is asked for at once.
const ASKED_MAX: usize = 32;
const TRIES_MAX: u8 = 10;
/// A larger jump is not filled.
const GAP_MAX: u64 = 500;

#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) section: usize,
    pub(super) kind: MediaKind,
    pub(super) ssrc: Ssrc,
    pub(super) decoder: Decoder,
    /// Sequence number, timestamp, payload, in the order of arrival.
    pub(super) received: Vec<(u16, u32, Vec<u8>)>,
    rtx: Ssrc,
    highest: Option<u64>,
    /// Missing numbers, and how often each was asked for.
    missing: BTreeMap<u64, u8>,
    asked_at: Option<Instant>,
}

impl Receiving {
    pub(super) fn all(index: usize, role: &Role) -> Vec<Self> {
        let watches = role.watches.iter().enumerate();
        let receiving = |(at, codecs): (usize, &Vec<_>)| {
            let section = role.publishes.len() + at;
            Self {
                section,
                kind: role::kind_of(codecs[0]),
                ssrc: role::shown_ssrc(index, section),
                decoder: Decoder::default(),
                received: Vec::new(),
                rtx: role::shown_rtx_ssrc(index, section),
                highest: None,
                missing: BTreeMap::new(),
                asked_at: None,
            }
        };
        watches.map(receiving).collect()
    }

    /// Takes a packet if it is of this section; gives its number and payload if it is new.
    pub(super) fn take(
        &mut self,
        header: &RtpHeader,
        payload: &[u8],
        now: Instant,
    ) -> Option<(u64, Vec<u8>)> {
        let (number, payload) = if header.ssrc == self.ssrc {
            (header.sequence_number, payload)
        } else if header.ssrc == self.rtx {
            let (original, payload) = payload.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*original), payload)
        } else {
            return None;
        };
        let index = extend(self.highest, number);
        if let Some(highest) = self.highest.filter(|highest| index > *highest) {
            self.missing.extend((highest.max(index.saturating_sub(GAP_MAX)) + 1..index).map(|at| (at, 0)));
        }
        self.highest = self.highest.max(Some(index));
        self.missing.remove(&index);
        self.received.push((number, header.timestamp, payload.to_vec()));
        if self.kind == MediaKind::Video {
            self.decoder.push(index, payload, now);
        }
        Some((index, payload.to_vec()))
    }

    /// The numbers to ask for now.
    pub(super) fn take_missing(&mut self) -> Vec<u16> {
        if self.kind == MediaKind::Audio {
            return Vec::new();
        }
        self.missing.retain(|_, tries| *tries < TRIES_MAX);
        let asked = self.missing.iter_mut().take(ASKED_MAX);
        asked
            .map(|(number, tries)| {
                *tries += 1;
                *number as u16
            })
            .collect()
    }

    /// Whether it is time to ask for a keyframe: packets come, but nothing can be shown.
    pub(super) fn is_stuck(&mut self, now: Instant) -> bool {
        let has_waited = |since: Instant| now >= since + PATIENCE;
        let is_stuck = self.kind == MediaKind::Video
            && self.decoder.stuck_since().is_some_and(has_waited)
            && self.asked_at.is_none_or(has_waited);
        if is_stuck {
            self.asked_at = Some(now);
        }
        is_stuck
    }

    pub(super) fn widths(&self) -> Vec<u16> {
        let origins = self.received.iter().filter_map(|(_, _, payload)| frames::piece(payload));
        let mut widths: Vec<u16> =
            origins.map(|piece| [320, 640, 1280][(piece.origin & 3) as usize]).collect();
        widths.dedup();
        widths
    }
}
