//! Promises that need nothing but the engine: no encryption, and equal seeds give equal traces.

use std::time::Duration;

use dataplane::command::Command;
use dataplane::id::TrackId;
use dataplane::media::format::MediaKind;
use harness::frames;
use harness::replay::{Encoding, ReplayClient, Role};
use harness::world::{Client, World, client_address};

const FRAME: Duration = Duration::from_millis(33);
const LADDER: [Encoding; 3] = [
    Encoding { rid: "l", size: (320, 180) },
    Encoding { rid: "m", size: (640, 360) },
    Encoding { rid: "h", size: (1280, 720) },
];

struct Stage {
    world: World<ReplayClient>,
    video: TrackId,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let video = world.add_track(1, MediaKind::Video);
        Self { world, video }
    }

    fn join(&mut self, encodings: &[Encoding]) -> usize {
        self.join_with(Role::vp8(encodings))
    }

    fn join_with(&mut self, role: Role) -> usize {
        let index = self.world.clients.len();
        let (client, transport) = ReplayClient::new(index, client_address(index), &role, self.world.now);
        let client = self.world.join(client, transport, &[(self.video, MediaKind::Video)]).unwrap();
        self.world.run_for(Duration::from_millis(50));
        client
    }

    /// The publisher sends its first `count` encodings for a while.
    fn publish(&mut self, publisher: usize, count: usize, duration: Duration) {
        let end = self.world.now + duration;
        while self.world.now < end {
            self.world.clients[publisher].send_frame(count);
            self.world.run_for(FRAME);
        }
    }
}

#[test]
fn everyone_gets_the_best_encoding_that_flows() {
    let mut stage = Stage::new(1);
    let publisher = stage.join(&LADDER);
    let viewers = [stage.join(&[]), stage.join(&[])];
    for (count, best) in [(1, 320), (3, 1280), (2, 640)] {
        stage.publish(publisher, count, Duration::from_secs(2));
        for viewer in viewers {
            assert_eq!(stage.world.clients[viewer].widths().last(), Some(&best));
        }
    }
}

#[test]
fn a_switch_of_encoding_is_continuous_for_the_viewer() {
    let mut stage = Stage::new(2);
    let publisher = stage.join(&LADDER);
    let viewer = stage.join(&[]);
    stage.publish(publisher, 1, Duration::from_secs(1));
    stage.publish(publisher, 3, Duration::from_secs(2));
    let received = stage.world.clients[viewer].received();
    for pair in received.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1), "numbers go on");
        let step = pair[1].1.wrapping_sub(pair[0].1);
        assert!(step <= 90_000 / 2, "timestamps never run back: {step}");
    }
    let ids: Vec<u16> = received.iter().filter_map(|packet| harness::frames::picture_id(&packet.2)).collect();
    assert!(ids.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) <= 1), "picture ids go on");
}

#[test]
fn a_keyframe_whose_first_packet_comes_last_is_shown_whole_and_in_order() {
    for order in [[1, 2, 0], [2, 1, 0]] {
        let mut stage = Stage::new(6);
        let publisher = stage.join(&LADDER[..1]);
        let viewer = stage.join(&[]);
        stage.world.clients[publisher].send_frame_in_order(order);
        stage.world.run_for(FRAME);
        let received = stage.world.clients[viewer].received();
        assert_eq!(received.len(), 3, "{order:?}");
        assert!(received.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1)), "{order:?}");
    }
}

#[test]
fn a_hostile_viewer_cannot_flood_the_publisher_with_keyframe_requests() {
    let mut stage = Stage::new(3);
    let publisher = stage.join(&LADDER[..1]);
    let viewer = stage.join(&[]);
    stage.publish(publisher, 1, Duration::from_secs(1));
    let before = stage.world.clients[publisher].keyframe_requests;
    for _ in 0..300 {
        stage.world.clients[viewer].send_pli();
        stage.publish(publisher, 1, FRAME);
    }
    let asked = stage.world.clients[publisher].keyframe_requests - before;
    assert!((1..=4).contains(&asked), "{asked} requests reached the publisher in 10 s");
}

/// Sender reports carry capture time from the publisher's clock to ours (RFC 3550, section 6.4.1), however
/// wrong the publisher's clock is and whatever was shown before.
#[test]
fn sender_reports_tell_when_a_frame_was_captured() {
    const EXACT_FRAME: Duration = Duration::from_nanos(33_333_333);
    let mut stage = Stage::new(4);
    let publisher = stage.join(&LADDER);
    let viewer = stage.join(&[]);
    let mut captured = Vec::new();
    for frame in 0..240 {
        let ntp = stage.world.wall_clock.ntp(stage.world.now);
        if frame % 30 == 5 {
            stage.world.clients[publisher].send_sender_reports(ntp.plus_seconds(-3_600.0));
        }
        captured.push((ntp, stage.world.clients[viewer].received().len()));
        stage.world.clients[publisher].send_frame(if frame < 120 { 1 } else { 3 });
        stage.world.run_for(EXACT_FRAME);
    }
    let client = &stage.world.clients[viewer];
    assert_eq!(client.widths().last(), Some(&1280));
    let (report_ntp, report_timestamp) = *client.sender_reports.last().unwrap();
    for (ntp, at) in captured.iter().skip(160) {
        let timestamp = client.received()[*at].1;
        let since_report = f64::from(timestamp.wrapping_sub(report_timestamp) as i32) / 90_000.0;
        let told = report_ntp.plus_seconds(since_report);
        let late_ms = told.seconds_since(*ntp) * 1e3;
        assert!((0.0..25.0).contains(&late_ms), "a frame is told to be captured {late_ms} ms late");
    }
}

#[test]
fn a_viewer_that_is_removed_gets_a_bye_for_what_it_was_shown() {
    let mut stage = Stage::new(5);
    let publisher = stage.join(&LADDER[..1]);
    let viewer = stage.join(&[]);
    stage.publish(publisher, 1, Duration::from_millis(300));
    stage.world.command(Command::CloseAll);
    stage.world.run_for(Duration::from_millis(50));
    let shown = stage.world.clients[viewer].media_ssrc();
    assert!(shown.is_some());
    assert_eq!(stage.world.clients[viewer].farewells, Vec::from_iter(shown));
    assert_eq!(stage.world.clients[publisher].farewells.len(), 1, "a publisher too");
}

/// Found by the sealed world: a burst of retransmissions lay between a keyframe's second packet and its first,
/// and the second was never sent.
#[test]
fn a_keyframe_with_a_burst_before_its_first_packet_is_sent_whole() {
    let mut stage = Stage::new(6);
    let publisher = stage.join(&LADDER[..1]);
    stage.publish(publisher, 1, FRAME * 4);
    let frames = |stage: &mut Stage, count: usize| -> Vec<Vec<u8>> {
        (0..count).for_each(|_| stage.world.clients[publisher].send_frame(1));
        std::iter::from_fn(|| stage.world.clients[publisher].poll_transmit()).collect()
    };
    let held = frames(&mut stage, 40);
    let viewer = stage.join(&[]);
    stage.world.clients[publisher].want_keyframe();
    let keyframe = frames(&mut stage, 1);
    let late = [&keyframe[1..2], &held[..], &keyframe[..1], &keyframe[2..]].concat();
    stage.world.commands_and_packets(Vec::new(), publisher, &late);
    stage.world.run_for(FRAME);
    let received = stage.world.clients[viewer].received();
    let mut packets: Vec<u8> =
        received.iter().filter_map(|it| frames::piece(&it.2)).map(|piece| piece.packet).collect();
    packets.sort_unstable();
    assert_eq!(packets, [0, 1, 2]);
}

/// Found by the sealed world: on a bad link keyframes are lost too, and after three of them a viewer had to wait
/// up to ten seconds for the next, however well its link was by then.
#[test]
fn a_viewer_that_reports_loss_gets_more_keyframes_than_one_that_does_not() {
    let mut stage = Stage::new(7);
    let publisher = stage.join(&LADDER[..1]);
    let viewer = stage.join(&[]);
    stage.publish(publisher, 1, Duration::from_secs(1));
    let before = stage.world.clients[publisher].keyframe_requests;
    for _ in 0..5 {
        stage.world.clients[viewer].send_nack(&[1]);
        stage.world.clients[viewer].send_pli();
        stage.publish(publisher, 1, Duration::from_secs(1));
    }
    let asked = stage.world.clients[publisher].keyframe_requests - before;
    assert_eq!(asked, 5, "each of them reached the publisher");
}

/// Found by the replay world: a late packet of the old SSRC took the place back, and a late retransmission of it
/// was shown as a packet of the new one.
#[test]
fn late_packets_of_a_replaced_ssrc_change_nothing() {
    let mut stage = Stage::new(8);
    let publisher = stage.join_with(Role { has_rtx: true, ..Role::vp8(&LADDER[..1]) });
    let viewer = stage.join(&[]);
    stage.publish(publisher, 1, Duration::from_millis(300));
    stage.world.clients[publisher].send_frame(1);
    let late: Vec<Vec<u8>> = std::iter::from_fn(|| stage.world.clients[publisher].poll_transmit()).collect();
    let repeats = stage.world.clients[publisher].repeat_newest(3);
    assert_eq!((late.len(), repeats.len()), (3, 3));

    stage.world.clients[publisher].restart(65_000);
    stage.publish(publisher, 1, Duration::from_millis(300));
    let before = stage.world.clients[viewer].received().len();
    stage.world.commands_and_packets(Vec::new(), publisher, &[late, repeats].concat());
    stage.publish(publisher, 1, Duration::from_millis(300));
    let received = &stage.world.clients[viewer].received()[before..];
    let counters: Vec<u32> = received.iter().filter_map(|it| frames::counter(&it.2)).collect();
    assert!(counters.windows(2).all(|pair| pair[1] == pair[0] + 1), "{counters:?}");
    assert!(counters.len() >= 27, "the picture goes on");
}
