//! The shards of this process: starts them, tells them things, and stops them.
//!
//! Knows nothing of rooms. A call never waits for a place in a mailbox and never longer than
//! [`CALL_TIMEOUT`] for an answer: whatever a shard does, HTTP goes on. A shard that hangs or has ended is
//! found, said aloud once, and gets no new rooms.
#![forbid(unsafe_code)]

mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{fmt, io};

use dataplane::command::{Command, Refusal, Reply};
use dataplane::id::{ShardId, TransportId};
use dataplane::limits::MESH_SHARDS_MAX;
use dataplane::shard::backend::IoSettings;
use dataplane::shard::{ShardConfig, ShardHandle, ShardMesh, Wake};
use dataplane::udp::system::EventFd;

use tokio::time::Instant;

use crate::limits::CALL_TIMEOUT;
use crate::random;
use watch::Watch;

/// Why a shard gave no answer, or not the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Its mailbox is full.
    #[error("the shard is overloaded")]
    Overloaded,
    /// It did not answer in time; whether the command was applied is not known.
    #[error("the shard did not answer in time")]
    TimedOut,
    /// Its thread is gone.
    #[error("the shard has stopped")]
    Gone,
    /// It refused, and nothing was changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

/// A command that is in the mailbox; its answer is still to come.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    answer: futures_channel::oneshot::Receiver<Reply>,
    deadline: Instant,
}

impl Pending {
    /// Waits for the answer, until [`CALL_TIMEOUT`] after the command was sent.
    ///
    /// # Errors
    ///
    /// [`CallError::TimedOut`], [`CallError::Gone`] or what the shard refused.
    pub async fn reply(self) -> Result<Reply, CallError> {
        match tokio::time::timeout_at(self.deadline, self.answer).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(Err(_)) => Err(CallError::Gone),
            Ok(Ok(Reply::Refused(refusal))) => Err(CallError::Refused(refusal)),
            Ok(Ok(reply)) => Ok(reply),
        }
    }
}

/// What a shard is asked for at start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many shards.
    pub count: usize,
    /// The addresses that each binds.
    pub listen: Vec<IpAddr>,
    /// The UDP port of the first; 0 lets the kernel choose for each.
    pub port: u16,
    /// CPUs to pin the threads to, in order; empty: none is pinned.
    pub cpus: Vec<usize>,
    /// What moves their datagrams.
    pub io: IoSettings,
    /// Whether rooms may be spread over them, if they are neither too few nor too many for it.
    pub is_spread: bool,
}

/// A shard could not be started.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} cannot receive media on UDP port {port}: {source}")]
pub struct ShardStartError {
    /// Which one.
    pub shard: usize,
    /// On which port.
    pub port: u16,
    /// What to do about it.
    pub remedy: String,
    #[source]
    source: io::Error,
}

/// All shards, in the order of their ids.
pub struct Shards {
    handles: Vec<ShardHandle>,
    /// What is known of each, in the same order.
    watches: Vec<Watch>,
    /// Whether they can hand tracks to each other.
    are_meshed: bool,
    is_stopped: AtomicBool,
}

/// Starts one shard: [`ShardHandle::start`], or what a test puts in its place.
pub type StartShard = fn(ShardConfig, Wake) -> io::Result<ShardHandle>;

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shards({})", self.handles.len())
    }
}

impl Shards {
    /// Binds the sockets and starts the threads; `wake` is called when an event waits.
    ///
    /// # Errors
    ///
    /// If a socket cannot be bound. The shards that were started are stopped again.
    pub fn start(plan: &Plan, wake: &Wake, start: StartShard) -> Result<Self, ShardStartError> {
        let mesh = mesh(plan)?;
        let mut handles: Vec<ShardHandle> = Vec::with_capacity(plan.count);
        for index in 0..plan.count {
            let port = port_of(plan, index).inspect_err(|_| handles.iter().for_each(ShardHandle::stop))?;
            let config = ShardConfig {
                id: ShardId(index as u16),
                listen: plan.listen.clone(),
                port,
                cpu: plan.cpus.get(index).copied(),
                seed: u64::from_ne_bytes(random::bytes()),
                io: plan.io,
                mesh: mesh.clone(),
            };
            match start(config, Arc::clone(wake)) {
                Ok(handle) => handles.push(handle),
                Err(source) => {
                    handles.iter().for_each(ShardHandle::stop);
                    let remedy = remedy(&source, port);
                    return Err(ShardStartError { shard: index, port, remedy, source });
                }
            }
        }
        let watches = handles.iter().map(|_| Watch::default()).collect();
        Ok(Self { handles, watches, are_meshed: mesh.is_some(), is_stopped: AtomicBool::new(false) })
    }

    /// Every shard.
    pub fn iter(&self) -> impl Iterator<Item = &ShardHandle> {
        self.handles.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The running shard with the fewest transports, the first of equals: where the next room goes. A shard
    /// that hangs is taken only if all do.
    ///
    /// # Errors
    ///
    /// [`CallError::Gone`] if no shard runs.
    pub fn least_loaded(&self) -> Result<ShardId, CallError> {
        let stalled = self.stalled();
        let running = self.handles.iter().filter(|shard| shard.is_running());
        let least = running
            .min_by_key(|shard| (stalled.contains(&shard.id()), shard.counters().transports.load(Relaxed)));
        least.map(ShardHandle::id).ok_or(CallError::Gone)
    }

    /// The shards that a viewer may go to, whatever shard its room is on: those that run and do not hang. None if
    /// rooms are not spread.
    pub fn for_viewers(&self) -> Vec<ShardId> {
        if !self.are_meshed {
            return Vec::new();
        }
        let stalled = self.stalled();
        let running = self.handles.iter().filter(|shard| shard.is_running()).map(ShardHandle::id);
        running.filter(|shard| !stalled.contains(shard)).collect()
    }

    /// Whether rooms are spread over the shards.
    pub fn are_meshed(&self) -> bool {
        self.are_meshed
    }

    /// The addresses that a shard has bound.
    pub fn addresses(&self, shard: ShardId) -> &[SocketAddr] {
        self.handles.get(usize::from(shard.0)).map_or(&[], ShardHandle::local_addresses)
    }

    /// Puts a command into the mailbox of a shard: never waits. Commands are applied in this order.
    ///
    /// # Errors
    ///
    /// [`CallError::Overloaded`] if the mailbox is full, [`CallError::Gone`] if there is no such shard.
    pub fn send(&self, shard: ShardId, command: Command) -> Result<Pending, CallError> {
        let handle = self.handles.get(usize::from(shard.0)).ok_or(CallError::Gone)?;
        if self.is_stopped.load(Relaxed) {
            return Err(CallError::Gone);
        }
        let deadline = Instant::now() + CALL_TIMEOUT;
        let sent = handle.try_call(command).map_err(|_| CallError::Overloaded)?;
        Ok(Pending { answer: sent, deadline })
    }

    /// Sends a command and waits for the answer.
    ///
    /// # Errors
    ///
    /// Any [`CallError`].
    pub async fn call(&self, shard: ShardId, command: Command) -> Result<Reply, CallError> {
        self.send(shard, command)?.reply().await
    }

    /// Asks every shard that runs something cheap, and remembers who did not answer: a full mailbox, or
    /// a thread that never wakes. At most [`CALL_TIMEOUT`] in all.
    pub async fn probe(&self) {
        let nobody = TransportId(u64::MAX);
        let running = self.handles.iter().zip(&self.watches).filter(|(handle, _)| handle.is_running());
        let asked: Vec<_> = running
            .map(|(handle, watch)| (watch, self.send(handle.id(), Command::DescribeTransport { id: nobody })))
            .collect();
        for (watch, sent) in asked {
            let answer = match sent {
                Ok(pending) => pending.reply().await,
                Err(error) => Err(error),
            };
            watch.note_probe(matches!(answer, Ok(_) | Err(CallError::Refused(_))));
        }
    }

    /// Looks at every shard and says, once, when one begins to hang, when it goes on, and when it has
    /// ended. Gives those that have ended.
    pub fn look(&self) -> Vec<ShardId> {
        if self.is_stopped.load(Relaxed) {
            return Vec::new();
        }
        let mut ended = Vec::new();
        for (handle, watch) in self.handles.iter().zip(&self.watches) {
            if handle.is_running() {
                watch.look(handle);
            } else {
                watch.note_end(handle.id());
                ended.push(handle.id());
            }
        }
        ended
    }

    /// The shards that run and hang: in one turn for too long, or without an answer to several probes.
    pub fn stalled(&self) -> Vec<ShardId> {
        let all = self.handles.iter().zip(&self.watches);
        all.filter(|(handle, watch)| handle.is_running() && watch.is_stalled(handle))
            .map(|(handle, _)| handle.id())
            .collect()
    }

    /// The shards whose threads have ended.
    pub fn ended(&self) -> Vec<ShardId> {
        self.handles.iter().filter(|handle| !handle.is_running()).map(ShardHandle::id).collect()
    }

    /// How often each shard began to hang, in the order of their ids.
    pub fn stall_counts(&self) -> impl Iterator<Item = u64> {
        self.watches.iter().map(Watch::stalls_total)
    }

    /// Transports on all shards that run now.
    pub fn transport_count(&self) -> u64 {
        let running = self.handles.iter().filter(|shard| shard.is_running());
        running.map(|shard| shard.counters().transports.load(Relaxed)).sum()
    }

    /// Ends every thread and waits for it. Blocks.
    pub fn stop(&self) {
        if !self.is_stopped.swap(true, Relaxed) {
            self.handles.iter().for_each(ShardHandle::stop);
        }
    }
}

/// The ways between the shards, if rooms are to be spread over them.
fn mesh(plan: &Plan) -> Result<Option<Arc<ShardMesh>>, ShardStartError> {
    if !plan.is_spread || !(2..=MESH_SHARDS_MAX).contains(&plan.count) {
        return Ok(None);
    }
    let wakes: io::Result<Vec<EventFd>> = (0..plan.count).map(|_| EventFd::new()).collect();
    match wakes {
        Ok(wakes) => Ok(Some(Arc::new(ShardMesh::new(wakes)))),
        Err(source) => {
            let remedy = remedy(&source, plan.port);
            Err(ShardStartError { shard: 0, port: plan.port, remedy, source })
        }
    }
}

/// The base port plus the index; more shards than there are ports above the base cannot start.
fn port_of(plan: &Plan, index: usize) -> Result<u16, ShardStartError> {
    if plan.port == 0 {
        return Ok(0);
    }
    u16::try_from(usize::from(plan.port) + index).map_err(|_| ShardStartError {
        shard: index,
        port: plan.port,
        remedy: "set SLUICE_RTC_PORT lower, or SLUICE_SHARDS".to_owned(),
        source: io::Error::other(format!(
            "each of {} shards needs a port, and 65535 is the last",
            plan.count
        )),
    })
}

fn remedy(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "`ss -lunp 'sport = :{port}'` names the program that has the port, perhaps another Sluice: stop it, \
             or set SLUICE_RTC_PORT"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set SLUICE_RTC_LISTEN to addresses that `ip -brief address` lists"
                .to_owned()
        }
        io::ErrorKind::Unsupported => "or set SLUICE_IO=auto, which falls back to mmsg".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are reserved: set SLUICE_RTC_PORT higher".to_owned()
        }
        // The sockets' own error loses its number on the way here; its text is the kernel's.
        _ if error.to_string().contains("Too many open files") => {
            "raise the limit of descriptors: `ulimit -n 65536` (systemd: LimitNOFILE=65536)".to_owned()
        }
        _ => "`sluice doctor` looks at what shards need; see SLUICE_RTC_LISTEN and SLUICE_RTC_PORT".to_owned(),
    }
}
