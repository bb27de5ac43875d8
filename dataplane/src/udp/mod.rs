//! What every backend needs of UDP: sockets, trains, refusals, layouts, figures.
//!
//! It knows bytes and addresses, nothing of RTP, and not how datagrams are handed to the kernel: that is what
//! the backends differ in. Unsafe code lives in `system`, `socket` and `probe`; what can be decided without a
//! system call is safe code beside.

pub mod egress;
pub mod figures;
pub mod intake;
pub mod machine;
pub mod message;
pub mod probe;
pub mod send;
pub mod socket;
pub mod system;
pub mod train;
pub mod waybill;

use std::sync::Arc;
use std::time::Instant;

use self::figures::SendFigures;
use self::system::EventFd;
use crate::counters::Counters;

/// What a backend is opened with, besides its sockets.
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
