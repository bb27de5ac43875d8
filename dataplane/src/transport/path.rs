//! The addresses of a datagram and the seams through which datagrams come and go.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Instant;

/// Where a datagram goes between: our address and the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our address: a candidate of ours.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Whom it came from and which of our addresses it came to.
    pub path: Path,
    /// When the kernel received it.
    pub received_at: Instant,
    /// Its UDP payload.
    pub bytes: &'a [u8],
}

/// Where sealed datagrams go. A shard gives its send slab, a test a list.
///
/// Consecutive datagrams of equal length for one path leave as one GSO train, so whoever writes here
/// writes all that one subscriber gets, back to back.
pub trait Egress {
    /// Space for one datagram: at least [`crate::limits::EGRESS_SLOT_BYTES`] bytes. Sends what is
    /// collected first if the slab is full. Asking again without a commit gives the same space.
    fn reserve(&mut self) -> &mut [u8];

    /// Takes the first `len` bytes of the reserved space as a datagram for `path`. `received_at` is the
    /// kernel's receive time of the packet that is being forwarded, for the latency histogram.
    fn commit(&mut self, path: Path, len: usize, received_at: Option<Instant>);

    /// When the last batch left: by then the one that is being collected has not. `None` if nobody looked.
    fn sent_at(&self) -> Option<Instant> {
        None
    }
}
