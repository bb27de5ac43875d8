//! Starts everything in the right order, and stops it in the reverse one.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::command::Command;
use dataplane::limits::TRANSPORTS_PER_SHARD_MAX;
use dataplane::shard::ShardHandle;
use dataplane::transport::negotiate::{NegotiateError, Negotiator};
use tokio::task::JoinHandle;

use crate::api::rate::RateLimit;
use crate::api::{self, App};
use crate::config::Config;
use crate::host::Host;
use crate::limits::{PENDING_SHARE, SHUTDOWN_REQUESTS, SHUTDOWN_SESSIONS, SHUTDOWN_SHARDS};
use crate::listener::{Serving, serve};
use crate::metrics::{Exposition, Metrics};
use crate::service::Service;
use crate::service::candidates::candidates;
use crate::service::rooms::Policy;
use crate::service::status::Surroundings;
use crate::shards::{Plan, ShardStartError, Shards, StartShard};
use crate::tls::{Identity, TlsError, identity};
use crate::{events, host, report};

/// Why the server cannot start. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This machine does not tell about itself.
    #[error("reading the interfaces of this machine: {0}")]
    Host(#[source] std::io::Error),
    /// HTTPS.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The certificate or the DTLS configuration of media.
    #[error("preparing DTLS: {0}")]
    Negotiator(#[from] NegotiateError),
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardStartError),
    /// HTTP.
    #[error("cannot serve {setting} = {address}: {source}; {remedy}")]
    Listen {
        /// The setting that named it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do about it.
        remedy: &'static str,
        #[source]
        /// Why.
        source: std::io::Error,
    },
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where HTTP is served, with the port that the kernel chose.
    pub http: SocketAddr,
    /// Where `/metrics` is served, if not there.
    pub metrics: Option<SocketAddr>,
    /// The certificate of HTTPS.
    pub identity: Option<Identity>,
    /// The shards.
    pub shards: Arc<Shards>,
    /// The candidates of each shard.
    pub candidates: Vec<Vec<SocketAddr>>,
    /// What was found on this machine.
    pub host: Host,
    /// Rooms and sessions.
    pub service: Arc<Service>,
    listeners: Vec<Serving>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts the shards, then the service, then HTTP.
///
/// # Errors
///
/// If a port is taken, a certificate cannot be read, or the machine refuses otherwise. What was started
/// before is stopped again.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, ShardHandle::start).await
}

/// As [`start`], with shards of the caller's.
///
/// # Errors
///
/// Those of [`start`].
pub async fn start_with(config: Config, start_shard: StartShard) -> Result<Running, StartError> {
    let started = Instant::now();
    let host = host::look().map_err(StartError::Host)?;
    let identity = identity(&config, &host.addresses())?;
    let negotiator = Negotiator::new(Instant::now())?;
    let (wake, bell) = events::doorbell();
    let shards = Arc::new(Shards::start(&plan(&config, &host), &wake, start_shard)?);
    let is_local = config.http_listen.ip().is_loopback();
    let candidates: Vec<Vec<SocketAddr>> = shards
        .iter()
        .map(|shard| candidates(&config.rtc_announced, &host.addresses(), shard.local_addresses(), is_local))
        .collect();
    let metrics = Arc::new(Metrics::default());
    let service = Arc::new(Service::new(
        Arc::clone(&shards),
        negotiator,
        policy(&config, shards.count()),
        candidates.clone(),
        Arc::clone(&metrics),
    ));
    let rate = Arc::new(RateLimit::new(
        config.rate_limit_per_second,
        config.rate_limit_burst,
        config.rate_limit_exempt.clone(),
    ));
    let app = App {
        service: Arc::clone(&service),
        exposition: Arc::new(Exposition::new(&metrics, Arc::clone(&service))),
        metrics,
        auth: config.auth.clone(),
        origins: config.cors_origins.clone(),
        rate: Arc::clone(&rate),
        surroundings: Arc::new(Surroundings {
            started,
            host: host.clone(),
            warnings: report::findings(&config, &shards, &host, &candidates),
        }),
    };
    let listeners = match listen(&config, app, identity.as_ref()) {
        Ok(listeners) => listeners,
        Err(error) => {
            shards.stop();
            return Err(error);
        }
    };
    let tasks = vec![
        tokio::spawn(events::pump(Arc::clone(&service), bell)),
        tokio::spawn(events::watch(Arc::clone(&service))),
        tokio::spawn(events::keep_house(Arc::clone(&service), rate)),
    ];
    Ok(Running {
        http: listeners[0].address,
        metrics: listeners.get(1).map(|listener| listener.address),
        identity,
        shards,
        candidates,
        host,
        service,
        listeners,
        tasks,
    })
}

/// The main listener first, then that of the metrics, if it has its own.
fn listen(config: &Config, app: App, identity: Option<&Identity>) -> Result<Vec<Serving>, StartError> {
    let is_local = config.http_listen.ip().is_loopback();
    let tls = identity.map(|identity| Arc::clone(&identity.server));
    let bind = |setting, address, router, tls| {
        serve(address, router, tls).map_err(|source| {
            let remedy = remedy(&source);
            StartError::Listen { setting, address, remedy, source }
        })
    };
    let router = api::router(app.clone(), is_local);
    let mut listeners = vec![bind("http_listen", config.http_listen, router, tls)?];
    if !is_local {
        match bind("metrics_listen", config.metrics_listen, api::metrics_router(app), None) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                listeners.iter().for_each(|listener| listener.handle.shutdown());
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program, perhaps another Sluice, has the port: stop it, or choose another port"
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine has no such address: choose one it has",
        std::io::ErrorKind::PermissionDenied => "ports below 1024 are reserved: choose a higher one",
        _ => "choose another address",
    }
}

/// One shard per core, pinned, unless the settings say otherwise: with another number the kernel knows
/// better where threads go.
fn plan(config: &Config, host: &Host) -> Plan {
    let count = config.shards.unwrap_or(host.cpus.len()).max(1);
    let is_one_per_cpu = count == host.cpus.len() && count > 1;
    Plan {
        count,
        listen: config.rtc_listen.clone(),
        port: config.rtc_port,
        cpus: if is_one_per_cpu { host.cpus.clone() } else { Vec::new() },
    }
}

fn policy(config: &Config, shard_count: usize) -> Policy {
    Policy {
        second_publisher: config.second_publisher,
        without_publisher: config.whep_without_publisher,
        publishers_max: config.publishers_max,
        subscribers_max: config.subscribers_max,
        subscribers_per_room_max: config.subscribers_per_room_max,
        pending_max: TRANSPORTS_PER_SHARD_MAX * shard_count / PENDING_SHARE,
        linger: Duration::from_secs(config.room_linger_seconds as u64),
    }
}

impl Running {
    /// The address to open in a browser.
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        let ip = match self.http.ip() {
            ip if ip.is_unspecified() => self.host.addresses().into_iter().find(is_reachable).unwrap_or(ip),
            ip => ip,
        };
        format!("{scheme}://{}/", SocketAddr::new(ip, self.http.port()))
    }

    /// Stops: no new sessions, goodbye to all that are there (RTCP BYE, DTLS close_notify), then the
    /// threads. Within 5 s. `progress` is told each step.
    pub async fn shutdown(self, progress: impl Fn(&str)) {
        progress("no new sessions are taken");
        self.service.stop_accepting();
        for listener in &self.listeners {
            listener.handle.graceful_shutdown(Some(SHUTDOWN_REQUESTS));
        }
        let count = self.shards.transport_count();
        progress(&format!("saying goodbye to {count} sessions"));
        let told: Vec<_> = self
            .shards
            .iter()
            .map(|shard| (shard.id(), self.shards.send(shard.id(), Command::CloseAll)))
            .collect();
        for (shard, sent) in told {
            let answer = match sent {
                Ok(pending) => pending.reply().await,
                Err(error) => Err(error),
            };
            if let Err(error) = answer {
                progress(&format!("shard {}: {error}", shard.0));
            }
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN_SESSIONS;
        while self.shards.transport_count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        progress("stopping the shards");
        self.tasks.iter().for_each(JoinHandle::abort);
        let shards = Arc::clone(&self.shards);
        let stopping = tokio::task::spawn_blocking(move || shards.stop());
        if tokio::time::timeout(SHUTDOWN_SHARDS, stopping).await.is_err() {
            progress("a shard did not stop in time");
        }
        for listener in self.listeners {
            listener.handle.shutdown();
            let _ = tokio::time::timeout(SHUTDOWN_REQUESTS, listener.task).await;
        }
        progress("stopped");
    }
}

fn is_reachable(ip: &IpAddr) -> bool {
    ip.is_ipv4() && !ip.is_loopback()
}
