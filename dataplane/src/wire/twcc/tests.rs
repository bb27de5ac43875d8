#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

use super::*;
use crate::limits::TWCC_STATUSES_PER_PACKET_MAX;

fn read(body: &[u8]) -> Option<TransportFeedback<'_>> {
    TransportFeedback::read(Ssrc(1), Ssrc(2), Reader::new(body))
}

fn body(feedback: &Feedback) -> Vec<u8> {
    let mut out = Vec::new();
    feedback.write(|bytes| out.extend(bytes));
    out.resize(feedback.body_len(), 0);
    out
}

fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn run_length_and_vector_chunks_are_read() {
    let bytes = [
        0xff,
        0xff,
        0,
        12,
        0xff,
        0xff,
        0xff,
        7, // base 65535, 12 statuses, reference -1, feedback 7
        0x20,
        3, // run of 3 small deltas
        0b1100_0110,
        0b0100_0000, // two-bit: missing, small, large, small, 3 missing
        0b1010_0000,
        0, // one-bit: received, the rest missing; only 2 of the 14 count
        4,
        0,
        255,
        1,
        0xff,
        0xfe,
        2,
        8, // deltas
    ];
    let feedback = read(&bytes).unwrap();
    assert_eq!((feedback.base, feedback.count, feedback.feedback_count), (65535, 12, 7));
    assert_eq!(feedback.reference_time, -1);
    let statuses: Vec<_> = feedback.statuses().collect();
    let arrivals =
        [Some(-252), Some(-252), Some(3), None, Some(4), Some(2), Some(4), None, None, None, Some(12), None];
    let expected: Vec<_> =
        (0..12).map(|index: u16| (65535u16.wrapping_add(index), arrivals[usize::from(index)])).collect();
    assert_eq!(statuses, expected);
}

#[test]
fn feedback_that_is_not_whole_is_refused() {
    let sound = [0, 1, 0, 2, 0, 0, 0, 0, 0x20, 2, 1, 1];
    assert!(read(&sound).is_some());
    for len in 0..sound.len() {
        assert!(read(&sound[..len]).is_none(), "{len}");
    }
    assert!(read(&[0, 1, 0, 0, 0, 0, 0, 0, 0x20, 2, 1, 1]).is_none(), "a count of 0");
    assert!(read(&[0, 1, 0, 2, 0, 0, 0, 0, 0x60, 2, 1, 1, 1, 1, 1, 1]).is_none(), "a reserved run");
    assert!(read(&[0, 1, 0, 2, 0, 0, 0, 0, 0b1101_1100, 0, 1, 1, 1, 1]).is_none(), "a reserved status");
    assert!(read(&[0, 1, 0, 9, 0, 0, 0, 0, 0x20, 2, 0, 0]).is_none(), "chunks that do not cover the count");
}

#[test]
fn a_reserved_symbol_behind_the_count_is_not_looked_at() {
    assert!(read(&[0, 1, 0, 1, 0, 0, 0, 0, 0b1101_1100, 0, 1, 0]).is_some());
}

#[test]
fn more_statuses_than_a_history_can_hold_are_refused() {
    let claim = |count: u16| {
        let mut bytes = vec![0, 1];
        bytes.extend(count.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([0x1f, 0xff].repeat(9));
        bytes
    };
    let most = TWCC_STATUSES_READ_MAX as u16;
    assert_eq!(read(&claim(most)).map(|feedback| feedback.statuses().count()), Some(TWCC_STATUSES_READ_MAX));
    assert!(read(&claim(most + 1)).is_none());
}

#[test]
fn what_arrived_is_written_in_the_layout_of_the_draft() {
    let arrivals = [(65_537, ms(128)), (65_539, ms(129)), (65_540, ms(300)), (65_541, ms(299))];
    let feedback = Feedback::new(65_536, 9, &arrivals).unwrap();
    assert_eq!((feedback.consumed(), feedback.next_base()), (4, 65_542));
    let expected = [
        0,
        0,
        0,
        6,
        0,
        0,
        2,
        9, // base 0, 6 statuses, reference 2 x 64 ms, feedback 9
        0b1100_0100,
        0b0110_1000, // two-bit: missing, small, missing, small, large, large
        0,
        4,
        0x02,
        0xac,
        0xff,
        0xfc, // 0 ms, 1 ms, 171 ms, -1 ms
    ];
    assert_eq!(body(&feedback), expected);
}

#[test]
fn no_arrivals_are_no_feedback() {
    assert!(Feedback::new(1, 0, &[]).is_none());
}

#[test]
fn a_long_gap_in_front_is_reported_in_part() {
    let feedback = Feedback::new(100_000, 0, &[(200_000, ms(1))]).unwrap();
    let bytes = body(&feedback);
    let statuses: Vec<_> = read(&bytes).unwrap().statuses().collect();
    assert_eq!(statuses.len(), TWCC_STATUSES_PER_PACKET_MAX);
    assert_eq!(statuses.last(), Some(&(200_000u64 as u16, Some(4))));
}

#[test]
fn a_late_arrival_moves_the_base_back() {
    let feedback = Feedback::new(105, 0, &[(103, ms(1)), (105, ms(2))]).unwrap();
    let bytes = body(&feedback);
    assert!(read(&bytes).unwrap().statuses().eq([(103, Some(4)), (104, None), (105, Some(8))]));
}

#[test]
fn a_delta_that_does_not_fit_starts_another_packet() {
    let arrivals = [(1, ms(0)), (2, ms(8191)), (3, ms(8191 + 8192)), (4, ms(8192 + 8191))];
    let first = Feedback::new(1, 0, &arrivals).unwrap();
    assert_eq!((first.consumed(), first.next_base()), (2, 3));
    let second = Feedback::new(first.next_base(), 1, &arrivals[2..]).unwrap();
    assert_eq!(second.consumed(), 2);
    let bytes = body(&second);
    assert!(read(&bytes).unwrap().statuses().eq([(3, Some(16_383 * 4)), (4, Some(16_383 * 4))]));
}

#[test]
fn a_repeated_arrival_is_reported_once() {
    let feedback = Feedback::new(1, 0, &[(1, ms(1)), (1, ms(5)), (2, ms(6))]).unwrap();
    assert_eq!(feedback.consumed(), 3);
    let bytes = body(&feedback);
    assert!(read(&bytes).unwrap().statuses().eq([(1, Some(4)), (2, Some(24))]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in vec(any::<u8>(), 0..120), count in 1u16..200) {
        let _ = read(&bytes).map(|feedback| feedback.statuses().count());
        if bytes.len() >= 4 {
            bytes[2..4].copy_from_slice(&count.to_be_bytes());
        }
        if let Some(feedback) = read(&bytes) {
            prop_assert_eq!(feedback.statuses().count(), usize::from(count));
        }
    }

    #[test]
    fn every_arrival_is_read_as_it_was_written(
        start in 0u64..1 << 20,
        lead in 0u64..300,
        at_ms in 0u64..1 << 26,
        steps in vec((prop_oneof![8 => Just(1u64), 2 => 1u64..30, 1 => 1u64..900], -20_000i64..90_000), 1..900),
    ) {
        let mut arrivals = Vec::new();
        let (mut number, mut at_us) = (start + lead, (at_ms as i64 + 20_000) * 1_000);
        for (step, wait_us) in steps {
            arrivals.push((number, Duration::from_micros(at_us as u64)));
            number += step;
            at_us = (at_us + wait_us).max(0);
        }
        let (mut rest, mut base, mut seen) = (&arrivals[..], start, Vec::new());
        while let Some(feedback) = Feedback::new(base, 0, rest) {
            prop_assert!(feedback.consumed() > 0);
            let bytes = body(&feedback);
            prop_assert!(bytes.len() <= 1_000);
            let read = read(&bytes).unwrap();
            let first = feedback.next_base() - u64::from(read.count);
            for (index, (sequence_number, ticks)) in read.statuses().enumerate() {
                let extended = first + index as u64;
                prop_assert_eq!(sequence_number, extended as u16);
                seen.extend(ticks.map(|ticks| (extended, ticks)));
            }
            rest = &rest[feedback.consumed()..];
            base = feedback.next_base();
        }
        let wrap = REFERENCE_MODULUS * REFERENCE_TICKS;
        let expected: Vec<_> = arrivals
            .iter()
            .map(|(number, at)| (*number, (at.as_micros() / 250) as i64))
            .collect();
        prop_assert!(expected.iter().all(|(_, ticks)| *ticks < wrap / 2));
        prop_assert_eq!(seen, expected);
    }
}
