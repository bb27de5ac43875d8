//! The servers that are measured: what they are called, and where they are reached.
//!
//! A target knows nothing of scenarios. A server that we start gets loopback ports of its own, is found by
//! its process id, and is ended by it.

mod build;
mod server;

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::failure::Failure;
pub(crate) use build::Binaries;
pub(crate) use server::Server;

/// A server to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Sluice itself, started by us.
    Sluice,
    /// The baseline in `bench/peers/str0m-tokio`, started by us.
    Str0mTokio,
    /// A server that runs already.
    Running(Endpoints),
}

/// Where a running server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Where the publisher posts its offer.
    pub(crate) whip: Url,
    /// Where subscribers post theirs.
    pub(crate) whep: Url,
    /// Its process on this machine. Without it CPU and memory stay unknown.
    pub(crate) pid: Option<u32>,
}

/// How the started servers are set.
#[derive(Clone, Debug)]
pub(crate) struct StartSettings {
    /// Shards of Sluice.
    pub(crate) shards: u16,
}

impl Target {
    /// The cargo package and the binary of a target that we start.
    fn program(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Sluice => Some(("controlplane", "sluice")),
            Self::Str0mTokio => Some(("str0m-tokio", "str0m-tokio")),
            Self::Running(_) => None,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sluice" => return Ok(Self::Sluice),
            "str0m-tokio" => return Ok(Self::Str0mTokio),
            _ => {}
        }
        let (mut whip, mut whep, mut pid) = (None, None, None);
        for part in text.split(',') {
            let (name, value) = part.split_once(':').unwrap_or((part, ""));
            let url = || Url::parse(value).map_err(|error| format!("{value:?} is not a URL: {error}"));
            match name {
                "whip" => whip = Some(url()?),
                "whep" => whep = Some(url()?),
                "pid" => pid = Some(value.parse().map_err(|_| format!("{value:?} is not a process id"))?),
                _ => return Err("allowed are sluice, str0m-tokio and whip:URL,whep:URL[,pid:N]".into()),
            }
        }
        match (whip, whep) {
            (Some(whip), Some(whep)) => Ok(Self::Running(Endpoints { whip, whep, pid })),
            _ => Err("a running server needs both whip:URL and whep:URL".into()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sluice => f.pad("sluice"),
            Self::Str0mTokio => f.pad("str0m-tokio"),
            Self::Running(endpoints) => {
                f.pad(&endpoints.whip.host_str().map_or_else(
                    String::new,
                    |host| match endpoints.whip.port() {
                        Some(port) => format!("{host}:{port}"),
                        None => host.to_owned(),
                    },
                ))
            }
        }
    }
}

/// Starts `target`, or finds it.
pub(crate) fn start(
    target: &Target,
    binaries: &Binaries,
    settings: &StartSettings,
) -> Result<Server, Failure> {
    match target {
        Target::Running(endpoints) => Ok(Server::running(endpoints.clone())),
        Target::Sluice => {
            let dir = server::scratch_dir()?;
            let listen = server::free_tcp_address()?;
            let environment = [
                ("SLUICE_HTTP_LISTEN", listen.to_string()),
                ("SLUICE_RTC_PORT", server::free_udp_ports(settings.shards)?.to_string()),
                ("SLUICE_SHARDS", settings.shards.to_string()),
                ("SLUICE_DATA_DIR", dir.join("data").display().to_string()),
            ];
            Server::spawn(&binaries.path("sluice"), &[], &environment, listen, dir)
        }
        Target::Str0mTokio => {
            let listen = server::free_tcp_address()?;
            let arguments = ["--http".to_owned(), listen.to_string()];
            Server::spawn(&binaries.path("str0m-tokio"), &arguments, &[], listen, server::scratch_dir()?)
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
        let Target::Running(endpoints) = &target else { panic!("{target:?}") };
        assert_eq!(endpoints.whep.as_str(), "http://h:1/whep/a");
        assert_eq!(endpoints.pid, Some(7));
        assert_eq!(target.to_string(), "h:1");
    }

    #[test]
    fn what_is_not_a_target_is_refused_with_what_is_allowed() {
        for wrong in ["", "janus", "whip:http://h/", "whip:x,whep:y", "whip:http://h/,whep:http://h/,pid:x"] {
            let error = wrong.parse::<Target>().unwrap_err();
            assert!(!error.is_empty(), "{wrong}");
        }
    }
}
