//! Starts the Janus of the distribution with its VideoRoom and nothing else, from a configuration of our own.
#![forbid(unsafe_code)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::server::{Launch, Scratch, Server, free_tcp_address};
use super::{Entrance, packages};
use crate::failure::{Failure, OrFail};
use crate::load::local_ip_towards;

/// Where distributions and `make install` put plugins and transports.
const LIBRARY_FOLDERS: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/janus",
    "/usr/lib/aarch64-linux-gnu/janus",
    "/usr/lib/janus",
    "/usr/local/lib/janus",
    "/opt/janus/lib/janus",
];

/// Starts it.
pub(crate) fn start() -> Result<Server, Failure> {
    packages::ensure(super::Peer::Janus, false)?;
    let dir = Scratch::new()?;
    let listen = free_tcp_address()?;
    let ip = own_address()?;
    write_configuration(dir.path(), listen.port(), ip).or_fail("the configuration of Janus", "")?;
    let program =
        ["/usr/bin/janus", "/usr/local/bin/janus"].into_iter().find(|path| Path::new(path).exists());
    let at = dir.path().display();
    // The folder is taken from the command line only: that in the file does not hold for plugins.
    let arguments = vec![format!("--config={at}/janus.jcfg"), format!("--configs-folder={at}")];
    let launch = Launch {
        program: program.unwrap_or("/opt/janus/bin/janus").into(),
        arguments,
        environment: Vec::new(),
        listen,
        dir,
    };
    let entrance = Entrance::janus(format!("http://{listen}/janus"), None).expect("an address makes a URL");
    let mut server = Server::start(launch, entrance)?;
    // Janus has no candidate on the loopback interface. Packets between two addresses of one machine pass
    // over loopback all the same.
    server.client_ip = Some(ip.into());
    Ok(server)
}

/// Where the clients of a Janus that runs have to bind, if it is on this machine: it takes no candidates on
/// the loopback interface either.
pub(crate) fn client_ip(entrance: &Entrance) -> Result<Option<IpAddr>, Failure> {
    let Entrance::Janus { api, .. } = entrance else { return Ok(None) };
    match local_ip_towards(api)?.is_loopback() {
        true => own_address().map(|ip| Some(ip.into())),
        false => Ok(None),
    }
}

fn write_configuration(dir: &Path, port: u16, ip: Ipv4Addr) -> std::io::Result<()> {
    let folders = LIBRARY_FOLDERS.iter().map(PathBuf::from);
    let libraries = folders.into_iter().find(|folder| folder.is_dir());
    let libraries = libraries.ok_or_else(|| std::io::Error::other("its plugins are not found"))?;
    for (kind, library) in [("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_http.so")] {
        fs::create_dir(dir.join(kind))?;
        symlink(libraries.join(kind).join(library), dir.join(kind).join(library))?;
    }
    for empty in ["events", "loggers"] {
        fs::create_dir(dir.join(empty))?;
    }
    let at = dir.display();
    let general = format!(
        "general: {{\n  plugins_folder = \"{at}/plugins\"\n  \
         transports_folder = \"{at}/transports\"\n  events_folder = \"{at}/events\"\n  \
         loggers_folder = \"{at}/loggers\"\n  debug_level = 3\n  session_timeout = 0\n}}\n\
         nat: {{\n  ice_enforce_list = \"{ip}\"\n}}\n"
    );
    fs::write(dir.join("janus.jcfg"), general)?;
    let http = format!(
        "general: {{\n  json = \"compact\"\n  base_path = \"/janus\"\n  http = true\n  port = {port}\n  \
         ip = \"127.0.0.1\"\n  https = false\n}}\nadmin: {{\n  admin_http = false\n}}\n"
    );
    fs::write(dir.join("janus.transport.http.jcfg"), http)?;
    fs::write(dir.join("janus.plugin.videoroom.jcfg"), "general: {\n}\n")
}

/// An address of this machine that is not loopback.
fn own_address() -> Result<Ipv4Addr, Failure> {
    let remedy = "give the machine an IPv4 address besides loopback: Janus makes no candidates without one";
    let trie = fs::read_to_string("/proc/thread-self/net/fib_trie")
        .or_fail("/proc/thread-self/net/fib_trie", remedy)?;
    local_addresses(&trie)
        .find(|ip| !ip.is_loopback())
        .ok_or_else(|| Failure::new("this machine has no IPv4 address besides loopback", remedy))
}

/// The addresses that the kernel takes packets for: `|-- 192.0.2.2` with `/32 host LOCAL` below it.
fn local_addresses(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    trie.lines().zip(trie.lines().skip(1)).filter_map(|(address, kind)| {
        let is_local = kind.trim() == "/32 host LOCAL";
        is_local.then(|| address.trim().strip_prefix("|-- ")?.parse::<IpAddr>().ok()).flatten().and_then(
            |ip| match ip {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_its_networks() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                    +-- 127.0.0.0/8 2 0 2\n           |-- 127.0.0.1\n              /32 host LOCAL\n        \
                    |-- 192.0.2.2\n           /32 host LOCAL\n        |-- 192.0.2.255\n           \
                    /32 link BROADCAST\n";
        let found: Vec<String> = local_addresses(trie).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["127.0.0.1", "192.0.2.2"]);
    }
}
