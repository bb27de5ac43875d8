//! Spoils what a shard sends, on purpose: a canary for equal traces and for each rule of the oracle.

use std::net::SocketAddr;

use dataplane::transport::path::Path;

/// What is done to the stream of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// One packet of media is left out: its number is a gap that no loss explains.
    LeaveOut,
    /// One packet of media carries other bytes.
    Corrupt,
    /// One packet of media leaves under the number of the one before.
    Renumber,
    /// One packet of media is sent to another client.
    Misdirect,
    /// One packet of media is sent to nobody's address.
    SendToStranger,
    /// One packet of media leaves again under the next number.
    Repeat,
    /// No media leaves any more.
    Silence,
}

/// Meddles once, with the datagram of media at some place.
#[derive(Debug)]
pub struct Meddler {
    meddling: Meddling,
    at: usize,
    seen: usize,
    before: Option<(Path, Vec<u8>)>,
}

impl Meddler {
    /// Will meddle with the packet of media `at` this place, counted from 0.
    pub fn new(meddling: Meddling, at: usize) -> Self {
        Self { meddling, at, seen: 0, before: None }
    }

    /// Whether it has meddled.
    pub fn is_done(&self) -> bool {
        self.seen > self.at
    }

    pub(crate) fn meddle(&mut self, sent: &mut Vec<(Path, Vec<u8>)>) {
        if self.is_done() && self.meddling == Meddling::Silence {
            sent.retain(
                |(_, bytes)| !matches!(bytes[..], [128..=191, second, ..] if !(192..224).contains(&second)),
            );
        }
        let mut place = 0;
        while place < sent.len() && !self.is_done() {
            // Large ones only: what is meddled with is a packet of video, sent as media.
            let is_video =
                matches!(sent[place].1[..], [128..=191, second, ..] if !(192..224).contains(&second));
            if is_video && sent[place].1.len() > 250 {
                let datagram = sent[place].clone();
                if self.seen < self.at || self.act(sent, place) {
                    self.seen += 1;
                }
                self.before = Some(datagram);
            }
            place += 1;
        }
    }

    /// Acts on the datagram at `place`; false if this one does not fit.
    fn act(&self, sent: &mut Vec<(Path, Vec<u8>)>, place: usize) -> bool {
        let Some((path, before)) = self.before.clone() else { return false };
        let is_same_line = path == sent[place].0 && before[8..12] == sent[place].1[8..12];
        match self.meddling {
            Meddling::LeaveOut | Meddling::Silence => {
                sent.remove(place);
            }
            Meddling::Corrupt => {
                let at = sent[place].1.len() - 40;
                sent[place].1[at] ^= 1;
            }
            Meddling::Renumber if !is_same_line => return false,
            Meddling::Renumber => sent[place].1[2..4].copy_from_slice(&before[2..4]),
            Meddling::Misdirect if path == sent[place].0 => return false,
            Meddling::Misdirect => sent[place].0 = path,
            Meddling::SendToStranger => sent[place].0.remote = SocketAddr::from(([10, 99, 9, 9], 9)),
            Meddling::Repeat => {
                let mut again = sent[place].clone();
                let number = u16::from_be_bytes([again.1[2], again.1[3]]).wrapping_add(1);
                again.1[2..4].copy_from_slice(&number.to_be_bytes());
                sent.insert(place + 1, again);
            }
        }
        true
    }
}
