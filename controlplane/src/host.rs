//! What this machine is: its cores and its interfaces.
#![forbid(unsafe_code)]

use std::io;
use std::net::IpAddr;

use dataplane::shard::affinity::allowed_cpus;
use dataplane::shard::probe::{InterfaceFacts, interfaces};

/// What was found.
#[derive(Clone, Debug)]
pub struct Host {
    /// The CPUs that this process may use.
    pub cpus: Vec<usize>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceFacts>,
}

/// Looks.
///
/// # Errors
///
/// If the kernel does not tell.
pub fn look() -> io::Result<Host> {
    Ok(Host { cpus: allowed_cpus()?, interfaces: interfaces()? })
}

impl Host {
    /// The addresses of the interfaces that are up, loopback included.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let up = self.interfaces.iter().filter(|interface| interface.is_up);
        up.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }
}
