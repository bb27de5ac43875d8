//! Tells systemd how far the process is (sd_notify(3)): a datagram to the socket that it names. Without
//! systemd nothing is sent, and a failure to send is no reason to stop.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A line to the service manager, if there is one.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment names it: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` unless it is meant for another
    /// process (`WATCHDOG_PID`).
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let is_for_us = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").and_then(|time| time.parse().ok()).filter(|_| is_for_us);
        Self { socket, watchdog: watchdog.filter(|time| *time > 0).map(Duration::from_micros) }
    }

    /// How often [`Manager::alive`] has to be said: twice as often as it is waited for.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some()).map(|time| time / 2)
    }

    /// Sessions are taken.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// A stop has begun, and may take so long.
    pub fn stopping(&self, within: Duration) {
        let extend = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
        self.say(&format!("STOPPING=1\nSTATUS=saying goodbye to sessions\n{extend}"));
    }

    /// The process still does its work.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// A path, or a name in the abstract namespace, written with `@`.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_said_arrives_in_the_format_of_sd_notify() {
        let name = format!("@sluice-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        let socket = connect(OsStr::new(&name)).unwrap();
        let manager = Manager { socket: Some(socket), watchdog: Some(Duration::from_secs(4)) };
        assert_eq!(manager.watchdog_interval(), Some(Duration::from_secs(2)));
        let mut buffer = [0; 256];
        manager.ready("http://127.0.0.1:8080/");
        let len = listening.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"READY=1\nSTATUS=http://127.0.0.1:8080/");
        manager.alive();
        let len = listening.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"WATCHDOG=1");
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        let manager = Manager { socket: None, watchdog: Some(Duration::from_secs(4)) };
        assert_eq!(manager.watchdog_interval(), None);
        manager.stopping(Duration::from_secs(5));
    }
}
