//! What header extensions say: about the packet, and the same as its payload.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::id::Ssrc;
use dataplane::media::format::ExtensionKind;
use dataplane::time::NtpTime;
use dataplane::wire::dependency_descriptor::structure::Structure;
use dataplane::wire::dependency_descriptor::{self, Descriptor};
use dataplane::wire::layer::Layer;
use dataplane::wire::layers_allocation::LayersAllocation;
use harness::capture::Capture;

use super::{Media, Read};

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
                let is_offered =
                    [" ", "/sendonly "].map(|end| offer.contains(&format!("a=extmap:{id}{end}")));
                assert!(is_offered.contains(&true), "{}: extension {id} was not offered", read.name);
            }
        }
    }
}

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

/// One packet of media, its descriptor, and whether that brought a structure.
struct Described<'a> {
    media: Media<'a>,
    descriptor: Descriptor,
    structure: Option<Structure>,
}

/// The media of each SSRC that has descriptors, from the first structure on.
fn described(read: &Read) -> BTreeMap<Ssrc, Vec<Described<'_>>> {
    let Some(id) = read.section.extensions.id(ExtensionKind::DependencyDescriptor) else {
        return BTreeMap::new();
    };
    let mut all = BTreeMap::new();
    for (ssrc, media) in read.streams() {
        let mut known: Option<Structure> = None;
        let mut stream = Vec::new();
        for media in media {
            let Some((_, value)) = media.parts.elements.iter().find(|element| element.0 == id) else {
                continue;
            };
            let (descriptor, structure) = dependency_descriptor::read(value, known.as_ref())
                .unwrap_or_else(|| panic!("{}: {value:02x?}", read.name));
            known = structure.clone().or(known);
            if known.is_some() {
                stream.push(Described { media, descriptor, structure });
            }
        }
        if !stream.is_empty() {
            all.insert(ssrc, stream);
        }
    }
    all
}

#[test]
fn every_descriptor_is_read_and_brings_a_structure_where_a_keyframe_begins() {
    let mut count = 0;
    for read in Read::all() {
        for (ssrc, stream) in described(&read) {
            count += 1;
            for described in &stream {
                let name = format!("{} {ssrc:?} {:?}", read.name, described.descriptor);
                assert!(described.descriptor.frame.is_some(), "{name}: no such template");
                assert_eq!(described.structure.is_some(), described.media.picture.is_entry, "{name}");
            }
        }
    }
    assert!(count >= 9, "only {count} streams have descriptors");
}

#[test]
fn frames_of_descriptors_begin_end_and_are_numbered_as_the_pictures_of_the_markers() {
    for read in Read::all() {
        for (ssrc, stream) in described(&read) {
            let name = format!("{} {ssrc:?}", read.name);
            let end = stream.iter().rposition(|described| described.media.parts.header.marker).unwrap() + 1;
            let whole = &stream[..end];
            let mut is_open = false;
            for described in whole {
                let Descriptor { starts_frame, ends_frame, .. } = described.descriptor;
                assert_ne!(starts_frame, is_open, "{name}: a frame begins where the one before ended");
                is_open = !ends_frame;
                assert!(ends_frame || !described.media.parts.header.marker, "{name}: cut by a marker");
            }
            let count = |is: fn(&Described<'_>) -> bool| whole.iter().filter(|it| is(it)).count();
            let starts = count(|it| it.descriptor.starts_frame);
            let numbers: BTreeSet<u16> = whole.iter().map(|it| it.descriptor.frame_number).collect();
            assert_eq!(
                (starts, count(|it| it.descriptor.ends_frame)),
                (numbers.len(), numbers.len()),
                "{name}"
            );
            let base = count(|it| it.descriptor.starts_frame && layer(it).spatial == 0);
            assert_eq!(count(|it| it.media.parts.header.marker), base, "{name}");
        }
    }
}

fn layer(described: &Described<'_>) -> Layer {
    described.descriptor.frame.unwrap().layer
}

#[test]
fn layers_of_descriptors_are_those_that_the_page_asked_for_and_those_of_the_payload() {
    let temporal = ["0.0", "0.1", "0.2"].as_slice();
    let full = ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2", "2.0", "2.1", "2.2"].as_slice();
    for (name, layers, size) in [
        ("chromium_vp8_l1t3_descriptor", temporal, Some((320, 180))),
        ("chromium_vp9_l1t3", temporal, Some((320, 180))),
        ("chromium_vp9_l3t3_key", full, Some((1280, 720))),
        ("chromium_av1_l1t3", temporal, Some((320, 180))),
        ("chromium_av1_l3t3_key", full, Some((1280, 720))),
        // Its descriptors name no size.
        ("chromium_h264_l1t2", &temporal[..2], None),
    ] {
        let read = Read::of(Capture::load(name));
        let all = described(&read);
        let stream: Vec<&Described<'_>> = all.values().flatten().collect();
        let seen: BTreeSet<String> =
            stream.iter().map(|it| layer(it)).map(|it| format!("{}.{}", it.spatial, it.temporal)).collect();
        assert_eq!(seen, layers.iter().map(|layer| (*layer).to_owned()).collect(), "{name}");
        for described in &stream {
            let said = described.media.picture.layer;
            assert!(said.is_none_or(|said| said == layer(described)), "{name}: {said:?}");
        }
        let structure = stream.iter().find_map(|it| it.structure.as_ref()).unwrap();
        assert_eq!(structure.resolutions().last().copied(), size, "{name}");
        assert_eq!(usize::from(structure.target_count()), layers.len(), "{name}");
    }
}

#[test]
fn layer_allocations_name_the_sizes_that_are_sent() {
    let mut count = 0;
    for read in Read::all() {
        for (_, value) in read.values(ExtensionKind::VideoLayersAllocation) {
            let allocation =
                LayersAllocation::parse(value).unwrap_or_else(|| panic!("{}: {value:02x?}", read.name));
            assert!(allocation.own_layers().count() > 0, "{}", read.name);
            for layer in &allocation.layers {
                assert!(layer.bitrates_kbps.is_sorted() && layer.bitrates_kbps[0] > 0, "{}", read.name);
                count += usize::from(layer.size.is_some());
            }
            let sizes: Vec<(u16, u16)> = allocation.layers.iter().filter_map(|layer| layer.size).collect();
            assert!(sizes.iter().all(|(width, height)| width * 9 == height * 16), "{}: {sizes:?}", read.name);
            assert_eq!(BTreeSet::from_iter(&sizes).len(), sizes.len(), "{}: {sizes:?}", read.name);
        }
    }
    assert!(count >= 10, "{count}");
}
