//! The addresses that clients are told: who can reach them, and whether a datagram sent there arrives.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use dataplane::shard::probe::InterfaceFacts;

use crate::doctor::finding::{Finding, Verdict};

/// Who reaches an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// Containers and virtual machines of this machine.
    Bridge,
    /// The same network, or one that is routed to it.
    Private,
    /// The carrier's customers (RFC 6598).
    Shared,
    /// Everyone.
    Public,
}

impl Reach {
    fn words(self) -> &'static str {
        match self {
            Self::Loopback => "this machine only",
            Self::Bridge => "containers of this machine only",
            Self::Private => "private: its own network only",
            Self::Shared => "shared by a carrier's customers (RFC 6598)",
            Self::Public => "public",
        }
    }
}

/// Who reaches `address`, which is perhaps one of an interface.
pub fn reach(address: IpAddr, interfaces: &[InterfaceFacts]) -> Reach {
    if address.is_loopback() {
        return Reach::Loopback;
    }
    let owner = interfaces.iter().find(|interface| interface.addresses.contains(&address));
    if owner.is_some_and(|owner| is_bridge(&owner.name)) {
        return Reach::Bridge;
    }
    match address {
        IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64 => Reach::Shared,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Reach::Private,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::Private,
        _ => Reach::Public,
    }
}

/// The names that container engines and libvirt give to their bridges.
fn is_bridge(interface: &str) -> bool {
    ["docker", "br-", "cni", "podman", "virbr", "veth", "lxcbr", "lxdbr"]
        .iter()
        .any(|prefix| interface.starts_with(prefix))
}

/// What decides whether clients find their way here.
#[derive(Clone, Copy, Debug)]
pub struct AddressFacts<'a> {
    /// What clients are told, of the first shard.
    pub candidates: &'a [SocketAddr],
    /// Whether they were named in the settings.
    pub is_announced: bool,
    /// The interfaces of this machine.
    pub interfaces: &'a [InterfaceFacts],
    /// Whether clients come from other machines: HTTP is off loopback.
    pub is_remote: bool,
    /// Whether this is a container.
    pub is_container: bool,
}

/// The addresses together.
pub fn addresses(facts: &AddressFacts<'_>) -> Finding {
    let reach_of = |ip| reach(ip, facts.interfaces);
    let listed: Vec<String> = facts
        .candidates
        .iter()
        .map(|candidate| {
            let is_here =
                facts.interfaces.iter().any(|interface| interface.addresses.contains(&candidate.ip()));
            let whose = if is_here { "" } else { ", of no interface here" };
            format!("{} ({}{whose})", candidate.ip(), reach_of(candidate.ip()).words())
        })
        .collect();
    let found = if listed.is_empty() { "none".to_owned() } else { listed.join("; ") };
    let announce = "SLUICE_RTC_ANNOUNCED=<the address that clients reach this machine by>";
    if listed.is_empty() {
        return Finding::new(Verdict::Fail, "addresses", found)
            .wanted("one address that clients can send media to")
            .remedy(announce);
    }
    if !facts.is_remote {
        return Finding::ok("addresses", found);
    }
    let is_useful = |ip: IpAddr| !matches!(reach_of(ip), Reach::Loopback | Reach::Bridge);
    // On the network of the host a container has the addresses of the host, a public one perhaps.
    let is_public = facts.candidates.iter().any(|candidate| reach_of(candidate.ip()) == Reach::Public);
    if facts.is_container && !facts.is_announced && !is_public {
        return Finding::new(
            Verdict::Warn,
            "addresses",
            format!("{found}; this is a container, and they are its own"),
        )
        .wanted("addresses that clients outside of it reach")
        .remedy(format!("{announce}, or run it with --network host"));
    }
    if !facts.candidates.iter().any(|candidate| is_useful(candidate.ip())) {
        return Finding::new(Verdict::Fail, "addresses", found)
            .wanted("an address that other machines reach")
            .remedy(announce);
    }
    if let Some(bridge) = facts.candidates.iter().find(|candidate| reach_of(candidate.ip()) == Reach::Bridge)
    {
        let found = format!("{found}; clients try {} in vain", bridge.ip());
        return Finding::new(Verdict::Warn, "addresses", found)
            .wanted("only addresses that clients reach")
            .remedy(announce);
    }
    if !is_public {
        return Finding::new(
            Verdict::Warn,
            "addresses",
            format!("{found}; clients from the internet do not reach them"),
        )
        .wanted("a public address, unless all clients are in the same network")
        .remedy(announce);
    }
    Finding::ok("addresses", found)
}

/// Whether a datagram that was sent from here to a candidate came back in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hairpin {
    /// It did.
    Arrived,
    /// It did not.
    Lost,
    /// It could not be sent.
    Unsendable,
    /// The port is in use, so nobody could look.
    Untested,
}

/// One candidate, tried from this machine.
pub fn hairpin(candidate: SocketAddr, outcome: Hairpin, is_on_interface: bool) -> Finding {
    let check = format!("path {}", candidate.ip());
    let port = candidate.port();
    let outside = format!(
        "on another machine: `echo hello | nc -u -w1 {} {port}`; here meanwhile: `tcpdump -ni any udp port {port}`",
        candidate.ip()
    );
    match outcome {
        Hairpin::Arrived => Finding::ok(check, format!("a datagram from this machine to UDP {port} arrived")),
        Hairpin::Untested => {
            Finding::new(Verdict::Unknown, check, format!("UDP {port} is in use, so it was not tried"))
                .wanted("a datagram that arrives")
                .remedy("stop sluice and ask again")
        }
        Hairpin::Lost | Hairpin::Unsendable if is_on_interface => {
            let what = if outcome == Hairpin::Lost { "got lost" } else { "could not be sent" };
            Finding::new(Verdict::Fail, check, format!("a datagram from this machine to UDP {port} {what}"))
                .wanted("a datagram that arrives")
                .remedy(format!(
                    "nft list ruleset | grep -n -E 'drop|reject'; ip route get {}",
                    candidate.ip()
                ))
        }
        Hairpin::Lost | Hairpin::Unsendable => {
            let found = format!(
                "a datagram from this machine to UDP {port} did not come back; many routers send none back, so \
                 that tells nothing about clients"
            );
            Finding::new(Verdict::Unknown, check, found)
                .wanted("a datagram from outside that arrives")
                .remedy(outside)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::checks::testing::check;
    use Verdict::{Fail, Ok, Unknown, Warn};

    fn interface(name: &str, address: &str) -> InterfaceFacts {
        InterfaceFacts {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            is_loopback: name == "lo",
            is_up: true,
            udp_segmentation: None,
            tx_checksum: None,
        }
    }

    fn machine() -> Vec<InterfaceFacts> {
        vec![interface("lo", "127.0.0.1"), interface("eth0", "10.0.0.5"), interface("docker0", "172.17.0.1")]
    }

    #[test]
    fn an_address_is_known_by_its_range_or_by_the_bridge_that_has_it() {
        let of = |address: &str| reach(address.parse().unwrap(), &machine());
        assert_eq!(of("127.0.0.1"), Reach::Loopback);
        assert_eq!(of("::1"), Reach::Loopback);
        assert_eq!(of("172.17.0.1"), Reach::Bridge);
        assert_eq!(of("172.17.0.2"), Reach::Private);
        assert_eq!(of("10.0.0.5"), Reach::Private);
        assert_eq!(of("100.64.0.1"), Reach::Shared);
        assert_eq!(of("100.128.0.1"), Reach::Public);
        assert_eq!(of("fd00::5"), Reach::Private);
        assert_eq!(of("2001:db8::1"), Reach::Public);
        assert_eq!(of("203.0.113.9"), Reach::Public);
    }

    #[track_caller]
    fn told(candidates: &str, change: impl FnOnce(&mut AddressFacts<'_>), verdict: Verdict, remedy: &str) {
        let interfaces = machine();
        let candidates: Vec<SocketAddr> =
            candidates.split_whitespace().map(|ip| SocketAddr::new(ip.parse().unwrap(), 7000)).collect();
        let mut facts = AddressFacts {
            candidates: &candidates,
            is_announced: false,
            interfaces: &interfaces,
            is_remote: true,
            is_container: false,
        };
        change(&mut facts);
        check(&addresses(&facts), verdict, remedy);
    }

    #[test]
    fn addresses_that_clients_cannot_reach_are_told_with_their_remedy() {
        let announce = "SLUICE_RTC_ANNOUNCED";
        told("", |_| {}, Fail, announce);
        told("127.0.0.1", |_| {}, Fail, announce);
        told("127.0.0.1 10.0.0.5", |facts| facts.is_remote = false, Ok, "");
        told("10.0.0.5", |_| {}, Warn, announce);
        told("203.0.113.9 172.17.0.1", |_| {}, Warn, announce);
        told("203.0.113.9 10.0.0.5", |_| {}, Ok, "");
        told("172.17.0.2", |facts| facts.is_container = true, Warn, "--network host");
        told("203.0.113.9", |facts| facts.is_container = true, Ok, "");
        told("203.0.113.9", |facts| (facts.is_container, facts.is_announced) = (true, true), Ok, "");
    }

    #[test]
    fn a_datagram_that_gets_lost_on_our_own_address_is_a_failure_and_behind_a_router_unknown() {
        let candidate = "203.0.113.9:7000".parse().unwrap();
        check(&hairpin(candidate, Hairpin::Arrived, false), Ok, "");
        check(&hairpin(candidate, Hairpin::Lost, true), Fail, "nft list ruleset");
        check(&hairpin(candidate, Hairpin::Unsendable, true), Fail, "ip route get 203.0.113.9");
        check(&hairpin(candidate, Hairpin::Lost, false), Unknown, "nc -u -w1 203.0.113.9 7000");
        check(&hairpin(candidate, Hairpin::Untested, true), Unknown, "stop sluice");
    }
}
