//! What real browsers sent (`tests/captures`) arrives as they sent it.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::id::Ssrc;
use dataplane::media::format::{Codec, ExtensionKind};
use dataplane::media::picture::PictureReader;
use dataplane::time::NtpTime;
use dataplane::transport::description::{Description, Section};
use dataplane::transport::negotiate::PeerRole;
use dataplane::wire::dependency_descriptor::read;
use dataplane::wire::{red, vp8, vp9};
use harness::capture::Capture;
use harness::playback::{Parts, play, play_to};

/// A capture, what was negotiated for it, and what a viewer got of it.
struct Played {
    name: String,
    publisher: Description,
    viewer: Description,
    /// The media that was published: neither repeats nor padding.
    sent: Vec<Parts>,
    /// What was published before a decoder could begin, once it is taken off `sent`.
    before: Vec<Parts>,
    received: Vec<Parts>,
}

impl Played {
    fn of(capture: &Capture) -> Played {
        let publisher = capture.describe(PeerRole::Publisher).unwrap();
        let section = &publisher.sections[0];
        let sent = capture.packets.iter().map(|packet| Parts::of(&packet.bytes));
        let is_media =
            |parts: &Parts| !parts.payload.is_empty() && section.format(parts.header.payload_type).is_some();
        Played {
            name: capture.name.clone(),
            sent: sent.filter(is_media).collect(),
            before: Vec::new(),
            received: play(capture),
            viewer: capture.describe(PeerRole::Subscriber).unwrap(),
            publisher,
        }
    }

    /// Those with one encoding that is forwarded whole, from the first packet that a decoder can begin with. Between
    /// the keyframes of `L3T3_KEY` nobody needs the lower layers: see `layers`.
    fn plain() -> Vec<Played> {
        let is_whole = |capture: &Capture| {
            !capture.offer.contains("a=simulcast") && !capture.name.ends_with("_l3t3_key")
        };
        let captures = Capture::all().into_iter().filter(is_whole);
        captures.map(|capture| Played::of(&capture)).map(Played::begun_at_entry).collect()
    }

    fn begun_at_entry(mut self) -> Played {
        let mut reader = PictureReader::default();
        let section = &self.publisher.sections[0];
        let is_entry = |parts: &Parts| {
            let codec = section.format(parts.header.payload_type).unwrap().codec;
            reader.read(codec, &parts.payload, None).is_entry
        };
        let entry = self.sent.iter().position(is_entry).unwrap();
        self.before = self.sent.drain(..entry).collect();
        self
    }

    fn codec(&self, parts: &Parts) -> Codec {
        let sections = [&self.publisher.sections[0], &self.viewer.sections[0]];
        let format = |section: &&Section| section.format(parts.header.payload_type).copied();
        sections.iter().find_map(format).unwrap().codec
    }
}

/// The payload behind what may be written over, its descriptor.
fn body(codec: Codec, payload: &[u8]) -> &[u8] {
    match codec {
        Codec::Vp8 => &payload[vp8::Descriptor::parse(payload).unwrap().len..],
        Codec::Vp9 => &payload[vp9::Descriptor::parse(payload).unwrap().0.len..],
        _ => payload,
    }
}

/// The descriptor without the ids that go on over a switch, each of which must have moved by one distance.
fn descriptor(codec: Codec, payload: &[u8]) -> (String, Option<u16>) {
    match codec {
        Codec::Vp8 => {
            let mut descriptor = vp8::Descriptor::parse(payload).unwrap();
            let id = descriptor.picture_id.take().map(|id| id.value);
            (descriptor.tl0_picture_index, descriptor.key_index) = (None, None);
            descriptor.len = 0;
            (format!("{descriptor:?}"), id)
        }
        Codec::Vp9 => {
            let mut descriptor = vp9::Descriptor::parse(payload).unwrap().0;
            let id = descriptor.picture_id.take().map(|id| id.value);
            if let Some(layer) = &mut descriptor.layer {
                layer.tl0_picture_index = None;
            }
            descriptor.len = 0;
            (format!("{descriptor:?}"), id)
        }
        _ => (String::new(), None),
    }
}

#[test]
fn a_single_stream_arrives_packet_by_packet_as_it_was_sent() {
    let all = Played::plain();
    assert!(all.len() >= 18);
    for played in all {
        let name = &played.name;
        assert!(!played.sent.is_empty(), "{name}");
        assert_eq!(played.received.len(), played.sent.len(), "{name}");
        let (first_sent, first) = (&played.sent[0], &played.received[0]);
        let (mut sent_id, mut received_id) = (None, None);
        for (at, (sent, received)) in played.sent.iter().zip(&played.received).enumerate() {
            let codec = played.codec(sent);
            assert_eq!(codec, played.codec(received), "{name} {at}");
            assert!(body(codec, &sent.payload) == body(codec, &received.payload), "{name} {at}: payload");
            assert_eq!(received.header.marker, sent.header.marker, "{name} {at}");
            assert_eq!(received.header.ssrc, first.header.ssrc, "{name} {at}");
            let number = first.header.sequence_number.wrapping_add(at as u16);
            assert_eq!(received.header.sequence_number, number, "{name} {at}");
            let since =
                |parts: &Parts, start: &Parts| parts.header.timestamp.wrapping_sub(start.header.timestamp);
            assert_eq!(since(received, first), since(sent, first_sent), "{name} {at}");

            let (sent_rest, sent_now) = descriptor(codec, &sent.payload);
            let (received_rest, received_now) = descriptor(codec, &received.payload);
            assert_eq!(received_rest, sent_rest, "{name} {at}");
            let step = |now: Option<u16>, before: Option<u16>| {
                now.zip(before).map(|(now, before)| now.wrapping_sub(before) & 0x7f)
            };
            assert_eq!(step(received_now, received_id), step(sent_now, sent_id), "{name} {at}: picture id");
            (sent_id, received_id) = (sent_now, received_now);
        }
    }
}

#[test]
fn a_viewer_of_simulcast_gets_whole_pictures_and_in_the_end_the_largest() {
    for name in ["chromium_vp8_simulcast", "firefox_vp8_simulcast"] {
        let played = Played::of(&Capture::load(name));
        let of_sender: BTreeMap<&[u8], &Parts> =
            played.sent.iter().map(|parts| (body(Codec::Vp8, &parts.payload), parts)).collect();
        let mut sources: Vec<&Parts> = Vec::new();
        for parts in &played.received {
            let source = of_sender.get(body(Codec::Vp8, &parts.payload));
            sources.push(source.unwrap_or_else(|| panic!("{name}: a payload that nobody sent")));
        }
        let mut sizes = Vec::new();
        for (pair, source) in played.received.windows(2).zip(sources.windows(2)) {
            let (before, after) = (&pair[0].header, &pair[1].header);
            assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(1), "{name}");
            let is_same_picture = (source[0].header.ssrc, source[0].header.timestamp)
                == (source[1].header.ssrc, source[1].header.timestamp);
            assert_eq!(before.timestamp == after.timestamp, is_same_picture, "{name}");
            assert_eq!(before.marker, !is_same_picture, "{name}: a picture was cut");
            assert!(after.timestamp.wrapping_sub(before.timestamp) < 90_000, "{name}: time went back");
        }
        for source in &sources {
            sizes.extend(vp8::Descriptor::parse(&source.payload).unwrap().size);
        }
        assert_eq!(sizes.last(), Some(&(1280, 720)), "{name}: {sizes:?}");
    }
}

/// Values of the publisher that are passed on as they are, by kind. They are found by what they mean: the
/// viewer has ids of its own.
#[test]
fn what_both_sides_negotiated_arrives_with_its_value_and_the_rest_stays_here() {
    const PASSED_ON: [ExtensionKind; 4] = [
        ExtensionKind::AudioLevel,
        ExtensionKind::VideoOrientation,
        ExtensionKind::PlayoutDelay,
        ExtensionKind::AbsCaptureTime,
    ];
    const NEVER: [ExtensionKind; 2] = [ExtensionKind::Rid, ExtensionKind::VideoLayersAllocation];
    let mut passed_on: BTreeMap<&str, usize> = BTreeMap::new();
    for played in Played::plain() {
        for (at, (sent, received)) in played.sent.iter().zip(&played.received).enumerate() {
            for kind in PASSED_ON {
                let value = value_of(&played.publisher, sent, kind);
                *passed_on.entry(kind.uri()).or_default() += usize::from(value.is_some());
                let arrived = value_of(&played.viewer, received, kind).map(<[u8]>::to_vec);
                let expected = match value {
                    // Where a picture can begin, a viewer may be told what was said before.
                    None if arrived.is_some() => said_before(&played, at, kind),
                    // The clock offset behind the time would be ours to say, not the publisher's.
                    Some(value) if kind == ExtensionKind::AbsCaptureTime => Some(value[..8].to_vec()),
                    value => value.map(<[u8]>::to_vec),
                };
                assert_eq!(arrived, expected, "{} {at} {kind:?}", played.name);
            }
            for kind in NEVER {
                assert_eq!(value_of(&played.viewer, received, kind), None, "{} {kind:?}", played.name);
            }
        }
    }
    assert!(passed_on.values().filter(|count| **count > 0).count() >= 3, "{passed_on:?}");
}

#[test]
fn descriptors_of_dependencies_arrive_with_nothing_changed_but_their_numbers() {
    let mut count = 0;
    for played in Played::plain() {
        let kind = ExtensionKind::DependencyDescriptor;
        let (mut sent_structure, mut received_structure) = (None, None);
        let mut distances = BTreeSet::new();
        for (sent, received) in played.sent.iter().zip(&played.received) {
            let both = value_of(&played.publisher, sent, kind).zip(value_of(&played.viewer, received, kind));
            let Some((before, after)) = both else {
                assert_eq!(value_of(&played.viewer, received, kind), None, "{}", played.name);
                continue;
            };
            let (before, structure) = read(before, sent_structure.as_ref()).unwrap();
            sent_structure = structure.or(sent_structure);
            let (after, structure) = read(after, received_structure.as_ref()).unwrap();
            received_structure = structure.or(received_structure);
            assert_eq!((after.starts_frame, after.ends_frame), (before.starts_frame, before.ends_frame));
            assert_eq!(after.frame, before.frame, "{}", played.name);
            distances.insert(after.frame_number.wrapping_sub(before.frame_number));
            count += usize::from(after.frame.is_some());
        }
        assert!(distances.len() <= 1, "{}: frame numbers moved by {distances:?}", played.name);
    }
    assert!(count > 200, "only {count} descriptors");
}

/// The newest value of `kind` before the packet `at` of those sent; a capture time has moved on since.
fn said_before(played: &Played, at: usize, kind: ExtensionKind) -> Option<Vec<u8>> {
    let now = &played.sent[at];
    let earlier = played.before.iter().chain(&played.sent[..at]);
    let said = |parts| Some((value_of(&played.publisher, parts, kind)?, parts.header.timestamp));
    let (value, timestamp) = earlier.rev().find_map(said)?;
    if kind != ExtensionKind::AbsCaptureTime {
        return Some(value.to_vec());
    }
    let ntp = NtpTime(u64::from_be_bytes(value[..8].try_into().unwrap()));
    let since = f64::from(now.header.timestamp.wrapping_sub(timestamp)) / 90_000.0;
    Some(ntp.plus_seconds(since).0.to_be_bytes().to_vec())
}

fn value_of<'a>(description: &Description, parts: &'a Parts, kind: ExtensionKind) -> Option<&'a [u8]> {
    let id = description.sections[0].extensions.id(kind)?;
    parts.elements.iter().find(|element| element.0 == id).map(|element| element.1.as_slice())
}

#[test]
fn a_viewer_without_redundant_audio_gets_the_plain_payloads_of_it() {
    let capture = Capture::load("chromium_opus_red");
    let played = Played::of(&capture);
    let format = played.publisher.sections[0].formats[0];
    let received = play_to(&capture, &Capture::load("chromium_opus"));
    assert_eq!(received.len(), played.sent.len());
    for (sent, received) in played.sent.iter().zip(&received) {
        let header = red::Header::parse(&sent.payload, format.payload_type).unwrap();
        assert_eq!(received.payload, header.primary(&sent.payload));
        assert_eq!(received.header.payload_type, format.payload_type);
        assert_eq!(received.header.marker, sent.header.marker);
    }
}

/// A publisher whose SSRCs are known by nothing but MID and RID is told apart all the same.
#[test]
fn three_encodings_of_one_publisher_are_one_stream_for_the_viewer() {
    for name in ["chromium_vp8_simulcast", "firefox_vp8_simulcast"] {
        let played = Played::of(&Capture::load(name));
        let ssrcs = |packets: &[Parts]| {
            let mut ssrcs: Vec<Ssrc> = packets.iter().map(|parts| parts.header.ssrc).collect();
            ssrcs.sort_unstable();
            ssrcs.dedup();
            ssrcs.len()
        };
        assert_eq!((ssrcs(&played.sent), ssrcs(&played.received)), (3, 1), "{name}");
    }
}
