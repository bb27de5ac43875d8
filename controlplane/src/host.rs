//! What this machine is: its cores, its interfaces, and how many descriptors it gives.
#![forbid(unsafe_code)]

use std::io;
use std::net::IpAddr;

use dataplane::shard::affinity::allowed_cpus;
use dataplane::shard::machine::{self, Limit};
use dataplane::shard::probe::{InterfaceFacts, interfaces};

/// What was found.
#[derive(Clone, Debug)]
pub struct Host {
    /// The CPUs that this process may use.
    pub cpus: Vec<usize>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceFacts>,
    /// How many descriptors the process may have, if the kernel tells.
    pub descriptors: Option<Limit>,
}

/// Looks, and raises the limit of descriptors as far as the process may.
///
/// # Errors
///
/// If the kernel does not tell.
pub fn look() -> io::Result<Host> {
    let descriptors = machine::raise_descriptor_limit().or_else(|_| machine::descriptor_limit()).ok();
    Ok(Host { cpus: allowed_cpus()?, interfaces: interfaces()?, descriptors })
}

impl Host {
    /// The addresses of the interfaces that are up, loopback included.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let up = self.interfaces.iter().filter(|interface| interface.is_up);
        up.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }
}
