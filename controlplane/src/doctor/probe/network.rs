//! Sockets that are opened for a moment, and the tools that know the packet filter.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use dataplane::shard::open_all;

use super::MachineFacts;
use crate::config::Config;
use crate::doctor::checks::address::Hairpin;
use crate::doctor::checks::firewall::Rules;
use crate::doctor::checks::ports::Bound;
use crate::random;
use crate::service::candidates;

/// How long a datagram to this machine may take.
const HAIRPIN_TIMEOUT: Duration = Duration::from_millis(300);
/// Addresses that are tried.
const HAIRPINS_MAX: usize = 8;

pub(super) fn granted_buffers() -> Option<(usize, usize)> {
    let sockets = open_all(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 0).ok()?;
    let facts = sockets.first()?.facts();
    Some((facts.receive_buffer_bytes, facts.send_buffer_bytes))
}

pub(super) fn media_ports(config: &Config, shards: usize) -> Vec<(u16, Bound)> {
    let first = usize::from(config.rtc_port);
    let ports =
        (first..).take(if first == 0 { 1 } else { shards }).filter_map(|port| u16::try_from(port).ok());
    ports.map(|port| (port, bound(open_all(&config.rtc_listen, port)))).collect()
}

pub(super) fn listeners(config: &Config) -> Vec<(&'static str, SocketAddr, Bound)> {
    let mut wanted = vec![("http_listen", config.http_listen)];
    if !config.http_listen.ip().is_loopback() {
        wanted.push(("metrics_listen", config.metrics_listen));
    }
    let listen = |address: SocketAddr| {
        TcpListener::bind(address)
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    };
    wanted.into_iter().map(|(setting, address)| (setting, address, bound(listen(address)))).collect()
}

fn bound<T>(result: io::Result<T>) -> Bound {
    match result {
        Ok(_) => Bound::Free,
        Err(error) => Bound::Refused(error.kind(), error.to_string()),
    }
}

/// What the first shard would tell its clients.
pub(super) fn candidates(config: &Config, machine: &MachineFacts) -> Vec<SocketAddr> {
    let up = machine.interfaces.iter().filter(|interface| interface.is_up);
    let addresses: Vec<IpAddr> = up.flat_map(|interface| interface.addresses.iter().copied()).collect();
    let bound: Vec<SocketAddr> =
        config.rtc_listen.iter().map(|ip| SocketAddr::new(*ip, config.rtc_port)).collect();
    let is_local = config.http_listen.ip().is_loopback();
    candidates::candidates(&config.rtc_announced, &addresses, &bound, is_local)
}

pub(super) fn hairpins(listen: &[IpAddr], candidates: &[SocketAddr]) -> Vec<(SocketAddr, Hairpin)> {
    let real = candidates.iter().filter(|candidate| candidate.port() != 0 && !candidate.ip().is_loopback());
    real.take(HAIRPINS_MAX).map(|candidate| (*candidate, hairpin(listen, *candidate))).collect()
}

/// Listens as the first shard would, sends a datagram to the candidate, and waits for it.
fn hairpin(listen: &[IpAddr], candidate: SocketAddr) -> Hairpin {
    let is_same_family = |ip: &&IpAddr| ip.is_ipv4() == candidate.is_ipv4();
    let exact = listen.iter().find(|ip| **ip == candidate.ip());
    let Some(ip) = exact.or_else(|| listen.iter().find(is_same_family)) else { return Hairpin::Unsendable };
    let Ok(receiver) = UdpSocket::bind((*ip, candidate.port())) else { return Hairpin::Untested };
    let any: IpAddr =
        if candidate.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let message = random::bytes::<16>();
    let sent = UdpSocket::bind((any, 0)).and_then(|sender| sender.send_to(&message, candidate));
    if sent.is_err() {
        return Hairpin::Unsendable;
    }
    let end = Instant::now() + HAIRPIN_TIMEOUT;
    let mut buffer = [0; 64];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || receiver.set_read_timeout(Some(left)).is_err() {
            return Hairpin::Lost;
        }
        match receiver.recv(&mut buffer) {
            Ok(len) if buffer[..len] == message => return Hairpin::Arrived,
            Ok(_) => {}
            Err(_) => return Hairpin::Lost,
        }
    }
}

/// Asks nft, then iptables.
pub(super) fn rules() -> Rules {
    let mut why = Vec::new();
    for (program, arguments) in [("nft", &["list", "ruleset"][..]), ("iptables", &["-S", "INPUT"])] {
        match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                return if program == "nft" { Rules::Nft(text) } else { Rules::Iptables(text) };
            }
            Ok(_) => why.push(format!("{program} may be used by root only")),
            Err(_) => why.push(format!("{program} is not installed")),
        }
    }
    Rules::Unreadable(why.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_datagram_to_an_address_of_this_machine_arrives_and_a_taken_port_is_not_tried() {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let free = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let candidate = SocketAddr::from(([127, 0, 0, 1], free));
        assert_eq!(hairpin(&any, candidate), Hairpin::Arrived);
        let _taken = UdpSocket::bind(("0.0.0.0", free)).unwrap();
        assert_eq!(hairpin(&any, candidate), Hairpin::Untested);
    }

    #[test]
    fn a_datagram_to_an_address_of_nobody_is_lost() {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let free = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        // TEST-NET-1 (RFC 5737): nobody has it. Without a route it cannot even be sent.
        let outcome = hairpin(&any, SocketAddr::from(([192, 0, 2, 254], free)));
        assert!(matches!(outcome, Hairpin::Lost | Hairpin::Unsendable), "{outcome:?}");
    }
}
