//! Socket addresses and control messages as the kernel lays them out, in safe code.
//!
//! Every backend uses it, both ways. The layouts are those of ip(7), ipv6(7), udp(7) and cmsg(3).
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

/// Bytes of the longest address.
pub const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>();
const HEADER_BYTES: usize = align(size_of::<libc::cmsghdr>());
/// Room for what is received with a datagram: addresses, time stamp, overflow count.
pub const CONTROL_BYTES: usize = 128;

const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// A socket address as `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Name {
    bytes: [u8; NAME_BYTES],
    len: usize,
}

impl Name {
    /// Room for a name that the kernel writes.
    pub const EMPTY: Name = Name { bytes: [0; NAME_BYTES], len: NAME_BYTES };

    /// The bytes of an address.
    pub fn new(address: SocketAddr) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, NAME_BYTES)
            }
        };
        bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
        Self { bytes, len }
    }

    /// The address.
    pub fn address(&self) -> Option<SocketAddr> {
        read_address(&self.bytes)
    }

    /// The bytes in use.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// All the room, for the kernel to write to.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// The address in the bytes of a `sockaddr_in` or `sockaddr_in6`. The flow label is left out: it is no part of
/// who the peer is.
pub fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(bytes, 2)?);
    match i32::from(u16::from_ne_bytes(array(bytes, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(bytes, 4)?);
            Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
            let scope = u32::from_ne_bytes(array(bytes, 24)?);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
        }
        _ => None,
    }
}

/// Control messages, back to back.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Control {
    bytes: [u8; CONTROL_BYTES],
    len: usize,
}

impl Control {
    /// No messages, and room for what the kernel writes.
    pub const EMPTY: Control = Control { bytes: [0; CONTROL_BYTES], len: 0 };

    /// Adds `UDP_SEGMENT`: the datagram is a train of segments of this length.
    pub fn push_segment_len(&mut self, segment_len: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment_len.to_ne_bytes());
    }

    /// Adds the packet info that sets the source address.
    pub fn push_source(&mut self, source: SocketAddr) {
        match source {
            SocketAddr::V4(v4) => {
                // in_pktinfo: interface index, source address, destination (unused when sending).
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&v4.ip().octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            SocketAddr::V6(v6) => {
                // in6_pktinfo: address, interface index.
                let mut info = [0; 20];
                info[..16].copy_from_slice(&v6.ip().octets());
                info[16..].copy_from_slice(&v6.scope_id().to_ne_bytes());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// The bytes in use.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// All the room, for the kernel to write to.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Says how many bytes the kernel wrote.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(CONTROL_BYTES);
    }

    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let room = &mut self.bytes[self.len..][..HEADER_BYTES + align(data.len())];
        room[..size_of::<usize>()].copy_from_slice(&(HEADER_BYTES + data.len()).to_ne_bytes());
        room[HEADER_BYTES - 8..HEADER_BYTES - 4].copy_from_slice(&level.to_ne_bytes());
        room[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
        room[HEADER_BYTES..][..data.len()].copy_from_slice(data);
        self.len += room.len();
    }
}

/// What the kernel says about a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The address of ours that it came to, and the interface index if that address is link-local.
    pub local: Option<(IpAddr, u32)>,
    /// When it came, by the wall clock, since the Unix epoch.
    pub stamp: Option<Duration>,
    /// How many datagrams the socket has dropped so far, modulo 2^32 (SO_RXQ_OVFL).
    pub overflow: Option<u32>,
}

impl Received {
    /// Reads the control messages that came with a datagram. What is unknown is skipped.
    pub fn read(messages: &[u8]) -> Self {
        let mut received = Received::default();
        let mut rest = messages;
        while let Some((level, kind, data, next)) = split_message(rest) {
            received.take(level, kind, data);
            rest = next;
        }
        received
    }

    fn take(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // ipi_spec_dst: the local address, also of a broadcast, so that it can be answered from.
                self.local = array::<4>(data, 4).map(|ip| (IpAddr::from(ip), 0));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.local = array::<16>(data, 0).map(Ipv6Addr::from).map(|ip| {
                    let index = array(data, 16).map_or(0, u32::from_ne_bytes);
                    (IpAddr::V6(ip), if ip.is_unicast_link_local() { index } else { 0 })
                });
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => self.stamp = read_timespec(data),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                self.overflow = array(data, 0).map(u32::from_ne_bytes);
            }
            _ => {}
        }
    }
}

fn read_timespec(data: &[u8]) -> Option<Duration> {
    let seconds = u64::try_from(i64::from_ne_bytes(array(data, 0)?)).ok()?;
    let nanoseconds = u64::try_from(i64::from_ne_bytes(array(data, 8)?)).ok()?;
    Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds))
}

/// Level, type and data of the first message, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(array(bytes, 0)?);
    let level = i32::from_ne_bytes(array(bytes, HEADER_BYTES - 8)?);
    let kind = i32::from_ne_bytes(array(bytes, HEADER_BYTES - 4)?);
    let data = bytes.get(HEADER_BYTES..len)?;
    let next = bytes.get(align(len)..).unwrap_or_default();
    Some((level, kind, data, next))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_survives_the_layout_of_the_kernel() {
        for text in ["192.0.2.7:7000", "[2001:db8::5]:65535", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Name::new(address).address(), Some(address));
        }
        assert_eq!(Name::EMPTY.address(), None);
    }

    #[test]
    fn a_source_that_is_sent_reads_back_as_the_destination() {
        let mut control = Control::EMPTY;
        control.push_segment_len(1200);
        control.push_source("192.0.2.7:1".parse().unwrap());
        assert_eq!(Received::read(control.as_bytes()).local, Some(("192.0.2.7".parse().unwrap(), 0)));
        let mut control = Control::EMPTY;
        control.push_segment_len(1200);
        control.push_source("[fe80::1%3]:1".parse().unwrap());
        assert_eq!(Received::read(control.as_bytes()).local, Some(("fe80::1".parse().unwrap(), 3)));
    }

    proptest! {
        #[test]
        fn control_bytes_of_any_kind_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..=CONTROL_BYTES),
            small in 0u8..64,
        ) {
            let mut control = Control::EMPTY;
            control.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
            // A plausible length, so that the parser gets past the first header.
            control.as_mut_bytes()[..8].copy_from_slice(&usize::from(small).to_ne_bytes());
            control.set_len(bytes.len());
            Received::read(control.as_bytes());
        }
    }
}
