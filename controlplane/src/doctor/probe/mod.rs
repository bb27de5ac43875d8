//! Gathers the facts that the checks judge: reads files below /proc and /sys, asks the kernel, binds ports
//! for a moment and sends datagrams to this machine. Changes nothing. What cannot be read is `None`.
#![forbid(unsafe_code)]

mod network;
mod system;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use dataplane::shard::backend::{Unavailable, probe_uring};
use dataplane::shard::machine::{self, Limit};
use dataplane::shard::probe::{InterfaceFacts, interfaces, kernel_release};

use super::checks::address::Hairpin;
use super::checks::firewall::Rules;
use super::checks::ports::Bound;
use super::checks::settings::CertificateFacts;
use super::checks::system::CpuFacts;
use crate::config::{Config, Tls};
use crate::tls;

/// What the machine is, whatever the settings say.
#[derive(Clone, Debug)]
pub struct MachineFacts {
    /// Of the kernel.
    pub kernel_release: Option<String>,
    /// Why it gives no ring as a shard wants one, if so.
    pub ring_refusal: Option<Unavailable>,
    /// Descriptors.
    pub descriptors: Option<Limit>,
    /// Memory that may be locked.
    pub locked_memory: Option<Limit>,
    /// The CPUs.
    pub cpus: CpuFacts,
    /// Where the kernel reads time from.
    pub clock_source: Option<String>,
    /// Whether the wall clock is kept.
    pub is_clock_synchronized: Option<bool>,
    /// Receive and send buffer that a socket like those of the shards is granted, bytes.
    pub buffers: Option<(usize, usize)>,
    /// `net.core.rmem_max` and `net.core.wmem_max`.
    pub buffer_limits: (Option<usize>, Option<usize>),
    /// The interfaces.
    pub interfaces: Vec<InterfaceFacts>,
    /// Whether this is a container.
    pub is_container: bool,
}

/// What the settings come to on this machine.
#[derive(Clone, Debug)]
pub struct PlaceFacts {
    /// Whether a Sluice answers where these settings say.
    pub is_running: bool,
    /// The port of each shard.
    pub media_ports: Vec<(u16, Bound)>,
    /// The listeners: the setting, the address, and whether it can be had.
    pub listeners: Vec<(&'static str, SocketAddr, Bound)>,
    /// The packet filter.
    pub rules: Rules,
    /// What clients are told, of the first shard.
    pub candidates: Vec<SocketAddr>,
    /// Whether a datagram to each of them arrives.
    pub hairpins: Vec<(SocketAddr, Hairpin)>,
    /// The certificate, with HTTPS.
    pub certificate: Option<CertificateFacts>,
    /// Seconds since 1970.
    pub now: i64,
}

/// Looks at the machine.
pub fn machine() -> MachineFacts {
    MachineFacts {
        kernel_release: kernel_release().ok(),
        ring_refusal: probe_uring().err(),
        descriptors: machine::descriptor_limit().ok(),
        locked_memory: machine::locked_memory_limit().ok(),
        cpus: system::cpus(),
        clock_source: system::text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        is_clock_synchronized: machine::is_clock_synchronized().ok(),
        buffers: network::granted_buffers(),
        buffer_limits: (
            system::number("/proc/sys/net/core/rmem_max"),
            system::number("/proc/sys/net/core/wmem_max"),
        ),
        interfaces: interfaces().unwrap_or_default(),
        is_container: system::is_container(),
    }
}

/// Looks at what the settings ask of `machine`, for so many shards.
pub fn place(config: &Config, machine: &MachineFacts, shards: usize) -> PlaceFacts {
    let candidates = network::candidates(config, machine);
    PlaceFacts {
        is_running: crate::healthcheck::ask(config, crate::healthcheck::Question::Alive).is_ok(),
        media_ports: network::media_ports(config, shards),
        listeners: network::listeners(config),
        rules: network::rules(),
        hairpins: network::hairpins(&config.rtc_listen, &candidates),
        candidates,
        certificate: certificate(config),
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64),
    }
}

fn certificate(config: &Config) -> Option<CertificateFacts> {
    let (certificate, key) = tls::paths(config)?;
    if config.tls == Tls::SelfSigned && !(certificate.exists() && key.exists()) {
        return Some(CertificateFacts::ToBeMade);
    }
    Some(match tls::load(&certificate, &key) {
        Ok(identity) => CertificateFacts::Read(identity.certificate),
        Err(error) => CertificateFacts::Wrong(error.to_string(), error.remedy()),
    })
}
