//! A simulated subscriber behind a bottleneck: a sender of layers that does what estimator and allocator say,
//! and a receiver that reports what arrived. There is no pacer: frames leave as a publisher's do, over half
//! of their time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use dataplane::congestion::allocator::{self, Budget, LayerOption, Memory, Priority, Wish};
use dataplane::congestion::estimator::{Cause, Estimator, SentKind};
use dataplane::congestion::twcc_log::TwccLog;
use dataplane::id::Ssrc;
use dataplane::wire::layer::Layer;
use dataplane::wire::rtcp::{RtcpPacket, RtcpWriter, packets};

use crate::bottleneck::Queue;
use crate::random::Random;

const AUDIO_BYTES: usize = 100;
const AUDIO_EVERY_US: u64 = 20_000;
const FRAME_EVERY_US: u64 = 33_333;
const PACKET_BYTES: usize = 1_150;
const ALLOCATE_EVERY_US: u64 = 100_000;
/// A keyframe is so many times as large as another frame.
const KEYFRAME: f64 = 4.0;
/// More layers than this are steps in between, which need no keyframe.
const LAYERS_WITH_KEYFRAMES: usize = 4;
/// Estimates of so many allocations are kept: five seconds.
const LOWEST_OF: usize = 50;

/// What a receiver tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    /// What it received, by transport-wide feedback.
    Honest,
    /// That everything that was sent arrived, all at one moment, and a REMB of 10 Gbit/s.
    Liar,
    /// Nothing.
    Silent,
}

/// One video track.
#[derive(Debug)]
struct Sending {
    options: Vec<LayerOption>,
    memory: Memory,
    current: Option<Layer>,
    bitrate_bps: u64,
    next_us: u64,
}

/// What was seen in one tenth of a second.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When, milliseconds.
    pub at_ms: u64,
    /// The estimate.
    pub estimate_bps: u64,
    /// Where it comes from.
    pub cause: Cause,
    /// What was sent in it, padding included.
    pub sent_bps: u64,
    /// What arrived in it.
    pub received_bps: u64,
    /// What the allocator granted to video.
    pub granted_bps: u64,
}

/// A subscriber.
#[derive(Debug)]
pub struct Subscriber {
    start: Instant,
    estimator: Estimator,
    honesty: Honesty,
    random: Random,
    tracks: Vec<Sending>,
    estimates: VecDeque<u64>,
    /// Packets that wait to be sent, by time.
    outbox: BinaryHeap<Reverse<(u64, usize)>>,
    /// Packets under way, by arrival.
    under_way: BinaryHeap<Reverse<(u64, u16, usize)>>,
    /// RTCP under way.
    feedback: VecDeque<(u64, Vec<u8>)>,
    log: TwccLog,
    audio_us: u64,
    allocate_us: u64,
    sent_bytes: usize,
    received_bytes: usize,
    /// What was seen.
    pub samples: Vec<Sample>,
    /// When each packet was sent, and how long it waited, microseconds.
    pub waits: Vec<(u64, u64)>,
    /// When layers changed, milliseconds.
    pub switches: Vec<u64>,
    /// Padding sent, bytes.
    pub padding_bytes: usize,
    /// Packets lost and packets sent.
    pub lost: (usize, usize),
}

impl Subscriber {
    /// Tracks are lists of layers, kbit/s, lowest first.
    pub fn new(tracks: &[&[u64]], honesty: Honesty, seed: u64) -> Self {
        let start = Instant::now();
        let mut random = Random(seed);
        let sending = |kbps: &&[u64]| Sending {
            options: (0..).zip(kbps.iter()).map(option).collect(),
            memory: Memory::default(),
            current: None,
            bitrate_bps: 0,
            next_us: random.below(FRAME_EVERY_US),
        };
        Self {
            start,
            tracks: tracks.iter().map(sending).collect(),
            estimator: Estimator::new(seed),
            honesty,
            random: Random(seed),
            estimates: VecDeque::new(),
            outbox: BinaryHeap::new(),
            under_way: BinaryHeap::new(),
            feedback: VecDeque::new(),
            log: TwccLog::default(),
            audio_us: 0,
            allocate_us: 0,
            sent_bytes: 0,
            received_bytes: 0,
            samples: Vec::new(),
            waits: Vec::new(),
            switches: Vec::new(),
            padding_bytes: 0,
            lost: (0, 0),
        }
    }

    /// One millisecond.
    pub fn tick(&mut self, link: &mut Queue, delay_us: u64, now_us: u64) {
        self.receive(delay_us, now_us);
        while self.feedback.front().is_some_and(|(at_us, _)| *at_us <= now_us) {
            let bytes = self.feedback.pop_front().map(|(_, bytes)| bytes).unwrap_or_default();
            self.hear(&bytes, now_us);
        }
        self.estimator.expire(self.at(now_us));
        if now_us >= self.allocate_us {
            self.allocate_us += ALLOCATE_EVERY_US;
            self.allocate(now_us);
        }
        self.send(link, now_us);
    }

    fn at(&self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    fn send(&mut self, link: &mut Queue, now_us: u64) {
        if now_us >= self.audio_us {
            self.audio_us += AUDIO_EVERY_US;
            self.outbox.push(Reverse((now_us, AUDIO_BYTES)));
        }
        for track in &mut self.tracks {
            if now_us < track.next_us {
                continue;
            }
            let noise = 0.8 + self.random.below(401) as f64 / 1_000.0;
            let bytes = (track.bitrate_bps as f64 / 8.0 * FRAME_EVERY_US as f64 / 1e6 * noise) as usize;
            let count = bytes.div_ceil(PACKET_BYTES);
            for packet in 0..count {
                let at_us = now_us + packet as u64 * FRAME_EVERY_US / 2 / count as u64;
                self.outbox.push(Reverse((at_us, bytes / count)));
            }
            track.next_us += FRAME_EVERY_US;
        }
        while self.outbox.peek().is_some_and(|Reverse((at_us, _))| *at_us <= now_us) {
            let Some(Reverse((_, bytes))) = self.outbox.pop() else { break };
            self.send_one(link, bytes, SentKind::Media, now_us);
        }
        if now_us.is_multiple_of(5_000) {
            let mut due = self.estimator.padding_due(self.at(now_us));
            while due > 0 {
                let bytes = due.clamp(60, PACKET_BYTES);
                self.send_one(link, bytes, SentKind::Padding, now_us);
                self.padding_bytes += bytes;
                due = due.saturating_sub(bytes);
            }
        }
    }

    fn send_one(&mut self, link: &mut Queue, bytes: usize, kind: SentKind, now_us: u64) {
        let number = self.estimator.next_number();
        self.estimator.on_sent(bytes, kind, self.at(now_us));
        self.sent_bytes += bytes;
        self.lost.1 += 1;
        match link.pass(bytes, now_us) {
            Some(passed) => {
                self.waits.push((now_us, passed.waited_us));
                self.under_way.push(Reverse((passed.arrival_us, number, bytes)));
            }
            None => self.lost.0 += 1,
        }
        if self.honesty == Honesty::Liar {
            self.log.note(number, Ssrc(1), self.at(now_us - now_us % 200_000));
        }
    }

    fn receive(&mut self, delay_us: u64, now_us: u64) {
        while self.under_way.peek().is_some_and(|Reverse((at_us, ..))| *at_us <= now_us) {
            let Some(Reverse((at_us, number, bytes))) = self.under_way.pop() else { break };
            self.received_bytes += bytes;
            if self.honesty == Honesty::Honest {
                self.log.note(number, Ssrc(1), self.at(at_us));
            }
        }
        let now = self.at(now_us);
        if self.log.due_at().is_some_and(|due| due <= now) {
            let mut space = [0; 1_200];
            let mut writer = RtcpWriter::new(&mut space);
            self.log.write_feedback(Ssrc(2), &mut writer, now);
            if self.honesty == Honesty::Liar {
                writer.remb(Ssrc(2), 10_000_000_000, &[Ssrc(1)]);
            }
            let len = writer.len();
            self.feedback.push_back((now_us + delay_us, space[..len].to_vec()));
        }
    }

    fn hear(&mut self, bytes: &[u8], now_us: u64) {
        let now = self.at(now_us);
        for packet in packets(bytes).expect("it was just written") {
            match packet {
                RtcpPacket::TransportFeedback(feedback) => {
                    self.estimator.on_feedback(&feedback, now).expect("it is about what was sent");
                }
                RtcpPacket::Remb { bitrate_bps, .. } => self.estimator.on_remb(bitrate_bps, now),
                _ => {}
            }
        }
    }

    fn allocate(&mut self, now_us: u64) {
        let now = self.at(now_us);
        let estimate = self.estimator.estimate();
        self.estimates.push_back(estimate.bitrate_bps);
        if self.estimates.len() > LOWEST_OF {
            self.estimates.pop_front();
        }
        let budget = Budget {
            estimate_bps: estimate.bitrate_bps,
            lowest_bps: self.estimates.iter().copied().min().unwrap_or(0),
            probed_bps: self.estimator.probed_bps(now),
            is_overused: self.estimator.is_overused(),
            audio_bps: AUDIO_BYTES as u64 * 8 * 50,
            ..Budget::default()
        };
        let wishes: Vec<Wish<'_>> = (0..).zip(&self.tracks).map(wish).collect();
        let allocation = allocator::allocate(&budget, &wishes, now);
        self.estimator.set_demand(allocation.demand);
        let before: Vec<Option<Layer>> = self.tracks.iter().map(|track| track.current).collect();
        for (track, grant) in self.tracks.iter_mut().zip(&allocation.grants) {
            track.memory = grant.memory;
            track.bitrate_bps = grant.bitrate_bps;
            let is_switch = grant.target != track.current && grant.target.is_some();
            // Steps of a ladder are temporal layers.
            if is_switch && track.options.len() <= LAYERS_WITH_KEYFRAMES {
                let bytes = grant.bitrate_bps as f64 / 8.0 * FRAME_EVERY_US as f64 / 1e6 * (KEYFRAME - 1.0);
                let count = (bytes as usize).div_ceil(PACKET_BYTES);
                for packet in 0..count {
                    self.outbox.push(Reverse((now_us + packet as u64 * 3_000, PACKET_BYTES)));
                }
            }
            track.current = grant.target;
        }
        if now_us > 0 && before.iter().ne(self.tracks.iter().map(|track| &track.current)) {
            self.switches.push(now_us / 1_000);
        }
        let per_second = |bytes: usize| bytes as u64 * 8_000_000 / ALLOCATE_EVERY_US;
        self.samples.push(Sample {
            at_ms: now_us / 1_000,
            estimate_bps: estimate.bitrate_bps,
            cause: estimate.cause,
            sent_bps: per_second(std::mem::take(&mut self.sent_bytes)),
            received_bps: per_second(std::mem::take(&mut self.received_bytes)),
            granted_bps: allocation.total_bps,
        });
    }
}

fn option((spatial, kbps): (u8, &u64)) -> LayerOption {
    LayerOption {
        layer: Layer { spatial, temporal: 0 },
        bitrate_bps: kbps * 1_000,
        height: 90 << spatial.min(5),
        is_live: true,
    }
}

fn wish((track, sending): (u16, &Sending)) -> Wish<'_> {
    Wish {
        track,
        priority: Priority::Other,
        height: Some(u16::MAX),
        options: &sending.options,
        current: sending.current,
        memory: sending.memory,
    }
}
