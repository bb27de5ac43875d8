//! Starts everything in the right order, and stops it in the reverse one.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::command::Command;
use dataplane::limits::TRANSPORTS_PER_SHARD_MAX;
use dataplane::shard::ShardHandle;
use dataplane::shard::backend::IoSettings;
use dataplane::transport::negotiate::{NegotiateError, Negotiator};
use tokio::task::JoinHandle;

use crate::api::rate::RateLimit;
use crate::api::{self, App};
use crate::config::Config;
use crate::host::Host;
use crate::limits::{
    PENDING_SHARE, SHUTDOWN_REQUESTS, SHUTDOWN_SESSIONS, SHUTDOWN_SHARDS, SHUTDOWN_WORD_INTERVAL,
};
use crate::listener::{Serving, serve};
use crate::metrics::{Exposition, Metrics};
use crate::service::Service;
use crate::service::candidates::candidates;
use crate::service::rooms::Policy;
use crate::service::status::Surroundings;
use crate::shards::{Plan, ShardStartError, Shards, StartShard};
use crate::tls::{Reloading, TlsError, identity};
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
    #[error("{setting} = {address} cannot be served: {source}")]
    Listen {
        /// The setting that named it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What to do about it.
        remedy: String,
        #[source]
        /// Why.
        source: std::io::Error,
    },
}

impl StartError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Host(_) => "sluice needs /proc and netlink: see `sluice doctor`".to_owned(),
            Self::Tls(error) => error.remedy(),
            Self::Negotiator(_) => "this is a fault of sluice: report it with this message".to_owned(),
            Self::Shard(error) => error.remedy.clone(),
            Self::Listen { remedy, .. } => remedy.clone(),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where HTTP is served, with the port that the kernel chose.
    pub http: SocketAddr,
    /// Where `/metrics` is served, if not there.
    pub metrics: Option<SocketAddr>,
    /// The certificate of HTTPS.
    pub certificate: Option<Arc<Reloading>>,
    /// The shards.
    pub shards: Arc<Shards>,
    /// The candidates of each shard.
    pub candidates: Vec<Vec<SocketAddr>>,
    /// What was found on this machine.
    pub host: Host,
    /// Rooms and sessions.
    pub service: Arc<Service>,
    metrics_of: Arc<Metrics>,
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
    let certificate = identity.as_ref().map(|identity| Arc::new(Reloading::new(identity)));
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
        metrics: Arc::clone(&metrics),
        auth: config.auth.clone(),
        origins: config.cors_origins.clone(),
        rate: Arc::clone(&rate),
        surroundings: Arc::new(Surroundings {
            started,
            host: host.clone(),
            warnings: report::findings(&config, &shards, &host, &candidates),
        }),
    };
    let listeners = match listen(&config, app, certificate.as_deref()) {
        Ok(listeners) => listeners,
        Err(error) => {
            shards.stop();
            return Err(error);
        }
    };
    let mut tasks = vec![
        tokio::spawn(events::pump(Arc::clone(&service), bell)),
        tokio::spawn(events::watch(Arc::clone(&service))),
        tokio::spawn(events::keep_house(Arc::clone(&service), rate)),
    ];
    if let Some(certificate) = &certificate {
        metrics.certificate_ends(certificate.certificate().not_after);
        tasks.push(tokio::spawn(events::keep_certificate(Arc::clone(certificate), Arc::clone(&metrics))));
    }
    Ok(Running {
        http: listeners[0].address,
        metrics: listeners.get(1).map(|listener| listener.address),
        certificate,
        metrics_of: metrics,
        shards,
        candidates,
        host,
        service,
        listeners,
        tasks,
    })
}

/// The main listener first, then that of the metrics, if it has its own.
fn listen(config: &Config, app: App, certificate: Option<&Reloading>) -> Result<Vec<Serving>, StartError> {
    let is_local = config.http_listen.ip().is_loopback();
    let tls = certificate.map(Reloading::serving);
    let bind = |setting, address, router, tls| {
        serve(address, router, tls).map_err(|source| {
            let remedy = remedy(setting, address, &source);
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

fn remedy(setting: &str, address: SocketAddr, error: &std::io::Error) -> String {
    let variable = format!("SLUICE_{}", setting.to_ascii_uppercase());
    match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "`ss -ltnp 'sport = :{}'` names the program that has the port, perhaps another Sluice: stop it, or \
             set {variable}",
            address.port()
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address: set {variable} to one that `ip -brief address` lists")
        }
        std::io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 are reserved: set {variable} to a higher one, or `setcap \
             cap_net_bind_service=+ep` the program"
        ),
        _ => format!("set {variable} to another address"),
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
        io: IoSettings { choice: config.io, has_zero_copy: config.io_zero_copy },
        is_spread: config.room_spread,
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
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let ip = match self.http.ip() {
            ip if ip.is_unspecified() => self.host.addresses().into_iter().find(is_reachable).unwrap_or(ip),
            ip => ip,
        };
        format!("{scheme}://{}/", SocketAddr::new(ip, self.http.port()))
    }

    /// Reads the certificate again, if there is one, and says what came of it. `false` if there is none.
    pub async fn reload_certificate(&self) -> bool {
        let Some(certificate) = self.certificate.clone() else { return false };
        if let Ok(outcome) = tokio::task::spawn_blocking(move || certificate.reload()).await {
            events::say_reload(&outcome, &self.metrics_of);
        }
        true
    }

    /// Stops: no new sessions, goodbye to all that are there (RTCP BYE, DTLS close_notify), then the
    /// threads. Within [`SHUTDOWN_MAX`](crate::limits::SHUTDOWN_MAX). `progress` is told each step, and what a long one waits for.
    pub async fn shutdown(self, progress: impl Fn(&str)) {
        let began = tokio::time::Instant::now();
        self.service.stop_accepting();
        for listener in &self.listeners {
            listener.handle.graceful_shutdown(Some(SHUTDOWN_REQUESTS));
        }
        match self.shards.transport_count() {
            0 => progress("stopping: no new sessions are taken, and none are open"),
            count => {
                progress(&format!("stopping: no new sessions are taken, {count} open ones are told goodbye"))
            }
        }
        self.say_goodbye(&progress).await;
        self.tasks.iter().for_each(JoinHandle::abort);
        let shards = Arc::clone(&self.shards);
        let stopping = tokio::task::spawn_blocking(move || shards.stop());
        if tokio::time::timeout(SHUTDOWN_SHARDS, stopping).await.is_err() {
            progress("a shard did not stop in time, and is left behind");
        }
        for listener in self.listeners {
            let open = listener.handle.connection_count();
            if open > 0 {
                progress(&format!("{open} HTTP connections on {} are closed", listener.address));
            }
            listener.handle.shutdown();
            let _ = tokio::time::timeout(SHUTDOWN_REQUESTS, listener.task).await;
        }
        progress(&format!("stopped after {} ms", began.elapsed().as_millis()));
    }

    async fn say_goodbye(&self, progress: &impl Fn(&str)) {
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
                progress(&format!("shard {} cannot be told: {error}", shard.0));
            }
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN_SESSIONS;
        let mut next_word = tokio::time::Instant::now() + SHUTDOWN_WORD_INTERVAL;
        while self.shards.transport_count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if tokio::time::Instant::now() >= next_word {
                next_word += SHUTDOWN_WORD_INTERVAL;
                progress(&format!(
                    "waiting for {} sessions to end, at most {:.0} s more; a second signal stops at once",
                    self.shards.transport_count(),
                    (deadline - tokio::time::Instant::now()).as_secs_f32().ceil()
                ));
            }
        }
    }
}

fn is_reachable(ip: &IpAddr) -> bool {
    ip.is_ipv4() && !ip.is_loopback()
}
