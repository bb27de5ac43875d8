//! What became of the newest frames of a source, so that all packets of one share its fate, and a frame that
//! refers to a dropped one is dropped as well.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

/// Frames that are remembered: five seconds of three spatial layers at 30 pictures a second. VP9 has eight names
/// for each picture, so there it is two seconds.
const FRAMES_MAX: u64 = 512;
const WORDS: usize = FRAMES_MAX as usize / 64;
/// Changes of a limit that a late frame can still be judged by.
const CHANGES_MAX: usize = 8;

/// The fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its packets are forwarded.
    Forwarded,
    /// Its packets are dropped.
    Dropped,
    /// None of its packets has come.
    Unknown,
    /// It is too old to tell.
    Forgotten,
}

/// The fates of the newest frames, by their ascending names.
#[derive(Debug, Default)]
pub(super) struct Fates {
    newest: Option<u64>,
    forwarded: [u64; WORDS],
    dropped: [u64; WORDS],
}

impl Fates {
    /// The newest frame that has a fate.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether `frame` is newer than all that have a fate.
    pub(super) fn is_newest(&self, frame: u64) -> bool {
        self.newest.is_none_or(|newest| frame > newest)
    }

    /// The fate of `frame`.
    pub(super) fn of(&self, frame: u64) -> Fate {
        let Some(newest) = self.newest.filter(|newest| frame <= *newest) else { return Fate::Unknown };
        if newest - frame >= FRAMES_MAX {
            return Fate::Forgotten;
        }
        let (word, bit) = place(frame);
        match (self.forwarded[word] & bit != 0, self.dropped[word] & bit != 0) {
            (true, _) => Fate::Forwarded,
            (_, true) => Fate::Dropped,
            _ => Fate::Unknown,
        }
    }

    /// Gives a fate to a frame that has none.
    pub(super) fn note(&mut self, frame: u64, is_forwarded: bool) {
        if let Some(newest) = self.newest.filter(|newest| frame > *newest) {
            for passed in (newest + 1..=frame).take(FRAMES_MAX as usize) {
                let (word, bit) = place(passed);
                self.forwarded[word] &= !bit;
                self.dropped[word] &= !bit;
            }
            if frame - newest > FRAMES_MAX {
                (self.forwarded, self.dropped) = Default::default();
            }
        }
        self.newest = self.newest.max(Some(frame));
        let (word, bit) = place(frame);
        let fates = if is_forwarded { &mut self.forwarded } else { &mut self.dropped };
        fates[word] |= bit;
    }
}

fn place(frame: u64) -> (usize, u64) {
    let at = frame % FRAMES_MAX;
    ((at / 64) as usize, 1 << (at % 64))
}

/// What holds from which frame on, so that a late frame is judged by what held when its neighbours were.
#[derive(Debug)]
pub(super) struct Since<T>(ArrayVec<(u64, T), CHANGES_MAX>);

impl<T> Default for Since<T> {
    fn default() -> Self {
        Self(ArrayVec::new())
    }
}

impl<T: Copy + PartialEq> Since<T> {
    /// What holds now.
    pub(super) fn now(&self) -> Option<T> {
        self.0.last().map(|change| change.1)
    }

    /// What held at `frame`; before all that is remembered, the oldest.
    pub(super) fn at(&self, frame: u64) -> Option<T> {
        let held = self.0.iter().rev().find(|(from, _)| *from <= frame);
        held.or(self.0.first()).map(|change| change.1)
    }

    /// Lets `value` hold from `frame` on.
    pub(super) fn set(&mut self, frame: u64, value: T) {
        if self.now() == Some(value) {
            return;
        }
        if self.0.is_full() {
            self.0.remove(0);
        }
        self.0.push((frame, value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A map that forgets nothing knows the same, within the window.
        #[test]
        fn a_fate_is_remembered_until_its_place_is_needed(steps in prop::collection::vec((0u64..90, any::<bool>()), 1..600)) {
            let (mut fates, mut oracle, mut newest) = (Fates::default(), HashMap::new(), 5_000u64);
            for (step, is_forwarded) in steps {
                let frame = if step < 80 { newest + step / 8 } else { newest + step * 20 };
                newest = newest.max(frame);
                if fates.of(frame) == Fate::Unknown {
                    fates.note(frame, is_forwarded);
                    oracle.insert(frame, if is_forwarded { Fate::Forwarded } else { Fate::Dropped });
                }
                for probe in [frame, newest - 3, newest.saturating_sub(511), newest - 40, newest + 1] {
                    let known = oracle.get(&probe).copied().unwrap_or(Fate::Unknown);
                    if oracle.keys().max().is_some_and(|newest| newest.saturating_sub(probe) < FRAMES_MAX) {
                        prop_assert_eq!(fates.of(probe), known, "{} of {}", probe, newest);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_too_old_to_tell_is_not_taken_for_new() {
        let mut fates = Fates::default();
        fates.note(10, true);
        fates.note(10 + FRAMES_MAX, false);
        assert_eq!(fates.of(10), Fate::Forgotten);
        assert_eq!(fates.of(11), Fate::Unknown);
    }

    #[test]
    fn a_late_frame_is_judged_by_what_held_in_its_time() {
        let mut limit = Since::default();
        limit.set(10, 'a');
        limit.set(20, 'b');
        assert_eq!(
            [5, 19, 20, 99].map(|frame| limit.at(frame)),
            [Some('a'), Some('a'), Some('b'), Some('b')]
        );
    }
}
