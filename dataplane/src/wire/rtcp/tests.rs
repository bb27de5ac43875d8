#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::twcc::Feedback;

const BLOCK: ReportBlock = ReportBlock {
    ssrc: Ssrc(0x0102_0304),
    fraction_lost: 64,
    cumulative_lost: -2,
    highest_sequence: 0x0001_ffff,
    jitter: 90,
    last_sr: 0xaabb_ccdd,
    delay_since_last_sr: 65536,
};

const INFO: SenderInfo =
    SenderInfo { ntp: NtpTime(0x1122_3344_5566_7788), rtp_timestamp: 7, packet_count: 8, octet_count: 9 };

/// What a writer made of a fresh buffer.
fn written(write: impl FnOnce(&mut RtcpWriter) -> bool) -> Vec<u8> {
    let mut out = [0xff; 1200];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(write(&mut writer));
    let len = writer.len();
    out[..len].to_vec()
}

fn only(compound: &[u8]) -> RtcpPacket<'_> {
    let mut all = packets(compound).unwrap();
    let packet = all.next().unwrap();
    assert!(all.next().is_none());
    packet
}

#[test]
fn a_reference_time_is_found_behind_other_blocks_and_answered() {
    // RFC 3611: an empty block of type 6 first, then a receiver reference time.
    let mut report = vec![0x80, 207, 0, 5, 0, 0, 0, 9, 6, 0, 0, 0];
    report.extend([4, 0, 0, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    let seen = packets(&report).unwrap().next();
    let Some(RtcpPacket::ReferenceTime { ssrc, ntp }) = seen else { panic!("{seen:?}") };
    assert_eq!((ssrc, ntp.middle()), (Ssrc(9), 0x3344_5566));

    let mut out = [0; 64];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(writer.delay_since_reference_time(Ssrc(1), ssrc, ntp.middle(), 0x8000));
    let len = writer.len();
    let expected =
        [0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3, 0, 0, 0, 9, 0x33, 0x44, 0x55, 0x66, 0, 0, 0x80, 0];
    assert_eq!(out[..len], expected);
}

#[test]
fn a_sender_report_has_the_layout_of_rfc_3550() {
    let bytes = written(|writer| writer.sender_report(Ssrc(5), &INFO, &[BLOCK]));
    let expected = [
        0x81, 200, 0, 12, 0, 0, 0, 5, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 7, 0, 0, 0, 8,
        0, 0, 0, 9, 1, 2, 3, 4, 64, 0xff, 0xff, 0xfe, 0, 1, 0xff, 0xff, 0, 0, 0, 90, 0xaa, 0xbb, 0xcc, 0xdd,
        0, 1, 0, 0,
    ];
    assert_eq!(bytes, expected);
    let RtcpPacket::SenderReport { ssrc, info, blocks } = only(&bytes) else {
        panic!("no sender report");
    };
    assert_eq!((ssrc, info, blocks.collect::<Vec<_>>()), (Ssrc(5), INFO, vec![BLOCK]));
}

#[test]
fn a_compound_is_read_packet_by_packet() {
    let bytes = written(|writer| {
        writer.receiver_report(Ssrc(1), &[BLOCK, BLOCK])
            && writer.sdes_cname(Ssrc(1), "cname")
            && writer.pli(Ssrc(1), Ssrc(2))
            && writer.fir(Ssrc(1), Ssrc(3), 200)
            && writer.bye(&[Ssrc(4), Ssrc(5)])
    });
    let mut all = packets(&bytes).unwrap();
    assert!(
        matches!(all.next(), Some(RtcpPacket::ReceiverReport { ssrc: Ssrc(1), blocks }) if blocks.clone().count() == 2)
    );
    assert!(matches!(all.next(), Some(RtcpPacket::SourceDescription)));
    assert!(matches!(all.next(), Some(RtcpPacket::Pli { media: Ssrc(2) })));
    assert!(matches!(all.next(), Some(RtcpPacket::Fir(fir)) if fir.clone().eq([(Ssrc(3), 200)])));
    assert!(matches!(all.next(), Some(RtcpPacket::Bye(gone)) if gone.clone().eq([Ssrc(4), Ssrc(5)])));
    assert!(all.next().is_none());
}

#[test]
fn an_sdes_ends_with_a_zero_byte_and_on_a_word() {
    assert_eq!(
        written(|writer| writer.sdes_cname(Ssrc(1), "ab")),
        [0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]
    );
    assert_eq!(written(|writer| writer.sdes_cname(Ssrc(1), "a"))[8..], [1, 1, b'a', 0]);
    let mut out = [0; 600];
    assert!(!RtcpWriter::new(&mut out).sdes_cname(Ssrc(1), &"x".repeat(256)));
}

#[test]
fn a_nack_names_the_first_and_the_sixteen_behind() {
    let bytes = written(|writer| writer.nack(Ssrc(1), Ssrc(2), &[65535, 0, 15, 16]));
    assert_eq!(bytes, [0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0x80, 1, 0, 16, 0, 0]);
    let RtcpPacket::Nack { media: Ssrc(2), entries } = only(&bytes) else {
        panic!("no nack");
    };
    assert!(entries.eq([65535, 0, 15, 16]));
}

#[test]
fn a_nack_is_read_up_to_its_bound() {
    let lost: Vec<u16> = (0..100).map(|number| number * 20).collect();
    let bytes = written(|writer| writer.nack(Ssrc(1), Ssrc(2), &lost));
    let RtcpPacket::Nack { entries, .. } = only(&bytes) else {
        panic!("no nack");
    };
    assert!(entries.eq(lost[..NACK_ENTRIES_PER_PACKET_MAX].iter().copied()));
}

#[test]
fn a_remb_carries_eighteen_significant_bits() {
    let bytes = written(|writer| writer.remb(Ssrc(1), 2_000_000, &[Ssrc(7)]));
    let mantissa = (2_000_000u32 >> 3).to_be_bytes();
    let head = [1, 3 << 2 | mantissa[1], mantissa[2], mantissa[3]];
    assert_eq!(bytes[..16], [0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B']);
    assert_eq!(bytes[16..20], head);
    assert!(matches!(
        only(&bytes), RtcpPacket::Remb { bitrate_bps: 2_000_000, ssrcs } if ssrcs.clone().eq([Ssrc(7)])
    ));
}

#[test]
fn an_absurd_remb_saturates() {
    assert_eq!(remb_bitrate(0x00ff_ffff), u64::MAX);
    assert_eq!(remb_bitrate(63 << 18), 0);
    assert_eq!(remb_bitrate(63 << 18 | 1), 1 << 63);
    assert_eq!(remb_bitrate(46 << 18 | 0x3_ffff), 0x3_ffff << 46);
    assert_eq!(remb_bitrate(47 << 18 | 0x3_ffff), u64::MAX);
}

#[test]
fn reading_ends_at_a_bad_length_and_at_the_bound() {
    let pli = written(|writer| writer.pli(Ssrc(1), Ssrc(2)));
    let mut bytes = pli.clone();
    bytes.extend([0x81, 206, 0, 9, 0, 0, 0, 1]);
    bytes.extend(&pli);
    assert_eq!(packets(&bytes).unwrap().count(), 1);
    assert_eq!(packets(&pli.repeat(100)).unwrap().count(), RTCP_PACKETS_PER_COMPOUND_MAX);
    for len in 0..pli.len() {
        assert_eq!(packets(&pli[..len]).err(), Some(DropReason::MalformedRtcp), "{len}");
    }
    let version_one = [0x41, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(packets(&version_one).err(), Some(DropReason::MalformedRtcp));
}

#[test]
fn what_is_not_known_does_not_hide_what_follows() {
    let mut bytes = vec![0x80, 204, 0, 2, 0, 0, 0, 1, b'n', b'a', b'm', b'e']; // APP
    bytes.extend([0x82, 201, 0, 1, 0, 0, 0, 1]); // RR that claims two blocks and has none
    bytes.extend(written(|writer| writer.pli(Ssrc(1), Ssrc(2))));
    let kinds: Vec<_> =
        packets(&bytes).unwrap().map(|packet| matches!(packet, RtcpPacket::Unknown)).collect();
    assert_eq!(kinds, [true, true, false]);
}

#[test]
fn padding_is_cut_and_absurd_padding_ends_the_compound() {
    let with_padding = |count| [0xa1, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 0, 0, 0, 0, 0, count];
    let bytes = with_padding(4);
    let RtcpPacket::Nack { entries, .. } = only(&bytes) else {
        panic!("no nack");
    };
    assert!(entries.eq([9]));
    // libwebrtc pads feedback by 1 to 3 bytes; what is left over of a NACK entry is not read.
    assert!(packets(&with_padding(1)).is_ok());
    for count in [0, 20, 255] {
        assert!(packets(&with_padding(count)).is_err(), "{count}");
    }
}

#[test]
fn a_packet_that_does_not_fit_leaves_the_compound_as_it_was() {
    let mut out = [0xee; 20];
    let mut writer = RtcpWriter::new(&mut out);
    assert!(writer.is_empty());
    assert!(writer.pli(Ssrc(1), Ssrc(2)));
    assert!(!writer.pli(Ssrc(1), Ssrc(2)));
    assert!(!writer.receiver_report(Ssrc(1), &[BLOCK]));
    assert!(writer.receiver_report(Ssrc(1), &[]));
    assert!(writer.nack(Ssrc(1), Ssrc(2), &[]));
    assert_eq!(writer.len(), 20);
    let mut out = [0; 4096];
    assert!(!RtcpWriter::new(&mut out).receiver_report(Ssrc(1), &[BLOCK; 32]));
    assert!(!RtcpWriter::new(&mut out).bye(&[Ssrc(1); 32]));
    assert!(!RtcpWriter::new(&mut out).remb(Ssrc(1), 1, &[Ssrc(1); 256]));
}

#[test]
fn transport_feedback_finds_its_way_through_a_compound() {
    let feedback =
        Feedback::new(10, 3, &[(10, Duration::from_millis(64)), (12, Duration::from_millis(65))]).unwrap();
    let bytes = written(|writer| writer.transport_feedback(Ssrc(1), Ssrc(2), &feedback));
    let RtcpPacket::TransportFeedback(read) = only(&bytes) else {
        panic!("no feedback");
    };
    assert_eq!((read.sender, read.media, read.feedback_count), (Ssrc(1), Ssrc(2), 3));
    assert!(read.statuses().eq([(10, Some(256)), (11, None), (12, Some(260))]));
}

fn block() -> impl Strategy<Value = ReportBlock> {
    any::<(u32, u8, u32, u32, u32, u32, u32)>().prop_map(|(ssrc, lost, total, highest, jitter, sr, delay)| {
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost: lost,
            cumulative_lost: sign_extended_24(total),
            highest_sequence: highest,
            jitter,
            last_sr: sr,
            delay_since_last_sr: delay,
        }
    })
}

/// Reads all there is to read.
fn walk(compound: &[u8]) -> usize {
    packets(compound).into_iter().flatten().fold(0, |seen, packet| {
        seen + match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                blocks.count()
            }
            RtcpPacket::Bye(ssrcs) | RtcpPacket::Remb { ssrcs, .. } => ssrcs.count(),
            RtcpPacket::Nack { entries, .. } => entries.count(),
            RtcpPacket::TransportFeedback(feedback) => feedback.statuses().count(),
            RtcpPacket::Fir(entries) => entries.count(),
            RtcpPacket::SourceDescription
            | RtcpPacket::Pli { .. }
            | RtcpPacket::ReferenceTime { .. }
            | RtcpPacket::Unknown => 1,
        }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        walk(&bytes);
    }

    #[test]
    fn any_body_behind_a_sound_header_is_read_or_refused(
        first in 0x80u8..=0xbf, kind in 200u8..=207, words in 0u8..40, body in vec(any::<u8>(), 160),
    ) {
        let mut bytes = vec![first, kind, 0, words];
        bytes.extend(&body[..4 * usize::from(words)]);
        walk(&bytes);
    }

    #[test]
    fn reports_are_read_as_written(blocks in vec(block(), 0..=31), ssrc: u32, ntp: u64, counts: (u32, u32, u32)) {
        let info = SenderInfo {
            ntp: NtpTime(ntp), rtp_timestamp: counts.0, packet_count: counts.1, octet_count: counts.2,
        };
        let bytes = written(|writer| writer.sender_report(Ssrc(ssrc), &info, &blocks));
        let RtcpPacket::SenderReport { ssrc: read_ssrc, info: read_info, blocks: read } = only(&bytes) else {
            panic!("no sender report");
        };
        prop_assert_eq!((read_ssrc, read_info, read.collect::<Vec<_>>()), (Ssrc(ssrc), info, blocks));
    }

    #[test]
    fn a_nack_is_read_as_written(start: u16, steps in vec(1u16..30, 0..30)) {
        let lost: Vec<u16> = steps.iter().scan(start, |number, step| {
            *number = number.wrapping_add(*step);
            Some(*number)
        }).collect();
        let bytes = written(|writer| writer.nack(Ssrc(1), Ssrc(2), &lost));
        if lost.is_empty() {
            prop_assert!(bytes.is_empty());
        } else {
            let RtcpPacket::Nack { entries, .. } = only(&bytes) else {
                panic!("no nack");
            };
            prop_assert_eq!(entries.collect::<Vec<_>>(), lost);
        }
    }

    #[test]
    fn a_remb_loses_less_than_one_part_in_2_to_the_17(bitrate: u64, ssrcs in vec(any::<u32>(), 0..20)) {
        let ssrcs: Vec<_> = ssrcs.into_iter().map(Ssrc).collect();
        let bytes = written(|writer| writer.remb(Ssrc(1), bitrate, &ssrcs));
        let RtcpPacket::Remb { bitrate_bps, ssrcs: read } = only(&bytes) else {
            panic!("no remb");
        };
        prop_assert!(bitrate_bps <= bitrate && bitrate - bitrate_bps <= bitrate >> 17);
        prop_assert!(read.eq(ssrcs));
    }
}
