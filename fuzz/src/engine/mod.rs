//! A real engine under a made-up history: commands, STUN, media, feedback and time, in any order.
//!
//! Nothing is encrypted (the replay world, D10), so that an input reaches what lies behind the keys. Who is
//! trusted still hangs on signed STUN alone, and that is what is checked: see [`ledger`].

mod ledger;
mod peer;
mod step;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use dataplane::command::{Binding, Command, Envelope, Event, Refusal, Reply};
use dataplane::counters::Counters;
use dataplane::engine::{Engine, EngineConfig};
use dataplane::id::{ShardId, TrackId, TransportId};
use dataplane::media::format::MediaKind;
use dataplane::time::WallClock;
use dataplane::transport::path::{Datagram, Path};
use futures_channel::oneshot;

use ledger::Ledger;
use peer::Peer;
use step::{Packet, Shape, Step};

/// Peers at once, tracks, and addresses that peers share.
const PEERS: usize = 6;
const TRACKS: u64 = 4;
const ADDRESSES: u8 = 12;
/// Bounds the time that one input takes.
const STEPS_MAX: usize = 600;
/// Rounds of time that a shard may be asked for at one instant.
const IDLE_TURNS_MAX: usize = 16;
/// Longer than every patience of a transport.
const LONG: Duration = Duration::from_secs(60);

/// Sequences of operations against one engine. The first byte chooses between an empty shard and one where a
/// picture flows already.
pub fn engine(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let choice = u8::arbitrary(&mut input).unwrap_or_default();
    let mut world = World::new(u64::from(choice));
    if choice % 4 != 0 {
        world.furnish(choice);
    }
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.take(&step);
    }
    world.end();
}

struct World {
    engine: Engine,
    counters: Arc<Counters>,
    now: Instant,
    /// What lies behind each slot; a closed peer stays until the engine has said so.
    peers: [Option<Peer>; PEERS],
    tracks: HashMap<TrackId, MediaKind>,
    ledger: Ledger,
    received: u64,
    generation: u64,
}

fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7000))
}

fn address(index: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1 + index % ADDRESSES], 5000))
}

fn track(index: u8) -> TrackId {
    TrackId(u64::from(index) % TRACKS)
}

fn slot(index: u8) -> usize {
    usize::from(index) % PEERS
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let counters = Arc::new(Counters::default());
        let wall_clock = WallClock::new(now, Duration::from_secs(1_790_000_000));
        let config = EngineConfig { shard: ShardId(0), seed, wall_clock };
        Self {
            engine: Engine::new(config, Arc::clone(&counters)),
            counters,
            now,
            peers: Default::default(),
            tracks: HashMap::new(),
            ledger: Ledger::default(),
            received: 0,
            generation: 0,
        }
    }

    /// A publisher and two viewers of its picture and sound, all connected, and the first packet.
    fn furnish(&mut self, choice: u8) {
        let encodings = choice >> 2 & 3;
        self.add_track(track(0), true);
        self.add_track(track(1), false);
        for at in 0..3 {
            let publishes = at == 0;
            let shape = Shape { publishes, encodings, ..Shape::of_a_browser() };
            self.join(usize::from(at), shape, [0, 1]);
            self.stun(usize::from(at), address(at), true);
        }
        self.take(&Step::Media { peer: 0, from: 0, packet: Packet::keyframe() });
        self.turn();
    }

    fn take(&mut self, step: &Step<'_>) {
        if std::env::var_os("SLUICE_FUZZ_STEPS").is_some() {
            eprintln!("{step:?}");
        }
        match *step {
            Step::AddTrack { track: at, is_video } => self.add_track(track(at), is_video),
            Step::RemoveTrack { track: at } => self.remove_track(track(at)),
            Step::Join { peer, shape, tracks } => self.join(slot(peer), shape, tracks),
            Step::Leave { peer } => self.leave(slot(peer)),
            Step::CloseAll => {
                self.command(Command::CloseAll);
            }
            Step::Describe { peer, track: at } => self.describe(slot(peer), track(at)),
            Step::Stun { peer, from, nominates } => self.stun(slot(peer), address(from), nominates),
            Step::Media { peer, from, ref packet } => {
                let tag = self.ledger.next_tag();
                let Some(peer) = &mut self.peers[slot(peer)] else { return };
                let Some(bytes) = peer.media(packet, tag) else { return };
                self.ledger.note_published(address(from), tag);
                self.receive(address(from), &bytes);
            }
            Step::Again { peer, from, back, over_rtx } => {
                let Some(peer) = &self.peers[slot(peer)] else { return };
                let Some((bytes, tag)) = peer.again(usize::from(back), over_rtx) else { return };
                self.ledger.note_published(address(from), tag);
                self.receive(address(from), &bytes);
            }
            Step::Rtcp { peer, from, ref report } => {
                let Some(peer) = &self.peers[slot(peer)] else { return };
                let bytes = peer.rtcp(report, &self.ledger);
                self.receive(address(from), &bytes);
            }
            Step::Raw { from, bytes } => self.receive(address(from), bytes),
            Step::Wait { milliseconds } => {
                self.now += Duration::from_millis(u64::from(milliseconds));
                self.turn();
            }
        }
    }

    fn command(&mut self, command: Command) -> Reply {
        let (reply, mut answer) = oneshot::channel();
        self.engine.apply(Envelope { command, reply }, self.now);
        answer.try_recv().expect("the engine keeps no reply").expect("every command is answered at once")
    }

    fn add_track(&mut self, track: TrackId, is_video: bool) {
        let kind = if is_video { MediaKind::Video } else { MediaKind::Audio };
        let reply = self.command(Command::AddTrack { track, kind });
        match self.tracks.get(&track) {
            Some(_) => assert!(matches!(reply, Reply::Refused(Refusal::AlreadyExists)), "{reply:?}"),
            None => assert!(matches!(reply, Reply::Done), "{reply:?}"),
        }
        self.tracks.entry(track).or_insert(kind);
    }

    fn remove_track(&mut self, track: TrackId) {
        let reply = self.command(Command::RemoveTrack { track });
        match self.tracks.remove(&track) {
            Some(_) => assert!(matches!(reply, Reply::Done), "{reply:?}"),
            None => assert!(matches!(reply, Reply::Refused(Refusal::UnknownTrack)), "{reply:?}"),
        }
    }

    /// A new transport in a free slot; in one that is taken, its id a second time.
    fn join(&mut self, at: usize, shape: Shape, tracks: [u8; 2]) {
        let taken = self.peers[at].as_ref().map(|peer| peer.id);
        let is_taken = taken.is_some();
        if let Some(id) = taken
            && !self.is_there(id)
        {
            // It is being closed, which the engine has not said yet.
            return;
        }
        self.generation += 1;
        let id = taken.unwrap_or(TransportId(self.generation));
        let (peer, transport) = Peer::new(id, self.generation as u32, shape, self.now);
        let sections = transport.description().sections.iter();
        let bindings: Vec<Binding> = sections
            .zip(tracks)
            .map(|(section, at)| Binding { mid: section.mid, track: track(at) })
            .collect();
        let knows_all = bindings.iter().all(|binding| self.tracks.contains_key(&binding.track));
        match self.command(Command::AddTransport { id, transport, bindings }) {
            Reply::Done => {
                assert!(!is_taken && knows_all);
                self.ledger.note_joined(&peer);
                self.peers[at] = Some(peer);
            }
            Reply::Refused(Refusal::AlreadyExists) => assert!(is_taken),
            Reply::Refused(Refusal::UnknownTrack) => assert!(!is_taken && !knows_all),
            Reply::Refused(Refusal::BindingDoesNotFit | Refusal::TrackIsPublished) => assert!(!is_taken),
            other => panic!("{other:?}"),
        }
    }

    fn leave(&mut self, at: usize) {
        let Some(id) = self.peers[at].as_ref().map(|peer| peer.id) else { return };
        let is_there = self.is_there(id);
        let reply = self.command(Command::RemoveTransport { id });
        assert_eq!(matches!(reply, Reply::Done), is_there, "{reply:?}");
        assert!(!self.is_there(id), "who leaves is not there any more");
    }

    /// Whether the engine knows a transport that is not being closed.
    fn is_there(&mut self, id: TransportId) -> bool {
        match self.command(Command::DescribeTransport { id }) {
            Reply::Transport(report) => {
                // What has not been said yet may have happened.
                assert!(report.is_connected || !self.ledger.is_connected(id), "{id:?} is connected");
                true
            }
            _ => false,
        }
    }

    fn describe(&mut self, at: usize, track: TrackId) {
        let described = self.command(Command::DescribeTrack { track });
        assert_eq!(matches!(described, Reply::Track(_)), self.tracks.contains_key(&track), "{described:?}");
        if let Some(id) = self.peers[at].as_ref().map(|peer| peer.id) {
            self.is_there(id);
        }
    }

    fn stun(&mut self, at: usize, from: SocketAddr, nominates: bool) {
        let Some(peer) = &mut self.peers[at] else { return };
        let bytes = peer.binding_request(nominates);
        self.ledger.note_verified(peer.id, from);
        self.receive(from, &bytes);
    }

    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.received += 1;
        let path = Path { local: server(), remote: from };
        self.engine.receive(Datagram { path, received_at: self.now, bytes }, self.now);
    }

    /// The rest of a shard's turn. Time that does not pass must not keep a shard busy.
    fn turn(&mut self) {
        for _ in 0..IDLE_TURNS_MAX {
            self.engine.expire(self.now);
            self.engine.transmit(&mut self.ledger, self.now);
            while let Some(event) = self.engine.poll_event() {
                self.note(event);
            }
            assert_eq!(self.counters.panics_total.load(Relaxed), 0, "a turn panicked");
            if self.engine.next_deadline().is_none_or(|deadline| deadline > self.now) {
                return;
            }
        }
        panic!("a deadline stays in the past");
    }

    fn note(&mut self, event: Event) {
        if let Event::TransportClosed { id, .. } = event {
            for peer in &mut self.peers {
                peer.take_if(|peer| peer.id == id);
            }
        }
        self.ledger.note_event(&event);
    }

    /// All leave. Then nobody is there, nothing is said any more, and nothing was lost on the way.
    fn end(&mut self) {
        self.turn();
        self.command(Command::CloseAll);
        self.turn();
        assert!(self.peers.iter().all(Option::is_none), "every peer was said to be closed");
        assert_eq!(self.counters.transports.load(Relaxed), 0);
        assert_eq!(self.counters.tracks.load(Relaxed), self.tracks.len() as u64);
        assert_eq!(self.counters.packets_received_total.load(Relaxed), self.received);
        let sent = self.ledger.sent();
        for from in 0..ADDRESSES {
            self.receive(address(from), &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xaa]);
        }
        self.now += LONG;
        self.turn();
        assert_eq!(self.ledger.sent(), sent, "nobody is there to be sent to");
        assert_eq!(self.engine.next_deadline(), None, "nothing is left to be done");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_reaches_the_viewers_of_a_furnished_shard_and_the_ledger() {
        for choice in 1..16 {
            let mut world = World::new(0);
            world.furnish(choice);
            let before = world.ledger.sent();
            for _ in 0..10 {
                let packet = Packet::keyframe();
                world.take(&Step::Media { peer: 0, from: 0, packet });
                world.take(&Step::Again { peer: 0, from: 0, back: 0, over_rtx: true });
                world.take(&Step::Wait { milliseconds: 33 });
            }
            assert!(
                world.ledger.sent() >= before + 20,
                "{choice}: {} were sent",
                world.ledger.sent() - before
            );
            world.end();
        }
    }

    #[test]
    #[should_panic(expected = "a turn panicked")]
    fn the_ledger_sees_media_that_nobody_vouched_for() {
        let mut world = World::new(0);
        world.furnish(1);
        world.take(&Step::Media { peer: 0, from: 0, packet: Packet::keyframe() });
        world.ledger.published.clear();
        world.turn();
    }
}
