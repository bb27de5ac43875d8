//! What carries datagrams: the buffers of sockets and the hardware of interfaces.
#![forbid(unsafe_code)]

use dataplane::limits::SOCKET_BUFFER_BYTES;
use dataplane::shard::probe::InterfaceFacts;

use crate::doctor::finding::{Finding, Verdict};

/// A smaller buffer than this loses packets when the thread is late, bytes: at 200 Mbit/s it holds 80 ms.
const BUFFER_BYTES_MIN: usize = 2 * 1024 * 1024;

/// One direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `SO_RCVBUF`, `net.core.rmem_max`.
    Receive,
    /// `SO_SNDBUF`, `net.core.wmem_max`.
    Send,
}

/// The buffer that the kernel granted to a socket like those of the shards, bytes; and the limit of the
/// system, which a process with `CAP_NET_ADMIN` may pass.
pub fn buffer(direction: Direction, granted: usize, limit: Option<usize>) -> Finding {
    let (check, sysctl, hurt) = match direction {
        Direction::Receive => ("receive buffer", "net.core.rmem_max", "bursts that arrive are lost"),
        Direction::Send => ("send buffer", "net.core.wmem_max", "bursts that leave are lost"),
    };
    let how = match limit {
        Some(limit) if granted > limit => format!(", by force (CAP_NET_ADMIN): {sysctl} = {limit}"),
        Some(limit) => format!(": {sysctl} = {limit}"),
        None => String::new(),
    };
    let found = format!("{} KiB granted{how}", granted / 1024);
    if granted >= BUFFER_BYTES_MIN {
        return Finding::ok(check, found);
    }
    Finding::new(Verdict::Warn, check, format!("{found}: {hurt}"))
        .wanted(format!("{} KiB, at least {} KiB", SOCKET_BUFFER_BYTES / 1024, BUFFER_BYTES_MIN / 1024))
        .remedy(format!("sysctl -w {sysctl}={SOCKET_BUFFER_BYTES}"))
}

/// What the hardware of an interface does for sending; `None` for one that carries nothing.
pub fn interface(interface: &InterfaceFacts) -> Option<Finding> {
    let has_to_carry = interface.is_up && !interface.is_loopback && !interface.addresses.is_empty();
    if !has_to_carry {
        return None;
    }
    let name = &interface.name;
    let check = format!("offload {name}");
    let wanted = "tx-udp-segmentation and checksums on";
    Some(match (interface.udp_segmentation, interface.tx_checksum) {
        (_, Some(false)) => Finding::new(
            Verdict::Warn,
            check,
            "checksums are off, and UDP segmentation needs them: sending costs more",
        )
        .wanted(wanted)
        .remedy(format!("ethtool -K {name} tx on")),
        (Some(false), _) => Finding::new(
            Verdict::Warn,
            check,
            "trains of packets are cut by the kernel, which costs a little more",
        )
        .wanted(wanted)
        .remedy(format!("ethtool -K {name} tx-udp-segmentation on, if it can")),
        (None, _) => {
            Finding::new(Verdict::Unknown, check, "it does not say whether it cuts trains of packets")
                .wanted(wanted)
                .remedy(format!("ethtool -k {name} | grep -E 'tx-udp-segmentation|tx-checksumming'"))
        }
        (Some(true), _) => Finding::ok(check, "UDP segmentation and checksums in hardware"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::testing::check;
    use Verdict::{Ok, Unknown, Warn};

    #[test]
    fn a_small_buffer_is_a_warning_with_the_sysctl_of_its_direction() {
        let full = SOCKET_BUFFER_BYTES;
        check(&buffer(Direction::Receive, full, Some(full)), Ok, "");
        let forced = buffer(Direction::Receive, full, Some(212_992));
        check(&forced, Ok, "");
        assert!(forced.found.contains("by force"), "{forced:?}");
        let remedy = "sysctl -w net.core.rmem_max=8388608";
        check(&buffer(Direction::Receive, 212_992, Some(212_992)), Warn, remedy);
        check(&buffer(Direction::Send, 212_992, None), Warn, "net.core.wmem_max");
    }

    fn facts(udp_segmentation: Option<bool>, tx_checksum: Option<bool>) -> InterfaceFacts {
        InterfaceFacts {
            name: "eth0".to_owned(),
            addresses: vec![std::net::IpAddr::from([192, 0, 2, 1])],
            is_loopback: false,
            is_up: true,
            udp_segmentation,
            tx_checksum,
        }
    }

    #[test]
    fn an_interface_that_makes_sending_slow_is_named_with_its_remedy() {
        let of = |segmentation, checksum| interface(&facts(segmentation, checksum)).expect("it carries");
        check(&of(Some(true), Some(true)), Ok, "");
        check(&of(Some(true), Some(false)), Warn, "ethtool -K eth0 tx on");
        check(&of(Some(false), Some(true)), Warn, "tx-udp-segmentation on");
        check(&of(None, None), Unknown, "ethtool -k eth0");
    }

    #[test]
    fn loopback_and_an_interface_that_carries_nothing_are_not_judged() {
        let loopback = InterfaceFacts { is_loopback: true, ..facts(Some(false), Some(false)) };
        let down = InterfaceFacts { is_up: false, ..facts(Some(false), Some(false)) };
        let bare = InterfaceFacts { addresses: Vec::new(), ..facts(Some(false), Some(false)) };
        assert_eq!([loopback, down, bare].map(|facts| interface(&facts)), [None, None, None]);
    }
}
