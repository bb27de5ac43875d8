//! The bandwidth estimate of one subscriber: what it costs to note a packet that leaves, and to read what the
//! subscriber reports.
//!
//! Feedback comes after every so many packets, written by the half that publishers get; writing it is not
//! measured.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::time::{Duration, Instant};

use dataplane::congestion::estimator::{Estimator, SentKind};
use dataplane::congestion::twcc_log::TwccLog;
use dataplane::id::Ssrc;
use dataplane::wire::rtcp::{RtcpPacket, RtcpWriter, packets};

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "estimate",
    question: "What does the bandwidth estimate of a subscriber cost for each packet?",
    parameters: &[
        Parameter {
            name: "packets",
            help: "Packets that are sent, one each millisecond",
            sizes: Sizes::Numbers { smoke: &[512], full: &[500_000], max: 100_000_000 },
        },
        Parameter {
            name: "reported",
            help: "Packets in one feedback",
            sizes: Sizes::Numbers { smoke: &[16], full: &[10, 50, 200], max: 400 },
        },
    ],
    figures: &[&[
        Figure {
            name: "send",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "CPU time of noting one packet that leaves",
        },
        Figure {
            name: "feedback",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "of reading feedback and renewing the estimate, per packet that it is about",
        },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

/// From departure to arrival.
const WAY: Duration = Duration::from_millis(30);
const SIZE_BYTES: usize = 1_150;

fn play(bench: &mut Bench) {
    let (count, reported) = (bench.number("packets"), bench.number("reported"));
    let start = Instant::now();
    let at = |packet: u64| start + Duration::from_millis(packet);
    let mut log = TwccLog::default();
    let batches: Vec<Batch> = (0..count)
        .step_by(reported as usize)
        .map(|first| Batch::new(&mut log, first..(first + reported).min(count), at))
        .collect();
    let mut play = |has_feedback: bool| {
        let mut estimator = Estimator::new(1);
        bench.measure(|| {
            let mut computed = 0;
            for batch in &batches {
                for packet in batch.packets.clone() {
                    estimator.on_sent(SIZE_BYTES, SentKind::Media, at(packet));
                }
                if has_feedback {
                    batch.report(&mut estimator);
                }
                computed = fold(computed, estimator.estimate().bitrate_bps);
            }
            fold(computed, estimator.next_number().into())
        })
    };
    let sending = play(false);
    let both = play(true);
    let per_packet = |time: Duration| time.as_nanos() as f64 / count as f64;
    bench.figure("send", per_packet(sending));
    bench.figure("feedback", per_packet(both.saturating_sub(sending)));
}

/// Packets, and the feedback about them.
struct Batch {
    packets: Range<u64>,
    feedback: Vec<u8>,
    came_at: Instant,
}

impl Batch {
    fn new(log: &mut TwccLog, packets: Range<u64>, at: impl Fn(u64) -> Instant) -> Self {
        for packet in packets.clone() {
            log.note(packet as u16, Ssrc(1), at(packet) + WAY);
        }
        let mut space = [0; 1_200];
        let mut writer = RtcpWriter::new(&mut space);
        let came_at = at(packets.end) + 2 * WAY;
        log.write_feedback(Ssrc(2), &mut writer, came_at);
        let len = writer.len();
        Self { packets, feedback: space[..len].to_vec(), came_at }
    }

    fn report(&self, estimator: &mut Estimator) {
        for packet in packets(&self.feedback).expect("it was just written") {
            if let RtcpPacket::TransportFeedback(feedback) = packet {
                estimator.on_feedback(&feedback, self.came_at).expect("it is about what was sent");
            }
        }
    }
}
