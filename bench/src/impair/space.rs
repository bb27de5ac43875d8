//! A network namespace that lives as long as it is held, or as processes are in it.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;

use super::system;
use crate::failure::{Failure, OrFail};

/// What a network of one's own needs.
pub(super) const REMEDY: &str =
    "run the bench as root, or as the root of a user namespace: unshare -rn COMMAND";

/// An isolated network with its own interfaces, addresses and ports.
#[derive(Debug)]
pub(crate) struct Space {
    network: File,
    name: String,
}

/// Brings a thread home, however its work ends.
struct Visit {
    home: File,
}

impl Space {
    /// Makes one that has loopback and nothing else.
    pub(crate) fn make() -> Result<Self, Failure> {
        // On a thread of its own, because there may be no way back for who lacks permission.
        let made = thread::spawn(|| {
            system::leave_network()?;
            let name = fs::read_link("/proc/thread-self/ns/net")?;
            Ok::<_, io::Error>(Self { network: system::current_network()?, name: name.display().to_string() })
        });
        let made = made.join().map_err(|_| Failure::new("a thread panicked", "report it"))?;
        let space = made.or_fail("a network namespace", REMEDY)?;
        space.enter(|| {
            // Packets of IPv6 that nobody has sent would use up the link.
            let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            ip("link set lo up")
        })??;
        Ok(space)
    }

    /// What `/proc/PID/ns/net` of its processes points at.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Calls `work` with the calling thread in this network. Sockets that it opens, and processes and threads
    /// that it starts, stay here.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, Failure> {
        let home = system::current_network().or_fail("/proc/thread-self/ns/net", "mount /proc")?;
        // Who may go where he is may also come back.
        system::enter_network(&home).or_fail("coming back from a network namespace", REMEDY)?;
        system::enter_network(&self.network).or_fail("entering a network namespace", REMEDY)?;
        let _visit = Visit { home };
        Ok(work())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // Who goes on in the wrong network measures something else.
        system::enter_network(&self.home).expect("a thread may return to the network that it came from");
    }
}

/// Runs commands of ip(8), one a line, in the network of the calling thread.
pub(super) fn ip(commands: &str) -> Result<(), Failure> {
    let mut ip = Command::new("ip");
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut ip = ip.spawn().or_fail("ip", "install iproute2")?;
    if let Some(mut stdin) = ip.stdin.take() {
        // What it did not read, it says.
        let _ = stdin.write_all(commands.as_bytes());
    }
    let output = ip.wait_with_output().or_fail("ip", "install iproute2")?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::new(format!("ip: {said}\n  in: {commands}"), REMEDY))
        }
    }
}
