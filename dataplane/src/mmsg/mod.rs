//! The backend that runs everywhere: epoll, `recvmmsg`, and `sendmmsg` with GSO trains (D5).
//!
//! It knows bytes and addresses, nothing of RTP. Unsafe code lives in `system`, `socket`, `receive`, `kernel`
//! and `probe`; what can be decided without a system call (trains, refusals, layouts) is safe code beside.
//!
//! # Invariants
//!
//! - A [`Datagram`] carries the address of ours that it really came to, also on a wildcard socket, and a
//!   send leaves from exactly that address.
//! - Nothing is allocated after [`Mmsg::open`].

pub mod egress;
pub mod figures;
mod kernel;
pub mod machine;
mod message;
pub mod probe;
mod receive;
pub mod send;
pub mod socket;
pub mod system;
pub mod train;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Instant;

use self::egress::SendQueue;
use self::figures::SendFigures;
use self::kernel::SendSockets;
use self::message::Received;
use self::receive::ReceiveBuffers;
use self::socket::{Socket, SocketFacts};
use self::system::{EventFd, Poller};
use crate::counters::{Counters, DropReason, add};
use crate::limits::{DATAGRAM_SIZE_BYTES_MAX, LATENCY_MAX};
use crate::time::ClockReading;
use crate::transport::path::{Datagram, Path};

/// The token under which the poller reports the wake-up; sockets are reported by their index.
const WAKE_TOKEN: u64 = u64::MAX;

/// The sockets of one shard, and how it waits for them.
#[derive(Debug)]
pub struct Mmsg {
    poller: Poller,
    wake: Arc<EventFd>,
    sockets: Arc<[Socket]>,
    states: Box<[SocketState]>,
    first: usize,
    buffers: ReceiveBuffers,
    queue: SendQueue,
    counters: Arc<Counters>,
    clock: fn() -> Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct SocketState {
    is_readable: bool,
    overflow: u32,
}

/// What the backend is opened with, besides the addresses.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Ends a wait when it is signalled.
    pub wake: Arc<EventFd>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What is measured.
    pub figures: Arc<SendFigures>,
    /// The monotonic clock: read after each send and before each wait.
    pub clock: fn() -> Instant,
}

impl Mmsg {
    /// Binds one socket for each address, all to one port.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound: the error names it.
    pub fn open(addresses: &[IpAddr], port: u16, surroundings: Surroundings) -> io::Result<Self> {
        let Surroundings { wake, counters, figures, clock } = surroundings;
        let sockets: Arc<[Socket]> = socket::open_all(addresses, port)?.into();
        let poller = Poller::new()?;
        poller.add(&*wake, WAKE_TOKEN)?;
        for (index, socket) in sockets.iter().enumerate() {
            poller.add(socket, index as u64)?;
        }
        let kernel = SendSockets::new(Arc::clone(&sockets));
        Ok(Self {
            poller,
            wake,
            states: vec![SocketState::default(); sockets.len()].into_boxed_slice(),
            sockets,
            first: 0,
            buffers: ReceiveBuffers::default(),
            queue: SendQueue::new(kernel, Arc::clone(&counters), figures, clock),
            counters,
            clock,
        })
    }

    /// What start-up tells about each socket.
    pub fn socket_facts(&self) -> Vec<SocketFacts> {
        self.sockets.iter().map(Socket::facts).collect()
    }

    /// The send side.
    pub fn queue(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    /// Hands over at most `limit` datagrams that have arrived. `at` is both clocks, read just before.
    pub fn drain_received(
        &mut self,
        limit: usize,
        at: ClockReading,
        mut on_datagram: impl FnMut(Datagram<'_>),
    ) {
        let mut left = limit;
        for offset in 0..self.sockets.len() {
            let index = (self.first + offset) % self.sockets.len();
            while self.states[index].is_readable && left > 0 {
                left -= self.receive_batch(index, left, at, &mut on_datagram);
            }
        }
        // Another socket is first next time, so that a flooded one cannot starve the rest.
        self.first = (self.first + 1) % self.sockets.len().max(1);
    }

    /// Sends what was committed, then waits for a datagram, a wake-up or the deadline; without one, for
    /// ever; with one that has passed, not at all.
    pub fn submit_and_wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.queue.submit();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since((self.clock)()));
        let (states, wake) = (&mut self.states, &self.wake);
        self.poller.wait(timeout, |token| match states.get_mut(token as usize) {
            Some(state) => state.is_readable = true,
            None => wake.clear(),
        })
    }

    fn receive_batch(
        &mut self,
        index: usize,
        count: usize,
        at: ClockReading,
        on_datagram: &mut impl FnMut(Datagram<'_>),
    ) -> usize {
        let asked = count.min(crate::limits::RECEIVE_BATCH_LEN);
        let received = match self.buffers.receive(&self.sockets[index], asked) {
            Ok(received) => received,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    add(&self.counters.receive_errors_total, 1);
                }
                0
            }
        };
        self.states[index].is_readable = received == asked;
        for slot in 0..received {
            let datagram = self.buffers.datagram(slot);
            count_overflow(&mut self.states[index], datagram.facts, &self.counters);
            let is_fit = (1..=DATAGRAM_SIZE_BYTES_MAX).contains(&datagram.bytes.len());
            let Some(remote) = datagram.remote.filter(|_| is_fit) else {
                self.counters.note_drops(DropReason::BadSize, 1);
                continue;
            };
            let local = local_address(self.sockets[index].facts().address, datagram.facts.local);
            let stamp = datagram.facts.stamp;
            let received_at = stamp.map_or(at.now, |stamp| at.instant_of(stamp, LATENCY_MAX));
            on_datagram(Datagram { path: Path { local, remote }, received_at, bytes: datagram.bytes });
        }
        received
    }
}

fn count_overflow(state: &mut SocketState, facts: Received, counters: &Counters) {
    if let Some(overflow) = facts.overflow {
        let lost = overflow.wrapping_sub(state.overflow);
        state.overflow = overflow;
        add(&counters.receive_overflow_total, u64::from(lost));
    }
}

fn local_address(bound: SocketAddr, came_to: Option<(IpAddr, u32)>) -> SocketAddr {
    match came_to {
        None => bound,
        Some((IpAddr::V4(ip), _)) => SocketAddr::from((ip, bound.port())),
        Some((IpAddr::V6(ip), scope)) => SocketAddr::V6(SocketAddrV6::new(ip, bound.port(), 0, scope)),
    }
}
