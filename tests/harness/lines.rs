//! The oracle's own record of one egress stream: every number that left, what it carried, and where in the
//! publisher's stream that stood.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::frames::Piece;

/// A place in a publisher's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The member that publishes.
    pub member: usize,
    /// The SSRC it publishes on.
    pub ssrc: u32,
    /// Its extended sequence number.
    pub index: u64,
}

/// What left, or was heard, under one number.
#[derive(Clone, Copy, Debug)]
struct Carried {
    place: Place,
    piece: Piece,
}

/// One egress SSRC.
#[derive(Debug, Default)]
pub struct Line {
    /// Digests of what left on the wire and when, by SRTP index.
    sent: HashMap<u64, (u64, Instant)>,
    highest: Option<u64>,
    carried: BTreeMap<u64, Carried>,
    numbers: HashMap<Place, u64>,
}

/// Packets that reached the shard by themselves, not as a retransmission, and when they did first.
pub type Delivered = HashMap<(usize, u32, u16), Instant>;

/// Packets that a shard may leave out of a line: padding, and upper layers.
pub type Closable = HashSet<Place>;

/// How a number belongs to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    /// It is of the same run of the same source.
    Straight,
    /// It goes on with the source, behind packets that were left out.
    Closed,
    /// It begins a new run.
    Switch,
}

impl Line {
    /// A datagram left. Its SRTP index, or what is wrong.
    pub fn note_sent(&mut self, sequence_number: u16, digest: u64, now: Instant) -> Result<u64, String> {
        let index = extend(self.highest, sequence_number);
        self.highest = self.highest.max(Some(index));
        match self.sent.insert(index, (digest, now)) {
            Some((before, _)) if before != digest => {
                Err(format!("index {index} left twice with different bytes"))
            }
            _ => Ok(index),
        }
    }

    /// What left under a number is known to be the packet of `place`.
    pub fn note_carried(&mut self, number: u64, place: Place, piece: Piece) -> Result<(), String> {
        if let Some(before) = self.carried.get(&number) {
            return match before.place == place {
                true => Ok(()),
                false => Err(format!("number {number} has two contents: {:?} and {place:?}", before.place)),
            };
        }
        if let Some(before) = self.numbers.insert(place, number) {
            return Err(format!("{place:?} left as number {before} and as number {number}"));
        }
        self.carried.insert(number, Carried { place, piece });
        Ok(())
    }

    /// Puts a 16-bit number near the newest.
    pub fn near(&self, sequence_number: u16) -> u64 {
        extend(self.highest, sequence_number)
    }

    /// What is wrong with the line as a whole. Within one source numbers run with the source's; where numbers
    /// are missing, the source's packets must not have reached the shard while it was shown. A change of source
    /// may leave one number out, and happens at a keyframe.
    pub fn check(&self, delivered: &Delivered, closable: &Closable, knows_all: bool) -> Result<(), String> {
        let mut run: Vec<(u64, Carried)> = Vec::new();
        for (number, carried) in &self.carried {
            if let Some((before, last)) = run.last().copied() {
                let joint = self.join((before, &last), (*number, carried), closable, knows_all)?;
                if joint != Joint::Straight {
                    // Which numbers the closed ones would have had is not known.
                    let next = if joint == Joint::Switch { *number } else { before + 1 };
                    self.check_run(&run, next, delivered)?;
                    run.clear();
                }
            }
            run.push((*number, *carried));
        }
        self.check_run(&run, 0, delivered)
    }

    /// How two numbers that follow each other belong together.
    fn join(
        &self,
        (n1, before): (u64, &Carried),
        (n2, after): (u64, &Carried),
        closable: &Closable,
        knows_all: bool,
    ) -> Result<Joint, String> {
        let (from, to) = (before.place, after.place);
        let is_same = from.member == to.member && from.ssrc == to.ssrc;
        let step = to.index.checked_sub(from.index);
        if is_same && step == Some(n2 - n1) {
            return Ok(Joint::Straight);
        }
        // Numbers are closed of packets with nothing to show, and of layers that are left out: of no others.
        if is_same && let Some(closed) = step.and_then(|step| step.checked_sub(n2 - n1)).filter(|it| *it > 0)
        {
            let between = (from.index + 1..to.index).map(|index| Place { index, ..from });
            let may_be = between.filter(|place| closable.contains(place)).count() as u64;
            if closed <= may_be {
                return Ok(Joint::Closed);
            }
        }
        let is_key_start = after.piece.is_key && after.piece.packet == 0;
        if is_key_start || (!is_same && !knows_all) {
            return Ok(Joint::Switch);
        }
        Err(format!("number {n1} is {from:?} and number {n2} is {to:?}"))
    }

    /// What a run lacks had not reached the shard while it went on. `next` is the number of what follows it.
    fn check_run(&self, run: &[(u64, Carried)], next: u64, delivered: &Delivered) -> Result<(), String> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let sent_at = |number: u64| self.sent.get(&number).map(|sent| sent.1);
        let Some(ended_at) = (first.0..=last.0).filter_map(sent_at).max() else { return Ok(()) };
        let place = first.1.place;
        let was_there = |number: u64| {
            let index = place.index + (number - first.0);
            let arrived = delivered.get(&(place.member, place.ssrc, index as u16));
            arrived.is_some_and(|arrived| *arrived < ended_at)
        };
        let unsent = |number: &u64| !self.sent.contains_key(number) && was_there(*number);
        let inside: Vec<u64> = (first.0..last.0).filter(unsent).collect();
        let behind: Vec<u64> = (last.0 + 1..next).filter(unsent).collect();
        if inside.is_empty() && behind.len() <= 1 {
            return Ok(());
        }
        Err(format!(
            "from number {} on, which is {place:?}, numbers {inside:?} and {behind:?} never left, but their \
             packets reached the shard",
            first.0
        ))
    }
}

/// Puts a 16-bit number on the line nearest to the highest so far.
pub fn extend(highest: Option<u64>, sequence_number: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(sequence_number) };
    let step = sequence_number.wrapping_sub(highest as u16) as i16;
    highest.saturating_add_signed(i64::from(step))
}
