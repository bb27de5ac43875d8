//! Which addresses a shard tells its clients to send to.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

/// The candidates of a shard that has bound `bound`, best first: the announced addresses or else those
/// of the interfaces, and loopback too while HTTP is on loopback. Some clients read only the first one
/// (FFmpeg), so it is an IPv4 address that others can reach, if there is any.
pub fn candidates(
    announced: &[IpAddr],
    interfaces: &[IpAddr],
    bound: &[SocketAddr],
    with_loopback: bool,
) -> Vec<SocketAddr> {
    let given = if announced.is_empty() { interfaces } else { announced };
    let mut addresses: Vec<IpAddr> =
        given.iter().copied().filter(|ip| !announced.is_empty() || is_usable(ip)).collect();
    if with_loopback {
        addresses.extend(interfaces.iter().filter(|ip| ip.is_loopback()));
    }
    if announced.is_empty() {
        addresses.sort_by_key(rank);
    }
    let is_announced = |ip: &IpAddr| announced.contains(ip);
    let mut candidates: Vec<SocketAddr> = Vec::new();
    for ip in addresses {
        let socket = bound.iter().find(|socket| {
            socket.is_ipv4() == ip.is_ipv4()
                && (socket.ip().is_unspecified() || socket.ip() == ip || is_announced(&ip))
        });
        if let Some(socket) = socket {
            let candidate = SocketAddr::new(ip, socket.port());
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    candidates
}

/// Not loopback, and not bound to one link: a link-local address means nothing without its interface.
fn is_usable(ip: &IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !is_link_local && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// Public IPv4, other IPv4, public IPv6, other IPv6, loopback.
fn rank(ip: &IpAddr) -> u8 {
    match ip {
        ip if ip.is_loopback() => 4,
        IpAddr::V4(ip) => u8::from(ip.is_private()),
        IpAddr::V6(ip) => 2 + u8::from(ip.is_unique_local()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn check(announced: &str, interfaces: &str, bound: &str, with_loopback: bool, expected: &str) {
        let ips = |text: &str| text.split_whitespace().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let bound: Vec<SocketAddr> = bound.split_whitespace().map(|socket| socket.parse().unwrap()).collect();
        let found = candidates(&ips(announced), &ips(interfaces), &bound, with_loopback);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), expected);
    }

    const INTERFACES: &str = "127.0.0.1 ::1 fe80::1 fd00::5 2001:db8::5 10.0.0.5 192.0.2.5";
    const BOUND: &str = "0.0.0.0:7000 [::]:7000";

    #[test]
    fn the_best_ipv4_address_comes_first_and_link_local_ones_never() {
        let expected = "192.0.2.5:7000 10.0.0.5:7000 [2001:db8::5]:7000 [fd00::5]:7000";
        check("", INTERFACES, BOUND, false, expected);
    }

    #[test]
    fn loopback_comes_last_and_only_when_asked_for() {
        check("", "127.0.0.1 ::1 10.0.0.5", BOUND, true, "10.0.0.5:7000 127.0.0.1:7000 [::1]:7000");
        check("", "127.0.0.1 ::1", BOUND, false, "");
    }

    #[test]
    fn a_family_or_an_address_that_is_not_bound_is_not_offered() {
        check("", INTERFACES, "0.0.0.0:7001", false, "192.0.2.5:7001 10.0.0.5:7001");
        check("", INTERFACES, "10.0.0.5:7001", false, "10.0.0.5:7001");
    }

    #[test]
    fn announced_addresses_replace_those_of_the_interfaces_in_their_own_order() {
        check("198.51.100.9 203.0.113.1", INTERFACES, BOUND, false, "198.51.100.9:7000 203.0.113.1:7000");
        check("198.51.100.9", INTERFACES, "10.0.0.5:7000", false, "198.51.100.9:7000");
    }
}
