//! Collects sealed datagrams in one slab and cuts them into GSO trains.
//!
//! A train is a run of datagrams for one path that leaves in one send: all of one length, except that the
//! last may be shorter (`UDP_SEGMENT` of udp(7)). This module knows no sockets and no system calls.
//!
//! # Invariants
//!
//! - The bytes of a train lie back to back in the slab, and trains lie in the order of their commits.
//! - A train has 1..=`TRAIN_SEGMENTS_MAX` segments and at most `TRAIN_BYTES_MAX` bytes.
//! - At most `TRAINS_PER_SEND_MAX` trains wait, so nothing here grows after start-up.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::limits::{
    EGRESS_SLOT_BYTES, SEND_SLAB_BYTES, TRAIN_BYTES_MAX, TRAIN_SEGMENTS_MAX, TRAINS_PER_SEND_MAX,
};
use crate::transport::path::Path;

/// One send: a datagram, or several as a GSO train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// Where it goes.
    pub path: Path,
    /// Index of the socket that sends it.
    pub socket: usize,
    /// Where its bytes start in the slab.
    pub start: usize,
    /// Its bytes, all segments together.
    pub len: usize,
    /// Length of each segment; only the last may be shorter.
    pub segment_len: usize,
    /// How many datagrams it becomes on the wire.
    pub segments: usize,
    /// Index of its first datagram in the batch.
    pub first: usize,
}

impl Train {
    /// One datagram of the train as a train of its own.
    pub fn single(&self, index: usize) -> Train {
        let skipped = index * self.segment_len;
        let len = self.segment_len.min(self.len - skipped);
        Train {
            start: self.start + skipped,
            len,
            segment_len: len,
            segments: 1,
            first: self.first + index,
            ..*self
        }
    }

    fn can_take(&self, path: Path, len: usize) -> bool {
        let is_open = self.len == self.segments * self.segment_len;
        is_open
            && self.path == path
            && len <= self.segment_len
            && self.segments < TRAIN_SEGMENTS_MAX
            && self.len + len <= TRAIN_BYTES_MAX
    }
}

/// The datagrams that wait for the next send call.
#[derive(Debug)]
pub struct Batch {
    slab: Box<[u8]>,
    cursor: usize,
    trains: Vec<Train>,
    received_at: Vec<Option<Instant>>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            slab: vec![0; SEND_SLAB_BYTES].into_boxed_slice(),
            cursor: 0,
            trains: Vec::with_capacity(TRAINS_PER_SEND_MAX),
            received_at: Vec::with_capacity(TRAINS_PER_SEND_MAX * TRAIN_SEGMENTS_MAX),
        }
    }
}

impl Batch {
    /// Whether the slab has room for one more datagram of any length.
    pub fn has_space(&self) -> bool {
        self.slab.len() - self.cursor >= EGRESS_SLOT_BYTES
    }

    /// Room for the next datagram. Only if [`Batch::has_space`].
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.slab[self.cursor..][..EGRESS_SLOT_BYTES]
    }

    /// Whether a datagram fits the waiting trains: it prolongs the last one or may begin another.
    pub fn can_take(&self, path: Path, len: usize) -> bool {
        self.trains.len() < TRAINS_PER_SEND_MAX || self.prolongs(path, len)
    }

    /// Whether a datagram would prolong the last train.
    pub fn prolongs(&self, path: Path, len: usize) -> bool {
        self.trains.last().is_some_and(|train| train.can_take(path, len))
    }

    /// Takes the first `len` bytes of [`Batch::space`] as a datagram. Only if [`Batch::can_take`] and
    /// `1 <= len <= EGRESS_SLOT_BYTES`. `socket` counts only where a new train begins.
    pub fn push(&mut self, path: Path, socket: usize, len: usize, received_at: Option<Instant>) {
        debug_assert!((1..=EGRESS_SLOT_BYTES).contains(&len) && self.can_take(path, len));
        match self.trains.last_mut().filter(|train| train.can_take(path, len)) {
            Some(train) => {
                train.len += len;
                train.segments += 1;
            }
            None => self.trains.push(Train {
                path,
                socket,
                start: self.cursor,
                len,
                segment_len: len,
                segments: 1,
                first: self.received_at.len(),
            }),
        }
        self.received_at.push(received_at);
        self.cursor += len;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// The slab, the trains, and for each datagram when the packet that it forwards was received.
    pub fn parts(&mut self) -> (&[u8], &[Train], &mut [Option<Instant>]) {
        (&self.slab, &self.trains, &mut self.received_at)
    }

    /// Forgets the trains, which were sent. A datagram that is being written stays where it is.
    pub fn clear(&mut self) {
        self.trains.clear();
        self.received_at.clear();
    }

    /// Forgets the trains and starts the slab anew, so that its front stays in the cache; `exchange` may put
    /// another of the same length in its place.
    pub fn rewind(&mut self, exchange: impl FnOnce(Box<[u8]>) -> Box<[u8]>) {
        self.clear();
        self.cursor = 0;
        self.slab = exchange(std::mem::take(&mut self.slab));
        debug_assert_eq!(self.slab.len(), SEND_SLAB_BYTES);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn path(peer: u8) -> Path {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Path { local: at(7000), remote: at(10_000 + u16::from(peer)) }
    }

    /// `a3` is a datagram of 3 bytes for peer a. Expected: the trains, each as its lengths.
    #[track_caller]
    fn check(script: &str, expected: &str) {
        let mut batch = Batch::default();
        for word in script.split_whitespace() {
            let len = word[1..].parse().unwrap();
            batch.push(path(word.as_bytes()[0]), 0, len, None);
        }
        let (_, trains, _) = batch.parts();
        let actual: Vec<String> = trains
            .iter()
            .map(|train| {
                let lens: Vec<String> =
                    (0..train.segments).map(|index| train.single(index).len.to_string()).collect();
                lens.join("+")
            })
            .collect();
        assert_eq!(actual.join(" "), expected, "{script}");
    }

    #[test]
    fn equal_lengths_for_one_peer_are_one_train() {
        check("a9 a9 a9", "9+9+9");
    }

    #[test]
    fn another_peer_cuts_the_train() {
        check("a9 b9 a9", "9 9 9");
    }

    #[test]
    fn a_shorter_datagram_ends_its_train_and_a_longer_one_begins_the_next() {
        check("a9 a9 a4 a4 a5 a9", "9+9+4 4 5 9");
    }

    #[test]
    fn a_train_keeps_to_the_bounds_of_the_kernel() {
        let mut batch = Batch::default();
        (0..TRAIN_SEGMENTS_MAX + 1).for_each(|_| batch.push(path(0), 0, 100, None));
        let (_, trains, _) = batch.parts();
        assert_eq!(trains.iter().map(|t| t.segments).collect::<Vec<_>>(), [TRAIN_SEGMENTS_MAX, 1]);

        let mut batch = Batch::default();
        (0..60).for_each(|_| batch.push(path(0), 0, 1500, None));
        let (_, trains, _) = batch.parts();
        assert_eq!(trains.iter().map(|t| t.segments).collect::<Vec<_>>(), [43, 17]);
    }

    #[test]
    fn a_datagram_being_written_survives_a_send() {
        let mut batch = Batch::default();
        for peer in 0..TRAINS_PER_SEND_MAX as u8 {
            batch.push(path(peer), 0, 10, None);
        }
        batch.space()[..3].copy_from_slice(b"new");
        assert!(!batch.can_take(path(200), 3));
        batch.clear();
        batch.push(path(200), 0, 3, None);
        let (slab, trains, _) = batch.parts();
        assert_eq!(&slab[trains[0].start..][..trains[0].len], b"new");
    }

    proptest! {
        /// The oracle is the plain list of datagrams: trains, taken apart again, are that list.
        #[test]
        fn trains_taken_apart_are_the_datagrams_in_order(
            datagrams in prop::collection::vec((0u8..3, 1usize..6, 0usize..2), 0..400),
        ) {
            let mut batch = Batch::default();
            let mut waiting: Vec<(Path, Vec<u8>)> = Vec::new();
            for (index, &(peer, len, is_long)) in datagrams.iter().enumerate() {
                let len = len + is_long * 1400;
                if !batch.has_space() {
                    verify(&mut batch, &waiting)?;
                    batch.rewind(|slab| slab);
                    waiting.clear();
                }
                let bytes: Vec<u8> = (0..len).map(|at| (index + at) as u8).collect();
                batch.space()[..len].copy_from_slice(&bytes);
                if !batch.can_take(path(peer), len) {
                    verify(&mut batch, &waiting)?;
                    batch.clear();
                    waiting.clear();
                }
                batch.push(path(peer), 0, len, None);
                waiting.push((path(peer), bytes));
            }
            verify(&mut batch, &waiting)?;
        }
    }

    fn verify(batch: &mut Batch, waiting: &[(Path, Vec<u8>)]) -> Result<(), TestCaseError> {
        let (slab, trains, received_at) = batch.parts();
        prop_assert!(trains.len() <= TRAINS_PER_SEND_MAX);
        prop_assert_eq!(received_at.len(), waiting.len());
        let mut apart = Vec::new();
        for train in trains {
            prop_assert!(train.segments <= TRAIN_SEGMENTS_MAX && train.len <= TRAIN_BYTES_MAX);
            prop_assert_eq!(train.first, apart.len());
            prop_assert_eq!(train.segments, train.len.div_ceil(train.segment_len));
            for index in 0..train.segments {
                let single = train.single(index);
                apart.push((single.path, slab[single.start..][..single.len].to_vec()));
            }
        }
        prop_assert_eq!(&apart[..], waiting);
        // No two neighbours could have been one train.
        for pair in trains.windows(2) {
            prop_assert!(!pair[0].can_take(pair[1].path, pair[1].segment_len));
        }
        Ok(())
    }
}
