//! Promises of layers where publisher and viewer are on different shards.

use std::time::Duration;

use dataplane::command::{Command, Event, Refusal, Reply};
use dataplane::id::{Rid, Ssrc, Token};
use dataplane::limits::UNWANTED_AFTER;
use dataplane::media::wish::Wish;
use harness::capture::Capture;
use harness::playback::{Parts, play_over};
use harness::random::Random;
use harness::world::transport_id;

use super::{FRAME, LADDER, Stage, VIDEO};

/// Captures whose layers are told in each of the ways there are. With `-` in front: without dependency descriptors.
const LAYERED: [&str; 9] = [
    "chromium_vp8_l1t3",
    "chromium_vp8_l1t3_descriptor",
    "-chromium_vp9_l1t3",
    "-chromium_vp9_l3t3",
    "chromium_vp9_l3t3",
    "chromium_vp9_l3t3_key",
    "chromium_av1_l1t3",
    "chromium_av1_l3t3_key",
    "chromium_h264_l1t2",
];

fn named(rid: &str) -> Wish {
    Wish { rid: Some(Rid(Token::new(rid.as_bytes()).unwrap())), ..Wish::default() }
}

fn any_wish(random: &mut Random) -> Wish {
    let best = Wish::default();
    match random.below(7) {
        0 => Wish { is_paused: true, ..best },
        1 => Wish { width_max: Some(700), ..best },
        2 => Wish { temporal_max: Some(random.below(3) as u8), ..best },
        3 => Wish { spatial_max: Some(random.below(3) as u8), temporal_max: Some(1), ..best },
        4 => best,
        _ => named(LADDER[random.below(3) as usize].rid),
    }
}

impl Stage {
    fn ask(&mut self, viewer: usize, wish: Wish) -> Reply {
        self.world.command(Command::RequestLayer { id: transport_id(viewer), mid: None, wish })
    }

    fn publish_for(&mut self, publisher: usize, duration: Duration) {
        self.publish(publisher, LADDER.len(), (duration.as_millis() / FRAME.as_millis()) as u32 + 1);
    }

    fn last_width(&self, viewer: usize) -> Option<u16> {
        self.world.clients[viewer].widths().last().copied()
    }

    /// What the publisher was told since the last call.
    fn demands(&mut self) -> Vec<(String, bool)> {
        let events = std::mem::take(&mut self.world.events);
        let demands = events.into_iter().filter_map(|event| match event {
            Event::EncodingDemand { rid, is_wanted, .. } => Some((rid?.0.to_string(), is_wanted)),
            _ => None,
        });
        demands.collect()
    }
}

fn told(list: &[(&str, bool)]) -> Vec<(String, bool)> {
    list.iter().map(|(rid, is_wanted)| ((*rid).to_owned(), *is_wanted)).collect()
}

/// Viewers everywhere change their minds, while encodings come and go and the publisher is replaced.
fn play_wishes(seed: u64, shards: u16) -> Stage {
    let mut stage = Stage::new(seed, shards);
    let mut random = Random(seed ^ 0x1a7e);
    let first = stage.publisher();
    let viewers: Vec<usize> = (0..6).map(|_| stage.viewer()).collect();
    stage.world.links[first].loss = 0.02;
    stage.report(first);
    for publisher in [first, first + viewers.len() + 1] {
        for count in [1, 3, 3, 2, 3, 1, 3, 3] {
            let viewer = viewers[random.below(viewers.len() as u64) as usize];
            let wish = any_wish(&mut random);
            stage.ask(viewer, wish);
            let frames = 1 + random.below(40) as u32;
            stage.publish(publisher, count, frames);
        }
        if publisher == first {
            stage.leave(first);
            stage.publisher();
        }
    }
    stage
}

#[test]
fn wishes_come_to_the_same_on_one_shard_as_on_two_and_four() {
    for seed in 1..=4 {
        let alone = play_wishes(seed, 1);
        for shards in [2, 4] {
            let meshed = play_wishes(seed, shards);
            assert!(meshed.hops() > 500, "{} hops", meshed.hops());
            for client in 0..alone.world.clients.len() {
                let (expected, heard) = (alone.heard(client), meshed.heard(client));
                assert!(expected == heard, "seed {seed}, {shards} shards, client {client}");
            }
            assert!(meshed.world.violation().is_none(), "{:?}", meshed.world.violation());
        }
    }
}

/// Without what every negotiation draws anew: the SSRC, and where the numbers begin.
fn on_one_line(mut received: Vec<Parts>) -> Vec<Parts> {
    let first = received.first().map_or(0, |parts| parts.header.sequence_number);
    for Parts { header, .. } in &mut received {
        header.sequence_number = header.sequence_number.wrapping_sub(first);
        header.ssrc = Ssrc(0);
    }
    received
}

#[test]
fn layers_of_real_streams_come_to_the_same_on_another_shard() {
    for name in LAYERED {
        let mut capture = Capture::load(name.trim_start_matches('-'));
        if name.starts_with('-') {
            let lines = capture.offer.lines().filter(|line| !line.contains("dependency-descriptor"));
            capture.offer = lines.flat_map(|line| [line, "\r\n"]).collect();
        }
        for seed in 0..4 {
            let mut random = Random(seed);
            let wishes: Vec<(Duration, Wish)> =
                (1..12).map(|at| (at * Duration::from_millis(350), any_wish(&mut random))).collect();
            let (near, asked_near) = play_over(1, &capture, &capture, &wishes);
            let (far, asked_far) = play_over(2, &capture, &capture, &wishes);
            let (near, far) = (on_one_line(near), on_one_line(far));
            let same = near.iter().zip(&far).take_while(|pair| pair.0 == pair.1).count();
            assert_eq!((same, far.len()), (near.len(), near.len()), "{name}, seed {seed}");
            assert!(near.len() > 10, "{name}, seed {seed}: {} packets", near.len());
            assert_eq!(asked_near, asked_far, "{name}, seed {seed}: keyframes");
        }
    }
}

#[test]
fn an_encoding_is_wanted_while_anybody_on_any_shard_wants_it() {
    let mut stage = Stage::new(12, 3);
    let publisher = stage.publisher();
    let [far, farther, near] = [(); 3].map(|()| stage.viewer());
    assert_eq!([far % 3, farther % 3, near % 3], [1, 2, 0]);
    for viewer in [far, farther, near] {
        stage.publish(publisher, 3, 30);
        stage.ask(viewer, named("l"));
    }
    stage.demands();
    stage.ask(far, named("m"));
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!(stage.demands(), told(&[("m", true), ("h", false)]));
    assert_eq!(
        [far, farther, near].map(|viewer| stage.last_width(viewer)),
        [Some(640), Some(320), Some(320)]
    );

    // The last one that wanted m is on a shard of its own; so is who wants h.
    stage.ask(far, Wish { is_paused: true, ..Wish::default() });
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!(stage.demands(), told(&[("m", false)]));
    stage.ask(farther, named("h"));
    assert_eq!(stage.demands(), told(&[("h", true)]), "before the next packet");
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!((stage.demands(), stage.last_width(farther)), (told(&[]), Some(1280)));

    stage.leave(farther);
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!(stage.demands(), told(&[("h", false)]));
    stage.leave(near);
    stage.leave(far);
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!(stage.demands(), told(&[("l", false)]));
}

#[test]
fn a_joiner_on_another_shard_wants_the_best_before_it_has_seen_what_there_is() {
    let mut stage = Stage::new(13, 2);
    let publisher = stage.publisher();
    stage.publish_for(publisher, 2 * UNWANTED_AFTER);
    assert_eq!(stage.demands().len(), 3);
    let viewer = stage.viewer();
    assert_eq!(viewer % 2, 1);
    assert_eq!(stage.demands(), told(&[("h", true)]));
}

#[test]
fn only_encodings_that_somebody_wants_cross() {
    let mut stage = Stage::new(14, 2);
    let publisher = stage.publisher();
    let viewer = stage.viewer();
    stage.publish(publisher, 3, 30);
    stage.ask(viewer, named("m"));
    stage.publish(publisher, 3, 30);
    let before = stage.hops();
    stage.publish(publisher, 3, 100);
    assert_eq!(stage.hops() - before, 100 * (3 + 1), "one encoding, and sound");
    assert_eq!(stage.last_width(viewer), Some(640));
    stage.ask(viewer, Wish { is_paused: true, ..Wish::default() });
    let before = stage.hops();
    stage.publish(publisher, 3, 100);
    assert!(stage.hops() - before < 130, "{} hops", stage.hops() - before);
}

#[test]
fn an_encoding_that_was_never_sent_can_be_named_on_another_shard() {
    let mut stage = Stage::new(15, 2);
    let publisher = stage.publisher();
    let viewer = stage.viewer();
    stage.publish(publisher, 1, 10);
    assert!(matches!(stage.ask(viewer, named("h")), Reply::Done));
    let reply = stage.ask(viewer, named("x"));
    assert!(matches!(reply, Reply::Refused(Refusal::UnknownEncoding)), "{reply:?}");
    let Reply::Transport(report) =
        stage.world.command(Command::DescribeTransport { id: transport_id(viewer) })
    else {
        panic!("it is described");
    };
    let shown = report.subscriptions.iter().find(|shown| shown.track == VIDEO.0);
    assert_eq!(shown.map(|shown| shown.requested), Some(named("h")));
}
