//! What runs on the thread of a shard: it opens the backend, turns until the end, and says how it came.
//!
//! # Invariants
//!
//! - Whether the backend could be opened is said once, before the first turn.
//! - Whatever happens here, handles learn that the shard is gone and nobody waits for a reply that will not come.
#![forbid(unsafe_code)]

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use io_uring::IoUring;

use crate::counters::{Counters, add};
use crate::engine::EngineConfig;
use crate::mmsg::Mmsg;
use crate::shard::backend::{Backend, BackendFacts, BackendKind, IoChoice};
use crate::shard::mesh::Port;
use crate::shard::shared::Shared;
use crate::shard::turn::Turn;
use crate::shard::worker::Worker;
use crate::shard::{ShardConfig, Wake, affinity, clock};
use crate::udp::Surroundings;
use crate::udp::socket::Socket;
use crate::uring::unavailable::Unavailable;
use crate::uring::{SIZES, Uring, ring};

const AS_CONFIGURED: &str = "as configured";

/// A shard that is about to run.
pub(super) struct Body {
    pub(super) config: ShardConfig,
    pub(super) sockets: Arc<[Socket]>,
    pub(super) surroundings: Surroundings,
    pub(super) shared: Arc<Shared>,
    pub(super) wake: Wake,
    /// Where it says which backend it has, or why none.
    pub(super) started: SyncSender<io::Result<BackendFacts>>,
}

impl Body {
    /// Runs until the shard is stopped, or cannot go on.
    pub(super) fn run<T: Turn>(self, make_engine: impl FnOnce(EngineConfig, Arc<Counters>) -> T) {
        let shard = self.config.id.0;
        let (shared, wake) = (Arc::clone(&self.shared), Arc::clone(&self.wake));
        shared.enter_thread();
        if let Some(cpu) = self.config.cpu
            && let Err(error) = affinity::pin_current_thread(cpu)
        {
            tracing::warn!(shard, cpu, %error, "the shard is not pinned to its CPU");
        }
        // An engine contains the panics of its transports (D14). One that gets here has left it in an unknown
        // state: the shard ends, the process and the other shards go on.
        match catch_unwind(AssertUnwindSafe(|| self.open_and_turn(make_engine))) {
            Ok(Ok(())) => tracing::debug!(shard, "the shard has stopped"),
            Ok(Err(error)) => tracing::error!(shard, %error, "THE SHARD HAS ENDED: it cannot wait any more"),
            Err(panic) => {
                add(&shared.counters.panics_total, 1);
                let message = panic_message(&*panic);
                tracing::error!(shard, message, "THE SHARD HAS ENDED: a panic escaped its engine");
            }
        }
        shared.leave_thread();
        // Whoever listens for events learns that there will be no more. It may panic; nobody is left to hurt.
        let _ = catch_unwind(AssertUnwindSafe(|| wake()));
    }

    fn open_and_turn<T: Turn>(
        self,
        make_engine: impl FnOnce(EngineConfig, Arc<Counters>) -> T,
    ) -> io::Result<()> {
        let choice = self.config.io.choice;
        let mut refusal = None;
        if choice != IoChoice::Mmsg {
            // A ring that cannot be used goes at the end of this block, so that it does not keep the sockets.
            match ring::build(SIZES) {
                Err(error) => refusal = Some(error),
                Ok(mut queues) => match self.open_uring(&mut queues) {
                    Err(error) => refusal = Some(error),
                    Ok(uring) => {
                        let is_auto = choice == IoChoice::Auto;
                        let reason = if is_auto { "the kernel allows it" } else { AS_CONFIGURED };
                        return self.turn(uring, BackendKind::Uring, reason.to_owned(), make_engine);
                    }
                },
            }
        }
        let why_not = match refusal {
            Some(refusal) if choice == IoChoice::Uring => {
                self.say(Err(io::Error::new(io::ErrorKind::Unsupported, refusal)));
                return Ok(());
            }
            Some(refusal) => refusal.to_string(),
            None => AS_CONFIGURED.to_owned(),
        };
        match Mmsg::open(Arc::clone(&self.sockets), self.surroundings.clone()) {
            Ok(mmsg) => self.turn(mmsg, BackendKind::Mmsg, why_not, make_engine),
            Err(error) => {
                self.say(Err(error));
                Ok(())
            }
        }
    }

    fn open_uring<'ring>(&self, queues: &'ring mut IoUring) -> Result<Uring<'ring>, Unavailable> {
        let (sockets, surroundings) = (Arc::clone(&self.sockets), self.surroundings.clone());
        Uring::open(queues, SIZES, sockets, surroundings, self.config.io.has_zero_copy)
    }

    fn turn<T: Turn>(
        self,
        backend: impl Backend,
        kind: BackendKind,
        reason: String,
        make_engine: impl FnOnce(EngineConfig, Arc<Counters>) -> T,
    ) -> io::Result<()> {
        let shard = self.config.id;
        tracing::debug!(shard = shard.0, backend = kind.name(), reason, "the shard runs");
        self.say(Ok(BackendFacts { kind, reason }));
        let engine_config = EngineConfig { shard, seed: self.config.seed, wall_clock: clock::wall_clock() };
        let engine = make_engine(engine_config, Arc::clone(&self.shared.counters));
        let Self { shared, wake, .. } = self;
        let mesh = self.config.mesh.as_ref().and_then(|mesh| mesh.claim(shard));
        Worker { engine, backend, shared, wake, port: mesh.unwrap_or_else(Port::alone) }.run()
    }

    fn say(&self, started: io::Result<BackendFacts>) {
        // The handle waits for exactly one message.
        let _ = self.started.send(started);
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
