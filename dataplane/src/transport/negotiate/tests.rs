#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::SECTIONS_PER_OFFER_MAX;

const SIMULCAST: &str = include_str!("../../../tests/fixtures/chromium_publish_simulcast.sdp");
const PUBLISH: &str = include_str!("../../../tests/fixtures/chromium_publish.sdp");
const WATCH: &str = include_str!("../../../tests/fixtures/chromium_watch.sdp");
const WATCH_FOUR: &str = include_str!("../../../tests/fixtures/chromium_watch_four.sdp");
const FIREFOX: &str = include_str!("../../../tests/fixtures/firefox_publish.sdp");
const FIREFOX_WATCH: &str = include_str!("../../../tests/fixtures/firefox_watch.sdp");
const FFMPEG: &str = include_str!("../../../tests/fixtures/ffmpeg_publish.sdp");
/// FFmpeg reads no more of an answer.
const FFMPEG_ANSWER_LEN_MAX: usize = 8192;

fn answer(offer: &str, role: PeerRole) -> Result<Answered, NegotiateError> {
    let now = Instant::now();
    let candidates = ["203.0.113.7:7003".parse().unwrap(), "[2001:db8::7]:7003".parse().unwrap()];
    let settings = AnswerSettings { role, shard: ShardId(3), candidates: &candidates };
    Negotiator::new(now).unwrap().answer(offer, &settings, now)
}

#[track_caller]
fn publish(offer: &str) -> Answered {
    answer(offer, PeerRole::Publisher).unwrap()
}

#[track_caller]
fn watch(offer: &str) -> Answered {
    answer(offer, PeerRole::Subscriber).unwrap()
}

fn lines<'a>(sdp: &'a str, start: &str) -> Vec<&'a str> {
    sdp.lines().filter(|line| line.starts_with(start)).collect()
}

/// What every client needs of every answer.
#[track_caller]
fn check_common(answered: &Answered, setup: &str) {
    let (sdp, sections) = (&answered.sdp, answered.transport.description().sections.len());
    assert!(sdp.starts_with("v=0\r\n"));
    assert!(sdp.lines().all(|line| !line.is_empty()) && sdp.ends_with("\r\n"));
    assert_eq!(lines(sdp, "m=").len(), sections);
    assert!(lines(sdp, "m=").iter().all(|line| !line.contains(" 0 UDP")), "{sdp}");
    assert_eq!(lines(sdp, "a=rtcp-mux").len(), sections);
    assert_eq!(lines(sdp, "a=ice-lite").len(), 1);
    assert_eq!(lines(sdp, "a=group:BUNDLE").len(), 1);
    assert_eq!(lines(sdp, "a=setup:"), vec![format!("a=setup:{setup}"); sections]);
    assert_eq!(
        lines(sdp, "a=candidate:"),
        [
            "a=candidate:1 1 udp 2130706431 203.0.113.7 7003 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::7 7003 typ host"
        ]
    );
    assert_eq!(lines(sdp, "a=end-of-candidates").len(), 1);
    assert!(!sdp.contains("192.0.2."), "the made-up addresses stay inside");
    let ufrag = lines(sdp, "a=ice-ufrag:")[0].strip_prefix("a=ice-ufrag:").unwrap();
    assert_eq!(ufrag, answered.transport.local_ufrag());
    assert!(ufrag.len() >= 8 + SHARD_DIGITS);
    assert_eq!(shard_of_ufrag(ufrag.as_bytes()), Some(ShardId(3)));
    assert!(lines(sdp, "a=ice-pwd:")[0].len() >= 10 + 24);
}

#[test]
fn chromiums_simulcast_is_answered_with_all_its_rids_in_one_line() {
    let answered = publish(SIMULCAST);
    check_common(&answered, "passive");
    assert!(answered.sdp.len() < FFMPEG_ANSWER_LEN_MAX, "{}", answered.sdp.len());
    assert_eq!(lines(&answered.sdp, "a=simulcast:"), ["a=simulcast:recv h;m;l"]);
    assert_eq!(lines(&answered.sdp, "a=rid:"), ["a=rid:h recv", "a=rid:m recv", "a=rid:l recv"]);
    assert_eq!(lines(&answered.sdp, "a=recvonly").len(), 2);
    assert_eq!(lines(&answered.sdp, "a=extmap-allow-mixed").len(), 1);
    assert_eq!(lines(&answered.sdp, "a=rtcp-rsize").len(), 2);
    assert!(lines(&answered.sdp, "a=msid").is_empty() && lines(&answered.sdp, "a=ssrc").is_empty());

    let description = answered.transport.description();
    assert!(description.has_reduced_size_rtcp && description.allows_mixed_extensions);
    let video = &description.sections[1];
    let SectionRole::Ingress { rids, ssrcs } = &video.role else { panic!("{video:?}") };
    assert_eq!(rids.iter().map(|rid| rid.0.as_str()).collect::<Vec<_>>(), ["h", "m", "l"]);
    assert!(ssrcs.is_empty());
    for (kind, id) in [
        (ExtensionKind::Mid, 4),
        (ExtensionKind::Rid, 10),
        (ExtensionKind::RepairedRid, 11),
        (ExtensionKind::TransportCc, 3),
        (ExtensionKind::AbsSendTime, 2),
        (ExtensionKind::VideoOrientation, 13),
        (ExtensionKind::PlayoutDelay, 5),
        (ExtensionKind::DependencyDescriptor, 12),
        (ExtensionKind::VideoLayersAllocation, 9),
    ] {
        assert_eq!(video.extensions.id(kind), Some(id), "{kind:?}");
        assert!(answered.sdp.contains(&format!("a=extmap:{id} {}\r\n", kind.uri())), "{kind:?}");
    }
    assert_eq!(description.sections[0].extensions.id(ExtensionKind::AudioLevel), Some(1));
    assert_eq!(video.extensions.id(ExtensionKind::AudioLevel), None);
}

#[test]
fn every_codec_and_profile_of_chromium_keeps_its_payload_types() {
    let answered = publish(SIMULCAST);
    let sections = &answered.transport.description().sections;
    let opus = sections[0].format(PayloadType(111)).unwrap();
    assert_eq!((opus.codec, opus.rtx, opus.clock_rate_hz), (Codec::Opus, None, 48_000));
    assert!(opus.feedback.transport_cc && !opus.feedback.nack);
    let h264 = |profile_level_id, packetization_mode| Profile::H264 { profile_level_id, packetization_mode };
    let expected = [
        (Codec::Vp8, Profile::Any, 96, 97),
        (Codec::H264, h264(0x42001f, 1), 102, 103),
        (Codec::H264, h264(0x42001f, 0), 104, 107),
        (Codec::H264, h264(0x42e01f, 1), 108, 109),
        (Codec::H264, h264(0x42e01f, 0), 114, 115),
        (Codec::H264, h264(0x4d001f, 1), 116, 117),
        (Codec::H264, h264(0x4d001f, 0), 39, 40),
        (Codec::Av1, Profile::Number(0), 45, 46),
        (Codec::Vp9, Profile::Number(0), 98, 99),
        (Codec::Vp9, Profile::Number(2), 100, 101),
    ];
    let all = Feedback { nack: true, pli: true, fir: true, transport_cc: true, remb: true };
    let expected: Vec<Format> = expected
        .into_iter()
        .map(|(codec, profile, media, rtx)| Format {
            codec,
            profile,
            payload_type: PayloadType(media),
            rtx: Some(PayloadType(rtx)),
            red: None,
            clock_rate_hz: 90_000,
            feedback: all,
        })
        .collect();
    assert_eq!(sections[1].formats, expected);
    for format in &expected {
        assert!(answered.sdp.contains(&format!(
            "a=rtpmap:{} {}/90000",
            format.payload_type.0,
            format.codec.name()
        )));
        assert!(answered.sdp.contains(&format!(
            "a=fmtp:{} apt={}\r\n",
            format.rtx.unwrap().0,
            format.payload_type.0
        )));
    }
}

#[test]
fn the_ssrcs_of_an_offer_without_simulcast_are_kept() {
    let answered = publish(PUBLISH);
    check_common(&answered, "passive");
    let groups: Vec<u32> = lines(PUBLISH, "a=ssrc-group:FID ")[0]
        .split_whitespace()
        .skip(1)
        .map(|ssrc| ssrc.parse().unwrap())
        .collect();
    let SectionRole::Ingress { rids, ssrcs } = &answered.transport.description().sections[1].role else {
        panic!()
    };
    assert!(rids.is_empty());
    assert_eq!(ssrcs[..], [(Ssrc(groups[0]), Some(Ssrc(groups[1])))]);
}

#[test]
fn a_watching_chromium_is_told_the_ssrcs_of_one_stream_for_each_pair() {
    for (offer, sections) in [(WATCH, 2), (WATCH_FOUR, 4)] {
        let answered = watch(offer);
        check_common(&answered, "passive");
        assert_eq!(lines(&answered.sdp, "a=sendonly").len(), sections);
        let msids: Vec<Vec<&str>> =
            lines(&answered.sdp, "a=msid:").iter().map(|line| line[7..].split(' ').collect()).collect();
        assert_eq!(msids.len(), sections);
        for pair in msids.chunks(2) {
            assert_eq!(pair[0][0], pair[1][0], "a pair is one stream, for lip sync");
        }
        let first_stream = msids.iter().filter(|msid| msid[0] == msids[0][0]).count();
        assert_eq!(first_stream, 2, "each pair is a stream of its own: {msids:?}");
        let mut tracks: Vec<&str> = msids.iter().map(|msid| msid[1]).collect();
        tracks.sort_unstable();
        tracks.dedup();
        assert_eq!(tracks.len(), sections, "distinct tracks: {msids:?}");

        let mut known = Vec::new();
        for section in &answered.transport.description().sections {
            let SectionRole::Egress { ssrc, rtx_ssrc } = section.role else { panic!("{section:?}") };
            assert!(answered.sdp.contains(&format!("a=ssrc:{} cname:{}", ssrc.0, msids[0][0])));
            assert_eq!(rtx_ssrc.is_some(), section.kind == MediaKind::Video);
            if let Some(rtx) = rtx_ssrc {
                assert!(answered.sdp.contains(&format!("a=ssrc-group:FID {} {}", ssrc.0, rtx.0)));
            }
            known.extend([Some(ssrc), rtx_ssrc].into_iter().flatten());
        }
        known.sort();
        known.dedup();
        let videos = sections / 2;
        assert_eq!(known.len(), sections + videos, "no SSRC is used twice");
    }
    assert!(watch(WATCH).sdp.len() < FFMPEG_ANSWER_LEN_MAX);
}

#[test]
fn firefox_publishes_three_encodings_in_what_it_offers() {
    let answered = publish(FIREFOX);
    check_common(&answered, "passive");
    assert_eq!(lines(&answered.sdp, "a=simulcast:"), ["a=simulcast:recv q;h;f"]);
    assert_eq!(lines(&answered.sdp, "a=extmap-allow-mixed").len(), 1, "each section offers it");
    let description = answered.transport.description();
    assert!(description.allows_mixed_extensions);
    assert!(!description.has_reduced_size_rtcp, "its sound does not offer it");
    assert_eq!(lines(&answered.sdp, "a=rtcp-rsize").len(), 2);
    assert_eq!(description.sections.len(), 4);
    let video = &description.sections[1];
    let codecs: Vec<Codec> = video.formats.iter().map(|format| format.codec).collect();
    assert_eq!(codecs, [Codec::Vp8, Codec::Vp9, Codec::Av1]);
    let SectionRole::Ingress { rids, ssrcs } = &video.role else { panic!("{video:?}") };
    assert_eq!((rids.len(), ssrcs.len()), (3, 3), "RIDs and SSRCs too");
    assert!(ssrcs.iter().all(|(_, repeats)| repeats.is_some()), "{ssrcs:?}");
    for (kind, id) in [
        (ExtensionKind::Mid, 3),
        (ExtensionKind::TransportCc, 7),
        (ExtensionKind::DependencyDescriptor, 8),
        (ExtensionKind::Rid, 9),
        (ExtensionKind::RepairedRid, 10),
    ] {
        assert_eq!(video.extensions.id(kind), Some(id), "{kind:?}");
    }
}

#[test]
fn a_watching_firefox_is_sent_two_pairs_of_streams() {
    let answered = watch(FIREFOX_WATCH);
    check_common(&answered, "passive");
    assert_eq!(lines(&answered.sdp, "a=sendonly").len(), 4);
    let msids = lines(&answered.sdp, "a=msid:");
    let stream = |at: usize| msids[at].split(' ').next();
    assert_eq!((stream(0), stream(2)), (stream(1), stream(3)), "{msids:?}");
    assert_ne!(stream(0), stream(2), "{msids:?}");
    for section in &answered.transport.description().sections {
        assert!(matches!(section.role, SectionRole::Egress { .. }));
        assert_eq!(section.extensions.id(ExtensionKind::Mid), Some(3));
        assert_eq!(section.extensions.id(ExtensionKind::DependencyDescriptor), None, "it was not offered");
    }
}

#[test]
fn ffmpeg_gets_a_short_answer_with_an_active_server_and_no_feedback_that_it_did_not_offer() {
    let answered = publish(FFMPEG);
    check_common(&answered, "active");
    assert!(answered.sdp.len() < 3_000, "{}", answered.sdp.len());
    assert!(lines(&answered.sdp, "a=rtcp-fb").is_empty());
    assert!(lines(&answered.sdp, "a=candidate:")[0].contains("udp") && answered.sdp.contains("typ host"));
    let video = &answered.transport.description().sections[1];
    assert_eq!(video.formats[0].feedback, Feedback::default());
    assert_eq!(video.formats[0].rtx, None);
}

#[test]
fn codec_names_are_read_in_any_case() {
    let answered = publish(&FFMPEG.replace("opus/", "OPUS/").replace("H264/", "h264/"));
    assert_eq!(answered.transport.description().sections[1].formats[0].codec, Codec::H264);
}

#[test]
fn an_offer_without_a_common_codec_is_refused_with_its_codecs_named() {
    let error = answer(&FFMPEG.replace("H264", "H266"), PeerRole::Publisher).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no video codec in common: offered H266, supported VP8, H264, VP9, AV1, H265"
    );
    let error = answer(&FFMPEG.replace("opus/48000/2", "PCMU/8000"), PeerRole::Publisher).unwrap_err();
    assert_eq!(error.to_string(), "no audio codec in common: offered PCMU, supported Opus");
}

#[test]
fn an_offer_that_cannot_be_served_is_refused_as_a_whole() {
    let check = |offer: &str, role, expected: &str| {
        let error = answer(offer, role).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    };
    let publisher = PeerRole::Publisher;
    check(WATCH, publisher, "a publisher offers sendonly, but section 0 is recvonly");
    check(PUBLISH, PeerRole::Subscriber, "a subscriber offers recvonly, but section 0 is sendonly");
    check(&PUBLISH.replace("a=sendonly", "a=inactive"), publisher, "section 0 is inactive");
    check("hello", publisher, "v=0");
    check("v=0\r\n", publisher, "no media section");
    check(&PUBLISH.replace("a=rtcp-mux\r\n", ""), publisher, "rtcp-mux");
    check(&PUBLISH.replace("BUNDLE 0 1", "BUNDLE 0"), publisher, "BUNDLE");
    check(&PUBLISH.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"), publisher, "sha-256");
    check(&PUBLISH.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 0"), publisher, "SHA-256");
    check(&PUBLISH.replace("a=setup:actpass", "a=setup:holdconn"), publisher, "holdconn");
    check(&PUBLISH.replace("a=setup:actpass", "a=x:y"), publisher, "a=setup");
    check(&PUBLISH.replace("a=mid:1", "a=mid:0"), publisher, "two sections have the mid 0");
    check(&FIREFOX.replace("a=bundle-only\r\n", ""), publisher, "rejected");
    check(&PUBLISH.replace("m=audio", "m=application"), publisher, "data channels");
    check(&PUBLISH.replace("a=extmap-allow-mixed", "a=ice-lite"), publisher, "ICE-lite");
    check(&FFMPEG.replace("106", "111"), publisher, "payload type 111 means two things");
    check(&SIMULCAST.replace("send h;m;l", "send h;m;h"), publisher, "repeats a RID");
    check(&SIMULCAST.replace("send h;m;l", "send h;a/b"), publisher, "names a RID that is none");
}

#[test]
fn of_formats_that_mean_the_same_the_first_is_answered() {
    let twice = |first: &str, second: &str| {
        let ends = FFMPEG.split_once("a=rtpmap:106").unwrap().0.replace("SAVPF 106", "SAVPF 106 107");
        publish(&format!("{ends}a=rtpmap:106 {first}\na=rtpmap:107 {second}\n")).sdp
    };
    for (first, second) in [
        ("VP8/90000", "VP8/90000\na=fmtp:107 x-unknown=1"),
        // What str0m takes if nothing is said, and the same said.
        ("H264/90000", "H264/90000\na=fmtp:107 profile-level-id=42001f;packetization-mode=0"),
        ("VP9/90000", "VP9/90000\na=fmtp:107 profile-id=0"),
        ("AV1/90000\na=fmtp:106 level-idx=5", "AV1/90000\na=fmtp:107 profile=0"),
    ] {
        let sdp = twice(first, second);
        assert!(sdp.contains("a=rtpmap:106 ") && !sdp.contains(":107 "), "{sdp}");
    }
    let sdp = twice("VP9/90000", "VP9/90000\na=fmtp:107 profile-id=2");
    assert!(sdp.contains("a=rtpmap:106 ") && sdp.contains("a=rtpmap:107 "), "{sdp}");
}

#[test]
fn a_format_has_one_payload_type_in_all_sections() {
    let video =
        &FFMPEG[FFMPEG.find("m=video").unwrap()..].replace("106", "107").replace("a=mid:1", "a=mid:2");
    let offer = format!("{FFMPEG}{video}").replace("BUNDLE 0 1", "BUNDLE 0 1 2");
    let error = answer(&offer, PeerRole::Publisher).unwrap_err().to_string();
    assert!(error.contains("H264 has payload type 106 in section 1 and 107 in section 2"), "{error}");
}

#[test]
fn an_offer_has_bounds() {
    let huge = format!("{PUBLISH}{}", "a=x\r\n".repeat(crate::limits::SDP_SIZE_BYTES_MAX / 5));
    assert!(matches!(answer(&huge, PeerRole::Publisher), Err(NegotiateError::Malformed(_))));
    let many = format!("{PUBLISH}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(SECTIONS_PER_OFFER_MAX));
    assert!(matches!(answer(&many, PeerRole::Publisher), Err(NegotiateError::Unacceptable(_))));
}

#[test]
fn no_damaged_offer_makes_a_panic() {
    let now = Instant::now();
    let negotiator = Negotiator::new(now).unwrap();
    let candidates = ["203.0.113.7:7003".parse().unwrap()];
    let settings = AnswerSettings { role: PeerRole::Publisher, shard: ShardId(3), candidates: &candidates };
    for offer in [SIMULCAST, FIREFOX, FFMPEG] {
        let lines: Vec<&str> = offer.lines().collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            let removed = without.remove(at);
            let twice = format!("{}\r\n{removed}", lines.join("\r\n"));
            for damaged in [without.join("\r\n"), lines[..at].join("\r\n"), twice] {
                if let Err(error) = negotiator.answer(&damaged, &settings, now) {
                    assert_ne!(
                        error,
                        NegotiateError::Malformed("the offer contradicts itself".to_owned()),
                        "{damaged}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_foreign_username_fragment_names_no_shard() {
    assert_eq!(shard_of_ufrag(b""), None);
    assert_eq!(shard_of_ufrag(b"zzzzaaaaaaaaaaaaaaaa"), None);
    assert_eq!(shard_of_ufrag(b"0003aaaa"), None);
    assert_eq!(shard_of_ufrag(b"0a03aaaaaaaaaaaaaaaa"), Some(ShardId(0x0a03)));
}

#[test]
fn redundant_audio_is_answered_where_it_was_offered_and_on_its_side_of_opus() {
    for answered in [publish(PUBLISH), watch(WATCH)] {
        let sdp = &answered.sdp;
        assert_eq!(lines(sdp, "m=audio"), ["m=audio 9 UDP/TLS/RTP/SAVPF 111 63"]);
        assert_eq!(lines(sdp, "a=rtpmap:63 "), ["a=rtpmap:63 red/48000/2"]);
        assert_eq!(lines(sdp, "a=fmtp:63 "), ["a=fmtp:63 111/111"]);
        let audio = &answered.transport.description().sections[0];
        assert_eq!(audio.formats.len(), 1);
        assert_eq!(audio.formats[0].red, Some(PayloadType(63)));
        assert_eq!(audio.format(PayloadType(63)), Some(&audio.formats[0]));
        assert!(audio.formats[0].is_red(PayloadType(63)) && !audio.formats[0].is_red(PayloadType(111)));
    }
    let preferred = publish(&PUBLISH.replace("SAVPF 111 63", "SAVPF 63 111"));
    assert_eq!(lines(&preferred.sdp, "m=audio"), ["m=audio 9 UDP/TLS/RTP/SAVPF 63 111"]);

    // What it holds beside Opus could not be read.
    let mixed = publish(&PUBLISH.replace("a=fmtp:63 111/111", "a=fmtp:63 111/0"));
    assert!(!mixed.sdp.contains("red/48000"));
    assert_eq!(mixed.transport.description().sections[0].formats[0].red, None);
    assert!(!publish(FFMPEG).sdp.contains("red/"));
}

#[test]
fn h265_is_answered_as_it_is_offered_unless_its_packets_could_not_be_read() {
    let offer = |parameters: &str| {
        let lines: Vec<String> = FFMPEG
            .replace("H264/", "H265/")
            .lines()
            .map(|line| match line.split_once(" level-asymmetry-allowed") {
                Some((fmtp, _)) => format!("{fmtp} {parameters}"),
                None => line.to_owned(),
            })
            .collect();
        lines.join("\r\n") + "\r\n"
    };
    for (parameters, profile_id, tier_flag) in [
        ("level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", 1, 0),
        ("level-id=150;profile-id=2;tier-flag=1", 2, 1),
        ("profile-id=2", 2, 0),
        ("sprop-max-don-diff=0", 1, 0),
    ] {
        let answered = publish(&offer(parameters));
        let format = answered.transport.description().sections[1].formats[0];
        assert_eq!((format.codec, format.profile), (Codec::H265, Profile::H265 { profile_id, tier_flag }));
        let rtpmap = format!("a=rtpmap:{} H265/90000", format.payload_type.0);
        assert!(answered.sdp.contains(&rtpmap), "{parameters}");
    }
    for parameters in ["tx-mode=MRST", "profile-id=1;sprop-max-don-diff=3"] {
        let refused = answer(&offer(parameters), PeerRole::Publisher).unwrap_err();
        assert!(matches!(refused, NegotiateError::NoCommonCodec { .. }), "{parameters}: {refused}");
    }
}
