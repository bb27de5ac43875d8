//! Sends a batch and decides what a refusal means. The system call itself is behind [`Kernel`].
//!
//! # Invariants
//!
//! - Every datagram of the batch is counted once: as sent, or by a drop reason.
//! - GSO is switched off for a socket only when GSO itself was at fault: `EIO` says so; after `EINVAL`
//!   or `EMSGSIZE`, which a path with a small MTU causes too, the datagrams must have passed singly.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::counters::{Counters, DropReason, add};
use crate::limits::{TRAIN_SEGMENTS_MAX, TRAINS_PER_SEND_MAX};
use crate::udp::figures::SendFigures;
use crate::udp::train::{Batch, Train};

/// What takes trains: a backend, or a script in a test.
pub trait Kernel {
    /// Tries trains of one socket, in order, and answers how many from the front it has tried: at least one.
    /// Adds those that were refused to `refused`, in order; the others were taken.
    fn send(&mut self, socket: usize, slab: &[u8], trains: &[Train], refused: &mut Vec<Refused>) -> usize;

    /// A slab to begin anew, for one whose trains were sent: the same, unless the kernel still reads it.
    fn exchange(&mut self, slab: Box<[u8]>) -> Box<[u8]> {
        slab
    }
}

/// A train that the kernel did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place among the trains that were tried.
    pub train: usize,
    /// Why: an error number.
    pub error: i32,
}

/// Which sockets do GSO, and room to take a train apart.
#[derive(Debug)]
pub struct Sender {
    is_gso_off: Box<[bool]>,
    singles: Vec<Train>,
    refused: Vec<Refused>,
    refused_singles: Vec<Refused>,
}

/// Where the fate of datagrams is written.
struct Ledger<'a> {
    received_at: &'a mut [Option<Instant>],
    counters: &'a Counters,
    figures: &'a SendFigures,
}

impl Sender {
    /// For so many sockets, all with GSO.
    pub fn new(socket_count: usize) -> Self {
        Self {
            is_gso_off: vec![false; socket_count].into_boxed_slice(),
            singles: Vec::with_capacity(TRAIN_SEGMENTS_MAX),
            refused: Vec::with_capacity(TRAINS_PER_SEND_MAX),
            refused_singles: Vec::with_capacity(TRAIN_SEGMENTS_MAX),
        }
    }

    /// Whether the socket still sends trains.
    pub fn has_gso(&self, socket: usize) -> bool {
        !self.is_gso_off[socket]
    }

    /// Sends all that waits. Afterwards a datagram has a receive time only if it was sent.
    pub fn send(
        &mut self,
        kernel: &mut impl Kernel,
        batch: &mut Batch,
        counters: &Counters,
        figures: &SendFigures,
    ) {
        let (slab, trains, received_at) = batch.parts();
        let mut ledger = Ledger { received_at, counters, figures };
        for run in trains.chunk_by(|a, b| a.socket == b.socket) {
            self.send_run(kernel, slab, run, &mut ledger);
        }
    }

    fn send_run(
        &mut self,
        kernel: &mut impl Kernel,
        slab: &[u8],
        mut run: &[Train],
        ledger: &mut Ledger<'_>,
    ) {
        while let Some(first) = run.first() {
            if self.is_gso_off[first.socket] && first.segments > 1 {
                self.send_singly(kernel, slab, first, ledger);
                run = &run[1..];
                continue;
            }
            let count = if self.is_gso_off[first.socket] { leading_singles(run) } else { run.len() };
            self.refused.clear();
            let tried = kernel.send(first.socket, slab, &run[..count], &mut self.refused);
            let (tried, rest) = run.split_at(tried.clamp(1, count));
            self.settle(kernel, slab, tried, ledger);
            run = rest;
        }
    }

    /// Writes down what became of the trains that were tried; those that GSO may have cost are tried singly.
    fn settle(&mut self, kernel: &mut impl Kernel, slab: &[u8], tried: &[Train], ledger: &mut Ledger<'_>) {
        let refused = std::mem::take(&mut self.refused);
        let mut waiting = refused.iter().peekable();
        for (index, train) in tried.iter().enumerate() {
            match waiting.next_if(|refused| refused.train == index).map(|refused| refused.error) {
                None => ledger.sent(train),
                Some(error) if train.segments > 1 && may_blame_gso(error) => {
                    let has_passed = self.send_singly(kernel, slab, train, ledger);
                    if (has_passed || error == libc::EIO) && self.has_gso(train.socket) {
                        self.is_gso_off[train.socket] = true;
                        tracing::warn!(error, local = %train.path.local, "GSO is off: the kernel refuses it");
                    }
                }
                Some(error) => ledger.refused(train, error),
            }
        }
        self.refused = refused;
    }

    /// Answers whether each datagram was taken.
    fn send_singly(
        &mut self,
        kernel: &mut impl Kernel,
        slab: &[u8],
        train: &Train,
        ledger: &mut Ledger<'_>,
    ) -> bool {
        self.singles.clear();
        self.singles.extend((0..train.segments).map(|index| train.single(index)));
        let mut has_passed = true;
        let mut rest = &self.singles[..];
        while !rest.is_empty() {
            self.refused_singles.clear();
            let tried = kernel.send(train.socket, slab, rest, &mut self.refused_singles);
            let (tried, untried) = rest.split_at(tried.clamp(1, rest.len()));
            let mut waiting = self.refused_singles.iter().peekable();
            for (index, single) in tried.iter().enumerate() {
                match waiting.next_if(|refused| refused.train == index) {
                    None => ledger.sent(single),
                    Some(refused) => {
                        ledger.refused(single, refused.error);
                        has_passed = false;
                    }
                }
            }
            rest = untried;
        }
        has_passed
    }
}

impl Ledger<'_> {
    fn sent(&mut self, train: &Train) {
        add(&self.counters.packets_sent_total, train.segments as u64);
        add(&self.counters.trains_sent_total, 1);
        self.figures.record_train(train.segments);
    }

    fn refused(&mut self, train: &Train, error: i32) {
        let is_full = matches!(error, libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM);
        let reason = if is_full { DropReason::SendBufferFull } else { DropReason::SendRefused };
        self.counters.note_drops(reason, train.segments as u64);
        self.received_at[train.first..][..train.segments].fill(None);
        tracing::trace!(error, path = ?train.path, "the kernel refused a send");
    }
}

fn may_blame_gso(error: i32) -> bool {
    matches!(error, libc::EIO | libc::EINVAL | libc::EMSGSIZE)
}

fn leading_singles(run: &[Train]) -> usize {
    run.iter().take_while(|train| train.segments == 1).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::path::Path;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use std::sync::atomic::Ordering::Relaxed;

    fn path(peer: u16) -> Path {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Path { local: at(7000), remote: at(10_000 + peer) }
    }

    /// Refuses by rule and remembers what it took, datagram by datagram.
    #[derive(Default)]
    struct Scripted {
        taken: Vec<Vec<u8>>,
        calls: usize,
        is_ring: bool,
        per_call_max: usize,
        gso_error: Option<i32>,
        refuse_peer: Option<(u16, i32)>,
    }

    impl Kernel for Scripted {
        fn send(
            &mut self,
            socket: usize,
            slab: &[u8],
            trains: &[Train],
            refused: &mut Vec<Refused>,
        ) -> usize {
            self.calls += 1;
            let mut tried = 0;
            for train in trains.iter().take(self.per_call_max.max(1)) {
                assert_eq!(train.socket, socket);
                let peer = train.path.remote.port() - 10_000;
                let by_gso = self.gso_error.filter(|_| train.segments > 1);
                let by_peer = self.refuse_peer.filter(|rule| rule.0 == peer).map(|rule| rule.1);
                match by_gso.or(by_peer) {
                    // sendmmsg stops before the first that it does not take; a ring tries them all.
                    Some(_) if !self.is_ring && tried > 0 => return tried,
                    Some(error) => {
                        refused.push(Refused { train: tried, error });
                        if !self.is_ring {
                            return 1;
                        }
                    }
                    None => {
                        let bytes = &slab[train.start..][..train.len];
                        self.taken.extend(bytes.chunks(train.segment_len).map(<[u8]>::to_vec));
                    }
                }
                tried += 1;
            }
            tried
        }
    }

    struct Sent {
        kernel: Scripted,
        sender: Sender,
        counters: Counters,
        figures: SendFigures,
        latencies: usize,
    }

    /// Sends datagrams of 5 bytes, one for each peer of the list; its content is its index.
    fn send(peers: &[u16], kernel: Scripted) -> Sent {
        let mut batch = Batch::default();
        for (index, &peer) in peers.iter().enumerate() {
            batch.space()[..5].fill(index as u8);
            batch.push(path(peer), usize::from(peer % 2), 5, Some(Instant::now()));
        }
        let mut sent = Sent {
            kernel,
            sender: Sender::new(2),
            counters: Counters::default(),
            figures: SendFigures::default(),
            latencies: 0,
        };
        sent.sender.send(&mut sent.kernel, &mut batch, &sent.counters, &sent.figures);
        sent.latencies = batch.parts().2.iter().flatten().count();
        sent
    }

    fn indexes(sent: &Sent) -> Vec<u8> {
        sent.kernel.taken.iter().map(|bytes| bytes[0]).collect()
    }

    #[test]
    fn a_partial_send_goes_on_where_it_stopped() {
        let sent = send(&[0, 2, 4, 4, 6], Scripted { per_call_max: 2, ..Default::default() });
        assert_eq!(indexes(&sent), [0, 1, 2, 3, 4]);
        assert_eq!(sent.kernel.calls, 2);
        assert_eq!(sent.figures.train_lengths()[..3], [0, 3, 1]);
    }

    #[test]
    fn a_full_socket_costs_the_datagrams_it_refused_and_no_others() {
        let kernel = Scripted { per_call_max: 9, refuse_peer: Some((2, libc::EAGAIN)), ..Default::default() };
        let sent = send(&[0, 2, 2, 4], kernel);
        assert_eq!(indexes(&sent), [0, 3]);
        assert_eq!(sent.counters.dropped(DropReason::SendBufferFull), 2);
        assert_eq!(sent.latencies, 2);
        assert!(sent.sender.has_gso(0));
    }

    #[test]
    fn a_device_without_gso_gets_the_train_singly_and_no_further_trains() {
        for (error, is_ring) in [(libc::EIO, false), (libc::EINVAL, false), (libc::EIO, true)] {
            let kernel = Scripted { is_ring, per_call_max: 9, gso_error: Some(error), ..Default::default() };
            let sent = send(&[0, 0, 0, 2, 2, 1], kernel);
            assert_eq!(indexes(&sent), [0, 1, 2, 3, 4, 5]);
            assert!(!sent.sender.has_gso(0));
            assert!(sent.sender.has_gso(1), "the other socket keeps its trains");
            assert_eq!(sent.counters.packets_sent_total.load(Relaxed), 6);
        }
    }

    #[test]
    fn one_path_with_a_small_mtu_does_not_cost_the_others_their_trains() {
        for error in [libc::EINVAL, libc::EMSGSIZE] {
            let kernel = Scripted { per_call_max: 9, refuse_peer: Some((2, error)), ..Default::default() };
            let sent = send(&[2, 2, 2, 4, 4], kernel);
            assert_eq!(indexes(&sent), [3, 4]);
            assert!(sent.sender.has_gso(0));
            assert_eq!(sent.counters.dropped(DropReason::SendRefused), 3);
        }
    }

    proptest! {
        #[test]
        fn every_datagram_is_counted_once_and_keeps_its_order(
            peers in prop::collection::vec(0u16..5, 1..32),
            per_call_max in 1usize..6,
            gso_error in prop::option::of(prop::sample::select(vec![libc::EIO, libc::EINVAL])),
            is_ring: bool,
            refuse_peer in prop::option::of(
                (0u16..5, prop::sample::select(vec![libc::EAGAIN, libc::EPERM, libc::EMSGSIZE]))),
        ) {
            let kernel = Scripted { is_ring, per_call_max, gso_error, refuse_peer, ..Default::default() };
            let sent = send(&peers, kernel);
            let mut taken = indexes(&sent);
            if is_ring {
                // What GSO cost is sent again after the trains behind it, once for a socket.
                taken.sort_unstable();
            }
            let expected: Vec<u8> = (0..peers.len() as u8)
                .filter(|&index| refuse_peer.is_none_or(|rule| rule.0 != peers[usize::from(index)]))
                .collect();
            prop_assert_eq!(taken, expected.clone());
            prop_assert_eq!(sent.latencies, expected.len());
            let dropped = sent.counters.dropped(DropReason::SendBufferFull)
                + sent.counters.dropped(DropReason::SendRefused);
            prop_assert_eq!(sent.counters.packets_sent_total.load(Relaxed), expected.len() as u64);
            prop_assert_eq!(dropped as usize, peers.len() - expected.len());
        }
    }
}
