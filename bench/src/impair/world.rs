//! A network of its own for servers, and groups of clients that reach it over links of their own.
//!
//! ```text
//!            world                     group "a"
//!   server 198.18.0.1 -- TUN [ link ] TUN -- clients 198.19.0.1
//!                     -- TUN [ link ] TUN -- clients 198.19.0.2   group "b"
//! ```
//!
//! Addresses are of the network for tests of devices (RFC 2544, 198.18.0.0/15).
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Read, Seek};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Impairments;
use super::carrier::Carrier;
use super::figures::Figures;
use super::space::{REMEDY, Space, ip};
use super::system;
use crate::failure::{Failure, OrFail};

/// Where servers listen. All groups see it.
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Clients are above.
const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
/// Groups of one world over its life: each is a thread, two devices and some ten open files.
const GROUPS_MAX: u16 = 1000;
/// Packets that may wait in a device while the thread of the link is not running: 0.2 s of a gigabit.
const DEVICE_QUEUE_LEN: usize = 20_000;
/// The device in a group.
const CLIENT_DEVICE: &str = "link";

/// A network in which servers are started.
#[derive(Debug)]
pub(crate) struct World {
    space: Arc<Space>,
    groups: AtomicU16,
    /// Has the address of the servers while there is no group, and is no loopback, which some servers ignore.
    _anchor: File,
}

/// Clients behind one link. They share it: its rate is for all of them together.
#[derive(Debug)]
pub(crate) struct Group {
    address: Ipv4Addr,
    carrier: Carrier,
    client: Side,
    server: Side,
}

/// One end of a link.
#[derive(Debug)]
struct Side {
    space: Arc<Space>,
    device: String,
    /// /proc/net/dev of its network: who has opened it reads that one wherever he is.
    devices: File,
}

impl World {
    /// Makes one without groups.
    ///
    /// # Errors
    ///
    /// What is not permitted or not there, with the remedy.
    pub(crate) fn make() -> Result<Self, Failure> {
        let space = Arc::new(Space::make()?);
        let anchor = space.enter(|| {
            let anchor = open_tun("anchor")?;
            ip(&format!("address add {SERVER}/32 dev anchor\nlink set anchor up\n"))?;
            Ok(anchor)
        })??;
        Ok(Self { space, groups: AtomicU16::new(0), _anchor: anchor })
    }

    /// Where servers have to listen, and what they have to announce.
    pub(crate) fn address(&self) -> Ipv4Addr {
        SERVER
    }

    /// The servers' network.
    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    /// Calls `work` with the calling thread on the servers' side. Sockets that it opens, and processes and
    /// threads that it starts, stay there.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, Failure> {
        self.space.enter(work)
    }

    /// Makes a group of clients with a link to the servers, whose thread is called `name`. Equal seeds lose equal packets of equal traffic.
    pub(crate) fn group(&self, name: &str, links: Impairments, seed: u64) -> Result<Group, Failure> {
        let number = self.groups.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if number > GROUPS_MAX {
            let remedy = "let more clients share a group, or make another world";
            return Err(Failure::new(format!("a world has at most {GROUPS_MAX} groups"), remedy));
        }
        let address = Ipv4Addr::from(u32::from(CLIENTS) + u32::from(number));
        let (client, client_tun) =
            Side::lay(Arc::new(Space::make()?), CLIENT_DEVICE, address, self.address())?;
        // A browser looks for the way into the world to learn its own address.
        client.space.enter(|| ip(&format!("route add default dev {CLIENT_DEVICE}\n")))??;
        let device = format!("group{number}");
        let (server, server_tun) = Side::lay(self.space.clone(), &device, self.address(), address)?;
        let carrier = Carrier::start(name, client_tun, server_tun, links, seed)?;
        Ok(Group { address, carrier, client, server })
    }
}

impl Group {
    /// The clients' address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The servers' address: that of the world.
    pub(crate) fn server_address(&self) -> Ipv4Addr {
        SERVER
    }

    /// The clients' network.
    pub(super) fn space(&self) -> &Space {
        &self.client.space
    }

    /// Calls `work` with the calling thread among the clients. Sockets that it opens, and processes and
    /// threads that it starts, stay there.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, Failure> {
        self.client.space.enter(work)
    }

    /// From now on the link is another: capacity falls or rises, loss begins or ends.
    pub(crate) fn set(&self, links: Impairments) {
        self.carrier.set(links);
    }

    /// What the link has done so far, a few milliseconds ago at most while packets pass.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = self.carrier.figures();
        figures.health.overrun = [&self.client, &self.server].map(Side::overrun).iter().sum();
        figures
    }
}

impl Side {
    /// Lays a device into a network, whose kernel then sends over it what goes to `peer`.
    fn lay(space: Arc<Space>, device: &str, own: Ipv4Addr, peer: Ipv4Addr) -> Result<(Self, File), Failure> {
        let (tun, devices) = space.enter(|| {
            let tun = open_tun(device)?;
            ip(&format!(
                "address add {own} peer {peer} dev {device}\n\
                 link set dev {device} txqueuelen {DEVICE_QUEUE_LEN}\n\
                 link set dev {device} up\n"
            ))?;
            let devices = File::open("/proc/thread-self/net/dev").or_fail("/proc/net/dev", "mount /proc")?;
            Ok((tun, devices))
        })??;
        Ok((Self { space, device: device.to_owned(), devices }, tun))
    }

    /// Packets that the device has dropped because nobody read them.
    fn overrun(&self) -> u64 {
        let mut text = String::new();
        let read = (&self.devices).rewind().and_then(|()| (&self.devices).read_to_string(&mut text));
        match read {
            Ok(_) => dropped(&text, &self.device).unwrap_or(0),
            Err(_) => 0,
        }
    }
}

fn open_tun(name: &str) -> Result<File, Failure> {
    let missing = "/dev/net/tun is needed: modprobe tun, or start the container with --device /dev/net/tun \
                   --cap-add NET_ADMIN --cap-add SYS_ADMIN";
    system::open_tun(name).map_err(|error| {
        let remedy = if error.kind() == std::io::ErrorKind::NotFound {
            missing.to_owned()
        } else {
            format!("{REMEDY}; {missing}")
        };
        Failure::new(format!("a TUN device: {error}"), remedy)
    })
}

/// The dropped packets of what a device was to send: the fourth number of the second half of its line.
fn dropped(text: &str, device: &str) -> Option<u64> {
    let of_device =
        |line: &&str| line.trim_start().strip_prefix(device).is_some_and(|rest| rest.starts_with(':'));
    let line = text.lines().find(of_device)?;
    line.split_once(':')?.1.split_ascii_whitespace().nth(11)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_nobody_reads_in_time_is_counted() {
        let Ok(world) = World::make() else { return eprintln!("SKIPPED: no permission for a world") };
        let Ok((side, _tun)) = Side::lay(world.space.clone(), "unread", SERVER, CLIENTS) else {
            panic!("a world has room for a device");
        };
        let socket = world.enter(|| std::net::UdpSocket::bind((SERVER, 0))).unwrap().unwrap();
        for _ in 0..DEVICE_QUEUE_LEN + 100 {
            let _ = socket.send_to(&[0], (CLIENTS, 9));
        }
        assert!((1..=100).contains(&side.overrun()), "{}", side.overrun());
    }

    #[test]
    fn the_drops_of_a_device_are_those_of_its_own_line() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast\
                    |bytes packets errs drop fifo colls carrier compressed\n\
                    \x20   lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    group12: 0 0 0 0 0 0 0 0 0 0 0 99 0 0 0 0\n group1: 0 0 0 1 0 0 0 0 5 6 0 7 0 0 0 0\n";
        assert_eq!(
            [dropped(text, "group1"), dropped(text, "lo"), dropped(text, "link")],
            [Some(7), Some(12), None]
        );
    }
}
