//! Starts targets, after making sure that they can be started.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::build::Binaries;
use super::server::{Launch, Scratch, Server, free_tcp_address, free_udp_ports};
use super::{Entrance, Peer, Target, janus, mediasoup, packages};
use crate::failure::Failure;

/// What may be done to have the servers at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Bring those that stand in this tree up to date.
    pub(crate) is_build_wanted: bool,
    /// Install packages of the distribution.
    pub(crate) is_install_wanted: bool,
}

/// Starts servers.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    binaries: Binaries,
}

impl Starter {
    /// Makes sure that all of `targets` can be started, before the first one is.
    pub(crate) fn prepare(targets: &[Target], wishes: Wishes) -> Result<Self, Failure> {
        let binaries = Binaries::find()?;
        for target in targets {
            if let Target::Peer(peer) = target {
                packages::ensure(*peer, wishes.is_install_wanted)?;
            }
        }
        binaries.prepare_rust(targets, wishes.is_build_wanted)?;
        if targets.contains(&Target::Peer(Peer::Pion)) {
            binaries.prepare_pion(wishes.is_build_wanted)?;
        }
        Ok(Self { binaries })
    }

    /// Where results go if nobody says where.
    pub(crate) fn results(&self) -> PathBuf {
        self.binaries.results()
    }

    /// The program of Sluice.
    pub(crate) fn sluice(&self) -> PathBuf {
        self.binaries.rust("sluice")
    }

    /// Starts `target` in the network of this thread, with media at `ip`.
    ///
    /// # Errors
    ///
    /// Also if it runs already, for then it is elsewhere.
    pub(crate) fn start_at(&self, target: &Target, ip: IpAddr) -> Result<Server, Failure> {
        let mut server = match target {
            Target::Peer(Peer::Str0mTokio) => start_whip(self.binaries.rust("str0m-tokio"), Some(ip))?,
            Target::Peer(Peer::Pion) => start_whip(self.binaries.pion(), Some(ip))?,
            Target::Sluice(_) | Target::Peer(Peer::Mediasoup) => self.start(target)?,
            Target::Peer(Peer::Janus) => {
                return Err(Failure::new(
                    "Janus gathers no candidates in a network without a card",
                    "take another server behind a link, such as --target sluice or --target pion",
                ));
            }
            Target::Running(_) => {
                return Err(Failure::new(
                    format!("{target} runs already, and links are laid in a network of their own"),
                    "take a server that the bench starts, such as --target sluice or --target pion",
                ));
            }
        };
        server.client_ip = Some(ip);
        Ok(server)
    }

    /// Starts `target`, or finds it.
    pub(crate) fn start(&self, target: &Target) -> Result<Server, Failure> {
        match target {
            Target::Running(running) => {
                let mut server = Server::running(running);
                server.client_ip = janus::client_ip(&running.entrance)?;
                Ok(server)
            }
            Target::Sluice(settings) => self.start_sluice(settings),
            Target::Peer(Peer::Str0mTokio) => start_whip(self.binaries.rust("str0m-tokio"), None),
            Target::Peer(Peer::Pion) => start_whip(self.binaries.pion(), None),
            Target::Peer(Peer::Janus) => janus::start(),
            Target::Peer(Peer::Mediasoup) => mediasoup::start(),
        }
    }

    /// One shard unless the settings say otherwise; ports and folder are ours, and so may be overridden too.
    fn start_sluice(&self, settings: &[(String, String)]) -> Result<Server, Failure> {
        let dir = Scratch::new()?;
        let listen = free_tcp_address()?;
        let shards = settings.iter().rev().find(|(name, _)| name == "SLUICE_SHARDS");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ports = match shards.map(|(_, value)| value.as_str()) {
            None => 1,
            Some(value) => value.parse().unwrap_or(cores as u16),
        };
        let mut environment = vec![
            ("SLUICE_HTTP_LISTEN".to_owned(), listen.to_string()),
            ("SLUICE_RTC_PORT".to_owned(), free_udp_ports(ports)?.to_string()),
            ("SLUICE_SHARDS".to_owned(), "1".to_owned()),
            ("SLUICE_DATA_DIR".to_owned(), dir.path().join("data").display().to_string()),
        ];
        environment.extend_from_slice(settings);
        let launch =
            Launch { program: self.binaries.rust("sluice"), arguments: Vec::new(), environment, listen, dir };
        let mut server = Server::start(launch, entrance_at(listen))?;
        server.metrics = Url::parse(&format!("http://{listen}/metrics")).ok();
        Ok(server)
    }
}

/// Starts a server that takes `--http ADDRESS` and `--ip ADDRESS` and serves `/whip/{room}` and `/whep/{room}`.
fn start_whip(program: PathBuf, ip: Option<IpAddr>) -> Result<Server, Failure> {
    let listen = free_tcp_address()?;
    let mut arguments = vec!["--http".to_owned(), listen.to_string()];
    arguments.extend(ip.into_iter().flat_map(|ip| ["--ip".to_owned(), ip.to_string()]));
    let launch = Launch { program, arguments, environment: Vec::new(), listen, dir: Scratch::new()? };
    Server::start(launch, entrance_at(listen))
}

fn entrance_at(listen: std::net::SocketAddr) -> Entrance {
    let url = |path| format!("http://{listen}/{path}/{{room}}");
    Entrance::whip(url("whip"), url("whep"), false).expect("an address makes a URL")
}
