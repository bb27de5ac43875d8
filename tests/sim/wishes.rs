//! What viewers ask for, and what publishers are told of it.

use std::time::Duration;

use dataplane::command::{Command, Event, LayerPlace, Refusal, Reply, SubscriptionReport};
use dataplane::counters::DropReason;
use dataplane::id::{Mid, Rid, Token, TrackId};
use dataplane::limits::WISHES_PER_WINDOW_MAX;
use dataplane::media::format::MediaKind;
use dataplane::media::wish::{Reason, Wish};
use harness::random::Random;
use harness::replay::{Encoding, ReplayClient, Role};
use harness::world::{World, client_address, transport_id};

const FRAME: Duration = Duration::from_millis(33);
const LADDER: [Encoding; 3] = [
    Encoding { rid: "l", size: (320, 180) },
    Encoding { rid: "m", size: (640, 360) },
    Encoding { rid: "h", size: (1280, 720) },
];

fn token(text: &str) -> Token {
    Token::new(text.as_bytes()).unwrap()
}

fn named(rid: &str) -> Wish {
    Wish { rid: Some(Rid(token(rid))), ..Wish::default() }
}

struct Stage {
    world: World<ReplayClient>,
    video: TrackId,
    publisher: usize,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new(11);
        let video = world.add_track(1, MediaKind::Video);
        let mut stage = Self { world, video, publisher: 0 };
        stage.publisher = stage.join(&Role::vp8(&LADDER));
        stage
    }

    fn join(&mut self, role: &Role) -> usize {
        let index = self.world.clients.len();
        let (client, transport) = ReplayClient::new(index, client_address(index), role, self.world.now);
        let client = self.world.join(client, transport, &[(self.video, MediaKind::Video)]).unwrap();
        self.world.run_for(Duration::from_millis(50));
        client
    }

    fn watch(&mut self) -> usize {
        self.join(&Role::vp8(&[]))
    }

    fn publish(&mut self, count: usize, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            self.world.clients[self.publisher].send_frame(count);
            self.world.run_for(FRAME);
        }
    }

    fn ask(&mut self, viewer: usize, wish: Wish) -> Reply {
        self.world.command(Command::RequestLayer { id: transport_id(viewer), mid: None, wish })
    }

    fn report(&mut self, viewer: usize) -> SubscriptionReport {
        match self.world.command(Command::DescribeTransport { id: transport_id(viewer) }) {
            Reply::Transport(report) => report.subscriptions[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    fn last_width(&self, viewer: usize) -> Option<u16> {
        self.world.clients[viewer].widths().last().copied()
    }

    fn demands(&self) -> Vec<(String, bool)> {
        let demands = self.world.events.iter().filter_map(|event| match event {
            Event::EncodingDemand { rid, is_wanted, .. } => {
                Some((rid.map_or_else(String::new, |rid| rid.0.to_string()), *is_wanted))
            }
            _ => None,
        });
        demands.collect()
    }
}

fn place(rid: &str) -> Option<LayerPlace> {
    Some(LayerPlace { rid: Some(Rid(token(rid))), spatial: None, temporal: None })
}

#[test]
fn each_viewer_gets_the_encoding_that_it_asked_for() {
    let mut stage = Stage::new();
    let viewers = [stage.watch(), stage.watch(), stage.watch()];
    stage.publish(3, Duration::from_secs(1));
    stage.ask(viewers[0], named("l"));
    stage.ask(viewers[1], Wish { width_max: Some(700), ..Wish::default() });
    stage.publish(3, Duration::from_secs(1));
    assert_eq!(viewers.map(|viewer| stage.last_width(viewer)), [Some(320), Some(640), Some(1280)]);
    let report = stage.report(viewers[0]);
    assert_eq!((report.target, report.reason), (place("l"), Reason::Request));
    let current = report.current.unwrap();
    assert_eq!((current.rid, current.temporal), (Some(Rid(token("l"))), Some(2)), "all there is");
    assert_eq!(report.requested, named("l"));
    assert_eq!(stage.report(viewers[2]).reason, Reason::Best);
}

#[test]
fn what_was_asked_for_is_followed_when_it_comes_and_left_when_it_goes() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_secs(1));
    stage.ask(viewer, named("m"));
    for (count, width, reason) in
        [(1, 320, Reason::MissingLayer), (3, 640, Reason::Request), (1, 320, Reason::MissingLayer)]
    {
        stage.publish(count, Duration::from_secs(2));
        assert_eq!(stage.last_width(viewer), Some(width));
        assert_eq!(stage.report(viewer).reason, reason);
    }
}

/// Fifty switches among three encodings: every frame of the line can be decoded, and none is late.
#[test]
fn fifty_switches_freeze_no_picture() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_secs(1));
    stage.world.clients[viewer].decoders().for_each(|(_, decoder)| decoder.forget_freezes());
    let mut random = Random(5);
    let (mut switches, mut before) = (0, stage.last_width(viewer));
    while switches < 50 {
        let rid = ["l", "m", "h"][random.below(3) as usize];
        assert!(matches!(stage.ask(viewer, named(rid)), Reply::Done));
        stage.publish(3, Duration::from_millis(900));
        let width = stage.last_width(viewer);
        switches += u32::from(width != before);
        before = width;
        let wanted = LADDER.iter().find(|encoding| encoding.rid == rid).map(|encoding| encoding.size.0);
        assert_eq!(width, wanted, "after {switches} switches");
    }
    let received = stage.world.clients[viewer].received();
    assert!(received.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1)), "numbers go on");
    for (_, decoder) in stage.world.clients[viewer].decoders() {
        let (freeze, _) = decoder.longest_freeze.unwrap();
        assert!(freeze <= 2 * FRAME, "the longest freeze is {freeze:?}");
    }
}

#[test]
fn a_paused_viewer_gets_nothing_and_comes_back_at_a_keyframe() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_secs(1));
    stage.ask(viewer, Wish { is_paused: true, ..Wish::default() });
    stage.world.run_for(FRAME);
    let before = stage.world.clients[viewer].received().len();
    stage.publish(3, Duration::from_secs(1));
    assert_eq!(stage.world.clients[viewer].received().len(), before);
    assert!(stage.world.dropped(DropReason::Paused) > 0);
    let report = stage.report(viewer);
    assert_eq!((report.target, report.current, report.reason), (None, None, Reason::Paused));

    stage.ask(viewer, Wish::default());
    stage.publish(3, Duration::from_secs(1));
    let received = stage.world.clients[viewer].received();
    assert!(harness::frames::is_keyframe_start(&received[before].2));
    assert_eq!(received[before].0, received[before - 1].0.wrapping_add(1), "the line goes on");
}

#[test]
fn a_publisher_is_told_what_nobody_wants_and_when_somebody_does_again() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_secs(3));
    let told = |list: &[(&str, bool)]| -> Vec<(String, bool)> {
        list.iter().map(|(rid, is_wanted)| ((*rid).to_owned(), *is_wanted)).collect()
    };
    assert_eq!(stage.demands(), told(&[("l", false), ("m", false)]));
    // It stops what nobody wants. What is wanted is said at once, although nothing comes of it.
    stage.publish(3, Duration::from_millis(100));
    stage.ask(viewer, named("l"));
    assert_eq!(stage.demands()[2..], told(&[("l", true)]));
    stage.publish(3, Duration::from_secs(3));
    assert_eq!(stage.demands()[3..], told(&[("h", false)]));
    let Reply::Track(report) = stage.world.command(Command::DescribeTrack { track: stage.video }) else {
        panic!("a track is described");
    };
    let wanted: Vec<bool> = report.encodings.iter().map(|encoding| encoding.is_wanted).collect();
    assert_eq!(wanted, [false, false, true], "best first");

    // The client stops h and m; whoever wants the best makes it start h again.
    stage.publish(1, Duration::from_secs(2));
    stage.ask(viewer, Wish::default());
    assert_eq!(stage.demands()[4..], told(&[("h", true)]));
    assert_eq!(stage.report(viewer).reason, Reason::MissingLayer);
    stage.publish(3, Duration::from_secs(1));
    assert_eq!(stage.last_width(viewer), Some(1280));
}

#[test]
fn a_room_without_viewers_wants_nothing_and_a_joiner_wants_the_best() {
    let mut stage = Stage::new();
    stage.publish(3, Duration::from_secs(3));
    assert_eq!(stage.demands().len(), 3);
    stage.watch();
    assert_eq!(stage.demands()[3..], [("h".to_owned(), true)]);
}

#[test]
fn what_cannot_be_asked_for_is_refused_by_name() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_millis(300));
    let refusal = |reply| match reply {
        Reply::Refused(refusal) => Some(refusal),
        _ => None,
    };
    assert_eq!(refusal(stage.ask(viewer, named("x"))), Some(Refusal::UnknownEncoding));
    assert_eq!(refusal(stage.ask(stage.publisher, named("l"))), Some(Refusal::UnknownSection));
    assert_eq!(refusal(stage.ask(9, named("l"))), Some(Refusal::UnknownTransport));
    let other =
        Command::RequestLayer { id: transport_id(viewer), mid: Some(Mid(token("7"))), wish: Wish::default() };
    assert_eq!(refusal(stage.world.command(other)), Some(Refusal::UnknownSection));
}

#[test]
fn a_hostile_viewer_cannot_wish_for_keyframes_without_end() {
    let mut stage = Stage::new();
    let viewer = stage.watch();
    stage.publish(3, Duration::from_secs(1));
    let mut taken = 0;
    for at in 0..300 {
        let wish = named(["l", "m", "h"][at % 3]);
        taken += u32::from(matches!(stage.ask(viewer, wish), Reply::Done));
        assert!(matches!(stage.ask(viewer, wish), Reply::Done) || taken == WISHES_PER_WINDOW_MAX);
        stage.publish(3, FRAME);
        if taken == WISHES_PER_WINDOW_MAX {
            break;
        }
    }
    assert!(matches!(stage.ask(viewer, named("l")), Reply::Refused(Refusal::TooManyWishes)));
    stage.publish(3, Duration::from_secs(10));
    assert!(matches!(stage.ask(viewer, named("l")), Reply::Done), "its budget comes back");
}
