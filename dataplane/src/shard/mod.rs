//! One shard: a thread, its sockets and its engine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_channel::oneshot;
use hdrhistogram::Histogram;

use crate::command::{Command, Event, Reply};
use crate::counters::Counters;
use crate::id::ShardId;

/// What a shard is started with.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard it is.
    pub id: ShardId,
    /// The addresses to bind, wildcards included.
    pub listen: Vec<IpAddr>,
    /// The UDP port of this shard (the base port plus its id; 0 lets the kernel choose).
    pub port: u16,
    /// The CPU to pin the thread to.
    pub cpu: Option<usize>,
    /// Seeds the engine.
    pub seed: u64,
}

/// A running shard, as the control plane sees it. Cheap to clone.
#[derive(Clone)]
pub struct ShardHandle {
    _private: (),
}

/// The shard's mailbox is full: it is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard's mailbox is full")]
pub struct MailboxFull;

/// Called, from the shard's thread, when an event waits. Must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

#[allow(unused_variables, missing_docs, clippy::todo)]
impl ShardHandle {
    /// Binds the sockets and starts the thread. Errors name the address that could not be bound.
    pub fn start(config: ShardConfig, wake: Wake) -> io::Result<Self> {
        todo!()
    }
    pub fn id(&self) -> ShardId {
        todo!()
    }
    /// The bound addresses, with the port that the kernel chose.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        todo!()
    }
    /// Puts a command into the mailbox: never waits.
    pub fn try_call(&self, command: Command) -> Result<oneshot::Receiver<Reply>, MailboxFull> {
        todo!()
    }
    pub fn poll_event(&self) -> Option<Event> {
        todo!()
    }
    pub fn counters(&self) -> &Counters {
        todo!()
    }
    /// Forwarding latency in nanoseconds since start.
    pub fn latency(&self) -> Histogram<u64> {
        todo!()
    }
    /// User and system CPU time of the shard's thread so far, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        todo!()
    }
    /// Ends the thread after the current turn and waits for it.
    pub fn stop(&self) {
        todo!()
    }
}
