//! The servers that are measured: what they are called, and how clients come in to them.
//!
//! A target knows nothing of scenarios. A server that we start gets free ports and a process group of its
//! own, is found by its process id, and is ended by it.

mod build;
mod entrance;
mod janus;
mod mediasoup;
mod packages;
mod server;
mod starter;

use std::fmt;
use std::str::FromStr;

pub(crate) use entrance::Entrance;
pub(crate) use server::{Scratch, Server};
pub(crate) use starter::{Starter, Wishes};

/// A server to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Sluice itself, started by us with these environment variables.
    Sluice(Vec<(String, String)>),
    /// A peer that is started by us.
    Peer(Peer),
    /// A server that runs already.
    Running(Running),
}

/// What we know how to start beside Sluice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `bench/peers/str0m-tokio`.
    Str0mTokio,
    /// `bench/peers/pion`.
    Pion,
    /// Janus of the distribution, with its VideoRoom.
    Janus,
    /// `bench/peers/mediasoup`.
    Mediasoup,
}

/// A server that somebody else has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// How clients come in.
    pub(crate) entrance: Entrance,
    /// Its process on this machine. Without it CPU and memory stay unknown.
    pub(crate) pid: Option<u32>,
}

/// What `--target` takes.
pub(crate) const ALLOWED: &str = "\
sluice, sluice:SLUICE_IO=mmsg,SLUICE_SHARDS=2 (any setting), str0m-tokio, pion, janus, mediasoup, \
whip:URL,whep:URL, janus:URL, mediasoup:URL; those with a URL also take ,pid:N";

impl Target {
    /// The same, with settings that a scenario needs of a Sluice that is started by us; its own come after them.
    pub(crate) fn with_settings(&self, mut settings: Vec<(String, String)>) -> Self {
        match self {
            Self::Sluice(own) => {
                settings.extend_from_slice(own);
                Self::Sluice(settings)
            }
            Self::Peer(_) | Self::Running(_) => self.clone(),
        }
    }
}

const PEERS: [(&str, Peer); 4] = [
    ("str0m-tokio", Peer::Str0mTokio),
    ("pion", Peer::Pion),
    ("janus", Peer::Janus),
    ("mediasoup", Peer::Mediasoup),
];

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, peer)) = PEERS.iter().find(|(name, _)| *name == text) {
            return Ok(Self::Peer(*peer));
        }
        match text.split_once(':') {
            None if text == "sluice" => Ok(Self::Sluice(Vec::new())),
            Some(("sluice", settings)) => parse_settings(settings).map(Self::Sluice),
            Some(_) => parse_running(text).map(Self::Running),
            None => Err(format!("{text:?} is no target; allowed are {ALLOWED}")),
        }
    }
}

/// `SLUICE_A=1,SLUICE_B=2`. A part without `=` belongs to the value before it, which is a list.
fn parse_settings(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for part in text.split(',') {
        match part.split_once('=') {
            Some((name, value)) if name.starts_with("SLUICE_") => {
                settings.push((name.to_owned(), value.to_owned()));
            }
            Some((name, _)) => {
                return Err(format!("{name:?} is no setting of Sluice: they begin with SLUICE_"));
            }
            None => match settings.last_mut() {
                Some((_, value)) => *value += &format!(",{part}"),
                None => return Err(format!("{part:?} is no setting: write sluice:SLUICE_NAME=VALUE")),
            },
        }
    }
    Ok(settings)
}

fn parse_running(text: &str) -> Result<Running, String> {
    let mut parts = Parts::default();
    for part in text.split(',') {
        if part == "publisher-first" {
            parts.is_publisher_first = true;
            continue;
        }
        let (name, value) = part.split_once(':').unwrap_or((part, ""));
        let number = || value.parse().map_err(|_| format!("{value:?} is not a number, in {part:?}"));
        match name {
            "whip" => parts.whip = Some(value.to_owned()),
            "whep" => parts.whep = Some(value.to_owned()),
            "janus" => parts.janus = Some(value.to_owned()),
            "mediasoup" => parts.mediasoup = Some(value.to_owned()),
            "room" => parts.room = Some(number()?),
            "pid" => {
                parts.pid = Some(u32::try_from(number()?).map_err(|_| format!("no process has {part:?}"))?)
            }
            _ => return Err(format!("{part:?} is not known; allowed are {ALLOWED}")),
        }
    }
    let pid = parts.pid;
    let entrance = match parts {
        Parts { whip: Some(whip), whep: Some(whep), janus: None, mediasoup: None, room: None, .. } => {
            Entrance::whip(whip, whep, parts.is_publisher_first)
        }
        Parts { janus: Some(api), whip: None, whep: None, mediasoup: None, room, .. } => {
            Entrance::janus(api, room)
        }
        Parts { mediasoup: Some(base), whip: None, whep: None, janus: None, room: None, .. } => {
            let base = base.trim_end_matches('/');
            Entrance::whip(format!("{base}/whip/{{room}}"), format!("{base}/whep/{{room}}"), true)
        }
        _ => return Err(format!("{text:?} does not name one server; allowed are {ALLOWED}")),
    }?;
    Ok(Running { entrance, pid })
}

/// What was said about a server that runs.
#[derive(Default)]
struct Parts {
    whip: Option<String>,
    whep: Option<String>,
    janus: Option<String>,
    mediasoup: Option<String>,
    room: Option<u64>,
    pid: Option<u32>,
    is_publisher_first: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sluice(settings) if settings.is_empty() => f.pad("sluice"),
            Self::Sluice(settings) => {
                let settings: Vec<String> =
                    settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                f.pad(&format!("sluice:{}", settings.join(",")))
            }
            Self::Peer(peer) => {
                let name = PEERS.iter().find(|(_, known)| known == peer).map_or("", |(name, _)| name);
                f.pad(name)
            }
            Self::Running(running) => f.pad(&running.entrance.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_running_server_is_named_by_both_its_urls() {
        let target: Target = "whip:http://h:1/whip/a,whep:http://h:1/whep/a,pid:7".parse().unwrap();
        let Target::Running(running) = &target else { panic!("{target:?}") };
        assert_eq!(running.pid, Some(7));
        assert_eq!(target.to_string(), "h:1");
        let janus: Target = "janus:http://h:8088/janus,room:1234".parse().unwrap();
        assert_eq!(janus.to_string(), "janus h:8088");
        let mediasoup: Target = "mediasoup:http://h:3000/".parse().unwrap();
        assert_eq!(mediasoup.to_string(), "h:3000");
    }

    #[test]
    fn sluice_takes_settings_and_a_list_stays_whole() {
        let target: Target = "sluice:SLUICE_IO=mmsg,SLUICE_RTC_LISTEN=127.0.0.1,::1".parse().unwrap();
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![setting("SLUICE_IO", "mmsg"), setting("SLUICE_RTC_LISTEN", "127.0.0.1,::1")];
        assert_eq!(target, Target::Sluice(expected));
        assert_eq!(target.to_string(), "sluice:SLUICE_IO=mmsg,SLUICE_RTC_LISTEN=127.0.0.1,::1");
    }

    #[test]
    fn what_is_not_a_target_is_refused_by_its_name() {
        for (wrong, part) in [
            ("", "allowed"),
            ("kurento", "kurento"),
            ("sluice:", "SLUICE_NAME"),
            ("sluice:IO=mmsg", "IO"),
            ("whip:http://h/", "allowed"),
            ("whip:x,whep:y", "\"x\""),
            ("whip:http://h/,whep:http://h/,pid:x", "pid:x"),
            ("whip:http://h/,whep:http://h/,pin:7", "pin:7"),
            ("janus:http://h/,whip:http://h/", "allowed"),
        ] {
            let error = wrong.parse::<Target>().unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
