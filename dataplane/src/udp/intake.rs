//! Judges what a socket received and gives it its addresses and its time.
//!
//! # Invariants
//!
//! - A [`Datagram`] carries the address of ours that it really came to, also on a wildcard socket.
//! - What is not handed on is counted: as a bad size here, or by the kernel as an overflow.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use crate::counters::{Counters, DropReason, add};
use crate::limits::{DATAGRAM_SIZE_BYTES_MAX, LATENCY_MAX};
use crate::time::ClockReading;
use crate::transport::path::{Datagram, Path};
use crate::udp::message::Received;

/// One received datagram, as the kernel described it.
#[derive(Debug)]
pub struct ReceivedDatagram<'a> {
    /// Whom it came from; `None` if the kernel said nothing that we know.
    pub remote: Option<SocketAddr>,
    /// What else the kernel says about it.
    pub facts: Received,
    /// Its payload, cut off at the end of its buffer.
    pub bytes: &'a [u8],
}

/// The receiving side of one socket.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    bound: SocketAddr,
    overflow: u32,
}

impl Intake {
    /// Of a socket that is bound to this address.
    pub fn new(bound: SocketAddr) -> Self {
        Self { bound, overflow: 0 }
    }

    /// The datagram as an engine takes it; `None` if it is none for us. `at` is both clocks, read before.
    pub fn admit<'a>(
        &mut self,
        received: ReceivedDatagram<'a>,
        at: ClockReading,
        counters: &Counters,
    ) -> Option<Datagram<'a>> {
        let ReceivedDatagram { remote, facts, bytes } = received;
        self.count_overflow(facts, counters);
        let is_fit = (1..=DATAGRAM_SIZE_BYTES_MAX).contains(&bytes.len());
        let Some(remote) = remote.filter(|_| is_fit) else {
            counters.note_drops(DropReason::BadSize, 1);
            return None;
        };
        let local = local_address(self.bound, facts.local);
        let received_at = facts.stamp.map_or(at.now, |stamp| at.instant_of(stamp, LATENCY_MAX));
        Some(Datagram { path: Path { local, remote }, received_at, bytes })
    }

    fn count_overflow(&mut self, facts: Received, counters: &Counters) {
        if let Some(overflow) = facts.overflow {
            let lost = overflow.wrapping_sub(self.overflow);
            self.overflow = overflow;
            add(&counters.receive_overflow_total, u64::from(lost));
        }
    }
}

fn local_address(bound: SocketAddr, came_to: Option<(IpAddr, u32)>) -> SocketAddr {
    match came_to {
        None => bound,
        Some((IpAddr::V4(ip), _)) => SocketAddr::from((ip, bound.port())),
        Some((IpAddr::V6(ip), scope)) => SocketAddr::V6(SocketAddrV6::new(ip, bound.port(), 0, scope)),
    }
}
