//! Opens the UDP sockets of a shard with every option that the packet path relies on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::limits::SOCKET_BUFFER_BYTES;
use crate::udp::message::Name;
use crate::udp::system::check;

/// How often another port is tried when the kernel chose one that is taken on a further address.
const PORT_TRIES_MAX: usize = 16;

/// A bound UDP socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    facts: SocketFacts,
}

/// What start-up tells about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFacts {
    /// The bound address, with the port that the kernel chose.
    pub address: SocketAddr,
    /// Receive buffer that the kernel granted, bytes.
    pub receive_buffer_bytes: usize,
    /// Send buffer that the kernel granted, bytes.
    pub send_buffer_bytes: usize,
}

/// Binds one socket for each address, all to one port. With port 0 the kernel chooses it.
///
/// # Errors
///
/// If an address cannot be bound: the error names it.
pub fn open_all(addresses: &[IpAddr], port: u16) -> io::Result<Vec<Socket>> {
    let mut tries_left = if port == 0 { PORT_TRIES_MAX } else { 1 };
    loop {
        tries_left -= 1;
        match open_on_one_port(addresses, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
            result => return result,
        }
    }
}

fn open_on_one_port(addresses: &[IpAddr], mut port: u16) -> io::Result<Vec<Socket>> {
    let mut sockets: Vec<Socket> = Vec::with_capacity(addresses.len());
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        let socket = Socket::open(address).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on UDP {address}: {error}"))
        })?;
        port = socket.facts.address.port();
        sockets.push(socket);
    }
    Ok(sockets)
}

impl Socket {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers; the descriptor is fresh, so it has one owner.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
        set_options(&fd, address.is_ipv4())?;
        let receive_buffer_bytes = grow(&fd, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE)?;
        let send_buffer_bytes = grow(&fd, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)?;
        let address = bind(&fd, address)?;
        Ok(Self { fd, facts: SocketFacts { address, receive_buffer_bytes, send_buffer_bytes } })
    }

    /// What start-up tells about it.
    pub fn facts(&self) -> SocketFacts {
        self.facts
    }

    /// Whether it is bound to all addresses, so that a send has to name its source.
    pub fn is_wildcard(&self) -> bool {
        self.facts.address.ip().is_unspecified()
    }

    /// Whether datagrams from this address of ours leave here.
    pub fn serves(&self, local: SocketAddr) -> bool {
        let own = self.facts.address;
        own.port() == local.port()
            && (own.ip() == local.ip() || (self.is_wildcard() && own.is_ipv4() == local.is_ipv4()))
    }
}

/// The socket from which datagrams with this source address leave: the one bound to it, else the one bound
/// to all addresses.
pub fn index_for(sockets: &[Socket], local: SocketAddr) -> Option<usize> {
    let exact = |socket: &Socket| !socket.is_wildcard() && socket.serves(local);
    let position = sockets.iter().position(exact);
    position.or_else(|| sockets.iter().position(|socket| socket.serves(local)))
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn set_options(fd: &OwnedFd, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 {
        set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
    } else {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)?;
    }
    set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Asks for [`SOCKET_BUFFER_BYTES`], beyond the system's limit if we may, and answers what was granted.
fn grow(fd: &OwnedFd, option: libc::c_int, forced: libc::c_int) -> io::Result<usize> {
    let wanted = SOCKET_BUFFER_BYTES as libc::c_int;
    if set(fd, libc::SOL_SOCKET, forced, wanted).is_err() {
        set(fd, libc::SOL_SOCKET, option, wanted)?;
    }
    let mut granted: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the live integer.
    check(unsafe {
        let granted = (&raw mut granted).cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, granted, &mut len)
    })?;
    // The kernel doubles what it was asked for, for its bookkeeping (socket(7)).
    Ok(granted as usize / 2)
}

fn set(fd: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of the live integer.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), len) })?;
    Ok(())
}

fn bind(fd: &OwnedFd, address: SocketAddr) -> io::Result<SocketAddr> {
    let name = Name::new(address);
    let len = name.as_bytes().len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of the live name.
    check(unsafe { libc::bind(fd.as_raw_fd(), name.as_bytes().as_ptr().cast(), len) })?;

    let mut bound = Name::EMPTY;
    let mut len = bound.as_bytes().len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the live name.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), bound.as_mut_bytes().as_mut_ptr().cast(), &mut len) })?;
    bound.address().ok_or_else(|| io::Error::other("the kernel bound neither IPv4 nor IPv6"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_addresses_share_the_port_that_the_kernel_chose() {
        let ips = ["127.0.0.1", "127.0.0.2", "::1"].map(|ip| ip.parse().unwrap());
        let sockets = open_all(&ips, 0).unwrap();
        let port = sockets[0].facts().address.port();
        assert_ne!(port, 0);
        assert!(sockets.iter().all(|socket| socket.facts().address.port() == port));
        assert!(sockets.iter().all(|socket| socket.facts().receive_buffer_bytes >= 100_000));
    }

    #[test]
    fn an_address_that_is_not_ours_is_named_in_the_error() {
        let error = open_all(&["198.51.100.1".parse().unwrap()], 7000).unwrap_err();
        assert!(error.to_string().contains("198.51.100.1:7000"), "{error}");
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let ip = ["127.0.0.1".parse().unwrap()];
        let sockets = open_all(&ip, 0).unwrap();
        let port = sockets[0].facts().address.port();
        let error = open_all(&ip, port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
