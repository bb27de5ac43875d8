use proptest::prelude::*;

use super::*;
use crate::congestion::twcc_log::TwccLog;
use crate::id::Ssrc;
use crate::wire::rtcp::{RtcpPacket, RtcpWriter, packets};

const WAY: Duration = Duration::from_millis(30);
const SIZE_BYTES: usize = 1_250;

/// One packet each 10 ms, 1 Mbit/s, and feedback after each fifth.
struct Conversation {
    estimator: Estimator,
    log: TwccLog,
    start: Instant,
    packet: u64,
    refused: Vec<FeedbackRefusal>,
}

impl Conversation {
    fn new() -> Self {
        let (estimator, log) = (Estimator::new(1), TwccLog::default());
        Self { estimator, log, start: Instant::now(), packet: 0, refused: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(10) * self.packet as u32
    }

    /// So many packets, which arrive after `way`. `None`: nothing is heard of them.
    fn play(&mut self, count: u64, way: Option<Duration>) -> u64 {
        for _ in 0..count {
            self.packet += 1;
            let now = self.now();
            let number = self.estimator.next_number();
            self.estimator.on_sent(SIZE_BYTES, SentKind::Media, now);
            if let Some(way) = way {
                self.log.note(number, Ssrc(1), now + way);
                if self.packet.is_multiple_of(5) {
                    let bytes = self.feedback();
                    self.hear(&bytes);
                }
            }
            self.estimator.expire(now);
        }
        self.kbps()
    }

    fn feedback(&mut self) -> Vec<u8> {
        let mut space = [0; 1_200];
        let mut writer = RtcpWriter::new(&mut space);
        self.log.write_feedback(Ssrc(2), &mut writer, self.now());
        let len = writer.len();
        space[..len].to_vec()
    }

    fn hear(&mut self, bytes: &[u8]) {
        let now = self.now() + WAY;
        for packet in packets(bytes).into_iter().flatten() {
            if let RtcpPacket::TransportFeedback(feedback) = packet {
                self.refused.extend(self.estimator.on_feedback(&feedback, now).err());
            }
        }
    }

    fn kbps(&self) -> u64 {
        self.estimator.estimate().bitrate_bps / 1_000
    }

    fn cause(&self) -> Cause {
        self.estimator.estimate().cause
    }
}

#[test]
fn it_grows_to_one_and_a_half_of_what_arrives_and_no_further() {
    let mut subscriber = Conversation::new();
    assert_eq!((subscriber.kbps(), subscriber.cause()), (300, Cause::Start));
    assert!(subscriber.play(500, Some(WAY)) > 400);
    let grown = subscriber.play(10_000, Some(WAY));
    assert!((1_400..=1_510).contains(&grown), "{grown}");
    assert!(subscriber.refused.is_empty());
}

#[test]
fn feedback_about_what_was_never_sent_is_refused_and_changes_nothing() {
    let mut subscriber = Conversation::new();
    subscriber.play(100, Some(WAY));
    let before = subscriber.estimator.estimate();
    let mut forger = TwccLog::default();
    for number in 5_000..5_050 {
        forger.note(number, Ssrc(1), subscriber.now());
    }
    std::mem::swap(&mut forger, &mut subscriber.log);
    let bytes = subscriber.feedback();
    subscriber.hear(&bytes);
    assert_eq!(subscriber.refused, [FeedbackRefusal::UnknownPackets]);
    assert_eq!(subscriber.estimator.estimate(), before);
}

#[test]
fn too_much_feedback_is_refused() {
    let mut subscriber = Conversation::new();
    subscriber.play(4, Some(WAY));
    let bytes = subscriber.feedback();
    for _ in 0..TWCC_FEEDBACK_PER_SECOND_MAX + 3 {
        subscriber.hear(&bytes);
    }
    assert_eq!(subscriber.refused, [FeedbackRefusal::TooMany; 3]);
}

#[test]
fn silence_lowers_the_estimate_and_feedback_ends_it() {
    let mut subscriber = Conversation::new();
    let before = subscriber.play(2_000, Some(WAY));
    assert_eq!(subscriber.play(90, None), before, "not at once");
    let silent = subscriber.play(200, None);
    assert!(silent < before / 2, "{silent}");
    assert_eq!(subscriber.cause(), Cause::Silence);
    subscriber.play(2_000, None);
    assert_eq!(subscriber.kbps(), 5);
    subscriber.play(100, Some(WAY));
    assert_ne!(subscriber.cause(), Cause::Silence);
}

#[test]
fn who_is_sent_nothing_need_not_answer() {
    let mut subscriber = Conversation::new();
    let before = subscriber.play(1_000, Some(WAY));
    subscriber.estimator.expire(subscriber.now() + Duration::from_secs(60));
    assert_eq!(subscriber.kbps(), before);
}

#[test]
fn remb_is_an_upper_bound_beside_feedback() {
    let mut subscriber = Conversation::new();
    let before = subscriber.play(1_000, Some(WAY));
    subscriber.estimator.on_remb(10_000_000_000, subscriber.now());
    assert_eq!(subscriber.kbps(), before);
    subscriber.estimator.on_remb(250_000, subscriber.now());
    assert_eq!((subscriber.kbps(), subscriber.cause()), (250, Cause::Remb));
    subscriber.estimator.on_remb(2_000_000, subscriber.now());
    assert_eq!(subscriber.kbps(), before);
}

#[test]
fn without_feedback_remb_is_the_estimate_as_far_as_something_is_sent() {
    let mut subscriber = Conversation::new();
    subscriber.play(200, None);
    subscriber.estimator.on_remb(700_000, subscriber.now());
    assert_eq!((subscriber.kbps(), subscriber.cause()), (700, Cause::Remb));
    subscriber.estimator.on_remb(u64::MAX, subscriber.now());
    let believed = subscriber.kbps();
    assert!((1_400..1_600).contains(&believed), "{believed}");
}

#[test]
fn reports_alone_let_it_grow_slowly_and_lower_it_with_loss() {
    let mut subscriber = Conversation::new();
    let mut report = |lost: u32, seconds: u64| {
        for _ in 0..seconds {
            subscriber.play(100, None);
            let delivered = Some(Delivered { sent: 100, received: 100 - lost });
            subscriber.estimator.on_report(delivered, Some(WAY), subscriber.now());
        }
        subscriber.kbps()
    };
    let grown = report(0, 10);
    assert!((550..700).contains(&grown), "{grown}");
    let held = report(5, 3);
    assert_eq!(report(5, 5), held, "a window of little loss");
    let most = report(0, 60);
    assert!((1_400..=1_520).contains(&most), "{most}");
    let lowered = report(30, 10);
    assert!(lowered < 700, "{lowered}");
}

#[test]
fn a_clock_that_leaps_says_nothing() {
    let mut subscriber = Conversation::new();
    let before = subscriber.play(1_000, Some(WAY));
    let later = subscriber.play(100, Some(Duration::from_secs(500)));
    assert!(later >= before, "{later}");
    assert!(!subscriber.estimator.is_overused());
    assert_eq!(subscriber.estimator.queueing.delay_ms(), 0.0);
}

#[test]
fn another_path_begins_anew() {
    let mut subscriber = Conversation::new();
    assert!(subscriber.play(3_000, Some(WAY)) > 1_000);
    subscriber.estimator.on_path_change();
    assert_eq!(subscriber.kbps(), 300);
    assert!(subscriber.play(500, Some(3 * WAY)) > 400);
}

#[test]
fn a_cause_has_its_place_in_the_gauges() {
    for (place, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, place, "{}", cause.name());
    }
}

proptest! {
    /// Whatever a receiver makes up: it gains no more than it was sent, and nothing breaks.
    #[test]
    fn lies_have_a_bound(
        lies in proptest::collection::vec(
            (proptest::collection::vec((0u16..80, 0u64..400_000), 0..40), any::<u64>(), 0u64..40), 1..60,
        ),
    ) {
        let mut subscriber = Conversation::new();
        for (arrivals, remb_bps, packets) in lies {
            subscriber.play(20 + packets, None);
            let newest = subscriber.estimator.next_number();
            let told = subscriber.now();
            for (back, later_us) in arrivals {
                subscriber.log.note(newest.wrapping_sub(back), Ssrc(1), told + Duration::from_micros(later_us));
            }
            let bytes = subscriber.feedback();
            subscriber.hear(&bytes);
            subscriber.estimator.on_remb(remb_bps, subscriber.now());
            prop_assert!((5..=1_600).contains(&subscriber.kbps()), "{}", subscriber.kbps());
        }
    }
}
