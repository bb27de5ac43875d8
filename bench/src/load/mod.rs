//! The generator: publishers and their audience, with real ICE, DTLS and SRTP.
//!
//! Publishers send on a plan that no server can slow down, on a thread of their own; the audience is
//! received on others. What counts is told by the packets themselves: each carries its number and the
//! time it was sent, and the kernel adds the time it came.

pub(crate) mod audience;
pub(crate) mod clerk;
pub(crate) mod client;
pub(crate) mod door;
pub(crate) mod heard;
mod janus;
pub(crate) mod pictures;
pub(crate) mod publishers;
mod seen;
pub(crate) mod session;
pub(crate) mod signalling;
pub(crate) mod socket;
pub(crate) mod viewer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Url;

use crate::failure::{Failure, OrFail};

/// Nanoseconds since 1970: the clock of the kernel's receive timestamps.
pub(crate) fn wall_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The number of a viewer, from 0, in the order of invitations.
pub(crate) type Ticket = usize;

/// What the threads of one run tell each other.
#[derive(Debug)]
pub(crate) struct Stage {
    window_start_ns: AtomicU64,
    window_end_ns: AtomicU64,
    is_over: AtomicBool,
    connected: AtomicU64,
    receiving: AtomicU64,
    /// Who could not join, and why; the first is told.
    failures: Mutex<Vec<Failure>>,
}

impl Stage {
    /// A stage whose window has not been set.
    pub(crate) fn new() -> Self {
        Self {
            window_start_ns: AtomicU64::new(u64::MAX),
            window_end_ns: AtomicU64::new(u64::MAX),
            is_over: AtomicBool::new(false),
            connected: AtomicU64::new(0),
            receiving: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// Sets what is measured: packets sent in `start_ns..end_ns`. To be called before it begins.
    pub(crate) fn set_window(&self, start_ns: u64, end_ns: u64) {
        self.window_end_ns.store(end_ns, Ordering::Relaxed);
        self.window_start_ns.store(start_ns, Ordering::Relaxed);
    }

    /// Whether something that happened at `time_ns` is measured.
    pub(crate) fn is_measured(&self, time_ns: u64) -> bool {
        let start_ns = self.window_start_ns.load(Ordering::Relaxed);
        (start_ns..self.window_end_ns.load(Ordering::Relaxed)).contains(&time_ns)
    }

    /// The window: its start and end, ns since 1970.
    pub(crate) fn window_ns(&self) -> (u64, u64) {
        (self.window_start_ns.load(Ordering::Relaxed), self.window_end_ns.load(Ordering::Relaxed))
    }

    /// One more viewer is connected.
    pub(crate) fn count_connected(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    /// Viewers that have been connected.
    pub(crate) fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Somebody could not join.
    pub(crate) fn note_failure(&self, failure: Failure) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
    }

    /// Why somebody could not join, each told once.
    pub(crate) fn take_failures(&self) -> Vec<Failure> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more viewer has got its first packet.
    pub(crate) fn count_receiving(&self) {
        self.receiving.fetch_add(1, Ordering::Relaxed);
    }

    /// Viewers that have got at least one packet.
    pub(crate) fn receiving(&self) -> u64 {
        self.receiving.load(Ordering::Relaxed)
    }

    /// Tells all threads to end.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether [`Stage::end`] was called.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The address from which the host of `url` is reached.
pub(crate) fn local_ip_towards(url: &Url) -> Result<IpAddr, Failure> {
    let remedy = "check the host of the URL, and that there is a route to it";
    let server = url.socket_addrs(|| None).or_fail(url, remedy)?;
    let server = server.first().ok_or_else(|| Failure::new(format!("{url} has no address"), remedy))?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).or_fail(url, remedy)?;
    // Connecting a UDP socket sends nothing; it only chooses a route.
    socket.connect(server).or_fail(url, remedy)?;
    Ok(socket.local_addr().or_fail(url, remedy)?.ip())
}
