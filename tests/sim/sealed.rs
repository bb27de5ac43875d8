//! Promises to real WebRTC peers: their ICE, DTLS and SRTP are str0m's own.

use std::time::{Duration, Instant};

use dataplane::command::{CloseReason, Command, Event, Refusal, Reply};
use dataplane::counters::DropReason;
use dataplane::id::TrackId;
use dataplane::media::format::{Codec, MediaKind};
use dataplane::transport::negotiate::{Negotiator, PeerRole};
use harness::checker::{Checker, Rule};
use harness::frames;
use harness::network::Link;
use harness::sealed::SealedClient;
use harness::world::{World, client_address, server_address, transport_id};

pub(crate) const FRAME: Duration = Duration::from_millis(33);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A room with one video track.
pub(crate) struct Room {
    pub(crate) world: World<SealedClient>,
    pub(crate) negotiator: Negotiator,
    pub(crate) video: TrackId,
}

impl Room {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let video = world.add_track(1, MediaKind::Video);
        Self { world, negotiator: Negotiator::new(Instant::now()).unwrap(), video }
    }

    pub(crate) fn try_join(
        &mut self,
        role: PeerRole,
        edit: impl Fn(String) -> String,
    ) -> Result<usize, Refusal> {
        let address = client_address(self.world.clients.len());
        let (client, transport) =
            SealedClient::connect(&self.negotiator, role, address, server_address(), self.world.now, edit);
        self.world.join(client, transport, &[(self.video, MediaKind::Video)])
    }

    pub(crate) fn join(&mut self, role: PeerRole) -> usize {
        let client = self.try_join(role, |offer| offer).unwrap();
        let is_connected = self.world.run_until(CONNECT_LIMIT, |world| world.clients[client].is_connected);
        assert!(is_connected, "client {client} did not connect");
        client
    }

    /// Lets `publisher` send frames for a while.
    pub(crate) fn publish(&mut self, publisher: usize, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            let now = self.world.now;
            self.world.clients[publisher].send_frame(now);
            self.world.run_for(FRAME);
        }
    }
}

#[test]
fn a_subscriber_gets_every_packet_in_one_continuous_line() {
    let mut room = Room::new(1);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_secs(2));
    let client = &room.world.clients[subscriber];
    assert!(client.received.len() > 150);
    assert!(frames::is_keyframe_start(&client.received[0].payload));
    assert!(client.received.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
    assert!(client.received[0].number < 1 << 15, "the rollover counter begins at 0");
    assert!(client.received.iter().all(|packet| frames::is_intact(Codec::Vp8, &packet.payload)));
}

#[test]
fn a_late_joiner_gets_a_keyframe_at_once() {
    let mut room = Room::new(2);
    let publisher = room.join(PeerRole::Publisher);
    room.publish(publisher, Duration::from_secs(3));
    let before = room.world.clients[publisher].keyframe_requests;
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_millis(300));
    let client = &room.world.clients[subscriber];
    assert!(room.world.clients[publisher].keyframe_requests > before);
    assert!(client.received.first().is_some_and(|packet| frames::is_keyframe_start(&packet.payload)));
}

#[test]
fn many_joiners_cost_the_publisher_few_keyframes() {
    let mut room = Room::new(3);
    let publisher = room.join(PeerRole::Publisher);
    room.publish(publisher, Duration::from_secs(1));
    let before = room.world.clients[publisher].keyframe_requests;
    for _ in 0..12 {
        room.try_join(PeerRole::Subscriber, |offer| offer).unwrap();
    }
    room.publish(publisher, Duration::from_secs(2));
    let asked = room.world.clients[publisher].keyframe_requests - before;
    assert!((1..=4).contains(&asked), "asked {asked} times for 12 joiners in 2 s");
    assert!(room.world.clients[1..].iter().all(|client| !client.received.is_empty()));
}

#[test]
fn five_percent_loss_on_both_legs_is_recovered() {
    for seed in 0..8 {
        let mut room = Room::new(seed);
        let publisher = room.join(PeerRole::Publisher);
        let subscriber = room.join(PeerRole::Subscriber);
        room.publish(publisher, Duration::from_millis(500));
        let lossy = Link { loss: 0.05, jitter: Duration::from_millis(5), ..Link::default() };
        room.world.links.fill(lossy);
        let first = room.world.clients[publisher].next_counter();
        room.publish(publisher, Duration::from_secs(10));
        let last = room.world.clients[publisher].next_counter();
        room.world.links.fill(Link::default());
        room.publish(publisher, Duration::from_secs(1));

        let got = room.world.clients[subscriber].counters();
        let missing = (first..last).filter(|counter| got.binary_search(counter).is_err()).count();
        let share = missing as f64 / f64::from(last - first);
        assert!(share <= 0.005, "seed {seed}: {missing} of {} packets are missing", last - first);
    }
}

#[test]
fn a_publisher_that_comes_back_goes_on_in_the_same_picture() {
    let mut room = Room::new(4);
    let first = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(first, Duration::from_secs(1));
    room.world.command(Command::RemoveTransport { id: transport_id(first) });
    room.world.run_for(Duration::from_secs(2));
    let before = room.world.clients[subscriber].received.len();
    let last = room.world.clients[subscriber].received[before - 1].clone();

    let second = room.join(PeerRole::Publisher);
    room.world.clients[second].count_from(1_000_000);
    room.publish(second, Duration::from_secs(1));
    let client = &room.world.clients[subscriber];
    let next = &client.received[before];
    assert!(frames::is_keyframe_start(&next.payload));
    assert!(frames::counter(&next.payload).unwrap() >= 1_000_000);
    assert!(next.number > last.number && next.number <= last.number + 2, "the numbers go on");
    let picture = |payload: &[u8]| frames::picture_id(payload).unwrap();
    assert_eq!(picture(&next.payload), picture(&last.payload) + 1, "the picture ids go on");
    let pause_ms = f64::from(next.timestamp.wrapping_sub(last.timestamp)) / 90.0;
    let truth_ms = (next.at - last.at).as_secs_f64() * 1e3;
    assert!((pause_ms - truth_ms).abs() < 50.0, "the pause was {truth_ms} ms and shows as {pause_ms} ms");
}

#[test]
fn a_second_publisher_of_a_track_is_refused_and_changes_nothing() {
    let mut room = Room::new(5);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    assert_eq!(room.try_join(PeerRole::Publisher, |offer| offer), Err(Refusal::TrackIsPublished));
    room.publish(publisher, Duration::from_secs(1));
    assert!(room.world.clients[subscriber].received.len() > 60);
}

#[test]
fn a_viewer_behind_a_nat_that_rebinds_sees_the_picture_go_on() {
    let mut room = Room::new(6);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_secs(1));
    room.world.rebind(subscriber, "10.9.9.9:6000".parse().unwrap());
    room.publish(publisher, Duration::from_secs(8));
    let before = room.world.clients[subscriber].received.len();
    room.publish(publisher, Duration::from_secs(1));
    assert!(room.world.clients[subscriber].received.len() > before + 60);
}

#[test]
fn a_publisher_behind_a_nat_that_rebinds_goes_on_publishing() {
    let mut room = Room::new(7);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_secs(1));
    room.world.rebind(publisher, "10.9.9.9:6000".parse().unwrap());
    room.publish(publisher, Duration::from_secs(8));
    let before = room.world.clients[subscriber].received.len();
    room.publish(publisher, Duration::from_secs(1));
    assert!(room.world.clients[subscriber].received.len() > before + 60);
}

#[test]
fn a_peer_that_vanishes_is_freed_after_its_consent_expires() {
    let mut room = Room::new(8);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_secs(1));
    room.world.links[subscriber].is_cut = true;
    let gone = |world: &World<SealedClient>| {
        let closed =
            Event::TransportClosed { id: transport_id(subscriber), reason: CloseReason::ConsentExpired };
        world.events.contains(&closed)
    };
    room.publish(publisher, Duration::from_secs(28));
    assert!(!gone(&room.world), "a peer is not given up before 30 s");
    room.publish(publisher, Duration::from_secs(4));
    assert!(gone(&room.world));
    let sent = room.world.counters.packets_forwarded_total.load(std::sync::atomic::Ordering::Relaxed);
    room.publish(publisher, Duration::from_secs(1));
    let after = room.world.counters.packets_forwarded_total.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(sent, after, "nothing is sent to a peer without consent");
    let reply = room.world.command(Command::DescribeTransport { id: transport_id(subscriber) });
    assert!(matches!(reply, Reply::Refused(Refusal::UnknownTransport)));
}

#[test]
fn what_a_subscriber_reports_becomes_its_estimate() {
    let mut room = Room::new(10);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    let estimate =
        |room: &mut Room, of| match room.world.command(Command::DescribeTransport { id: transport_id(of) }) {
            Reply::Transport(report) => report.estimate,
            other => panic!("{other:?}"),
        };
    assert_eq!(estimate(&mut room, publisher), None, "nothing is sent to a publisher");
    assert_eq!(estimate(&mut room, subscriber).map(|estimate| estimate.cause), Some("start"));
    room.publish(publisher, Duration::from_secs(3));
    let known = estimate(&mut room, subscriber).unwrap();
    assert!(["delay", "application_limited"].contains(&known.cause), "{known:?}");
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let counters = &room.world.counters;
    assert!(of(&counters.feedback_received_total) > 20);
    assert_eq!(of(&counters.feedback_refused_total), 0);
    let shown = || -> u64 { counters.estimates.by_cause.iter().map(of).sum() };
    assert_eq!(shown(), 1);

    room.world.links[subscriber].is_cut = true;
    room.publish(publisher, Duration::from_secs(10));
    let silent = estimate(&mut room, subscriber).unwrap();
    assert_eq!(silent.cause, "silence");
    assert!(silent.bitrate_bps < known.bitrate_bps / 2, "{silent:?}");
    room.publish(publisher, Duration::from_secs(30));
    assert_eq!(room.world.counters.estimates.by_cause.iter().map(of).sum::<u64>(), 0);
    assert_eq!(of(&room.world.counters.estimates.bitrate_bps), 0);
}

#[test]
fn a_wrong_fingerprint_gets_nothing() {
    let mut room = Room::new(9);
    let publisher = room.join(PeerRole::Publisher);
    room.publish(publisher, Duration::from_millis(200));
    let spoil = |offer: String| {
        let at = offer.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
        let other = if &offer[at..at + 2] == "00" { "11" } else { "00" };
        format!("{}{other}{}", &offer[..at], &offer[at + 2..])
    };
    let impostor = room.try_join(PeerRole::Subscriber, spoil).unwrap();
    room.publish(publisher, Duration::from_secs(20));
    assert!(room.world.clients[impostor].received.is_empty());
    let connected = Event::TransportConnected { id: transport_id(impostor) };
    assert!(!room.world.events.contains(&connected));
    let closed =
        |event: &Event| matches!(event, Event::TransportClosed { id, .. } if *id == transport_id(impostor));
    assert!(room.world.events.iter().any(closed), "and is freed");
}

#[test]
fn a_removed_peer_is_told_and_the_rest_goes_on() {
    let mut room = Room::new(10);
    let publisher = room.join(PeerRole::Publisher);
    let (leaver, stayer) = (room.join(PeerRole::Subscriber), room.join(PeerRole::Subscriber));
    room.publish(publisher, Duration::from_millis(500));
    room.world.command(Command::RemoveTransport { id: transport_id(leaver) });
    room.world.run_for(Duration::from_millis(200));
    assert!(!room.world.clients[leaver].is_alive(), "DTLS close_notify reached the peer");
    let before = room.world.clients[stayer].received.len();
    room.publish(publisher, Duration::from_millis(500));
    assert!(room.world.clients[stayer].received.len() > before + 30);
}

#[test]
fn peers_and_tracks_may_go_in_one_turn_while_packets_still_come() {
    let mut room = Room::new(13);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_millis(300));
    let now = room.world.now;
    room.world.clients[publisher].send_frame(now);
    let late: Vec<Vec<u8>> =
        std::iter::from_fn(|| harness::world::Client::poll_transmit(&mut room.world.clients[publisher]))
            .collect();
    assert!(!late.is_empty());
    let commands = vec![
        Command::RemoveTransport { id: transport_id(subscriber) },
        Command::RemoveTransport { id: transport_id(publisher) },
        Command::RemoveTrack { track: room.video },
        Command::AddTrack { track: TrackId(2), kind: MediaKind::Audio },
    ];
    room.world.commands_and_packets(commands, publisher, &late);
    room.world.run_for(Duration::from_secs(1));
    assert_eq!(room.world.counters.panics_total.load(std::sync::atomic::Ordering::Relaxed), 0);
    for peer in [publisher, subscriber] {
        let closed = Event::TransportClosed { id: transport_id(peer), reason: CloseReason::Requested };
        assert!(room.world.events.contains(&closed), "{:?}", room.world.events);
        assert!(!room.world.clients[peer].is_alive(), "and is told");
    }
}

#[test]
fn a_panic_in_one_peers_turn_ends_that_peer_and_disturbs_no_other() {
    let mut room = Room::new(15);
    room.world.checker = Some(Checker::new(false));
    let publisher = room.join(PeerRole::Publisher);
    let (broken, other) = (room.join(PeerRole::Subscriber), room.join(PeerRole::Subscriber));
    room.publish(publisher, Duration::from_millis(500));
    room.world.break_egress_to(broken);
    room.publish(publisher, Duration::from_secs(1));
    let closed = Event::TransportClosed { id: transport_id(broken), reason: CloseReason::Panicked };
    assert!(room.world.events.contains(&closed));
    let ends = room.world.events.iter().filter(|event| matches!(event, Event::TransportClosed { .. }));
    assert_eq!(ends.count(), 1);
    assert_eq!(
        room.world.counters.panics_total.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "and is counted"
    );
    assert_eq!(
        room.world.violation().map(|violation| violation.rule),
        Some(Rule::Panic),
        "the oracle sees it"
    );
    let left = room.world.occupancy();
    assert_eq!((left.peers, left.watches, left.subscribers), (2, 1, 1), "nothing of it is left");
    let client = &room.world.clients[other];
    assert!(client.received.windows(2).all(|pair| pair[1].number == pair[0].number + 1), "nothing is lost");
    assert!(client.received.len() > 100);
}

#[test]
fn a_track_that_is_removed_takes_its_publisher_along() {
    let mut room = Room::new(14);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_millis(300));
    room.world.command(Command::RemoveTrack { track: room.video });
    room.publish(publisher, Duration::from_millis(300));
    assert_eq!(room.world.counters.panics_total.load(std::sync::atomic::Ordering::Relaxed), 0);
    let closed = Event::TransportClosed { id: transport_id(publisher), reason: CloseReason::Requested };
    assert!(room.world.events.contains(&closed));
    assert!(room.world.clients[subscriber].is_alive(), "a viewer stays, it has nothing to see");
}

#[test]
fn a_peer_that_hangs_up_is_freed_at_once() {
    let mut room = Room::new(11);
    let publisher = room.join(PeerRole::Publisher);
    room.publish(publisher, Duration::from_millis(200));
    room.world.clients[publisher].hang_up();
    room.publish(publisher, Duration::from_millis(100));
    let closed = Event::TransportClosed { id: transport_id(publisher), reason: CloseReason::PeerLeft };
    assert!(room.world.events.contains(&closed), "{:?}", room.world.events);
    assert!(room.world.events.contains(&Event::TrackStopped { track: room.video }));
}

#[test]
fn the_codec_of_a_track_is_told_once() {
    let mut room = Room::new(12);
    let publisher = room.join(PeerRole::Publisher);
    room.publish(publisher, Duration::from_secs(1));
    let started = Event::TrackStarted { track: room.video, codec: Codec::Vp8 };
    assert_eq!(room.world.events.iter().filter(|event| **event == started).count(), 1);
    assert_eq!(room.world.dropped(DropReason::UnboundSsrc), 0);
}
