//! A running shard as the control plane sees it: commands in, events and figures out, never a wait.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_channel::oneshot;
use hdrhistogram::Histogram;

use crate::command::{Command, Envelope, Event, Reply};
use crate::counters::Counters;
use crate::engine::{Engine, EngineConfig};
use crate::id::ShardId;
use crate::limits::TRAIN_SEGMENTS_MAX;
use crate::shard::backend::BackendFacts;
use crate::shard::bell::Bell;
use crate::shard::body::Body;
use crate::shard::shared::Shared;
use crate::shard::turn::Turn;
use crate::shard::{MailboxFull, ShardConfig, Wake, clock};
use crate::udp::Surroundings;
use crate::udp::socket::{self, Socket, SocketFacts};
use crate::udp::system::EventFd;

/// A running shard, as the control plane sees it. Cheap to clone; the last one that goes stops the shard.
#[derive(Clone)]
pub struct ShardHandle {
    inner: Arc<Inner>,
}

struct Inner {
    id: ShardId,
    addresses: Vec<SocketAddr>,
    sockets: Vec<SocketFacts>,
    backend: BackendFacts,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardHandle {
    /// Binds the sockets and starts the thread. Errors name the address that could not be bound, or say what the
    /// backend that was asked for needs ([`io::ErrorKind::Unsupported`]).
    pub fn start(config: ShardConfig, wake: Wake) -> io::Result<Self> {
        Self::start_with(config, wake, Engine::new)
    }

    /// As [`ShardHandle::start`], with an engine of the caller's: it is made on the shard's thread.
    pub fn start_with<T: Turn>(
        config: ShardConfig,
        wake: Wake,
        make_engine: impl FnOnce(EngineConfig, Arc<Counters>) -> T + Send + 'static,
    ) -> io::Result<Self> {
        let bell = match config.mesh.as_ref().and_then(|mesh| mesh.bell(config.id)) {
            Some(bell) => Arc::clone(bell),
            None => Arc::new(Bell::new(Arc::new(EventFd::new()?))),
        };
        let shared = Arc::new(Shared::new(Arc::clone(&bell), clock::now()));
        let surroundings = Surroundings {
            wake: Arc::clone(bell.wake_fd()),
            counters: Arc::clone(&shared.counters),
            figures: Arc::clone(&shared.figures),
            clock: clock::now,
        };
        let opened: Arc<[Socket]> = socket::open_all(&config.listen, config.port)?.into();
        let sockets: Vec<SocketFacts> = opened.iter().map(Socket::facts).collect();
        let id = config.id;
        let (started, has_started) = mpsc::sync_channel(1);
        let body = Body { config, sockets: opened, surroundings, shared: Arc::clone(&shared), wake, started };
        let thread =
            thread::Builder::new().name(format!("shard-{}", id.0)).spawn(move || body.run(make_engine))?;
        // A ring has to be made on the thread that uses it, so the thread says whether it could.
        let backend = has_started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))?;
        let addresses = sockets.iter().map(|facts| facts.address).collect();
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { id, addresses, sockets, backend, shared, thread }) })
    }

    /// Which shard it is.
    pub fn id(&self) -> ShardId {
        self.inner.id
    }

    /// The bound addresses, with the port that the kernel chose.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.inner.addresses
    }

    /// What start-up tells about each socket: its address and the buffers that the kernel granted.
    pub fn sockets(&self) -> &[SocketFacts] {
        &self.inner.sockets
    }

    /// What moves its datagrams, and why that.
    pub fn backend(&self) -> &BackendFacts {
        &self.inner.backend
    }

    /// Puts a command into the mailbox: never waits. The receiver is cancelled if the shard is not running.
    pub fn try_call(&self, command: Command) -> Result<oneshot::Receiver<Reply>, MailboxFull> {
        let (reply, receiver) = oneshot::channel();
        let pushed = self.inner.shared.mailbox.try_push(Envelope { command, reply });
        pushed.map(|()| receiver).map_err(|_| MailboxFull)
    }

    /// The next thing the shard has to say.
    pub fn poll_event(&self) -> Option<Event> {
        self.inner.shared.events.pop()
    }

    /// What the shard counts.
    pub fn counters(&self) -> &Counters {
        &self.inner.shared.counters
    }

    /// Forwarding latency since start, nanoseconds: from the kernel's receive time of a packet to the end
    /// of the send that carried it.
    pub fn latency(&self) -> Histogram<u64> {
        self.inner.shared.figures.latency()
    }

    /// How many sends carried 0, 1, ... [`TRAIN_SEGMENTS_MAX`] datagrams, since start.
    pub fn train_lengths(&self) -> [u64; TRAIN_SEGMENTS_MAX + 1] {
        self.inner.shared.figures.train_lengths()
    }

    /// User and system CPU time of the shard's thread so far, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.inner.shared.cpu_ns()
    }

    /// Whether the thread runs: not after a stop, a panic or a failure of its backend.
    pub fn is_running(&self) -> bool {
        self.inner.shared.is_running()
    }

    /// How long the current turn has lasted; zero while the shard waits. A healthy turn takes well below a
    /// millisecond: one of 250 ms is a stall worth a report.
    pub fn turn_age(&self) -> Duration {
        self.inner.shared.turn_age(clock::now())
    }

    /// Ends the thread after the current turn and waits for it. Commands that were called before are done,
    /// and what they send is sent. From the shard's own thread (in [`Wake`]) it does not wait.
    pub fn stop(&self) {
        self.inner.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.shared.mailbox.ask_to_stop();
        // The lock is not held while waiting, and a second stop finds nothing to wait for.
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread catches its own panics, so there is no result to look at.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
