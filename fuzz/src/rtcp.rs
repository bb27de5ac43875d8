//! RTCP compounds, and transport-wide feedback both ways.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use dataplane::congestion::twcc_log::TwccLog;
use dataplane::id::Ssrc;
use dataplane::limits::{
    DATAGRAM_SIZE_BYTES_MAX, NACK_ENTRIES_PER_PACKET_MAX, RTCP_PACKETS_PER_COMPOUND_MAX, RTCP_SIZE_BYTES_MAX,
    TWCC_PENDING_LEN_MAX, TWCC_STATUSES_READ_MAX,
};
use dataplane::wire::rtcp::{ReportBlock, RtcpPacket, RtcpWriter, packets};
use dataplane::wire::twcc::{TICK_US, TransportFeedback};

/// Numbers that one entry of a NACK can name.
const NUMBERS_PER_ENTRY: usize = 17;
const SENDER: Ssrc = Ssrc(0x5e4d_e001);
const MEDIA: Ssrc = Ssrc(0x3ed1_a001);
/// Enough to overflow a log.
const ARRIVALS_MAX: usize = TWCC_PENDING_LEN_MAX + 512;
/// Statuses wrap with the 24 bits of the reference time, each of 256 ticks.
const TICKS_MODULUS: i64 = 1 << 32;

/// RTCP compounds: every iterator ends within its bound, and a packet that is written anew reads as the one
/// that was read.
pub fn rtcp(bytes: &[u8]) {
    let mut count = 0;
    for packet in packets(bytes).into_iter().flatten() {
        count += 1;
        check(&packet, bytes.len());
    }
    assert!(count <= RTCP_PACKETS_PER_COMPOUND_MAX);
}

fn check(packet: &RtcpPacket<'_>, len: usize) {
    match packet {
        RtcpPacket::SenderReport { ssrc, info, blocks } => {
            let expected: Vec<ReportBlock> = blocks.clone().collect();
            assert!(expected.len() <= 31);
            rewrite(
                |writer| writer.sender_report(*ssrc, info, &expected),
                |again| {
                    let RtcpPacket::SenderReport { ssrc: s, info: i, blocks } = again else { return false };
                    (s, i) == (*ssrc, *info) && blocks.eq(expected.iter().copied())
                },
            );
        }
        RtcpPacket::ReceiverReport { ssrc, blocks } => {
            let expected: Vec<ReportBlock> = blocks.clone().collect();
            assert!(expected.len() <= 31);
            rewrite(
                |writer| writer.receiver_report(*ssrc, &expected),
                |again| {
                    let RtcpPacket::ReceiverReport { ssrc: s, blocks } = again else { return false };
                    s == *ssrc && blocks.eq(expected.iter().copied())
                },
            );
        }
        RtcpPacket::Bye(ssrcs) => {
            let expected: Vec<Ssrc> = ssrcs.clone().collect();
            assert!(expected.len() <= 31);
            rewrite(
                |writer| writer.bye(&expected),
                |again| matches!(again, RtcpPacket::Bye(ssrcs) if ssrcs.clone().eq(expected.iter().copied())),
            );
        }
        RtcpPacket::Nack { media, entries } => check_nack(*media, entries.clone().collect()),
        RtcpPacket::Pli { media } => {
            rewrite(
                |writer| writer.pli(SENDER, *media),
                |again| matches!(again, RtcpPacket::Pli { media: m } if m == *media),
            );
        }
        RtcpPacket::Fir(entries) => {
            assert!(8 * entries.clone().count() <= len);
            for (media, number) in entries.clone() {
                rewrite(
                    |writer| writer.fir(SENDER, media, number),
                    |again| matches!(again, RtcpPacket::Fir(entries) if entries.clone().eq([(media, number)])),
                );
            }
        }
        RtcpPacket::Remb { bitrate_bps, ssrcs } => check_remb(*bitrate_bps, ssrcs.clone().collect()),
        RtcpPacket::TransportFeedback(feedback) => read_statuses(feedback),
        RtcpPacket::SourceDescription | RtcpPacket::ReferenceTime { .. } | RtcpPacket::Unknown => {}
    }
}

/// What `write` writes is one packet that `is_same`.
fn rewrite(write: impl FnOnce(&mut RtcpWriter<'_>) -> bool, is_same: impl FnOnce(RtcpPacket<'_>) -> bool) {
    let mut out = [0xff; 2048];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(write(&mut writer), "what was read can be written");
    let len = writer.len();
    let mut again = packets(&out[..len]).expect("a packet that was written is one");
    let packet = again.next().expect("there is a packet");
    assert!(is_same(packet) && again.next().is_none());
}

/// Numbers are written in ascending order, so they come back sorted and once.
fn check_nack(media: Ssrc, mut numbers: Vec<u16>) {
    assert!(numbers.len() <= NUMBERS_PER_ENTRY * NACK_ENTRIES_PER_PACKET_MAX);
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        return;
    }
    rewrite(
        |writer| writer.nack(SENDER, media, &numbers),
        |again| {
            let RtcpPacket::Nack { media: m, entries } = again else { return false };
            let read: Vec<u16> = entries.collect();
            // Entries that went around the wrap are two when sorted, so the last one may be cut off.
            m == media && numbers.starts_with(&read) && read.len() + NUMBERS_PER_ENTRY >= numbers.len()
        },
    );
}

/// Eighteen significant bits come back; a bitrate beyond 64 bits was capped.
fn check_remb(bitrate_bps: u64, expected: Vec<Ssrc>) {
    assert!(expected.len() <= 255);
    rewrite(
        |writer| writer.remb(SENDER, bitrate_bps, &expected),
        |again| {
            let RtcpPacket::Remb { bitrate_bps: b, ssrcs } = again else { return false };
            (b == bitrate_bps || bitrate_bps == u64::MAX) && ssrcs.eq(expected.iter().copied())
        },
    );
}

/// Transport-wide feedback: the first byte chooses between reading the rest as what stands behind the SSRCs,
/// and reporting arrivals that the rest describes.
pub fn twcc(bytes: &[u8]) {
    match bytes.split_first() {
        Some((choice, rest)) if choice % 2 == 1 => report(&mut Unstructured::new(rest)),
        Some((_, rest)) => read(rest),
        None => {}
    }
}

fn read(bytes: &[u8]) {
    let words = (bytes.len() / 4).min(DATAGRAM_SIZE_BYTES_MAX / 4);
    let mut packet = vec![0x8f, 205];
    packet.extend((words as u16 + 2).to_be_bytes());
    packet.extend([0; 8]);
    packet.extend(&bytes[..4 * words]);
    rtcp(&packet);
}

fn read_statuses(feedback: &TransportFeedback) {
    let statuses = feedback.statuses();
    let first = statuses.clone().next().map(|(sequence_number, _)| sequence_number);
    assert_eq!(first, Some(feedback.base));
    let mut count = 0;
    for (place, (sequence_number, _)) in statuses.enumerate() {
        assert_eq!(sequence_number, feedback.base.wrapping_add(place as u16));
        count += 1;
    }
    assert!(count == usize::from(feedback.count) && count <= TWCC_STATUSES_READ_MAX);
}

/// A run of arrivals: `count` packets, each `step` numbers and `gap_us` behind the one before; the first comes
/// after `pause_us`, and is `jump` numbers from the highest so far.
#[derive(Debug, Arbitrary)]
struct Burst {
    jump: i8,
    step: u8,
    count: u8,
    pause_us: u32,
    gap_us: u16,
    is_reported_after: bool,
}

/// Notes bursts of arrivals in a log, and reads what it reports: each arrival is reported once and at its
/// time, and nothing is reported that did not arrive.
fn report(input: &mut Unstructured<'_>) {
    let epoch = Instant::now();
    let (mut log, mut model) = (TwccLog::default(), Model::default());
    let mut highest: i64 = i64::from(u16::arbitrary(input).unwrap_or_default());
    while let Ok(burst) = Burst::arbitrary(input)
        && !input.is_empty()
        && model.noted < ARRIVALS_MAX
    {
        let mut number = highest + i64::from(burst.jump);
        model.now += Duration::from_micros(u64::from(burst.pause_us));
        for _ in 0..burst.count {
            model.now += Duration::from_micros(u64::from(burst.gap_us));
            log.note(number as u16, MEDIA, epoch + model.now);
            model.note(number);
            highest = highest.max(number);
            number += i64::from(burst.step);
        }
        if burst.is_reported_after {
            drain(&mut log, &mut model, epoch);
        }
    }
    drain(&mut log, &mut model, epoch);
    assert!(model.pending.is_empty(), "every arrival is reported: {:?}", model.pending);
}

fn drain(log: &mut TwccLog, model: &mut Model, epoch: Instant) {
    for _ in 0..4 * TWCC_PENDING_LEN_MAX {
        if log.due_at().is_none() {
            return;
        }
        let mut out = [0; RTCP_SIZE_BYTES_MAX];
        let mut writer = RtcpWriter::new(&mut out);
        log.write_feedback(SENDER, &mut writer, epoch + model.now);
        let len = writer.len();
        for packet in packets(&out[..len]).into_iter().flatten() {
            let RtcpPacket::TransportFeedback(feedback) = packet else { panic!("{packet:?}") };
            read_statuses(&feedback);
            model.check(&feedback);
        }
    }
    panic!("feedback never ends");
}

/// What arrived and is not reported yet, by number.
#[derive(Debug, Default)]
struct Model {
    pending: BTreeMap<i64, Duration>,
    now: Duration,
    first: Option<Duration>,
    noted: usize,
}

impl Model {
    /// A duplicate changes nothing; when too many wait, the oldest is forgotten.
    fn note(&mut self, number: i64) {
        self.noted += 1;
        self.first.get_or_insert(self.now);
        if self.pending.contains_key(&number) {
            return;
        }
        if self.pending.len() == TWCC_PENDING_LEN_MAX {
            self.pending.pop_first();
        }
        self.pending.insert(number, self.now);
    }

    /// What is reported are the lowest numbers, in their order.
    fn check(&mut self, feedback: &TransportFeedback) {
        let first = self.first.expect("what is reported was noted");
        for (sequence_number, ticks) in feedback.statuses() {
            let Some(ticks) = ticks else { continue };
            let (number, arrived) = self.pending.pop_first().expect("what is reported waited");
            assert_eq!(number as u16, sequence_number);
            let expected = ((arrived - first).as_micros() / u128::from(TICK_US)) as i64;
            assert_eq!(ticks.rem_euclid(TICKS_MODULUS), expected.rem_euclid(TICKS_MODULUS));
        }
    }
}
