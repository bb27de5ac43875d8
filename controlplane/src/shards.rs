//! The shards of this process: starts them, tells them things, and stops them.
//!
//! Knows nothing of rooms. A call never waits for a place in a mailbox and never longer than
//! [`CALL_TIMEOUT`] for an answer: whatever a shard does, HTTP goes on.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::{fmt, io};

use dataplane::command::{Command, Refusal, Reply};
use dataplane::id::{ShardId, TransportId};
use dataplane::shard::{ShardConfig, ShardHandle, Wake};

use crate::limits::{CALL_TIMEOUT, STALLED_AFTER_PROBES};
use crate::random;

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
pub struct Pending(futures_channel::oneshot::Receiver<Reply>);

impl Pending {
    /// Waits for the answer, at most [`CALL_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// [`CallError::TimedOut`], [`CallError::Gone`] or what the shard refused.
    pub async fn reply(self) -> Result<Reply, CallError> {
        match tokio::time::timeout(CALL_TIMEOUT, self.0).await {
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
}

/// A shard could not be started.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} cannot receive media on UDP port {port}: {source}; {remedy}")]
pub struct ShardStartError {
    /// Which one.
    pub shard: usize,
    /// On which port.
    pub port: u16,
    /// What to do about it.
    pub remedy: &'static str,
    #[source]
    source: io::Error,
}

/// All shards, in the order of their ids.
pub struct Shards {
    handles: Vec<ShardHandle>,
    /// Unanswered probes in a row, per shard.
    missed: Vec<AtomicU32>,
    is_stopped: AtomicBool,
}

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
    pub fn start(plan: &Plan, wake: &Wake) -> Result<Self, ShardStartError> {
        let mut handles: Vec<ShardHandle> = Vec::with_capacity(plan.count);
        for index in 0..plan.count {
            let port = if plan.port == 0 { 0 } else { plan.port + index as u16 };
            let config = ShardConfig {
                id: ShardId(index as u16),
                listen: plan.listen.clone(),
                port,
                cpu: plan.cpus.get(index).copied(),
                seed: u64::from_ne_bytes(random::bytes()),
            };
            match ShardHandle::start(config, Arc::clone(wake)) {
                Ok(handle) => handles.push(handle),
                Err(source) => {
                    handles.iter().for_each(ShardHandle::stop);
                    let remedy = remedy(&source);
                    return Err(ShardStartError { shard: index, port, remedy, source });
                }
            }
        }
        let missed = handles.iter().map(|_| AtomicU32::new(0)).collect();
        Ok(Self { handles, missed, is_stopped: AtomicBool::new(false) })
    }

    /// Every shard.
    pub fn iter(&self) -> impl Iterator<Item = &ShardHandle> {
        self.handles.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The shard with the fewest transports, the first of equals: where the next room goes.
    pub fn least_loaded(&self) -> ShardId {
        let least = self.handles.iter().min_by_key(|shard| shard.counters().transports.load(Relaxed));
        least.map_or(ShardId(0), ShardHandle::id)
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
        handle.try_call(command).map(Pending).map_err(|_| CallError::Overloaded)
    }

    /// Sends a command and waits for the answer.
    ///
    /// # Errors
    ///
    /// Any [`CallError`].
    pub async fn call(&self, shard: ShardId, command: Command) -> Result<Reply, CallError> {
        self.send(shard, command)?.reply().await
    }

    /// Asks every shard something cheap, and remembers who did not answer.
    pub async fn probe(&self) {
        let nobody = TransportId(u64::MAX);
        for (handle, missed) in self.handles.iter().zip(&self.missed) {
            let answer = self.call(handle.id(), Command::DescribeTransport { id: nobody }).await;
            if matches!(answer, Ok(_) | Err(CallError::Refused(_))) {
                missed.store(0, Relaxed);
                continue;
            }
            let times = missed.fetch_add(1, Relaxed) + 1;
            if times == STALLED_AFTER_PROBES {
                tracing::error!(shard = handle.id().0, ?answer, "the shard does not answer");
            }
        }
    }

    /// The shards that have not answered [`STALLED_AFTER_PROBES`] times in a row.
    pub fn stalled(&self) -> Vec<ShardId> {
        let all = self.handles.iter().zip(&self.missed);
        all.filter(|(_, missed)| missed.load(Relaxed) >= STALLED_AFTER_PROBES)
            .map(|(handle, _)| handle.id())
            .collect()
    }

    /// Transports on all shards now.
    pub fn transport_count(&self) -> u64 {
        self.handles.iter().map(|shard| shard.counters().transports.load(Relaxed)).sum()
    }

    /// Ends every thread and waits for it. Blocks.
    pub fn stop(&self) {
        if !self.is_stopped.swap(true, Relaxed) {
            self.handles.iter().for_each(ShardHandle::stop);
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, perhaps another Sluice, has the port: stop it, or set SLUICE_RTC_PORT"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: set SLUICE_RTC_LISTEN to addresses it has"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are reserved: set SLUICE_RTC_PORT higher",
        _ => "see SLUICE_RTC_LISTEN and SLUICE_RTC_PORT",
    }
}
