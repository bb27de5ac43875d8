//! Starts the Node wrapper in `bench/peers/mediasoup`, for whoever has a working mediasoup worker.
#![forbid(unsafe_code)]

use reqwest::Url;

use super::build::peer_sources;
use super::server::{Launch, Scratch, Server, free_tcp_address};
use super::{Entrance, Peer, packages};
use crate::failure::{Failure, OrFail};
use crate::load::signalling::fetch;

/// Starts it, and finds its worker: the process that forwards.
pub(crate) fn start() -> Result<Server, Failure> {
    packages::ensure(Peer::Mediasoup, false)?;
    let sources = peer_sources("mediasoup")?;
    if !sources.join("node_modules/mediasoup").is_dir() {
        return Err(Failure::new(
            "the mediasoup package is not installed",
            format!("npm install --prefix {} (it downloads or builds a worker)", sources.display()),
        ));
    }
    let listen = free_tcp_address()?;
    let node =
        ["/usr/bin/node", "/usr/local/bin/node"].into_iter().find(|path| std::path::Path::new(path).exists());
    let launch = Launch {
        program: node.unwrap_or("node").into(),
        arguments: vec![sources.join("server.mjs").display().to_string()],
        environment: vec![("LISTEN".to_owned(), listen.to_string())],
        listen,
        dir: Scratch::new()?,
    };
    let base = format!("http://{listen}");
    let entrance = Entrance::whip(format!("{base}/whip/{{room}}"), format!("{base}/whep/{{room}}"), true)
        .expect("an address makes a URL");
    let mut server = Server::start(launch, entrance)?;
    let url = Url::parse(&format!("{base}/worker")).expect("an address makes a URL");
    let pid = fetch(&url)?;
    server.pid = Some(pid.trim().parse().or_fail("the worker's process id", "")?);
    Ok(server)
}
