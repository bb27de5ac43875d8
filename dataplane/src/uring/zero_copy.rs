//! Which trains are sent without a copy, and what came of it.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::counters::{Counters, add};
use crate::limits::{TRAINS_PER_SEND_MAX, ZERO_COPY_BYTES_MIN, ZERO_COPY_SEGMENTS_MIN};
use crate::udp::send::Refused;
use crate::udp::train::Train;
use crate::uring::copy_watch::CopyWatch;
use crate::uring::flights::{Flights, Report};
use crate::uring::ring::Completion;

/// Asks for a notification that says whether a copy was made (linux/io_uring.h, `IORING_SEND_ZC_REPORT_USAGE`;
/// Linux 6.2).
pub const REPORT_USAGE: u16 = 1 << 3;

/// The zero-copy sends of a shard.
#[derive(Debug)]
pub struct ZeroCopy {
    /// Those in the air.
    pub flights: Flights,
    /// Trains that are to be sent with a copy after all.
    pub rejected: Vec<Refused>,
    watches: Box<[CopyWatch]>,
}

impl ZeroCopy {
    /// For so many sockets.
    pub fn new(socket_count: usize) -> Self {
        Self {
            flights: Flights::new(),
            rejected: Vec::with_capacity(TRAINS_PER_SEND_MAX),
            watches: vec![CopyWatch::default(); socket_count].into_boxed_slice(),
        }
    }

    /// Whether the train is long enough, and its socket one that makes no copies.
    pub fn suits(&self, train: &Train) -> bool {
        let is_long = train.segments >= ZERO_COPY_SEGMENTS_MIN || train.len >= ZERO_COPY_BYTES_MIN;
        is_long && self.watches[train.socket].is_on()
    }

    /// Reads a completion of a flight. The clock is read only when one has landed.
    pub fn note(
        &mut self,
        flight: usize,
        completion: &Completion,
        counters: &Counters,
        clock: fn() -> Instant,
    ) {
        match self.flights.note(flight, completion) {
            Report::Nothing => {}
            Report::Refused { train, socket, error } => {
                if !matches!(error, libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) {
                    self.watches[socket].switch_off();
                    tracing::warn!(error, socket, "zero-copy sends are off: the kernel refuses them");
                }
                self.rejected.push(Refused { train, error });
            }
            Report::Landed { socket, was_copied } => {
                add(&counters.zero_copy_copied_total, u64::from(was_copied));
                if self.watches[socket].note(was_copied, clock()) {
                    tracing::info!(
                        socket,
                        "zero-copy sends are off: the kernel copies most of them all the same"
                    );
                }
            }
        }
    }
}
