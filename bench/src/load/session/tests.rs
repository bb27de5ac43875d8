#![allow(clippy::unwrap_used)]
use dataplane::transport::srtp::SrtpProfile;

use super::*;

const EXTENSIONS: Extensions =
    Extensions { mid: Some(4), rid: None, repaired_rid: None, transport_cc: Some(3), audio_level: None };
const FORMAT: Format = Format {
    payload_type: PayloadType(96),
    rtx: Some(PayloadType(97)),
    clock_rate: 90_000,
    is_repaired: true,
};

/// A client of each side of one handshake; the first one sends.
fn pair(now: Instant) -> (Session, Session) {
    let profile = SrtpProfile::AeadAes128Gcm;
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let session = |is_client, ssrc| {
        let encoding = EncodingTerms {
            payload_type: FORMAT.payload_type,
            rtx_payload_type: FORMAT.rtx,
            ssrc: Ssrc(ssrc),
            rtx_ssrc: Some(Ssrc(ssrc + 1)),
            mid: "0".to_owned(),
            rid: None,
        };
        let terms = Terms {
            ssrc: Ssrc(ssrc),
            extensions: EXTENSIONS,
            formats: vec![FORMAT],
            repairs: vec![(Ssrc(101), Ssrc(100))],
            encodings: vec![encoding],
        };
        Session::new(SrtpKeys::derive(profile, &material, is_client).unwrap(), terms, now)
    };
    (session(true, 100), session(false, 200))
}

fn media(index: u64, payload: &[u8]) -> Media<'_> {
    Media { index, timestamp: 0, is_marked: false, audio_level: None, payload }
}

fn rtcp_of(session: &mut Session, now: Instant) -> Vec<Vec<u8>> {
    let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
    let ntp = NtpTime::from_unix(Duration::from_secs(1_000_000));
    std::iter::from_fn(|| session.poll_rtcp(&mut out, now, ntp).map(|len| out[..len].to_vec())).collect()
}

#[test]
fn what_is_sealed_opens_and_is_fed_back_every_50_ms_and_reported_every_second() {
    let start = Instant::now();
    let (mut publisher, mut subscriber) = pair(start);
    let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
    let (mut payloads, mut feedback, mut reports) = (0, 0, 0);
    // The first number wraps soon after.
    for number in 65_500..65_500 + 400u64 {
        let now = start + Duration::from_millis(5 * (number - 65_500));
        let len = publisher.seal(&mut out, 0, &media(number, &[7; 1000]));
        let received_ns = 1_000_000_000 + 5_000_000 * number;
        subscriber.handle_rtp(&out[..len], received_ns, now, &mut |told| match told {
            Told::Payload(arrival) => payloads += usize::from(arrival.payload == [7; 1000]),
            other => panic!("{other:?}"),
        });
        for packet in rtcp_of(&mut subscriber, now) {
            let mut plain = [0; DATAGRAM_SIZE_BYTES_MAX];
            let len = publisher.keys.opener.open_rtcp(&packet, &mut plain).unwrap();
            for packet in rtcp::packets(&plain[..len]).unwrap() {
                match packet {
                    RtcpPacket::TransportFeedback(_) => feedback += 1,
                    RtcpPacket::ReceiverReport { mut blocks, .. } => {
                        reports += 1;
                        let block = blocks.next().unwrap();
                        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(payloads, 400);
    assert!((38..=41).contains(&feedback), "{feedback} in 2 s");
    assert!((1..=3).contains(&reports), "{reports} in 2 s");
    assert_eq!(subscriber.expected_and_received(), (400, 400));
}

#[test]
fn a_keyframe_request_is_heard_and_a_forged_packet_is_refused() {
    let now = Instant::now();
    let (mut publisher, mut viewer) = pair(now);
    viewer.want_keyframe(Ssrc(100), now);
    viewer.want_keyframe(Ssrc(100), now);
    let mut requests = rtcp_of(&mut viewer, now);
    assert_eq!(requests.len(), 1, "one wish is one request");
    let mut told = Vec::new();
    publisher.handle_rtcp(&requests[0], now, &mut |what| told.push(format!("{what:?}")));
    *requests[0].last_mut().unwrap() ^= 1;
    publisher.handle_rtcp(&requests[0], now, &mut |what| told.push(format!("{what:?}")));
    publisher.handle_rtp(&[0x80; 40], 0, now, &mut |what| told.push(format!("{what:?}")));
    assert_eq!(told, ["KeyframeWanted(Ssrc(00000064))", "Refused", "Refused"]);
}

/// Sends packets 10, 11 and 13, lets the viewer ask for 12, and sends it again by `rtx` or under its number.
fn repair(has_rtx: bool) -> Vec<(bool, Vec<u8>)> {
    let now = Instant::now();
    let (mut publisher, mut viewer) = pair(now);
    if !has_rtx {
        publisher.sending[0].terms.rtx_ssrc = None;
    }
    let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
    let mut got = Vec::new();
    let mut take = |viewer: &mut Session, packet: &[u8]| {
        viewer.handle_rtp(packet, 0, now, &mut |told| match told {
            Told::Payload(arrival) => {
                assert_eq!(arrival.stream, Ssrc(100));
                got.push((arrival.is_repair, arrival.payload.to_vec()));
            }
            other => panic!("{other:?}"),
        });
    };
    for number in [10u8, 11, 13] {
        let len = publisher.seal(&mut out, 0, &media(number.into(), &[number]));
        take(&mut viewer, &out[..len]);
    }
    let mut wanted = Vec::new();
    for packet in rtcp_of(&mut viewer, now) {
        publisher.handle_rtcp(&packet, now, &mut |told| match told {
            Told::PacketsWanted(Ssrc(100), entries) => wanted.extend(entries),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(wanted, [12]);
    for _ in 0..2 {
        let len = publisher.seal_again(&mut out, 0, &media(12, &[12]));
        take(&mut viewer, &out[..len]);
    }
    assert_eq!(viewer.expected_and_received(), (4, 4));
    got
}

#[test]
fn a_lost_packet_is_asked_for_and_taken_once_however_it_is_sent_again() {
    for has_rtx in [true, false] {
        let got = repair(has_rtx);
        let last = (has_rtx, vec![12]);
        assert_eq!(got.len(), 4, "{got:?}");
        assert_eq!(got[3], last);
    }
}
