//! What the loop needs of a way to move datagrams, so that another one than epoll can be put in its place.
#![forbid(unsafe_code)]

use std::io;
use std::time::Instant;

use crate::mmsg::{Mmsg, SendSockets};
use crate::time::ClockReading;
use crate::transport::path::{Datagram, Egress};
use crate::udp::egress::SendQueue;

/// Moves datagrams between the kernel and one shard.
pub trait Backend {
    /// Where the engine seals to.
    type Tx: Egress;

    /// Hands over at most `limit` datagrams that have arrived. Never waits. `at` is both clocks, read just
    /// before; a datagram's receive time is never later.
    fn drain_received(&mut self, limit: usize, at: ClockReading, on_datagram: impl FnMut(Datagram<'_>));

    /// The send side. What is committed leaves with the next submit at the latest.
    fn tx(&mut self) -> &mut Self::Tx;

    /// Sends what was committed.
    fn submit(&mut self);

    /// Sends what was committed, then waits for a datagram, a wake-up or the deadline; without one, for
    /// ever; with one that has passed, not at all.
    ///
    /// # Errors
    ///
    /// If it cannot wait: the shard cannot go on. A datagram that cannot be sent is no error but a
    /// [`crate::counters::DropReason`].
    fn submit_and_wait(&mut self, deadline: Option<Instant>) -> io::Result<()>;
}

impl Backend for Mmsg {
    type Tx = SendQueue<SendSockets>;

    fn drain_received(&mut self, limit: usize, at: ClockReading, on_datagram: impl FnMut(Datagram<'_>)) {
        Mmsg::drain_received(self, limit, at, on_datagram);
    }

    fn tx(&mut self) -> &mut SendQueue<SendSockets> {
        self.queue()
    }

    fn submit(&mut self) {
        self.queue().submit();
    }

    fn submit_and_wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        Mmsg::submit_and_wait(self, deadline)
    }
}
