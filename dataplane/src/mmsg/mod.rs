//! The backend that runs everywhere: epoll, `recvmmsg`, and `sendmmsg` with GSO trains (D5).
//!
//! It knows bytes and addresses, nothing of RTP. Unsafe code lives in `poller`, `receive` and `kernel`.
//!
//! # Invariants
//!
//! - Nothing is allocated after [`Mmsg::open`].

mod kernel;
pub mod poller;
mod receive;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use self::kernel::SendSockets;
use self::poller::Poller;
use self::receive::ReceiveBuffers;
use crate::counters::{Counters, add};
use crate::limits::RECEIVE_BATCH_LEN;
use crate::time::ClockReading;
use crate::transport::path::Datagram;
use crate::udp::Surroundings;
use crate::udp::egress::SendQueue;
use crate::udp::intake::Intake;
use crate::udp::socket::Socket;
use crate::udp::system::EventFd;

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
    queue: SendQueue<SendSockets>,
    counters: Arc<Counters>,
    clock: fn() -> Instant,
}

#[derive(Clone, Copy, Debug)]
struct SocketState {
    is_readable: bool,
    intake: Intake,
}

impl SocketState {
    fn new(bound: SocketAddr) -> Self {
        Self { is_readable: false, intake: Intake::new(bound) }
    }
}

impl Mmsg {
    /// Moves datagrams over these sockets.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn open(sockets: Arc<[Socket]>, surroundings: Surroundings) -> io::Result<Self> {
        let Surroundings { wake, counters, figures, clock } = surroundings;
        let poller = Poller::new()?;
        poller.add(&*wake, WAKE_TOKEN)?;
        for (index, socket) in sockets.iter().enumerate() {
            poller.add(socket, index as u64)?;
        }
        let kernel = SendSockets::new(Arc::clone(&sockets));
        Ok(Self {
            poller,
            wake,
            states: sockets.iter().map(|socket| SocketState::new(socket.facts().address)).collect(),
            queue: SendQueue::new(kernel, Arc::clone(&sockets), Arc::clone(&counters), figures, clock),
            sockets,
            first: 0,
            buffers: ReceiveBuffers::default(),
            counters,
            clock,
        })
    }

    /// The send side.
    pub fn queue(&mut self) -> &mut SendQueue<SendSockets> {
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
        let asked = count.min(RECEIVE_BATCH_LEN);
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
            if let Some(datagram) = self.states[index].intake.admit(datagram, at, &self.counters) {
                on_datagram(datagram);
            }
        }
        received
    }
}
