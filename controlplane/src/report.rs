//! What a start says: where to go, what was found, and what will hurt, each with its remedy. To a person as
//! aligned columns, to a machine as events of the log.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::net::SocketAddr;

use dataplane::shard::ShardHandle;
use dataplane::shard::backend::{BackendFacts, BackendKind};
use dataplane::shard::probe::InterfaceFacts;

use crate::config::{Auth, Config};
use crate::doctor::checks::network::Direction;
use crate::doctor::checks::ports::range;
use crate::doctor::checks::{network, settings, system};
use crate::doctor::finding::{Finding, Verdict};
use crate::host::Host;
use crate::shards::Shards;
use crate::start::Running;
use crate::terminal::{Emphasis, Palette};

/// The width of the column of names.
const NAME_WIDTH: usize = 11;

/// What a start says.
#[derive(Clone, Debug)]
pub struct Report {
    url: String,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<Finding>,
}

impl Report {
    /// Of a server that has just been started.
    pub fn new(config: &Config, running: &Running, unknown_variables: &[String]) -> Self {
        let mut warnings: Vec<Finding> =
            unknown_variables.iter().map(|variable| settings::unknown_variable(variable)).collect();
        warnings.extend(findings(config, &running.shards, &running.host, &running.candidates));
        Self { url: running.url(), facts: facts(config, running), warnings }
    }

    /// For a person: one fact a line.
    pub fn text(&self, palette: Palette) -> String {
        let mut text = format!("Sluice is running. Open {}\n\n", palette.paint(Emphasis::Bold, &self.url));
        for (name, value) in &self.facts {
            let _ = writeln!(text, "  {name:<NAME_WIDTH$}  {value}");
        }
        for warning in &self.warnings {
            let word = palette.paint(Emphasis::Warning, &format!("{:<NAME_WIDTH$}", "warning"));
            let _ = writeln!(text, "\n  {word}  {}: {}", warning.check, warning.found);
            if let Some(remedy) = &warning.remedy {
                let _ = writeln!(text, "  {:<NAME_WIDTH$}  {remedy}", "remedy");
            }
        }
        text
    }

    /// For a machine: one event for all facts, and one for each warning.
    pub fn log(&self) {
        let facts: Vec<String> = self.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        tracing::info!(url = self.url, facts = facts.join("; "), "sluice is running");
        for warning in &self.warnings {
            let remedy = warning.remedy.as_deref().unwrap_or_default();
            tracing::warn!(check = warning.check, remedy, "{}: {}", warning.check, warning.found);
        }
    }
}

fn facts(config: &Config, running: &Running) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("cores", format!("{} that this process may use", running.host.cpus.len())),
        ("shards", format!("{}, UDP {}", running.shards.count(), ports(running))),
    ];
    facts.extend(backends(running).into_iter().map(|backend| ("io", backend)));
    for interface in running.host.interfaces.iter().filter(|interface| interface.is_up) {
        facts.push(("interface", addresses(interface)));
        facts.push(("offload", offload(interface)));
    }
    if let Some((receive, send)) = granted(&running.shards) {
        facts.push((
            "buffers",
            format!("receive {} KiB, send {} KiB per socket", receive / 1024, send / 1024),
        ));
    }
    facts.push(("candidates", candidates(running)));
    facts.push(("access", access(&config.auth)));
    if let Some(certificate) = &running.certificate {
        facts.push(("certificate", certificate.path().display().to_string()));
        facts.push(("sha-256", certificate.certificate().fingerprint));
    }
    if let Some(metrics) = running.metrics {
        facts.push(("metrics", format!("http://{metrics}/metrics")));
    }
    facts
}

/// The ports of the shards: a range if the settings chose them, a list if the kernel did.
fn ports(running: &Running) -> String {
    let mut ports: Vec<u16> =
        running.shards.iter().flat_map(|shard| shard.local_addresses()).map(|socket| socket.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.windows(2).all(|pair| pair[1] - pair[0] == 1) {
        return range(ports.into_iter());
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    ports.join(", ")
}

/// What moves datagrams, and why that; one line while it is the same for all shards.
fn backends(running: &Running) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for shard in running.shards.iter() {
        let BackendFacts { kind, reason } = shard.backend();
        let what = match kind {
            BackendKind::Uring => "uring: io_uring, multishot receive",
            BackendKind::Mmsg => "mmsg: epoll, recvmmsg, sendmmsg",
        };
        let text = format!("{what} ({reason})");
        if !lines.contains(&text) {
            lines.push(text);
        }
    }
    lines
}

fn addresses(interface: &InterfaceFacts) -> String {
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "no address".to_owned() } else { addresses.join(", ") };
    format!("{}: {addresses}", interface.name)
}

fn offload(interface: &InterfaceFacts) -> String {
    let state = |fact: Option<bool>| match fact {
        Some(true) => "in hardware",
        Some(false) => "in the kernel",
        None => "unknown",
    };
    format!(
        "{}: UDP segmentation {}, checksums {}",
        interface.name,
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

/// What will hurt: the findings of `sluice doctor` that a start can make without looking further.
pub fn findings(
    config: &Config,
    shards: &Shards,
    host: &Host,
    candidates: &[Vec<SocketAddr>],
) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some((receive, send)) = granted(shards) {
        found.push(network::buffer(Direction::Receive, receive, None));
        found.push(network::buffer(Direction::Send, send, None));
    }
    let needed = system::descriptors_needed(shards.count(), config.rtc_listen.len());
    found.push(system::descriptors(host.descriptors, needed));
    found.extend(host.interfaces.iter().filter_map(network::interface));
    if candidates.iter().any(Vec::is_empty) {
        found.push(
            Finding::new(
                Verdict::Fail,
                "addresses",
                "none to send media to was found, so no client will connect",
            )
            .remedy("SLUICE_RTC_ANNOUNCED=<address that clients can reach>"),
        );
    }
    found.extend(settings::https(config));
    found.push(settings::access(config));
    found.retain(|finding| finding.verdict >= Verdict::Warn);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_in_one_column_and_a_warning_is_followed_by_its_remedy() {
        let report = Report {
            url: "http://127.0.0.1:8080/".to_owned(),
            facts: vec![("version", "0.1.0".to_owned()), ("certificate", "a.pem".to_owned())],
            warnings: vec![Finding::new(Verdict::Warn, "https", "off").remedy("SLUICE_TLS=self-signed")],
        };
        let text = report.text(Palette::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Sluice is running. Open http://127.0.0.1:8080/");
        assert_eq!(lines[2], "  version      0.1.0");
        assert_eq!(lines[3], "  certificate  a.pem");
        assert_eq!(lines[5], "  warning      https: off");
        assert_eq!(lines[6], "  remedy       SLUICE_TLS=self-signed");
    }
}
