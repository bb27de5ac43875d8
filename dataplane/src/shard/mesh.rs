//! The ways from shard to shard: a ring for each ordered pair, with one writer and one reader (D7).
//!
//! Knows nothing of what crosses. Each shard holds its [`Port`]: the write ends to all others, the read ends from
//! all others. Nobody waits for anybody: a ring without room says so, and a shard that sleeps is woken once for
//! all that one turn has put in.
//!
//! # Invariants
//!
//! - A ring is written by one thread and read by one thread: a port is given out once.
//! - Whoever puts something in rings the bell of its reader before it sleeps itself ([`Port::ring`]); why the
//!   reader cannot miss it stands in `bell.rs`.
//! - A ring whose reader is gone takes everything and keeps nothing.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::bell::Bell;
use super::sync::{Arc, EventFd, Reader, Writer, ring};
use crate::id::ShardId;
use crate::limits::{HOPS_PER_TURN, MESH_HOPS_PER_SHARD, MESH_RING_LEN_MAX, MESH_RING_LEN_MIN};

/// The rings between the shards of a process.
pub struct Mesh<T> {
    bells: Vec<Arc<Bell>>,
    /// What nobody has claimed yet.
    ports: Mutex<Vec<Option<Port<T>>>>,
}

/// One shard's ends of the rings.
pub struct Port<T> {
    /// By the id of the shard; there is none to itself.
    outlets: Vec<Option<Outlet<T>>>,
    inlets: Vec<(ShardId, Reader<T>)>,
    /// Taken from one ring in one turn.
    share: usize,
}

struct Outlet<T> {
    writer: Writer<T>,
    bell: Arc<Bell>,
    /// Something was put in since the bell rang.
    is_fresh: bool,
}

impl<T> fmt::Debug for Mesh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mesh({})", self.bells.len())
    }
}

impl<T: Default> Mesh<T> {
    /// Rings between as many shards as there are eventfds to wake them by. Their memory is taken as they fill for
    /// the first time.
    pub fn new(wakes: Vec<EventFd>) -> Self {
        let count = wakes.len();
        let share = MESH_HOPS_PER_SHARD.checked_div(count.saturating_sub(1)).unwrap_or(1);
        Self::with_ring_len(wakes, share.clamp(MESH_RING_LEN_MIN, MESH_RING_LEN_MAX))
    }

    /// The same with rings of this length.
    pub fn with_ring_len(wakes: Vec<EventFd>, len: usize) -> Self {
        let count = wakes.len();
        let bells: Vec<Arc<Bell>> =
            wakes.into_iter().map(|wake| Arc::new(Bell::new(Arc::new(wake)))).collect();
        let share = (HOPS_PER_TURN / count.saturating_sub(1).max(1)).max(1);
        let port = |_| Port { outlets: (0..count).map(|_| None).collect(), inlets: Vec::new(), share };
        let mut ports: Vec<Port<T>> = (0..count).map(port).collect();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let (writer, reader) = ring(len);
                let bell = Arc::clone(&bells[to]);
                ports[from].outlets[to] = Some(Outlet { writer, bell, is_fresh: false });
                ports[to].inlets.push((ShardId(from as u16), reader));
            }
        }
        Self { bells, ports: Mutex::new(ports.into_iter().map(Some).collect()) }
    }
}

impl<T> Mesh<T> {
    /// What wakes `shard`; `None` if it is not part of the mesh.
    pub fn bell(&self, shard: ShardId) -> Option<&Arc<Bell>> {
        self.bells.get(usize::from(shard.0))
    }

    /// The ends of `shard`, once.
    pub fn claim(&self, shard: ShardId) -> Option<Port<T>> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.get_mut(usize::from(shard.0))?.take()
    }
}

impl<T: Default> Port<T> {
    /// Lets `write` fill the next place of the ring to `to`, if more than `reserve(len)` of its places are free,
    /// `len` being all of them. False if they are not.
    pub fn offer(
        &mut self,
        to: ShardId,
        reserve: impl FnOnce(usize) -> usize,
        write: impl FnOnce(&mut T),
    ) -> bool {
        let outlet = self.outlets.get_mut(usize::from(to.0)).and_then(Option::as_mut);
        // A shard that is gone, or none: there is nobody who could miss it.
        let Some(outlet) = outlet.filter(|outlet| !outlet.writer.is_abandoned()) else { return true };
        let reserve = reserve(outlet.writer.len_max());
        let is_taken = outlet.writer.has_room_beside(reserve) && outlet.writer.write(write);
        outlet.is_fresh |= is_taken;
        is_taken
    }

    /// Wakes those that sleep and were given something since the last call; how many had to be woken.
    pub fn ring(&mut self) -> u64 {
        let fresh = self.outlets.iter_mut().flatten().filter(|outlet| outlet.is_fresh);
        fresh
            .map(|outlet| {
                outlet.is_fresh = false;
                u64::from(outlet.bell.ring())
            })
            .sum()
    }
}

impl<T> Port<T> {
    /// The port of a shard that is alone.
    pub fn alone() -> Self {
        Self { outlets: Vec::new(), inlets: Vec::new(), share: 1 }
    }

    /// Shows what waits to `on_item`, in order for each ring and at most a turn's share of each, and takes it out.
    /// Gives how much had waited.
    pub fn drain(&mut self, mut on_item: impl FnMut(ShardId, &T)) -> usize {
        let share = self.share;
        self.inlets.iter_mut().map(|(from, reader)| reader.read(share, |item| on_item(*from, item))).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.inlets.iter().all(|(_, reader)| reader.is_empty())
    }
}

impl<T> fmt::Debug for Port<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({})", self.inlets.len())
    }
}
