//! What a viewer could show of what it got: frames that are complete and whose references were shown.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::frames::{self, Piece};

/// Packets kept while they wait for others.
const WAITING_MAX: usize = 2_000;

/// A decoder that trusts nothing but numbers: it goes on where the last frame ended, or at a keyframe that is
/// there whole.
#[derive(Debug, Default)]
pub struct Decoder {
    /// By extended sequence number; `None` holds nothing but padding.
    waiting: BTreeMap<u64, Option<Piece>>,
    /// The number that the next frame begins with.
    next: Option<u64>,
    /// When a frame was shown last.
    pub shown_at: Option<Instant>,
    /// When the first packet came.
    pub began_at: Option<Instant>,
    /// Frames that were shown.
    pub frames: u64,
    /// The longest time between two frames since [`Decoder::forget_freezes`], and when it ended.
    pub longest_freeze: Option<(std::time::Duration, Instant)>,
}

impl Decoder {
    /// Takes a packet, in whatever order.
    pub fn push(&mut self, number: u64, payload: &[u8], now: Instant) {
        self.began_at.get_or_insert(now);
        if self.next.is_some_and(|next| number < next) {
            return;
        }
        self.waiting.insert(number, frames::piece(payload));
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_first();
        }
        while self.show_next(now) || self.show_keyframe(now) {}
    }

    /// Since when packets have been waiting and nothing was shown.
    pub fn stuck_since(&self) -> Option<Instant> {
        self.shown_at.or(self.began_at).filter(|_| !self.waiting.is_empty())
    }

    /// From now on freezes count.
    pub fn forget_freezes(&mut self) {
        self.longest_freeze = None;
    }

    fn show_next(&mut self, now: Instant) -> bool {
        let Some(next) = self.next else { return false };
        match self.waiting.get(&next) {
            Some(None) => {
                self.waiting.remove(&next);
                self.next = Some(next + 1);
                true
            }
            Some(Some(_)) => self.show(next, now),
            None => false,
        }
    }

    fn show_keyframe(&mut self, now: Instant) -> bool {
        let keys = self.waiting.iter().filter(|(_, piece)| piece.is_some_and(|piece| piece.is_key));
        let starts: Vec<u64> =
            keys.filter(|(_, piece)| piece.is_some_and(|p| p.packet == 0)).map(|(at, _)| *at).collect();
        starts.into_iter().any(|start| self.show(start, now))
    }

    /// Shows the frame that begins at `start`, if it is whole.
    fn show(&mut self, start: u64, now: Instant) -> bool {
        let Some(Some(first)) = self.waiting.get(&start).copied() else { return false };
        let is_part = |at: u64| {
            let piece = self.waiting.get(&(start + at)).copied().flatten();
            piece.is_some_and(|piece| {
                u64::from(piece.packet) == at && piece.counter == first.counter.wrapping_add(at as u32)
            })
        };
        if !(0..u64::from(first.packets)).all(is_part) {
            return false;
        }
        let next = start + u64::from(first.packets);
        self.next = Some(next);
        self.waiting = self.waiting.split_off(&next);
        if let Some(before) = self.shown_at {
            let freeze = now - before;
            if self.longest_freeze.is_none_or(|(longest, _)| freeze > longest) {
                self.longest_freeze = Some((freeze, now));
            }
        }
        self.shown_at = Some(now);
        self.frames += 1;
        true
    }
}
