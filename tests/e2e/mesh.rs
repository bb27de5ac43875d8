//! Promises of shards that share a track, with threads and sockets as the server has them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dataplane::command::{Envelope, Event};
use dataplane::counters::DropReason;
use dataplane::engine::{Engine, Hop, Outlets};
use dataplane::id::ShardId;
use dataplane::limits::MESH_RING_LEN_MAX;
use dataplane::shard::backend::{IoChoice, IoSettings};
use dataplane::shard::turn::Turn;
use dataplane::shard::{ShardConfig, ShardHandle};
use dataplane::transport::negotiate::PeerRole;
use dataplane::transport::path::{Datagram, Egress};
use harness::sockets::Stage;

use crate::counting;
use crate::sockets::on_both_backends;

on_both_backends! {
    viewers_on_both_shards_see_the_same_and_who_comes_late_begins_at_once,
    a_stalled_shard_leaves_the_others_undisturbed_and_recovers,
    a_packet_that_crosses_adds_no_allocation_on_either_shard,
}

fn meshed(io: IoChoice, mirrors: u16) -> Stage {
    meshed_with(io, mirrors, |config| ShardHandle::start(config, Arc::new(|| {})))
}

fn meshed_with(
    io: IoChoice,
    mirrors: u16,
    start: impl Fn(ShardConfig) -> std::io::Result<ShardHandle>,
) -> Stage {
    let io = IoSettings { choice: io, has_zero_copy: false };
    Stage::meshed(Ipv4Addr::LOCALHOST.into(), mirrors, |config| start(ShardConfig { io, ..config }))
}

fn viewers_on_both_shards_see_the_same_and_who_comes_late_begins_at_once(io: IoChoice) {
    let mut stage = meshed(io, 1);
    let far = stage.mirrors[0].clone();
    let publisher = stage.join(PeerRole::Publisher);
    let viewers = [stage.join(PeerRole::Subscriber), stage.join_on(&far, PeerRole::Subscriber)];
    stage.publish(publisher, 60, Duration::from_millis(300));
    let first = stage.clients[publisher].client.next_counter();
    stage.publish(publisher, 60, Duration::from_secs(1));
    let last = stage.clients[publisher].client.next_counter();
    stage.rest(Duration::from_millis(200));
    for viewer in viewers {
        let got = stage.clients[viewer].client.counters();
        let missing = (first..last).filter(|counter| got.binary_search(counter).is_err()).count();
        assert_eq!(missing, 0, "of {} packets, viewer {viewer}", last - first);
    }

    let late = stage.join_on(&far, PeerRole::Subscriber);
    stage.publish(publisher, 60, Duration::from_millis(500));
    assert!(stage.clients[late].client.counters().len() > 20, "the keyframe came");

    let sent = stage.shard.counters().hops_sent_total.load(Relaxed);
    let received = far.counters().hops_received_total.load(Relaxed);
    let packets = stage.clients[publisher].client.next_counter();
    assert_eq!(sent, received);
    assert!(sent <= u64::from(packets) + 8, "{sent} hops for {packets} packets: once, for two viewers");
    assert!(stage.shard.counters().hop_wakes_total.load(Relaxed) > 10, "a shard that sleeps is woken");
    assert_eq!(stage.shard.counters().dropped(DropReason::MeshFull), 0);
    assert!(far.latency().len() > 100, "the latency is measured from the first shard on");
}

fn a_stalled_shard_leaves_the_others_undisturbed_and_recovers(io: IoChoice) {
    let is_stalled = Arc::new(AtomicBool::new(false));
    let stalls = Arc::clone(&is_stalled);
    let mut stage = meshed_with(io, 2, move |config| {
        let stalls = (config.id == ShardId(2)).then(|| Arc::clone(&stalls));
        ShardHandle::start_with(config, Arc::new(|| {}), |config, counters| Stalling {
            engine: Engine::new(config, counters),
            stalls,
        })
    });
    let [good, bad] = [stage.mirrors[0].clone(), stage.mirrors[1].clone()];
    let publisher = stage.join(PeerRole::Publisher);
    let near = stage.join(PeerRole::Subscriber);
    let far = stage.join_on(&good, PeerRole::Subscriber);
    let lost = stage.join_on(&bad, PeerRole::Subscriber);
    stage.publish(publisher, 60, Duration::from_millis(300));

    is_stalled.store(true, Relaxed);
    let first = stage.clients[publisher].client.next_counter();
    let before = stage.clients[lost].client.counters().len();
    // More than its ring holds.
    while stage.clients[publisher].client.next_counter() - first < MESH_RING_LEN_MAX as u32 * 3 / 2 {
        stage.publish(publisher, 250, Duration::from_millis(100));
    }
    let last = stage.clients[publisher].client.next_counter();
    stage.publish(publisher, 250, Duration::from_millis(100));
    for viewer in [near, far] {
        let got = stage.clients[viewer].client.counters();
        let missing = (first..last).filter(|counter| got.binary_search(counter).is_err()).count();
        assert_eq!(missing, 0, "of {} packets, viewer {viewer}", last - first);
    }
    assert!(
        stage.shard.turn_age() < Duration::from_millis(200) && good.turn_age() < Duration::from_millis(200)
    );
    let dropped = stage.shard.counters().dropped(DropReason::MeshFull);
    assert!(dropped > 0, "what has no room is counted");
    assert!(stage.clients[lost].client.counters().len() <= before + 20);

    is_stalled.store(false, Relaxed);
    stage.publish(publisher, 60, Duration::from_millis(300));
    let dropped = stage.shard.counters().dropped(DropReason::MeshFull);
    let before = stage.clients[lost].client.counters().len();
    stage.publish(publisher, 60, Duration::from_secs(1));
    assert!(stage.clients[lost].client.counters().len() > before + 100, "the picture is back");
    assert_eq!(stage.shard.counters().dropped(DropReason::MeshFull), dropped);
}

fn a_packet_that_crosses_adds_no_allocation_on_either_shard(io: IoChoice) {
    const WINDOW: Duration = Duration::from_secs(3);
    for counted in [0, 1] {
        let mut stage = meshed_with(io, 1, move |config| {
            let is_counted = config.id == ShardId(counted);
            ShardHandle::start_with(config, Arc::new(|| {}), move |config, counters| {
                if is_counted {
                    counting::count_this_thread();
                }
                Engine::new(config, counters)
            })
        });
        let far = stage.mirrors[0].clone();
        let publisher = stage.join(PeerRole::Publisher);
        stage.join_on(&far, PeerRole::Subscriber);
        // Every buffer grows to what it needs.
        stage.publish(publisher, 60, WINDOW);
        let before = counting::allocations();
        stage.rest(WINDOW);
        let at_rest = counting::allocations() - before;
        let (before, crossed) = (counting::allocations(), far.counters().hops_received_total.load(Relaxed));
        stage.publish(publisher, 60, WINDOW);
        let under_media = counting::allocations() - before;
        let crossed = far.counters().hops_received_total.load(Relaxed) - crossed;
        assert!(crossed > 300, "{crossed} packets crossed");
        let more = under_media.saturating_sub(at_rest);
        assert!(
            more < crossed / 50,
            "shard {counted}: {more} allocations more while {crossed} packets crossed"
        );
    }
}

/// An engine whose thread can be made to hang.
struct Stalling {
    engine: Engine,
    stalls: Option<Arc<AtomicBool>>,
}

impl Turn for Stalling {
    fn apply(&mut self, envelope: Envelope, now: Instant) {
        self.engine.apply(envelope, now);
    }

    fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        self.engine.receive(datagram, now);
    }

    fn receive_hop(&mut self, from: ShardId, hop: &Hop, now: Instant) {
        self.engine.receive_hop(from, hop, now);
    }

    fn poll_hops(&mut self, outlets: &mut impl Outlets, now: Instant) {
        self.engine.poll_hops(outlets, now);
    }

    fn expire(&mut self, now: Instant) {
        while self.stalls.as_ref().is_some_and(|stalls| stalls.load(Relaxed)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.engine.expire(now);
    }

    fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        self.engine.transmit(egress, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.engine.poll_event()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }
}
