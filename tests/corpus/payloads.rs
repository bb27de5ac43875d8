//! What payloads say of pictures, layers and sound.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::media::format::ExtensionKind;
use dataplane::media::picture::Head;
use dataplane::wire::{opus, red};
use harness::capture::Capture;
use harness::playback::Parts;

use super::{Media, Read};

/// These begin in mid-stream, the others with the first packet.
const LATE: [&str; 3] = ["_simulcast", "_l3t3", "_l3t3_key"];

/// Nothing was lost while recording, and the element stands in every packet, repeats and padding included.
#[test]
fn every_video_has_a_keyframe_and_it_begins_at_the_first_packet_of_a_picture() {
    for read in Read::all().into_iter().filter(Read::is_video) {
        for (ssrc, media) in read.streams() {
            let name = format!("{} {ssrc:?}", read.name);
            let entries: Vec<usize> = (0..media.len()).filter(|at| media[*at].picture.is_entry).collect();
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
        Head::Fixed | Head::Red(_) => None,
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

/// RFC 2198: what stands in front of a payload was the payload of a packet before.
#[test]
fn redundant_audio_repeats_the_packets_before_it() {
    let read = Read::of(Capture::load("chromium_opus_red"));
    let sound: Vec<&Parts> = read.packets.iter().filter(|parts| !parts.payload.is_empty()).collect();
    let format = &read.section.formats[0];
    let mut primaries: BTreeMap<u32, &[u8]> = BTreeMap::new();
    let mut repeats = 0;
    for parts in sound {
        assert!(format.is_red(parts.header.payload_type));
        let header = red::Header::parse(&parts.payload, format.payload_type).unwrap();
        for block in header.redundant(&parts.payload) {
            let timestamp = parts.header.timestamp.wrapping_sub(block.timestamp_offset.into());
            assert_eq!(primaries.get(&timestamp), Some(&block.payload));
            repeats += 1;
        }
        primaries.insert(parts.header.timestamp, header.primary(&parts.payload));
    }
    assert!(repeats >= 50, "{repeats}");
}

#[test]
fn every_packet_of_opus_begins_with_a_sound_header() {
    for name in ["chromium_opus", "chromium_opus_dtx", "firefox_opus"] {
        let read = Read::of(Capture::load(name));
        let mut sound = read.packets.iter().filter(|parts| !parts.payload.is_empty());
        assert!(sound.all(|parts| opus::is_sound(&parts.payload)), "{name}");
    }
}
