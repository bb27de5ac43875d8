//! Promises of shards that share a track: who watches does not notice on which of them it is.

mod layers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dataplane::command::{Binding, Command, Envelope, Refusal, Reply};
use dataplane::counters::DropReason;
use dataplane::engine::{Engine, EngineConfig, Hop, Outlets};
use dataplane::id::{ShardId, TrackId};
use dataplane::media::crossing::Rank;
use dataplane::media::format::{Codec, MediaKind};
use dataplane::time::WallClock;
use dataplane::wire::rtp::RtpHeader;
use futures_channel::oneshot;
use harness::checker::Checker;
use harness::network::Link;
use harness::random::Random;
use harness::replay::{Encoding, Publishing, ReplayClient, Role};
use harness::world::{World, client_address, transport_id};

const FRAME: Duration = Duration::from_millis(33);
const SETTLE: Duration = Duration::from_millis(50);
const LADDER: [Encoding; 3] = [
    Encoding { rid: "l", size: (320, 180) },
    Encoding { rid: "m", size: (640, 360) },
    Encoding { rid: "h", size: (1280, 720) },
];
const VIDEO: (TrackId, MediaKind) = (TrackId(1), MediaKind::Video);
const AUDIO: (TrackId, MediaKind) = (TrackId(2), MediaKind::Audio);

struct Stage {
    world: World<ReplayClient>,
}

impl Stage {
    fn new(seed: u64, shards: u16) -> Self {
        let mut world = World::with_shards(seed, shards);
        world.checker = Some(Checker::new(true));
        for (track, kind) in [VIDEO, AUDIO] {
            world.add_track(track.0, kind);
        }
        Self { world }
    }

    fn publisher(&mut self) -> usize {
        let none = Encoding { rid: "", size: (0, 0) };
        let publishes = vec![
            Publishing { codec: Codec::Vp8, encodings: LADDER.to_vec() },
            Publishing { codec: Codec::Opus, encodings: vec![none] },
        ];
        self.join(&Role { publishes, has_rtx: true, ..Role::default() })
    }

    fn viewer(&mut self) -> usize {
        let watches = vec![vec![Codec::Vp8], vec![Codec::Opus]];
        self.join(&Role { watches, has_transport_cc: true, ..Role::default() })
    }

    fn join(&mut self, role: &Role) -> usize {
        let index = self.world.clients.len();
        let (client, transport) = ReplayClient::new(index, client_address(index), role, self.world.now);
        let joined = self.world.join(client, transport, &[VIDEO, AUDIO]).unwrap();
        self.world.run_for(SETTLE);
        joined
    }

    /// The publisher sends its first `count` encodings and sound for so many frames.
    fn publish(&mut self, publisher: usize, count: usize, frames: u32) {
        for _ in 0..frames {
            self.world.clients[publisher].send_frame(count);
            self.world.clients[publisher].send_sound();
            self.world.run_for(FRAME);
        }
    }

    /// The publisher tells when it captures, on a clock that is an hour behind.
    fn report(&mut self, publisher: usize) {
        let ntp = self.world.wall_clock.ntp(self.world.now).plus_seconds(-3_600.0);
        self.world.clients[publisher].send_sender_reports(ntp);
        self.world.run_for(SETTLE);
    }

    fn leave(&mut self, client: usize) {
        self.world.command(Command::RemoveTransport { id: transport_id(client) });
        self.world.clients[client].is_silent = true;
        self.world.run_for(SETTLE);
    }

    /// What a client got, whole packets by SSRC.
    fn heard(&self, client: usize) -> BTreeMap<u32, Vec<Vec<u8>>> {
        let mut heard: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
        for bytes in &self.world.clients[client].packets {
            heard.entry(RtpHeader::parse(bytes).unwrap().ssrc.0).or_default().push(bytes.clone());
        }
        heard
    }

    fn hops(&self) -> u64 {
        self.world.counters.hops_sent_total.load(Relaxed)
    }
}

/// A room with bad links, encodings that come and go, a publisher that restarts, leaves and comes back, viewers
/// that come late, and leave.
fn play(seed: u64, shards: u16) -> Stage {
    let mut stage = Stage::new(seed, shards);
    let mut random = Random(seed ^ 0x3e54);
    let early = stage.viewer();
    let publisher = stage.publisher();
    let viewers: Vec<usize> = (0..5).map(|_| stage.viewer()).collect();
    for viewer in &viewers[1..] {
        stage.world.links[*viewer] = Link { bandwidth_bps: None, ..Link::any(&mut random) };
    }
    stage.world.links[publisher].loss = 0.03;
    for (count, frames) in [(1, 40), (3, 60), (2, 50)] {
        stage.report(publisher);
        stage.publish(publisher, count, frames);
    }
    stage.report(publisher);
    stage.world.clients[publisher].restart(60_000);
    stage.publish(publisher, 3, 1);
    stage.report(publisher);
    stage.publish(publisher, 3, 40);
    stage.viewer();
    stage.leave(early);
    stage.publish(publisher, 3, 40);
    stage.leave(publisher);
    let second = stage.publisher();
    stage.publish(second, 3, 60);
    stage
}

#[test]
fn everyone_gets_the_same_from_one_shard_as_from_two_and_four() {
    for seed in [1, 2, 3] {
        let alone = play(seed, 1);
        assert_eq!(alone.hops(), 0);
        for shards in [2, 4] {
            let meshed = play(seed, shards);
            assert!(meshed.hops() > 1_000, "{} hops", meshed.hops());
            assert_eq!(meshed.world.clients.len(), alone.world.clients.len());
            for client in 0..alone.world.clients.len() {
                let (expected, heard) = (alone.heard(client), meshed.heard(client));
                for (ssrc, packets) in &expected {
                    let seen = heard.get(ssrc).map_or(&[][..], Vec::as_slice);
                    let same = packets.iter().zip(seen).take_while(|pair| pair.0 == pair.1).count();
                    assert_eq!(
                        (same, packets.len(), seen.len()),
                        (packets.len(), packets.len(), packets.len()),
                        "seed {seed}, {shards} shards, client {client}, SSRC {ssrc:08x}"
                    );
                }
                assert_eq!(expected.len(), heard.len());
            }
            assert!(meshed.world.violation().is_none(), "{:?}", meshed.world.violation());
        }
    }
}

#[test]
fn a_packet_crosses_once_for_each_shard_with_viewers_and_not_at_all_without() {
    let mut stage = Stage::new(5, 4);
    let publisher = stage.publisher();
    stage.publish(publisher, 1, 10);
    assert_eq!(stage.hops(), 0, "nobody watches");
    // Clients 1, 2 and 3 are on the shards 1, 2 and 3, and so on round.
    let viewers: Vec<usize> = (0..9).map(|_| stage.viewer()).collect();
    stage.publish(publisher, 1, 5);
    let before = stage.hops();
    stage.publish(publisher, 1, 100);
    let packets = 100 * (3 + 1);
    assert_eq!(stage.hops() - before, 3 * packets, "three shards, however many watch on each");
    for viewer in viewers.iter().filter(|viewer| **viewer % 4 == 1) {
        stage.leave(*viewer);
    }
    let before = stage.hops();
    stage.publish(publisher, 1, 100);
    assert_eq!(stage.hops() - before, 2 * packets, "nobody is left on the first of them");
    assert_eq!(stage.world.dropped(DropReason::NoSubscriber), 0);
    assert_eq!(stage.world.occupancy().mirrors, 2 * 2);
}

#[test]
fn who_comes_late_on_another_shard_gets_its_keyframe_at_once() {
    let mut stage = Stage::new(6, 2);
    let publisher = stage.publisher();
    stage.publish(publisher, 1, 60);
    let asked = stage.world.clients[publisher].keyframe_requests;
    let viewer = stage.viewer();
    assert_eq!(viewer % 2, 1, "on the other shard");
    assert_eq!(stage.world.clients[publisher].keyframe_requests, asked + 1, "before the next packet");
    stage.publish(publisher, 1, 3);
    assert!(!stage.world.clients[viewer].received().is_empty());
}

/// An engine whose hops the test carries itself.
struct Lone {
    engine: Engine,
    now: Instant,
}

impl Lone {
    fn new(shard: u16) -> Self {
        let now = Instant::now();
        let wall_clock = WallClock::new(now, Duration::from_secs(1_790_000_000));
        let config = EngineConfig { shard: ShardId(shard), seed: 1, wall_clock };
        Self { engine: Engine::new(config, Arc::default()), now }
    }

    fn tell(&mut self, command: Command) -> Reply {
        let (reply, mut answer) = oneshot::channel();
        self.engine.apply(Envelope { command, reply }, self.now);
        answer.try_recv().unwrap().unwrap()
    }

    fn join(&mut self, index: usize, role: &Role) -> Reply {
        let (_, transport) = ReplayClient::new(index, client_address(index), role, self.now);
        let bindings = vec![Binding { mid: transport.description().sections[0].mid, track: VIDEO.0 }];
        self.tell(Command::AddTransport { id: transport_id(index), transport, bindings })
    }

    fn hops(&mut self) -> Vec<Hop> {
        let mut hops = List { hops: Vec::new(), has_room: true };
        self.engine.poll_hops(&mut hops, self.now);
        hops.hops
    }
}

struct List {
    hops: Vec<Hop>,
    has_room: bool,
}

impl Outlets for List {
    fn offer(&mut self, _to: ShardId, _rank: Rank, write: impl FnOnce(&mut Hop)) -> bool {
        if self.has_room {
            let mut hop = Hop::default();
            write(&mut hop);
            self.hops.push(hop);
        }
        self.has_room
    }
}

const HOME: ShardId = ShardId(0);
const MIRROR: ShardId = ShardId(1);

fn mirror() -> Lone {
    let mut mirror = Lone::new(MIRROR.0);
    let (track, kind) = VIDEO;
    assert!(matches!(mirror.tell(Command::MirrorTrack { track, kind, home: HOME }), Reply::Done));
    mirror
}

#[test]
fn a_mirror_that_is_watched_before_its_track_is_there_is_known_once_it_is() {
    let (mut home, mut mirror) = (Lone::new(HOME.0), mirror());
    assert!(matches!(mirror.join(0, &Role::vp8(&[])), Reply::Done));
    for hop in mirror.hops() {
        home.engine.receive_hop(MIRROR, &hop, home.now);
    }
    assert_eq!(home.engine.occupancy().mirrors, 0);
    let (track, kind) = VIDEO;
    home.tell(Command::AddTrack { track, kind });
    assert_eq!(home.engine.occupancy().mirrors, 1);
}

#[test]
fn what_could_not_be_told_for_want_of_room_is_told_later() {
    let (mut home, mut mirror) = (Lone::new(HOME.0), mirror());
    let (track, kind) = VIDEO;
    home.tell(Command::AddTrack { track, kind });
    mirror.join(0, &Role::vp8(&[]));
    let mut full = List { hops: Vec::new(), has_room: false };
    mirror.engine.poll_hops(&mut full, mirror.now);
    for known in [1, 0] {
        let hops = mirror.hops();
        assert_eq!(hops.len(), 1);
        home.engine.receive_hop(MIRROR, &hops[0], home.now);
        assert_eq!(home.engine.occupancy().mirrors, known);
        mirror.tell(Command::RemoveTrack { track });
        mirror.engine.poll_hops(&mut full, mirror.now);
    }
    assert!(mirror.hops().is_empty(), "and only once");
}

#[test]
fn a_mirror_takes_no_publisher() {
    let reply = mirror().join(0, &Role::vp8(&LADDER[..1]));
    assert!(matches!(reply, Reply::Refused(Refusal::TrackIsPublished)), "{reply:?}");
}

#[test]
fn who_is_the_first_on_a_shard_learns_the_clock_that_was_told_before() {
    let mut stage = Stage::new(10, 2);
    let publisher = stage.publisher();
    stage.publish(publisher, 1, 10);
    stage.report(publisher);
    let viewer = stage.viewer();
    stage.publish(publisher, 1, 60);
    assert!(!stage.world.clients[viewer].sender_reports.is_empty());
}

#[test]
fn a_shard_that_does_not_keep_up_loses_packets_and_disturbs_nobody_else() {
    let mut stage = Stage::new(9, 2);
    let publisher = stage.publisher();
    let far = stage.viewer();
    let near = stage.viewer();
    stage.publish(publisher, 1, 30);
    let (near_before, far_before) =
        (stage.world.clients[near].received().len(), stage.world.clients[far].received().len());
    stage.world.hold_hops(Some(64));
    stage.publish(publisher, 1, 60);
    assert_eq!(stage.world.clients[near].received().len() - near_before, 180, "every packet");
    assert_eq!(stage.world.clients[far].received().len(), far_before);
    let dropped = stage.world.dropped(DropReason::MeshFull);
    assert!(dropped > 100, "{dropped} packets had no room");
    stage.world.hold_hops(None);
    stage.publish(publisher, 1, 60);
    assert_eq!(stage.world.dropped(DropReason::MeshFull), dropped, "and it goes on");
    let last = |client: usize| stage.world.clients[client].received().last().unwrap().2.clone();
    assert_eq!(last(far), last(near));
}
