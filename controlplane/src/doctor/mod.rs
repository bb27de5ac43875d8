//! `sluice doctor`: looks at this machine and at the settings, and says of each thing what was found, what
//! is wanted and what mends it.
//!
//! [`probe`] gathers facts, [`checks`] turn them into findings without looking at anything themselves, and
//! [`render`] shows them. Nothing is changed.
#![forbid(unsafe_code)]

pub mod checks;
pub mod finding;
pub mod probe;
pub mod render;

use crate::config::{Config, Layers};
use checks::address::AddressFacts;
use checks::network::Direction;
use checks::{address, firewall, network, ports, settings, system};
use finding::{Finding, Verdict};
use probe::{MachineFacts, PlaceFacts};

/// Looks, and judges. With wrong settings only the machine is judged.
pub fn examine(layers: &Layers) -> Vec<Finding> {
    let machine = probe::machine();
    let checked = layers.check();
    let mut findings = settings::settings(&checked, &layers.unknown_variables);
    let defaults = Config::defaults();
    let config = checked.as_ref().unwrap_or(&defaults);
    let shards = config.shards.unwrap_or(machine.cpus.allowed).max(1);
    findings.extend(judge_machine(&machine, shards, config.rtc_listen.len()));
    if checked.is_ok() {
        findings.extend(judge_place(config, &machine, &probe::place(config, &machine, shards)));
    }
    findings
}

/// The exit code of the whole: 0 if all is well, 1 with a warning, 2 with a failure.
pub fn exit_code(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.verdict).max() {
        Some(Verdict::Fail) => 2,
        Some(Verdict::Warn) => 1,
        _ => 0,
    }
}

fn judge_machine(facts: &MachineFacts, shards: usize, sockets_per_shard: usize) -> Vec<Finding> {
    let descriptors = system::descriptors_needed(shards, sockets_per_shard);
    let mut findings = vec![
        system::kernel(facts.kernel_release.as_deref()),
        system::rings(facts.ring_refusal.as_ref()),
        system::descriptors(facts.descriptors, descriptors),
        system::locked_memory(facts.locked_memory),
        system::cpus(&facts.cpus, shards),
        system::cpu_quota(&facts.cpus, shards),
    ];
    findings.extend(system::governor(&facts.cpus));
    findings.extend(system::steal(&facts.cpus));
    findings.push(system::clock_source(facts.clock_source.as_deref()));
    findings.push(system::time_sync(facts.is_clock_synchronized));
    if let Some((receive, send)) = facts.buffers {
        findings.push(network::buffer(Direction::Receive, receive, facts.buffer_limits.0));
        findings.push(network::buffer(Direction::Send, send, facts.buffer_limits.1));
    }
    findings.extend(facts.interfaces.iter().filter_map(network::interface));
    findings
}

fn judge_place(config: &Config, machine: &MachineFacts, facts: &PlaceFacts) -> Vec<Finding> {
    let mut findings = vec![ports::media(&facts.media_ports, facts.is_running)];
    for (setting, address, bound) in &facts.listeners {
        findings.push(ports::http(setting, *address, bound, facts.is_running));
    }
    let udp: Vec<u16> = facts.media_ports.iter().map(|(port, _)| *port).collect();
    findings.push(firewall::firewall(&facts.rules, &udp));
    findings.push(address::addresses(&AddressFacts {
        candidates: &facts.candidates,
        is_announced: !config.rtc_announced.is_empty(),
        interfaces: &machine.interfaces,
        is_remote: !config.http_listen.ip().is_loopback(),
        is_container: machine.is_container,
    }));
    for (candidate, outcome) in &facts.hairpins {
        let is_here = machine.interfaces.iter().any(|own| own.addresses.contains(&candidate.ip()));
        findings.push(address::hairpin(*candidate, *outcome, is_here));
    }
    findings.push(settings::access(config));
    findings.extend(settings::https(config));
    findings.extend(facts.certificate.as_ref().map(|facts_of| settings::certificate(facts_of, facts.now)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        let of = |verdicts: &[Verdict]| {
            let findings: Vec<Finding> =
                verdicts.iter().map(|verdict| Finding::new(*verdict, "check", "found")).collect();
            exit_code(&findings)
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[Verdict::Ok, Verdict::Unknown]), 0);
        assert_eq!(of(&[Verdict::Warn, Verdict::Unknown]), 1);
        assert_eq!(of(&[Verdict::Warn, Verdict::Fail, Verdict::Ok]), 2);
    }
}
