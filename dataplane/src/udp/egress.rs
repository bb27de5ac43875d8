//! The send side of a shard: what is sealed into the slab leaves here.
//!
//! # Invariants
//!
//! - What was committed leaves in the order of the commits, at the latest with [`SendQueue::submit`].
//! - Nothing waits for a slow socket: what the kernel does not take at once is dropped and counted.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use crate::counters::{Counters, DropReason};
use crate::limits::EGRESS_SLOT_BYTES;
use crate::transport::path::{Egress, Path};
use crate::udp::figures::SendFigures;
use crate::udp::send::{Kernel, Sender};
use crate::udp::socket::{self, Socket};
use crate::udp::train::Batch;

/// The slab, the sockets behind it and what is measured on the way.
#[derive(Debug)]
pub struct SendQueue<K> {
    batch: Batch,
    sender: Sender,
    kernel: K,
    sockets: Arc<[Socket]>,
    counters: Arc<Counters>,
    figures: Arc<SendFigures>,
    clock: fn() -> Instant,
    /// When the last batch left.
    sent_at: Option<Instant>,
}

impl<K: Kernel> SendQueue<K> {
    /// An empty slab in front of these sockets, which `kernel` sends through. The clock is read once after
    /// each send.
    pub fn new(
        kernel: K,
        sockets: Arc<[Socket]>,
        counters: Arc<Counters>,
        figures: Arc<SendFigures>,
        clock: fn() -> Instant,
    ) -> Self {
        let sender = Sender::new(sockets.len());
        Self { batch: Batch::default(), sender, kernel, sockets, counters, figures, clock, sent_at: None }
    }

    /// What it sends through.
    pub fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Sends all that was committed.
    pub fn submit(&mut self) {
        self.send();
        self.batch.rewind(|slab| self.kernel.exchange(slab));
    }

    /// Sends the waiting trains and records how long their packets took.
    fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.sender.send(&mut self.kernel, &mut self.batch, &self.counters, &self.figures);
        let sent_at = (self.clock)();
        self.sent_at = Some(sent_at);
        let (_, _, received_at) = self.batch.parts();
        for received_at in received_at.iter().flatten() {
            self.figures.record_latency(sent_at.saturating_duration_since(*received_at));
        }
        self.batch.clear();
    }
}

impl<K: Kernel> Egress for SendQueue<K> {
    fn reserve(&mut self) -> &mut [u8] {
        if !self.batch.has_space() {
            self.submit();
        }
        self.batch.space()
    }

    fn commit(&mut self, path: Path, len: usize, received_at: Option<Instant>) {
        if !(1..=EGRESS_SLOT_BYTES).contains(&len) {
            self.counters.note_drops(DropReason::BadSize, 1);
            return;
        }
        let Some(socket) = self.socket_for(path, len) else {
            self.counters.note_drops(DropReason::SendRefused, 1);
            return;
        };
        if !self.batch.can_take(path, len) {
            self.send();
        }
        self.batch.push(path, socket, len, received_at);
    }

    fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }
}

impl<K: Kernel> SendQueue<K> {
    fn socket_for(&mut self, path: Path, len: usize) -> Option<usize> {
        if self.batch.prolongs(path, len) {
            return self.batch.parts().1.last().map(|train| train.socket);
        }
        socket::index_for(&self.sockets, path.local)
    }
}
