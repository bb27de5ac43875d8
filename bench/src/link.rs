//! Links that the floor is measured on: loopback, a veth pair, and a device that swallows what it gets.
//!
//! The latter two live in network namespaces of a thread's own: they are gone with its sockets, and nothing
//! of them is seen outside.
#![forbid(unsafe_code)]

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use crate::failure::{Failure, OrFail};
use crate::floor::Ends;
use crate::impair::system::leave_network;

/// Networks that are routed nowhere (RFC 5737).
const SENDER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The first port of subscribers that nobody listens for.
const PORT_FIRST: u16 = 10_000;

/// What `link` may be set to.
pub(crate) const NAMES: &[&str] = &["loopback", "veth", "card"];

const REMEDY: &str = "run as root, or measure on loopback only: --link loopback";

/// Calls `work` on a thread that can send over the link.
pub(crate) fn on<T: Send>(
    link: &str,
    subscribers: u64,
    work: impl FnOnce(Ends) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    match link {
        "veth" => apart(|| work(veth(subscribers)?.wait_until_carried()?)),
        "card" => apart(|| work(card(subscribers)?)),
        _ => work(Ends::on_loopback(subscribers)?),
    }
}

/// Whether this process may make links of its own.
#[cfg(test)]
pub(crate) fn is_permitted() -> bool {
    apart(|| ip("link add sluice0 type ifb")).is_ok()
}

/// Runs `work` on a thread with an empty network of its own.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            leave_network().or_fail("a network namespace", REMEDY)?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the floor panicked", "report it")))
    })
}

/// Two ends of a virtual cable: the kernel's receive path runs in the sender's system call, as on loopback.
fn veth(subscribers: u64) -> Result<Ends, Failure> {
    thread::scope(|scope| {
        let (is_there, there) = mpsc::channel();
        let (is_plugged, plugged) = mpsc::channel();
        let far = scope.spawn(move || -> Result<Ends, Failure> {
            leave_network().or_fail("a network namespace", REMEDY)?;
            let own = fs::read_link("/proc/thread-self").or_fail("/proc/thread-self", REMEDY)?;
            let id = own.file_name().unwrap_or_default().display().to_string();
            let _ = is_there.send(id);
            if plugged.recv().is_err() {
                return Err(Failure::new("there is no cable", REMEDY));
            }
            up("sluice1", RECEIVER)?;
            Ends::at(SENDER, RECEIVER, subscribers)
        });
        let plugging = match there.recv() {
            Ok(id) => ip(&format!("link add sluice0 type veth peer name sluice1 netns {id}"))
                .and_then(|()| up("sluice0", SENDER)),
            Err(_) => Ok(()),
        };
        match &plugging {
            Ok(()) => drop(is_plugged.send(())),
            Err(_) => drop(is_plugged),
        }
        let ends = far.join().unwrap_or_else(|_| Err(Failure::new("a thread of the floor panicked", "")));
        plugging.and(ends)
    })
}

/// An ifb device takes trains whole, like a card that cuts them itself, and drops them.
fn card(subscribers: u64) -> Result<Ends, Failure> {
    ip("link add sluice0 type ifb")?;
    up("sluice0", SENDER)?;
    let to = |subscriber: u64| (RECEIVER, PORT_FIRST.saturating_add(subscriber as u16)).into();
    Ok(Ends { source: SENDER.into(), subscribers: (0..subscribers).map(to).collect(), sinks: Vec::new() })
}

fn up(device: &str, address: Ipv4Addr) -> Result<(), Failure> {
    ip(&format!("address add {address}/24 dev {device}"))?;
    ip(&format!("link set {device} up"))
}

/// Runs ip(8) in the network of this thread.
fn ip(arguments: &str) -> Result<(), Failure> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.or_fail("ip", "install iproute2, or measure on loopback only: --link loopback")?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::new(format!("ip {arguments}: {said}"), REMEDY))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::floor::{Floor, Part};

    #[test]
    fn every_link_carries_what_is_sent_over_it() {
        let links = if is_permitted() { NAMES } else { &NAMES[..1] };
        for link in links {
            let ns = on(link, 3, |ends| Floor::open(ends)?.measure(Part::Both, 4, 24)).unwrap();
            assert!(ns > 0.0, "{link}");
        }
    }
}
