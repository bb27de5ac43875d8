//! The oracle's own record of one egress stream: every number that left, what it carried, and where in the
//! publisher's stream that stood.

use std::collections::{BTreeMap, HashMap, HashSet};

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
    /// Digests of what left on the wire, by SRTP index.
    sent: HashMap<u64, u64>,
    highest: Option<u64>,
    carried: BTreeMap<u64, Carried>,
    numbers: HashMap<Place, u64>,
}

/// Packets that reached the shard by themselves, not as a retransmission.
pub type Delivered = HashSet<(usize, u32, u16)>;

impl Line {
    /// A datagram left. Its SRTP index, or what is wrong.
    pub fn note_sent(&mut self, sequence_number: u16, digest: u64) -> Result<u64, String> {
        let index = extend(self.highest, sequence_number);
        self.highest = self.highest.max(Some(index));
        match self.sent.insert(index, digest) {
            Some(before) if before != digest => Err(format!("index {index} left twice with different bytes")),
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
    /// are missing, the source's packets must not have reached the shard. A change of source may leave one
    /// number out, and happens at a keyframe.
    pub fn check(&self, delivered: &Delivered, may_skip: bool, knows_all: bool) -> Result<(), String> {
        let mut pairs = self.carried.iter().zip(self.carried.iter().skip(1));
        pairs.try_for_each(|(before, after)| self.check_pair(before, after, delivered, may_skip, knows_all))
    }

    fn check_pair(
        &self,
        (n1, before): (&u64, &Carried),
        (n2, after): (&u64, &Carried),
        delivered: &Delivered,
        may_skip: bool,
        knows_all: bool,
    ) -> Result<(), String> {
        let (from, to) = (before.place, after.place);
        let is_same = from.member == to.member && from.ssrc == to.ssrc;
        let step = n2 - n1;
        let is_straight = is_same && to.index.checked_sub(from.index) == Some(step);
        let is_key_start = after.piece.is_key && after.piece.packet == 0;
        let is_switch = !is_straight && is_key_start;
        // Numbers of packets with nothing to show are closed.
        let is_closed = is_same && may_skip && to.index > from.index && to.index - from.index > step;
        if !is_straight && !is_switch && !is_closed && (is_same || knows_all) {
            return Err(format!("number {n1} is {from:?} and number {n2} is {to:?}"));
        }
        if is_closed {
            return Ok(());
        }
        let has_reached = |at: u64| delivered.contains(&(from.member, from.ssrc, (from.index + at) as u16));
        let unsent = (1..step).filter(|at| !self.sent.contains_key(&(n1 + at)));
        let withheld: Vec<u64> = unsent.filter(|at| has_reached(*at)).map(|at| n1 + at).collect();
        if withheld.len() > usize::from(!is_straight) {
            return Err(format!(
                "number {n1} is {from:?} and number {n2} is {to:?}; {withheld:?} never left, but their packets \
                 reached the shard"
            ));
        }
        Ok(())
    }
}

/// Puts a 16-bit number on the line nearest to the highest so far.
pub fn extend(highest: Option<u64>, sequence_number: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(sequence_number) };
    let step = sequence_number.wrapping_sub(highest as u16) as i16;
    highest.saturating_add_signed(i64::from(step))
}
