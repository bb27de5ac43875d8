//! The backend on io_uring: multishot receives into provided buffers, sends in batches, one place to wait (D4).
//!
//! It knows bytes and addresses, nothing of RTP. Unsafe code lives in `ring`, `buffers` and `station`; which slab the
//! kernel still reads, what a completion belongs to and why the kernel refuses is safe code beside.
//!
//! # Invariants
//!
//! - A ring is made, used and closed on one thread.
//! - Nothing is allocated after [`Uring::open`].
//! - When it is gone its ports are free.

mod buffers;
mod copy_watch;
mod flights;
pub mod ring;
mod station;
mod token;
pub mod unavailable;
mod zero_copy;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use io_uring::IoUring;

use self::ring::Sizes;
pub use self::station::Station;
use self::unavailable::Unavailable;
use crate::counters::Counters;
use crate::limits::{RING_BUFFERS_LEN, RING_COMPLETIONS_LEN, RING_SUBMISSIONS_LEN};
use crate::time::ClockReading;
use crate::transport::path::Datagram;
use crate::udp::Surroundings;
use crate::udp::egress::SendQueue;
use crate::udp::intake::{Intake, ReceivedDatagram};
use crate::udp::message::{Received, read_address};
use crate::udp::socket::Socket;
use crate::udp::system::EventFd;

/// What a shard's ring is built with.
pub const SIZES: Sizes =
    Sizes { submissions: RING_SUBMISSIONS_LEN, completions: RING_COMPLETIONS_LEN, buffers: RING_BUFFERS_LEN };

/// The sockets of one shard, in a ring.
pub struct Uring<'ring> {
    queue: SendQueue<Station<'ring>>,
    intakes: Box<[Intake]>,
    wake: Arc<EventFd>,
    counters: Arc<Counters>,
    clock: fn() -> Instant,
}

impl<'ring> Uring<'ring> {
    /// Moves datagrams over these sockets by `queues`, which [`ring::build`] made on this thread. Long trains are
    /// sent without a copy if that is wanted and works.
    ///
    /// # Errors
    ///
    /// If the kernel refuses it: says what to do.
    pub fn open(
        queues: &'ring mut IoUring,
        sizes: Sizes,
        sockets: Arc<[Socket]>,
        surroundings: Surroundings,
        has_zero_copy: bool,
    ) -> Result<Self, Unavailable> {
        let station = Station::open(queues, sizes, Arc::clone(&sockets), &surroundings, has_zero_copy)?;
        let intakes = sockets.iter().map(|socket| Intake::new(socket.facts().address)).collect();
        let Surroundings { wake, counters, figures, clock } = surroundings;
        let queue = SendQueue::new(station, sockets, Arc::clone(&counters), figures, clock);
        Ok(Self { queue, intakes, wake, counters, clock })
    }

    /// The send side.
    pub fn queue(&mut self) -> &mut SendQueue<Station<'ring>> {
        &mut self.queue
    }

    /// Hands over at most `limit` datagrams that have arrived. `at` is both clocks, read just before.
    pub fn drain_received(
        &mut self,
        limit: usize,
        at: ClockReading,
        mut on_datagram: impl FnMut(Datagram<'_>),
    ) {
        let station = self.queue.kernel();
        let mut left = limit;
        while left > 0 {
            let Some(arrival) = station.next_arrival() else {
                // In one enter a socket gives about 32 datagrams. A turn takes what has come, so that trains are
                // as long as they can be.
                station.publish_buffers();
                if station.fetch() {
                    continue;
                }
                break;
            };
            left -= 1;
            if let Some(message) = station.read(&arrival) {
                let received = ReceivedDatagram {
                    remote: read_address(message.name_data()),
                    facts: Received::read(message.control_data()),
                    bytes: message.payload_data(),
                };
                if let Some(datagram) = self.intakes[arrival.socket].admit(received, at, &self.counters) {
                    on_datagram(datagram);
                }
            }
            station.give_back(arrival);
        }
        station.publish_buffers();
    }

    /// Sends what was committed, then waits for a datagram, a wake-up or the deadline; without one, for
    /// ever; with one that has passed, not at all.
    ///
    /// # Errors
    ///
    /// If the ring cannot be used any more.
    pub fn submit_and_wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.queue.submit();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since((self.clock)()));
        let station = self.queue.kernel();
        station.wait(timeout)?;
        if station.take_wake() {
            self.wake.clear();
        }
        Ok(())
    }
}
