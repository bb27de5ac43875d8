//! One engine, its clients and the network between them, under one virtual clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dataplane::command::{Binding, Command, Envelope, Event, Refusal, Reply};
use dataplane::counters::{Counters, DropReason};
use dataplane::engine::Occupancy;
use dataplane::id::{TrackId, TransportId};
use dataplane::limits::EGRESS_SLOT_BYTES;
use dataplane::media::format::MediaKind;
use dataplane::time::WallClock;
use dataplane::transport::Transport;
use dataplane::transport::description::SectionRole;
use dataplane::transport::path::{Datagram, Egress, Path};
use futures_channel::oneshot;

use crate::checker::{Checker, Rule, Violation, Watching};
use crate::cluster::{Cluster, shard_address};
use crate::meddling::Meddler;
use crate::network::{Flight, Lane, Link, Network};
use crate::random::Random;
use crate::trace::{Trace, What};

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
    /// The next packet that it has published, for the oracle.
    fn poll_published(&mut self) -> Option<Published> {
        None
    }
    /// The next packet that it has heard, for the oracle.
    fn poll_heard(&mut self) -> Option<Heard> {
        None
    }
}

/// A packet that a client has published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The place of its media section.
    pub section: usize,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its extended sequence number.
    pub index: u64,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A packet that a client has heard, as media or as a retransmission.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The SSRC of the media.
    pub ssrc: u32,
    /// Its extended sequence number.
    pub number: u64,
    /// Its payload.
    pub payload: Vec<u8>,
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
    /// Everything that crossed the shard's edge.
    pub trace: Trace,
    /// The oracle, if it watches.
    pub checker: Option<Checker>,
    /// Probability that a datagram of media is followed by somebody who changes one bit of it and is faster.
    pub forgery: f64,
    /// Spoils what the shard sends, so that a test can see the oracle notice.
    pub meddler: Option<Meddler>,
    started_at: Instant,
    engine: Cluster,
    network: Network,
    /// Each client's address as the shard sees it.
    publics: Vec<SocketAddr>,
    /// The track of each media section of each client.
    bound: Vec<Vec<Option<TrackId>>>,
    egress: List,
    forger: Random,
    /// Packets that had ended by now, by reason.
    drops: Vec<u64>,
}

/// The shard's address.
pub fn server_address() -> SocketAddr {
    shard_address(0)
}

/// The address of the client `index`.
pub fn client_address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 1 + (index / 200) as u8, 1 + (index % 200) as u8], 5000))
}

impl<C: Client> World<C> {
    /// A shard without clients.
    pub fn new(seed: u64) -> Self {
        Self::with_shards(seed, 1)
    }

    /// Several shards that share all tracks, without clients.
    pub fn with_shards(seed: u64, count: u16) -> Self {
        let now = Instant::now();
        let counters = Arc::new(Counters::default());
        let wall_clock = WallClock::new(now, Duration::from_secs(1_790_000_000));
        Self {
            now,
            counters: Arc::clone(&counters),
            clients: Vec::new(),
            links: Vec::new(),
            events: Vec::new(),
            wall_clock,
            trace: Trace::default(),
            checker: None,
            meddler: None,
            forgery: 0.0,
            forger: Random(seed ^ 0xf0e6),
            drops: vec![0; DropReason::ALL.len()],
            started_at: now,
            engine: Cluster::new(seed, count, wall_clock, &counters),
            network: Network::new(seed ^ 0x5eed),
            publics: Vec::new(),
            bound: Vec::new(),
            egress: List::default(),
        }
    }

    /// Tells the shard something, and gives its answer.
    pub fn command(&mut self, command: Command) -> Reply {
        let (reply, mut answer) = oneshot::channel();
        self.engine.apply(Envelope { command, reply }, self.now);
        let answer = answer.try_recv().unwrap().expect("every command is answered at once");
        self.trace.note_words(self.elapsed(), What::Commanded, &format!("{answer:?}"));
        self.turn();
        answer
    }

    /// Time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now - self.started_at
    }

    /// How full the shard is.
    pub fn occupancy(&self) -> Occupancy {
        self.engine.occupancy()
    }

    /// The first promise that was broken, if the oracle watches.
    pub fn violation(&self) -> Option<&Violation> {
        self.checker.as_ref()?.violation.as_ref()
    }

    /// The oracle finds that a promise is broken.
    pub fn break_rule(&mut self, rule: Rule, text: String) {
        if let Some(checker) = &mut self.checker {
            checker.break_rule(rule, text);
        }
    }

    /// Tells the shard several things in one turn, with datagrams from a client right behind them.
    pub fn commands_and_packets(&mut self, commands: Vec<Command>, client: usize, packets: &[Vec<u8>]) {
        for command in commands {
            let (reply, _) = oneshot::channel();
            self.engine.apply(Envelope { command, reply }, self.now);
        }
        for bytes in packets {
            let (source, destination) = (self.publics[client], self.engine.address_of(transport_id(client)));
            self.deliver(&Flight { source, destination, bytes: bytes.clone() }, self.now);
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
        let sections = transport.description().sections.iter().enumerate();
        let sections: Vec<(usize, MediaKind)> = sections.map(|(at, section)| (at, section.kind)).collect();
        let places = [MediaKind::Audio, MediaKind::Video].into_iter().flat_map(|kind| {
            let places = sections.iter().filter(move |section| section.1 == kind);
            let tracks = tracks.iter().filter(move |track| track.1 == kind);
            places.zip(tracks).map(|(section, track)| (section.0, track.0))
        });
        let places: Vec<(usize, TrackId)> = places.collect();
        self.join_bound(client, transport, &places)
    }

    /// The same with the track of each media section.
    pub fn join_bound(
        &mut self,
        client: C,
        transport: Box<Transport>,
        places: &[(usize, TrackId)],
    ) -> Result<usize, Refusal> {
        let index = self.clients.len();
        let sections = &transport.description().sections;
        let bindings: Vec<Binding> =
            places.iter().map(|(at, track)| Binding { mid: sections[*at].mid, track: *track }).collect();
        let id = transport_id(index);
        let track = |mid| bindings.iter().find(|binding| binding.mid == mid).map(|binding| binding.track);
        let bound: Vec<Option<TrackId>> = sections.iter().map(|section| track(section.mid)).collect();
        if let Some(checker) = &mut self.checker {
            let watches = sections.iter().zip(&bound).filter_map(|(section, track)| {
                let SectionRole::Egress { ssrc, rtx_ssrc } = section.role else { return None };
                Some(Watching { ssrc: ssrc.0, rtx: rtx_ssrc.map(|ssrc| ssrc.0), track: (*track)? })
            });
            checker.note_join(client.address(), watches.collect());
        }
        self.bound.push(bound);
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
        if let Some(checker) = &mut self.checker {
            checker.note_rebind(client, public);
        }
    }

    /// A client's address as the shard sees it.
    pub fn public(&self, client: usize) -> SocketAddr {
        self.publics[client]
    }

    /// The shard's thread does not run for a while; what arrives meanwhile waits for it.
    pub fn stall_for(&mut self, duration: Duration) {
        self.now += duration;
    }

    /// The other shards stop to take what the first hands them, in rings of this length, or go on.
    pub fn hold_hops(&mut self, ring_len: Option<usize>) {
        self.engine.hold_hops(ring_len, self.now);
    }

    /// From now on, whatever the shard sends to a client panics in the middle of that client's turn.
    pub fn break_egress_to(&mut self, client: usize) {
        self.egress.broken = Some(self.publics[client]);
    }

    /// A datagram from somebody who is no client.
    pub fn inject(&mut self, source: SocketAddr, bytes: &[u8]) {
        let flight = Flight { source, destination: server_address(), bytes: bytes.to_vec() };
        self.network.send(Lane::Other, &Link::default(), flight, self.now);
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

    fn next_instant(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(Client::next_deadline).min();
        [self.network.next_arrival(), self.engine.next_deadline(), clients].into_iter().flatten().min()
    }

    fn step(&mut self) {
        while let Some((arrived_at, flight)) = self.network.receive(self.now) {
            self.deliver(&flight, arrived_at);
        }
        self.turn();
        for client in &mut self.clients {
            if client.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                client.expire(self.now);
            }
        }
        for at in 0..self.clients.len() {
            self.ask_client(at);
            while let Some(bytes) = self.clients[at].poll_transmit() {
                let destination = self.engine.address_of(transport_id(at));
                let flight = Flight { source: self.publics[at], destination, bytes };
                self.network.send(Lane::Up(at), &self.links[at], flight, self.now);
            }
        }
    }

    /// Lets the oracle know what a client has published and heard.
    fn ask_client(&mut self, at: usize) {
        let Some(checker) = &mut self.checker else { return };
        let client = &mut self.clients[at];
        while let Some(made) = client.poll_published() {
            if let Some(track) = self.bound[at].get(made.section).copied().flatten() {
                checker.note_published(at, track, made.ssrc, made.index, &made.payload);
            }
        }
        while let Some(heard) = client.poll_heard() {
            checker.note_heard(at, heard.ssrc, heard.number, &heard.payload);
        }
    }

    fn deliver(&mut self, flight: &Flight, received_at: Instant) {
        if flight.destination.ip() == server_address().ip() {
            self.forge(flight, received_at);
            self.trace.note_datagram(self.elapsed(), What::Received, flight.source, &flight.bytes);
            if let Some(checker) = &mut self.checker {
                checker.note_received(flight.source, &flight.bytes, self.now);
            }
            let path = Path { local: flight.destination, remote: flight.source };
            let datagram = Datagram { path, received_at, bytes: &flight.bytes };
            self.engine.receive(datagram, self.now);
            self.note_drops();
        } else if let Some(at) = self.publics.iter().position(|public| *public == flight.destination) {
            self.clients[at].receive(flight.source, &flight.bytes, self.now);
        }
    }

    /// Why packets ended is a decision too, and belongs to the trace.
    fn note_drops(&mut self) {
        for (reason, known) in DropReason::ALL.iter().zip(&mut self.drops) {
            let count = self.counters.dropped(*reason);
            if count != *known {
                let at = self.now - self.started_at;
                self.trace.note_words(at, What::Dropped, &format!("{} {}", count - *known, reason.name()));
                *known = count;
            }
        }
    }

    /// Now and then somebody changes a bit of a datagram of media and is faster than the real one. The oracle
    /// does not hear of it: nothing of it may be seen anywhere.
    fn forge(&mut self, flight: &Flight, received_at: Instant) {
        if !matches!(flight.bytes[..], [128..=191, ..]) || !self.forger.chance(self.forgery) {
            return;
        }
        let mut bytes = flight.bytes.clone();
        let at = self.forger.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << self.forger.below(8);
        let path = Path { local: flight.destination, remote: flight.source };
        self.engine.receive(Datagram { path, received_at, bytes: &bytes }, self.now);
        self.note_drops();
    }

    /// The rest of a shard's turn, after commands and packets.
    fn turn(&mut self) {
        self.engine.expire(self.now);
        self.engine.transmit(&mut self.egress, self.now);
        let mut sent = std::mem::take(&mut self.egress.sent);
        if let Some(meddler) = &mut self.meddler {
            meddler.meddle(&mut sent);
        }
        for (path, bytes) in sent {
            self.trace.note_datagram(self.elapsed(), What::Sent, path.remote, &bytes);
            if let Some(checker) = &mut self.checker {
                checker.note_sent(path.remote, &bytes, self.now);
            }
            let at = self.publics.iter().position(|public| *public == path.remote);
            let link = at.map_or_else(Link::default, |at| self.links[at]);
            let flight = Flight { source: path.local, destination: path.remote, bytes };
            self.network.send(at.map_or(Lane::Other, Lane::Down), &link, flight, self.now);
        }
        while let Some(event) = self.engine.poll_event() {
            self.trace.note_words(self.elapsed(), What::Told, &format!("{event:?}"));
            if let Some(checker) = &mut self.checker {
                checker.note_event(&event);
            }
            self.events.push(event);
        }
        if let Some(checker) = &mut self.checker {
            checker.check_turn(&self.engine.occupancy(), self.engine.next_deadline(), self.now);
            let panics = self.counters.panics_total.load(Relaxed);
            if panics > 0 {
                checker.break_rule(Rule::Panic, format!("{panics} turns panicked"));
            }
        }
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
