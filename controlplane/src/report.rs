//! What a start prints: where to go, what was found, and what will hurt, each with its remedy.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::net::SocketAddr;

use dataplane::shard::ShardHandle;
use dataplane::shard::probe::InterfaceFacts;
use serde::Serialize;

use crate::config::{Auth, Config, Io, Tls};
use crate::host::Host;
use crate::shards::Shards;
use crate::start::Running;

/// A smaller receive buffer than this loses packets when the thread is late, bytes: at 200 Mbit/s it
/// holds 80 ms.
const RECEIVE_BUFFER_BYTES_WANTED: usize = 2 * 1024 * 1024;

/// Something that will hurt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is wrong, and what it costs.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.\n  Remedy: {}", self.what, self.remedy)
    }
}

/// Everything that is printed; the URL in bold on a terminal.
pub fn text(config: &Config, running: &Running, unknown_variables: &[String], is_terminal: bool) -> String {
    let (bold, plain) = if is_terminal { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("version", env!("CARGO_PKG_VERSION").to_owned());
    line("cores", format!("{} that this process may use", running.host.cpus.len()));
    line("shards", format!("{}, UDP {}", running.shards.count(), ports(running)));
    let why = match config.io {
        Io::Auto => "the one backend of this build",
        Io::Mmsg => "as configured",
    };
    line("io", format!("mmsg: epoll, recvmmsg, sendmmsg ({why})"));
    for interface in running.host.interfaces.iter().filter(|interface| interface.is_up) {
        line("interface", describe(interface));
    }
    line("buffers", buffers(running));
    line("candidates", candidates(running));
    line("access", access(&config.auth));
    if let Some(identity) = &running.identity {
        line("certificate", format!("{}, SHA-256 {}", identity.path.display(), identity.fingerprint));
    }
    if let Some(metrics) = running.metrics {
        line("metrics", format!("http://{metrics}/metrics"));
    }
    for warning in warnings(config, running, unknown_variables) {
        let _ = writeln!(text, "\n  warning: {warning}");
    }
    format!("Sluice is running. Open {bold}{}{plain}\n\n{text}", running.url())
}

fn ports(running: &Running) -> String {
    let mut ports: Vec<u16> =
        running.shards.iter().flat_map(|shard| shard.local_addresses()).map(|socket| socket.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

fn describe(interface: &InterfaceFacts) -> String {
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    let state = |fact: Option<bool>| match fact {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    };
    format!(
        "{}: {}; UDP segmentation in hardware {}, checksums in hardware {}",
        interface.name,
        if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") },
        state(interface.udp_segmentation),
        state(interface.tx_checksum),
    )
}

fn granted(shards: &Shards) -> Option<(usize, usize)> {
    let sockets = || shards.iter().flat_map(ShardHandle::sockets);
    let receive = sockets().map(|socket| socket.receive_buffer_bytes).min()?;
    let send = sockets().map(|socket| socket.send_buffer_bytes).min()?;
    Some((receive, send))
}

fn buffers(running: &Running) -> String {
    match granted(&running.shards) {
        Some((receive, send)) => {
            format!("receive {} KiB, send {} KiB per socket", receive / 1024, send / 1024)
        }
        None => "no socket".to_owned(),
    }
}

fn candidates(running: &Running) -> String {
    let mut addresses: Vec<String> =
        running.candidates.iter().flatten().map(|candidate| candidate.ip().to_string()).collect();
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let is_new = !seen.contains(address);
        seen.push(address.clone());
        is_new
    });
    if addresses.is_empty() { "none".to_owned() } else { addresses.join(", ") }
}

fn access(auth: &Auth) -> String {
    match auth {
        Auth::Token(_) => "with the shared token".to_owned(),
        Auth::Open => "open to everyone who can reach it".to_owned(),
        Auth::Unset => "open, on this machine only".to_owned(),
    }
}

/// What will hurt, for people at a terminal.
fn warnings(config: &Config, running: &Running, unknown_variables: &[String]) -> Vec<String> {
    let unknown = unknown_variables
        .iter()
        .map(|variable| format!("{variable} is no setting; `sluice config explain` lists them"));
    let found = findings(config, &running.shards, &running.host, &running.candidates);
    unknown.chain(found.iter().map(Warning::to_string)).collect()
}

/// What will hurt, each with its remedy.
pub fn findings(
    config: &Config,
    shards: &Shards,
    host: &Host,
    candidates: &[Vec<SocketAddr>],
) -> Vec<Warning> {
    let mut found = Vec::new();
    if let Some((receive, _)) = granted(shards)
        && receive < RECEIVE_BUFFER_BYTES_WANTED
    {
        found.push(Warning {
            what: format!(
                "the kernel grants a receive buffer of {} KiB only, so bursts will be lost",
                receive / 1024
            ),
            remedy: format!("sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES_WANTED}"),
        });
    }
    found.extend(host.interfaces.iter().filter_map(slow_interface));
    if candidates.iter().any(Vec::is_empty) {
        found.push(Warning {
            what: "no address to send media to was found, so no client will connect".to_owned(),
            remedy: "SLUICE_RTC_ANNOUNCED=<address that clients can reach>".to_owned(),
        });
    }
    let is_remote = !config.http_listen.ip().is_loopback();
    if config.tls == Tls::Off && is_remote {
        found.push(Warning {
            what: "without HTTPS a browser on another machine opens neither camera nor microphone".to_owned(),
            remedy: "SLUICE_TLS=self-signed, or a reverse proxy with a certificate".to_owned(),
        });
    }
    if config.auth == Auth::Open && is_remote {
        found.push(Warning {
            what: "everyone who can reach this server may publish and watch".to_owned(),
            remedy: "SLUICE_AUTH=token:<secret of 16 characters or more>".to_owned(),
        });
    }
    found
}

fn slow_interface(interface: &InterfaceFacts) -> Option<Warning> {
    let has_to_carry = interface.is_up && !interface.is_loopback && !interface.addresses.is_empty();
    if !has_to_carry {
        return None;
    }
    let name = &interface.name;
    if interface.tx_checksum == Some(false) {
        return Some(Warning {
            what: format!(
                "{name} has checksums switched off, and UDP segmentation needs them: sending costs more"
            ),
            remedy: format!("ethtool -K {name} tx on"),
        });
    }
    (interface.udp_segmentation == Some(false)).then(|| Warning {
        what: format!(
            "{name} does not cut trains of packets in hardware; the kernel does, which costs a little more"
        ),
        remedy: format!("ethtool -K {name} tx-udp-segmentation on, if it can"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(udp_segmentation: Option<bool>, tx_checksum: Option<bool>) -> InterfaceFacts {
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
        assert_eq!(slow_interface(&interface(Some(true), Some(true))), None);
        assert_eq!(slow_interface(&interface(None, None)), None);
        let no_checksum = slow_interface(&interface(Some(true), Some(false)));
        assert!(no_checksum.is_some_and(|warning| warning.remedy.contains("ethtool -K eth0 tx on")));
        let no_segmentation = slow_interface(&interface(Some(false), Some(true)));
        assert!(no_segmentation.is_some_and(|warning| warning.remedy.contains("tx-udp-segmentation on")));
    }

    #[test]
    fn loopback_is_never_slow() {
        let loopback = InterfaceFacts { is_loopback: true, ..interface(Some(false), Some(false)) };
        assert_eq!(slow_interface(&loopback), None);
    }
}
