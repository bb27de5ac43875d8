//! What the loop needs of a way to move datagrams, which ones there are, and which of them runs.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::mmsg::{Mmsg, SendSockets};
use crate::shard::clock;
use crate::time::ClockReading;
use crate::transport::path::{Datagram, Egress};
use crate::udp::Surroundings;
use crate::udp::egress::SendQueue;
use crate::udp::system::EventFd;
pub use crate::uring::unavailable::Unavailable;
use crate::uring::{SIZES, Station, Uring, ring};

/// Which backend a shard is to use, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoSettings {
    /// Which one.
    pub choice: IoChoice,
    /// Whether io_uring sends long trains without a copy, where the kernel can.
    pub has_zero_copy: bool,
}

/// Which backend a shard is to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoChoice {
    /// io_uring where the kernel allows it, else mmsg.
    #[default]
    Auto,
    /// io_uring, or the shard does not start.
    Uring,
    /// epoll, `recvmmsg` and `sendmmsg`.
    Mmsg,
}

/// A backend that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// [`Uring`].
    Uring,
    /// [`Mmsg`].
    Mmsg,
}

impl BackendKind {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::Uring => "uring",
            BackendKind::Mmsg => "mmsg",
        }
    }
}

/// Which backend a shard runs on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendFacts {
    /// Which one.
    pub kind: BackendKind,
    /// Why, as the end of a sentence.
    pub reason: String,
}

/// Whether io_uring can be used here: makes a ring as a shard does, and closes it again.
///
/// # Errors
///
/// Why it cannot, and what to do about it.
pub fn probe_uring() -> Result<(), Unavailable> {
    let mut queues = ring::build(SIZES)?;
    let wake = EventFd::new().map_err(|error| Unavailable::new("eventfd", &error))?;
    let surroundings = Surroundings {
        wake: Arc::new(wake),
        counters: Arc::default(),
        figures: Arc::default(),
        clock: clock::now,
    };
    Station::open(&mut queues, SIZES, Arc::new([]), &surroundings, false).map(drop)
}

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

impl<'ring> Backend for Uring<'ring> {
    type Tx = SendQueue<Station<'ring>>;

    fn drain_received(&mut self, limit: usize, at: ClockReading, on_datagram: impl FnMut(Datagram<'_>)) {
        Uring::drain_received(self, limit, at, on_datagram);
    }

    fn tx(&mut self) -> &mut Self::Tx {
        self.queue()
    }

    fn submit(&mut self) {
        self.queue().submit();
    }

    fn submit_and_wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        Uring::submit_and_wait(self, deadline)
    }
}
