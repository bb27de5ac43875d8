//! What a subscriber asks for, and what of it there is: from wish and ladder to the target of a selector.
//!
//! Whoever decides by bandwidth comes in here: the least of wish and grant is the target.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::ladder::Ladder;
use super::selector::Target;
use crate::id::Rid;
use crate::limits::{KEYFRAME_REQUEST_WINDOW, WISHES_PER_WINDOW_MAX};
use crate::wire::layer::Layer;

/// What a subscriber asks for. Bounds that are not given leave it to the server: the best there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Nothing is to be sent.
    pub is_paused: bool,
    /// This encoding, in simulcast.
    pub rid: Option<Rid>,
    /// At most this spatial layer. In simulcast an encoding counts as one, the least is 0.
    pub spatial_max: Option<u8>,
    /// At most this temporal layer.
    pub temporal_max: Option<u8>,
    /// At most this width, pixels: the largest encoding within it, or the least of all.
    pub width_max: Option<u16>,
    /// At most this height, pixels.
    pub height_max: Option<u16>,
}

/// Why a subscription gets what it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// Nothing flows.
    #[default]
    NoMedia,
    /// It is the best there is, and nothing less was asked for.
    Best,
    /// It was asked for.
    Request,
    /// What was asked for, or is best, does not flow: it is the nearest that does.
    MissingLayer,
    /// It waits for a keyframe.
    AwaitingKeyframe,
    /// It was asked to pause.
    Paused,
}

impl Reason {
    /// The stable snake_case name, for the API.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoMedia => "no_media",
            Reason::Best => "best",
            Reason::Request => "request",
            Reason::MissingLayer => "missing_layer",
            Reason::AwaitingKeyframe => "awaiting_keyframe",
            Reason::Paused => "paused",
        }
    }
}

/// What a wish comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The encoding that would be sent if all flowed.
    pub ideal: Option<u8>,
    /// Where to go.
    pub target: Option<Target>,
    /// Why.
    pub reason: Reason,
}

impl Resolved {
    /// The encodings that are of use for it, one bit each.
    pub fn encodings(&self) -> u32 {
        let target = self.target.map(|target| target.encoding);
        [self.ideal, target].into_iter().flatten().fold(0, |mask, encoding| mask | 1 << encoding)
    }
}

impl Wish {
    /// What the wish comes to on this ladder.
    pub fn resolve(&self, ladder: &Ladder) -> Resolved {
        if self.is_paused {
            return Resolved { reason: Reason::Paused, ..Resolved::default() };
        }
        let rungs = ladder.rungs();
        let Some(at) = self.rung(ladder) else { return Resolved::default() };
        let below = (0..=at).rev().find(|at| rungs[*at].is_flowing);
        let nearest = below.or_else(|| (at..rungs.len()).find(|at| rungs[*at].is_flowing));
        let spatial = if ladder.is_simulcast() { None } else { self.spatial_max };
        let layer =
            Layer { spatial: spatial.unwrap_or(u8::MAX), temporal: self.temporal_max.unwrap_or(u8::MAX) };
        let reason = match nearest {
            None => Reason::NoMedia,
            Some(nearest) if nearest != at => Reason::MissingLayer,
            Some(_) if *self == Wish::default() => Reason::Best,
            Some(_) => Reason::Request,
        };
        let target = nearest.map(|nearest| Target { encoding: rungs[nearest].encoding, layer });
        Resolved { ideal: Some(rungs[at].encoding), target, reason }
    }

    /// The place of the encoding that is wanted, flowing or not.
    fn rung(&self, ladder: &Ladder) -> Option<usize> {
        let rungs = ladder.rungs();
        let last = rungs.len().checked_sub(1)?;
        let named = self.rid.and_then(|rid| rungs.iter().position(|rung| rung.rid == Some(rid)));
        let (width, height) = (self.width_max.unwrap_or(u16::MAX), self.height_max.unwrap_or(u16::MAX));
        // Cameras are turned: the long edge is held against the long edge.
        let (long, short) = (width.max(height), width.min(height));
        let fits = |size: (u16, u16)| size.0.max(size.1) <= long && size.0.min(size.1) <= short;
        let by_size = if self.width_max.is_some() || self.height_max.is_some() {
            rungs.iter().rposition(|rung| rung.size.is_none_or(fits)).unwrap_or(0)
        } else {
            last
        };
        let by_step = self.spatial_max.map_or(last, |step| usize::from(step).min(last));
        Some(named.unwrap_or(last).min(by_size).min(by_step))
    }
}

/// How many wishes one subscriber may still have.
#[derive(Debug, Default)]
pub struct WishBudget {
    window_began: Option<Instant>,
    used: u32,
}

impl WishBudget {
    /// Whether one more wish is taken at `now`.
    pub fn spend(&mut self, now: Instant) -> bool {
        if self.window_began.is_none_or(|began| now >= began + KEYFRAME_REQUEST_WINDOW) {
            *self = Self { window_began: Some(now), used: 0 };
        }
        self.used += 1;
        self.used <= WISHES_PER_WINDOW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Token;
    use crate::media::ladder::Rung;

    const SIZES: [(u16, u16); 3] = [(320, 180), (640, 360), (1280, 720)];

    fn rid(name: u8) -> Rid {
        Rid(Token::new(&[name]).expect("one letter"))
    }

    /// Three encodings `l m h`, those in `flowing` flow; the wish comes to this encoding for this reason.
    #[track_caller]
    fn check(wish: Wish, flowing: &str, expected: &str, reason: Reason) {
        let mut ladder = Ladder::default();
        ladder.reset(true);
        let names = *b"lmh";
        for pass in [names.as_slice(), flowing.as_bytes()] {
            for (at, name) in names.iter().enumerate() {
                let rung = Rung {
                    encoding: at as u8,
                    rid: Some(rid(*name)),
                    size: Some(SIZES[at]),
                    is_flowing: pass.contains(name),
                };
                ladder.note(rung, (u32::from(SIZES[at].0), 1));
            }
            ladder.sort();
        }
        let resolved = wish.resolve(&ladder);
        let name = resolved.target.map_or('-', |target| names[usize::from(target.encoding)].into());
        assert_eq!((name.to_string().as_str(), resolved.reason), (expected, reason), "{wish:?} {flowing}");
    }

    #[test]
    fn a_wish_comes_to_the_nearest_encoding_that_flows() {
        let best = Wish::default();
        let named = |name| Wish { rid: Some(rid(name)), ..best };
        let step = |step| Wish { spatial_max: Some(step), ..best };
        for (wish, flowing, expected, reason) in [
            (best, "lmh", "h", Reason::Best),
            (best, "lm", "m", Reason::MissingLayer),
            (best, "", "-", Reason::NoMedia),
            (named(b'm'), "lmh", "m", Reason::Request),
            (named(b'm'), "lh", "l", Reason::MissingLayer),
            (named(b'l'), "mh", "m", Reason::MissingLayer),
            (named(b'x'), "lmh", "h", Reason::Request),
            (step(0), "lmh", "l", Reason::Request),
            (step(9), "lmh", "h", Reason::Request),
            (Wish { is_paused: true, ..best }, "lmh", "-", Reason::Paused),
        ] {
            check(wish, flowing, expected, reason);
        }
    }

    #[test]
    fn a_size_is_a_bound_and_a_turned_picture_has_the_same() {
        let within = |width, height| Wish { width_max: width, height_max: height, ..Wish::default() };
        check(within(Some(1000), Some(600)), "lmh", "m", Reason::Request);
        check(within(Some(360), Some(640)), "lmh", "m", Reason::Request);
        check(within(Some(10), Some(10)), "lmh", "l", Reason::Request);
        check(within(None, Some(180)), "lmh", "l", Reason::Request);
    }

    #[test]
    fn in_simulcast_the_layers_within_an_encoding_are_left_alone() {
        let mut ladder = Ladder::default();
        ladder.note(Rung { encoding: 0, rid: None, size: None, is_flowing: true }, (0, 1));
        let wish = Wish { spatial_max: Some(1), temporal_max: Some(0), ..Wish::default() };
        let layer = wish.resolve(&ladder).target.map(|target| target.layer);
        assert_eq!(layer, Some(Layer { spatial: 1, temporal: 0 }));
        ladder.reset(true);
        ladder.note(Rung { encoding: 0, rid: None, size: None, is_flowing: true }, (0, 1));
        let layer = wish.resolve(&ladder).target.map(|target| target.layer);
        assert_eq!(layer, Some(Layer { spatial: u8::MAX, temporal: 0 }));
    }
}
