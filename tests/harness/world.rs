//! One engine, its clients and the network between them, under one virtual clock.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::command::{Binding, Command, Envelope, Event, Refusal, Reply};
use dataplane::counters::{Counters, DropReason};
use dataplane::engine::{Engine, EngineConfig};
use dataplane::id::{ShardId, TrackId, TransportId};
use dataplane::limits::EGRESS_SLOT_BYTES;
use dataplane::media::format::MediaKind;
use dataplane::time::WallClock;
use dataplane::transport::Transport;
use dataplane::transport::path::{Datagram, Egress, Path};
use futures_channel::oneshot;

use crate::network::{Flight, Link, Network};

/// What a client does in the world. It reads no clock and no socket either.
pub trait Client {
    /// Its own address, behind whatever NAT the world gives it.
    fn address(&self) -> SocketAddr;
    /// Takes a datagram.
    fn receive(&mut self, source: SocketAddr, bytes: &[u8], now: Instant);
    /// Does what time alone brings about.
    fn expire(&mut self, now: Instant);
    /// When [`Client::expire`] must be called next.
    fn next_deadline(&self) -> Option<Instant>;
    /// The next datagram for the shard.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;
}

/// A shard, its clients, and the network between them.
pub struct World<C> {
    /// Virtual time.
    pub now: Instant,
    /// What the shard counts.
    pub counters: Arc<Counters>,
    /// The clients, by the order of [`World::join`].
    pub clients: Vec<C>,
    /// Each client's link.
    pub links: Vec<Link>,
    /// What the shard told the control plane.
    pub events: Vec<Event>,
    /// The shard's wall clock.
    pub wall_clock: WallClock,
    engine: Engine,
    network: Network,
    /// Each client's address as the shard sees it.
    publics: Vec<SocketAddr>,
    egress: List,
    trace: DefaultHasher,
    trace_len: u64,
}

/// The shard's address.
pub fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000))
}

/// The address of the client `index`.
pub fn client_address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1 + index as u8], 5000))
}

impl<C: Client> World<C> {
    /// A shard without clients.
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        let counters = Arc::new(Counters::default());
        let wall_clock = WallClock::new(now, Duration::from_secs(1_790_000_000));
        let config = EngineConfig { shard: ShardId(0), seed, wall_clock };
        Self {
            now,
            counters: counters.clone(),
            clients: Vec::new(),
            links: Vec::new(),
            events: Vec::new(),
            wall_clock,
            engine: Engine::new(config, counters),
            network: Network::new(seed ^ 0x5eed),
            publics: Vec::new(),
            egress: List::default(),
            trace: DefaultHasher::new(),
            trace_len: 0,
        }
    }

    /// Tells the shard something, and gives its answer.
    pub fn command(&mut self, command: Command) -> Reply {
        let (reply, mut answer) = oneshot::channel();
        self.engine.apply(Envelope { command, reply }, self.now);
        self.turn();
        answer.try_recv().unwrap().expect("every command is answered at once")
    }

    /// Tells the shard several things in one turn, with datagrams from a client right behind them.
    pub fn commands_and_packets(&mut self, commands: Vec<Command>, client: usize, packets: &[Vec<u8>]) {
        for command in commands {
            let (reply, _) = oneshot::channel();
            self.engine.apply(Envelope { command, reply }, self.now);
        }
        for bytes in packets {
            let (source, destination) = (self.publics[client], server_address());
            self.deliver(&Flight { source, destination, bytes: bytes.clone() });
        }
        self.turn();
    }

    /// Makes a track.
    pub fn add_track(&mut self, track: u64, kind: MediaKind) -> TrackId {
        let track = TrackId(track);
        assert!(matches!(self.command(Command::AddTrack { track, kind }), Reply::Done));
        track
    }

    /// Brings a client and its transport into the world. The k-th media section of each kind is bound to the
    /// k-th of `tracks` of that kind.
    pub fn join(
        &mut self,
        client: C,
        transport: Box<Transport>,
        tracks: &[(TrackId, MediaKind)],
    ) -> Result<usize, Refusal> {
        let index = self.clients.len();
        let sections = &transport.description().sections;
        let bindings = [MediaKind::Audio, MediaKind::Video].into_iter().flat_map(|kind| {
            let places = sections.iter().filter(move |section| section.kind == kind);
            let tracks = tracks.iter().filter(move |track| track.1 == kind);
            places.zip(tracks).map(|(section, track)| Binding { mid: section.mid, track: track.0 })
        });
        let bindings = bindings.collect();
        let id = transport_id(index);
        let reply = self.command(Command::AddTransport { id, transport, bindings });
        self.publics.push(client.address());
        self.clients.push(client);
        self.links.push(Link::default());
        match reply {
            Reply::Refused(refusal) => Err(refusal),
            _ => Ok(index),
        }
    }

    /// Gives a client another address on the outside, as a NAT does after a pause.
    pub fn rebind(&mut self, client: usize, public: SocketAddr) {
        self.publics[client] = public;
    }

    /// From now on, whatever the shard sends to a client panics in the middle of that client's turn.
    pub fn break_egress_to(&mut self, client: usize) {
        self.egress.broken = Some(self.publics[client]);
    }

    /// A datagram from somebody who is no client.
    pub fn inject(&mut self, source: SocketAddr, bytes: &[u8]) {
        let flight = Flight { source, destination: server_address(), bytes: bytes.to_vec() };
        self.network.send(&Link::default(), flight, self.now);
    }

    /// Lets the world run.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        // What a test told a client to do leaves now, not at the next event.
        self.step();
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.step();
        }
        self.now = end;
    }

    /// Lets the world run until `is_done`, for at most `limit`. Says whether it was done.
    pub fn run_until(&mut self, limit: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.step();
        while !is_done(self) {
            let Some(next) = self.next_instant().filter(|next| *next <= end) else { return false };
            self.now = next.max(self.now);
            self.step();
        }
        true
    }

    /// How many packets ended for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped(reason)
    }

    /// A hash over every datagram that the shard sent and when, and how many there were.
    pub fn trace(&self) -> (u64, u64) {
        (self.trace.finish(), self.trace_len)
    }

    fn next_instant(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(Client::next_deadline).min();
        [self.network.next_arrival(), self.engine.next_deadline(), clients].into_iter().flatten().min()
    }

    fn step(&mut self) {
        while let Some(flight) = self.network.receive(self.now) {
            self.deliver(&flight);
        }
        self.turn();
        for client in &mut self.clients {
            if client.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                client.expire(self.now);
            }
        }
        for at in 0..self.clients.len() {
            while let Some(bytes) = self.clients[at].poll_transmit() {
                let flight = Flight { source: self.publics[at], destination: server_address(), bytes };
                self.network.send(&self.links[at], flight, self.now);
            }
        }
    }

    fn deliver(&mut self, flight: &Flight) {
        if flight.destination == server_address() {
            let path = Path { local: server_address(), remote: flight.source };
            let datagram = Datagram { path, received_at: self.now, bytes: &flight.bytes };
            self.engine.receive(datagram, self.now);
        } else if let Some(at) = self.publics.iter().position(|public| *public == flight.destination) {
            self.clients[at].receive(flight.source, &flight.bytes, self.now);
        }
    }

    /// The rest of a shard's turn, after commands and packets.
    fn turn(&mut self) {
        self.engine.expire(self.now);
        self.engine.transmit(&mut self.egress, self.now);
        for (path, bytes) in std::mem::take(&mut self.egress.sent) {
            bytes.hash(&mut self.trace);
            path.remote.hash(&mut self.trace);
            self.trace_len += 1;
            let link = self.publics.iter().position(|public| *public == path.remote);
            let link = link.map_or_else(Link::default, |at| self.links[at]);
            let flight = Flight { source: path.local, destination: path.remote, bytes };
            self.network.send(&link, flight, self.now);
        }
        self.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
    }
}

/// The transport of the client `index`.
pub fn transport_id(index: usize) -> TransportId {
    TransportId(index as u64)
}

/// An egress that keeps what is sent.
#[derive(Default)]
struct List {
    space: Vec<u8>,
    sent: Vec<(Path, Vec<u8>)>,
    /// A datagram to this address panics.
    broken: Option<SocketAddr>,
}

impl Egress for List {
    fn reserve(&mut self) -> &mut [u8] {
        self.space.resize(EGRESS_SLOT_BYTES, 0);
        &mut self.space
    }

    fn commit(&mut self, path: Path, len: usize, _received_at: Option<Instant>) {
        assert!(self.broken != Some(path.remote), "a panic on purpose");
        self.sent.push((path, self.space[..len].to_vec()));
    }
}
