//! The parsers read what real browsers sent (`tests/captures`): every packet, and alike wherever two parts of a
//! packet say the same thing.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use dataplane::id::Ssrc;
use dataplane::media::format::{ExtensionKind, MediaKind};
use dataplane::media::picture::{Head, Picture, PictureReader};
use dataplane::time::NtpTime;
use dataplane::transport::description::Section;
use dataplane::transport::negotiate::PeerRole;
use harness::capture::Capture;
use harness::playback::Parts;

/// Captures from the first packet on; the others begin in mid-stream.
const LATE: [&str; 5] = ["_simulcast", "_l3t3", "_l3t3_key", "_dtx", "_red"];

/// A capture that was read.
struct Read {
    name: String,
    section: Section,
    packets: Vec<Parts>,
    arrivals_ms: Vec<u64>,
}

/// One packet of media: neither a repeat nor padding.
struct Media<'a> {
    parts: &'a Parts,
    picture: Picture,
}

impl Read {
    fn all() -> Vec<Read> {
        Capture::all().into_iter().map(Read::of).collect()
    }

    fn of(capture: Capture) -> Read {
        let description = capture.describe(PeerRole::Publisher).unwrap();
        let packets: Vec<Parts> = capture.packets.iter().map(|packet| Parts::of(&packet.bytes)).collect();
        assert!(packets.len() >= 60, "{}", capture.name);
        Read {
            name: capture.name,
            section: description.sections.into_iter().next().unwrap(),
            packets,
            arrivals_ms: capture.packets.iter().map(|packet| packet.at.as_millis() as u64).collect(),
        }
    }

    fn is_video(&self) -> bool {
        self.section.kind == MediaKind::Video
    }

    fn is(&self, suffix: &str) -> bool {
        self.name.ends_with(suffix)
    }

    /// The media of each SSRC, as one reader for each sees it.
    fn streams(&self) -> BTreeMap<Ssrc, Vec<Media<'_>>> {
        let mut readers: BTreeMap<Ssrc, PictureReader> = BTreeMap::new();
        let mut streams: BTreeMap<Ssrc, Vec<Media<'_>>> = BTreeMap::new();
        for parts in self.packets.iter().filter(|parts| !parts.payload.is_empty()) {
            let Some(format) = self.section.format(parts.header.payload_type) else { continue };
            let reader = readers.entry(parts.header.ssrc).or_default();
            let picture = reader.read(format.codec, &parts.payload);
            streams.entry(parts.header.ssrc).or_default().push(Media { parts, picture });
        }
        streams
    }

    /// The values of one extension, in order, with the packets that carry them.
    fn values(&self, kind: ExtensionKind) -> Vec<(usize, &[u8])> {
        let Some(id) = self.section.extensions.id(kind) else { return Vec::new() };
        let with = |(at, parts): (usize, &'_ Parts)| {
            parts.elements.iter().position(|element| element.0 == id).map(|element| (at, element))
        };
        let found: Vec<(usize, usize)> = self.packets.iter().enumerate().filter_map(with).collect();
        found.into_iter().map(|(at, element)| (at, self.packets[at].elements[element].1.as_slice())).collect()
    }
}

#[test]
fn every_packet_has_a_known_payload_type_and_elements_that_were_offered() {
    for capture in Capture::all() {
        let offer = capture.offer.clone();
        let read = Read::of(capture);
        for parts in &read.packets {
            let payload_type = parts.header.payload_type;
            assert!(
                offer.contains(&format!("a=rtpmap:{} ", payload_type.0)),
                "{}: {payload_type:?} was not offered",
                read.name
            );
            assert_eq!(parts.header.extension.is_none(), parts.elements.is_empty(), "{}", read.name);
            for (id, value) in &parts.elements {
                assert!(!value.is_empty());
                let is_offered = [" ", "/sendonly "].map(|end| offer.contains(&format!("a=extmap:{id}{end}")));
                assert!(is_offered.contains(&true), "{}: extension {id} was not offered", read.name);
            }
        }
    }
}

/// Nothing was lost while recording, and the element stands in every packet, repeats and padding included.
#[test]
fn transport_wide_numbers_go_on_without_a_gap() {
    for read in Read::all() {
        let values = read.values(ExtensionKind::TransportCc);
        assert_eq!(values.len(), read.packets.len(), "{}", read.name);
        let mut numbers: Vec<u16> =
            values.iter().map(|(_, value)| u16::from_be_bytes([value[0], value[1]])).collect();
        let first = numbers[0].wrapping_sub(0x1000);
        numbers.sort_unstable_by_key(|number| number.wrapping_sub(first));
        for pair in numbers.windows(2) {
            assert_eq!(pair[1].wrapping_sub(pair[0]), 1, "{}", read.name);
        }
    }
}

#[test]
fn every_video_has_a_keyframe_and_it_begins_at_the_first_packet_of_a_picture() {
    for read in Read::all().into_iter().filter(Read::is_video) {
        for (ssrc, media) in read.streams() {
            let name = format!("{} {ssrc:?}", read.name);
            let entries: Vec<usize> =
                (0..media.len()).filter(|at| media[*at].picture.is_entry).collect();
            assert!(!entries.is_empty(), "{name} has no keyframe");
            if !LATE.iter().any(|late| read.is(late)) {
                assert_eq!(entries[0], 0, "{name} begins with one");
            }
            for at in entries.into_iter().filter(|at| *at > 0) {
                let (before, entry) = (&media[at - 1].parts.header, &media[at].parts.header);
                assert_ne!(before.timestamp, entry.timestamp, "{name}: a keyframe begins in mid-picture");
                assert!(before.marker, "{name}: the picture before a keyframe did not end");
            }
        }
    }
}

#[test]
fn pictures_are_as_many_by_marker_by_timestamp_and_by_their_descriptors() {
    for read in Read::all().into_iter().filter(Read::is_video) {
        for (ssrc, media) in read.streams() {
            // The capture may begin and end in the middle of a picture.
            let is_first = |media: &Media<'_>| starts_picture(media).unwrap_or(true);
            let begin = media.iter().position(is_first).unwrap();
            let end = media.iter().rposition(|media| media.parts.header.marker).unwrap() + 1;
            let whole = &media[begin..end];
            let markers = whole.iter().filter(|media| media.parts.header.marker).count();
            let timestamps: BTreeSet<u32> = whole.iter().map(|media| media.parts.header.timestamp).collect();
            assert_eq!(markers, timestamps.len(), "{} {ssrc:?}", read.name);
            let starts: Option<Vec<bool>> = whole.iter().map(starts_picture).collect();
            if let Some(starts) = starts {
                let starts = starts.into_iter().filter(|is_start| *is_start).count();
                assert_eq!(markers, starts, "{} {ssrc:?}", read.name);
            }
            assert!(markers >= 5, "{} {ssrc:?} has only {markers} pictures", read.name);
        }
    }
}

/// Whether the payload says that a picture begins here. `None` where payloads do not say it: an H.264 packet
/// names its first slice by bits that are not read, an AV1 packet says only what it continues.
fn starts_picture(media: &Media<'_>) -> Option<bool> {
    match media.picture.head {
        Head::Vp8(descriptor) => Some(descriptor.is_frame_start),
        Head::Vp9(descriptor) => Some(descriptor.starts_picture()),
        Head::Fixed => None,
    }
}

#[test]
fn layers_and_sizes_are_those_that_the_page_asked_for() {
    let temporal = ["0.0", "0.1", "0.2"].as_slice();
    let full = ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2", "2.0", "2.1", "2.2"].as_slice();
    for (name, layers, size) in [
        ("chromium_vp8", [].as_slice(), (320, 180)),
        ("chromium_vp8_l1t3", temporal, (320, 180)),
        // Where a dependency descriptor is sent, VP8 says nothing of its layers.
        ("chromium_vp8_l1t3_descriptor", &[], (320, 180)),
        ("chromium_vp9", &[], (320, 180)),
        ("chromium_vp9_l1t3", temporal, (320, 180)),
        ("chromium_vp9_l3t3", full, (1280, 720)),
        ("chromium_vp9_l3t3_key", full, (1280, 720)),
        ("chromium_av1", &[], (320, 180)),
        ("chromium_av1_l1t3", &[], (320, 180)),
        ("chromium_h264_mode0", &[], (320, 180)),
        ("chromium_h264_mode1", &[], (320, 180)),
        ("firefox_vp8", &[], (320, 180)),
    ] {
        let read = Read::of(Capture::load(name));
        let streams = read.streams();
        let media: Vec<&Media<'_>> = streams.values().flatten().collect();
        let seen: BTreeSet<String> = media
            .iter()
            .filter_map(|media| media.picture.layer)
            .map(|layer| format!("{}.{}", layer.spatial, layer.temporal))
            .collect();
        assert_eq!(seen, layers.iter().map(|layer| (*layer).to_owned()).collect(), "{name}");
        let sizes: BTreeSet<(u16, u16)> = media.iter().filter_map(|media| media.picture.size).collect();
        assert_eq!(sizes.last(), Some(&size), "{name}: {sizes:?}");
    }
}

#[test]
fn simulcast_has_three_sizes() {
    for name in ["chromium_vp8_simulcast", "firefox_vp8_simulcast"] {
        let read = Read::of(Capture::load(name));
        let sizes: BTreeSet<(u16, u16)> =
            read.streams().values().flatten().filter_map(|media| media.picture.size).collect();
        assert_eq!(Vec::from_iter(sizes), [(320, 180), (640, 360), (1280, 720)], "{name}");
        let rids: BTreeSet<&[u8]> = read.values(ExtensionKind::Rid).iter().map(|(_, rid)| *rid).collect();
        assert_eq!(rids.len(), 3, "{name}");
    }
}

/// RFC 6184, section 5.4: mode 0 has single NAL units only.
#[test]
fn h264_has_fragments_and_aggregates_in_mode_1_and_neither_in_mode_0() {
    for (name, has_both) in [("chromium_h264_mode0", false), ("chromium_h264_mode1", true)] {
        let read = Read::of(Capture::load(name));
        let streams = read.streams();
        let types: BTreeSet<u8> =
            streams.values().flatten().map(|media| media.parts.payload[0] & 0x1f).collect();
        assert_eq!([types.contains(&24), types.contains(&28)], [has_both; 2], "{name}: {types:?}");
        assert!(has_both || types.iter().all(|nal_type| (1..=23).contains(nal_type)), "{types:?}");
    }
}

/// RFC 7587, section 3.1.3: numbers go on while timestamps jump over what was not sent.
#[test]
fn silence_with_dtx_jumps_in_time_and_not_in_numbers() {
    let read = Read::of(Capture::load("chromium_opus_dtx"));
    for pair in read.packets.windows(2) {
        let numbers = [&pair[0], &pair[1]].map(|parts| parts.header.sequence_number);
        assert_eq!(numbers[1].wrapping_sub(numbers[0]), 1);
    }
    let mut jumps = 0;
    let mut lengths = BTreeSet::new();
    // Probes for bandwidth are padding with numbers of their own.
    let sound: Vec<&Parts> = read.packets.iter().filter(|parts| !parts.payload.is_empty()).collect();
    for pair in sound.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let step_ms = after.header.timestamp.wrapping_sub(before.header.timestamp) / 48;
        if step_ms > 20 {
            jumps += 1;
            assert!(step_ms <= 400, "silence is refreshed every 400 ms: {step_ms}");
            assert_eq!(before.payload.len(), 1, "before a jump there is a packet without sound");
        }
        lengths.insert(after.payload.len());
    }
    assert!(jumps >= 4, "{jumps}");
    assert!(lengths.last().is_some_and(|len| *len > 60), "speech too: {lengths:?}");
}

#[test]
fn audio_levels_follow_the_sound() {
    let level = |value: &[u8]| -i32::from(value[0] & 0x7f);
    for name in ["chromium_opus", "firefox_opus"] {
        let read = Read::of(Capture::load(name));
        let levels = read.values(ExtensionKind::AudioLevel);
        assert!(levels.iter().any(|(_, value)| (-30..0).contains(&level(value))), "{name} has a tone");
    }
    let read = Read::of(Capture::load("chromium_opus_dtx"));
    for (at, value) in read.values(ExtensionKind::AudioLevel) {
        assert_eq!(value.len(), 1);
        if read.packets[at].payload.len() == 1 {
            assert!(level(value) < -60, "silence is silent");
        }
    }
}

#[test]
fn capture_times_go_as_fast_as_arrivals() {
    let mut checked = 0;
    for read in Read::all() {
        let values = read.values(ExtensionKind::AbsCaptureTime);
        for pair in values.windows(2) {
            let [(earlier_at, earlier), (later_at, later)] = pair else { unreachable!() };
            let ntp = |value: &[u8]| NtpTime(u64::from_be_bytes(value[..8].try_into().unwrap()));
            let captured_ms = ntp(later).seconds_since(ntp(earlier)) * 1e3;
            let arrived_ms = read.arrivals_ms[*later_at] as f64 - read.arrivals_ms[*earlier_at] as f64;
            assert!((captured_ms - arrived_ms).abs() < 150.0, "{}: {captured_ms} {arrived_ms}", read.name);
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn chromium_tells_the_orientation_of_what_it_sends() {
    for read in Read::all().into_iter().filter(|read| read.is_video() && read.name.starts_with("chromium")) {
        let values = read.values(ExtensionKind::VideoOrientation);
        assert!(!values.is_empty(), "{}", read.name);
        assert!(values.iter().all(|(_, value)| *value == [0]), "{}: upright", read.name);
    }
}
