//! The encodings of a track in the order of what they show, the least first. Each is a step that a subscriber can
//! ask for; whether it flows now is another matter.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use crate::id::Rid;
use crate::limits::ENCODINGS_PER_TRACK_MAX;

/// One encoding that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its place in the track.
    pub encoding: u8,
    /// Its name, in simulcast.
    pub rid: Option<Rid>,
    /// Width and height, pixels, once known.
    pub size: Option<(u16, u16)>,
    /// Whether packets come.
    pub is_flowing: bool,
}

/// What an encoding shows: pixels, then bits per second.
pub type Rank = (u32, u64);

/// The encodings that were seen of one publisher.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    rungs: ArrayVec<Rung, ENCODINGS_PER_TRACK_MAX>,
    /// What each showed when it flowed last, in the order of the rungs.
    ranks: ArrayVec<Rank, ENCODINGS_PER_TRACK_MAX>,
    is_simulcast: bool,
    version: u32,
}

impl Ladder {
    /// Forgets everything: another publisher comes. `is_simulcast`: it has more than one encoding.
    pub fn reset(&mut self, is_simulcast: bool) {
        self.rungs.clear();
        self.ranks.clear();
        self.is_simulcast = is_simulcast;
        self.version = self.version.wrapping_add(1);
    }

    /// The encodings, the least first.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Whether the track has more than one encoding, seen or not.
    pub fn is_simulcast(&self) -> bool {
        self.is_simulcast
    }

    /// Changes whenever anything else does.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Takes in how an encoding does now. One that does not flow keeps its place, so that it can be asked for.
    pub fn note(&mut self, seen: Rung, rank: Rank) {
        match self.rungs.iter().position(|rung| rung.encoding == seen.encoding) {
            Some(at) => {
                if seen.is_flowing {
                    self.ranks[at] = rank;
                }
                if self.rungs[at] != seen {
                    self.rungs[at] = seen;
                    self.version = self.version.wrapping_add(1);
                }
            }
            None if seen.is_flowing && !self.rungs.is_full() => {
                self.rungs.insert(0, seen);
                self.ranks.insert(0, rank);
                self.version = self.version.wrapping_add(1);
            }
            None => {}
        }
    }

    /// Puts the encodings in order, after all were noted.
    pub fn sort(&mut self) {
        for _ in 1..self.rungs.len() {
            for at in 1..self.rungs.len() {
                if is_clearly_better(self.ranks[at - 1], self.ranks[at]) {
                    self.rungs.swap(at - 1, at);
                    self.ranks.swap(at - 1, at);
                    self.version = self.version.wrapping_add(1);
                }
            }
        }
    }
}

/// More pixels win at once; more bits only by a quarter, so that two like encodings do not alternate.
fn is_clearly_better(challenger: Rank, current: Rank) -> bool {
    challenger.0 > current.0 || (challenger.0 == current.0 && challenger.1 * 4 > current.1 * 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes encodings 0, 1, 2 with these ranks (`None`: silent) and gives the order.
    fn order(ladder: &mut Ladder, ranks: &[Option<Rank>]) -> Vec<u8> {
        for (at, rank) in ranks.iter().enumerate() {
            let rung = Rung { encoding: at as u8, rid: None, size: None, is_flowing: rank.is_some() };
            ladder.note(rung, rank.unwrap_or_default());
        }
        ladder.sort();
        ladder.rungs().iter().map(|rung| rung.encoding).collect()
    }

    fn best(ladder: &Ladder) -> Option<u8> {
        ladder.rungs().iter().rev().find(|rung| rung.is_flowing).map(|rung| rung.encoding)
    }

    #[test]
    fn size_goes_before_bits_and_the_order_of_the_offer_means_nothing() {
        let mut ladder = Ladder::default();
        assert_eq!(order(&mut ladder, &[Some((900, 1)), Some((100, 9)), Some((400, 5))]), [1, 2, 0]);
        assert_eq!(best(&ladder), Some(0));
    }

    #[test]
    fn like_encodings_do_not_alternate() {
        let mut ladder = Ladder::default();
        order(&mut ladder, &[Some((0, 100)), Some((0, 200))]);
        let version = ladder.version();
        assert_eq!(order(&mut ladder, &[Some((0, 210)), Some((0, 200))]), [0, 1]);
        assert_eq!(ladder.version(), version);
        assert_eq!(order(&mut ladder, &[Some((0, 260)), Some((0, 200))]), [1, 0]);
    }

    #[test]
    fn what_is_silent_keeps_its_place_and_is_not_the_best() {
        let mut ladder = Ladder::default();
        order(&mut ladder, &[Some((100, 1)), Some((400, 1)), None]);
        assert_eq!(order(&mut ladder, &[Some((100, 9)), None, None]), [0, 1], "2 was never seen");
        assert_eq!(best(&ladder), Some(0));
    }
}
