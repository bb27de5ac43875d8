//! One shard: a thread, its sockets and its engine.
//!
//! `worker` is the loop. It is generic over what the engine does ([`turn::Turn`]) and over how datagrams move
//! ([`backend::Backend`]), so that tests drive it with engines of their own over real sockets. The rest of
//! the process holds a [`ShardHandle`]: it puts commands into a bounded mailbox and takes events from a
//! bounded queue, and neither side ever waits for the other.

pub mod affinity;
pub mod backend;
pub mod bell;
mod body;
pub mod clock;
mod handle;
pub mod mailbox;
pub mod mesh;
mod ring;
mod shared;
mod sync;
pub mod turn;
mod worker;

#[cfg(test)]
mod backend_tests;
#[cfg(test)]
mod mailbox_tests;
#[cfg(test)]
mod mesh_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use self::backend::IoSettings;
pub use self::handle::ShardHandle;
use self::mesh::Mesh;
use crate::engine::Hop;
use crate::id::ShardId;
pub use crate::udp::socket::{SocketFacts, open_all};
pub use crate::udp::{machine, probe};

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
    /// What moves its datagrams.
    pub io: IoSettings,
    /// The ways to the other shards; `None` if it is alone.
    pub mesh: Option<Arc<ShardMesh>>,
}

/// The ways between shards that hand tracks to each other.
pub type ShardMesh = Mesh<Hop>;

/// The shard's mailbox is full: it is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard's mailbox is full")]
pub struct MailboxFull;

/// Called, from the shard's thread, when an event waits. Must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;
