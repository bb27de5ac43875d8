//! Layers of real streams (`tests/captures`): whatever a viewer asks for and when, it gets whole frames with all
//! that they refer to, in an unbroken line, and one end to each picture.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dataplane::media::format::{Codec, ExtensionKind};
use dataplane::media::picture::{Head, Picture, PictureReader};
use dataplane::media::wish::Wish;
use dataplane::transport::description::Description;
use dataplane::transport::negotiate::PeerRole;
use dataplane::wire::dependency_descriptor;
use dataplane::wire::dependency_descriptor::structure::Structure;
use dataplane::wire::layer::Layer;
use harness::capture::Capture;
use harness::playback::{Parts, play_wishing};
use harness::random::Random;

/// Captures with layers, each with the highest. With `-` in front: without their dependency descriptors, so that
/// the payload has to tell.
const LAYERED: [(&str, u8, u8); 11] = [
    ("chromium_vp8_l1t3", 0, 2),
    ("-chromium_vp9_l1t3", 0, 2),
    ("-chromium_vp9_l3t3", 2, 2),
    ("-chromium_vp9_l3t3_key", 2, 2),
    ("chromium_vp8_l1t3_descriptor", 0, 2),
    ("chromium_vp9_l1t3", 0, 2),
    ("chromium_vp9_l3t3", 2, 2),
    ("chromium_vp9_l3t3_key", 2, 2),
    ("chromium_av1_l1t3", 0, 2),
    ("chromium_av1_l3t3_key", 2, 2),
    ("chromium_h264_l1t2", 0, 1),
];

/// A packet that was published, with what it says.
struct Sent {
    parts: Parts,
    picture: Picture,
    layer: Layer,
    frame: Frame,
}

/// A frame: of a picture, which its timestamp names, the one of this spatial layer.
type Frame = (u32, u8);

/// A capture, as its viewers can be held against.
struct Source {
    capture: Capture,
    sent: Vec<Sent>,
    /// What was sent under each content.
    by_body: BTreeMap<Vec<u8>, usize>,
    packets_of: BTreeMap<Frame, usize>,
    viewer: Description,
}

impl Source {
    fn load(name: &str) -> Self {
        let mut capture = Capture::load(name.trim_start_matches('-'));
        if name.starts_with('-') {
            capture.offer = without_descriptors(&capture.offer);
        }
        let publisher = capture.describe(PeerRole::Publisher).unwrap();
        let section = &publisher.sections[0];
        let mut reader = PictureReader::default();
        let mut sent = Vec::new();
        for packet in &capture.packets {
            let parts = Parts::of(&packet.bytes);
            let Some(format) = section.format(parts.header.payload_type) else { continue };
            if parts.payload.is_empty() {
                continue;
            }
            let descriptor = descriptor_of(&publisher, &parts);
            let picture = reader.read(format.codec, &parts.payload, descriptor);
            let layer = picture.layer.unwrap_or_default();
            let frame = (parts.header.timestamp, layer.spatial);
            sent.push(Sent { parts, picture, layer, frame });
        }
        let codec = section.formats[0].codec;
        let bodies = sent.iter().enumerate().map(|(at, sent)| (body(codec, &sent.parts.payload), at));
        let by_body: BTreeMap<Vec<u8>, usize> = bodies.collect();
        let mut packets_of = BTreeMap::new();
        sent.iter().for_each(|sent| *packets_of.entry(sent.frame).or_default() += 1);
        let viewer = capture.describe(PeerRole::Subscriber).unwrap();
        Self { capture, sent, by_body, packets_of, viewer }
    }

    /// Plays it to a viewer with these wishes, and holds what that gets against what was sent.
    fn play(&self, wishes: &[(Duration, Wish)]) -> Outcome {
        let (received, keyframe_requests) = play_wishing(&self.capture, &self.capture, wishes);
        let what = format!("{} {wishes:?}", self.capture.name);
        let codec = self.viewer.sections[0].formats[0].codec;
        let sources: Vec<&Sent> = received
            .iter()
            .map(|parts| {
                let at = self.by_body.get(&body(codec, &parts.payload));
                &self.sent[*at.unwrap_or_else(|| panic!("{what}: a payload that nobody sent"))]
            })
            .collect();
        self.check_line(&what, &received, &sources);
        check_references(&what, &sources);
        let promised = self.check_descriptors(&what, &received, &sources);
        let frames: BTreeSet<Frame> = sources.iter().map(|sent| sent.frame).collect();
        let pictures = frames.iter().map(|frame| frame.0).collect::<BTreeSet<u32>>().len();
        let layers = sources.iter().map(|sent| sent.layer).collect();
        Outcome { layers, pictures, promised, keyframe_requests }
    }

    /// Numbers without a gap, whole frames, and a marker at the end of each picture and nowhere else.
    fn check_line(&self, what: &str, received: &[Parts], sources: &[&Sent]) {
        let mut packets_of: BTreeMap<Frame, usize> = BTreeMap::new();
        sources.iter().for_each(|sent| *packets_of.entry(sent.frame).or_default() += 1);
        for (frame, count) in &packets_of {
            assert_eq!(count, &self.packets_of[frame], "{what}: frame {frame:?} is cut");
        }
        let mut picture_id = None;
        for (at, parts) in received.iter().enumerate() {
            // A capture ends anywhere.
            if let Some(next) = received.get(at + 1) {
                let ends = next.header.timestamp != parts.header.timestamp;
                assert_eq!(parts.header.marker, ends, "{what}: the marker of packet {at}");
                let step = next.header.sequence_number.wrapping_sub(parts.header.sequence_number);
                assert_eq!(step, 1, "{what}: a gap behind packet {at}");
            }
            let mut reader = PictureReader::default();
            if let Head::Vp8(descriptor) = reader.read(Codec::Vp8, &parts.payload, None).head
                && matches!(sources[at].picture.head, Head::Vp8(_))
                && let Some(id) = descriptor.picture_id
            {
                let step = picture_id.map_or(0, |last: u16| id.value.wrapping_sub(last) & 0x7fff);
                assert!(step <= 1, "{what}: picture ids of VP8 have a gap behind packet {at}");
                picture_id = Some(id.value);
            }
        }
    }

    /// What the descriptors say on their way out: all frames that are there, and the targets that are left. Gives the
    /// highest layer that a receiver counts on in the end.
    fn check_descriptors(&self, what: &str, received: &[Parts], sources: &[&Sent]) -> Option<(u8, u8)> {
        let mut last = None;
        let mut structure: Option<Structure> = None;
        let mut active = u32::MAX;
        for (parts, sent) in received.iter().zip(sources) {
            let Some(bytes) = descriptor_of(&self.viewer, parts) else { continue };
            let (seen, own) = dependency_descriptor::read(bytes, structure.as_ref()).unwrap();
            structure = own.or(structure);
            active = seen.active_targets.unwrap_or(active);
            assert_eq!(seen.frame, sent.picture.dependency.unwrap().frame, "{what}");
            // A receiver counts on every target that it is not told to be over.
            let targets = structure.as_ref().unwrap().targets().iter().enumerate();
            let promised = targets.filter(|(at, _)| active & 1 << at != 0).map(|(_, target)| target.layer);
            let highest = promised.map(|layer| (layer.spatial, layer.temporal)).max().unwrap();
            assert!(
                highest.0 >= sent.layer.spatial,
                "{what}: {highest:?} is promised, {:?} sent",
                sent.layer
            );
            last = Some(highest);
        }
        last
    }
}

/// Every frame that a frame refers to was received, as far as the stream says it.
fn check_references(what: &str, sources: &[&Sent]) {
    let mut described: BTreeSet<u64> = BTreeSet::new();
    let mut pictures: BTreeSet<(u64, u8)> = BTreeSet::new();
    for sent in sources {
        if let Some(dependency) = &sent.picture.dependency {
            let frame = dependency.frame.as_ref().unwrap();
            for diff in frame.frame_diffs.values() {
                let reference = dependency.frame_number - u64::from(*diff);
                assert!(
                    described.contains(&reference),
                    "{what}: {} lacks {reference}",
                    dependency.frame_number
                );
            }
            described.insert(dependency.frame_number);
        } else if let (Head::Vp9(descriptor), Some(id)) = (&sent.picture.head, sent.picture.picture_id) {
            let spatial = sent.layer.spatial;
            for distance in descriptor.references.distances() {
                let reference = (id - u64::from(*distance), spatial);
                assert!(pictures.contains(&reference), "{what}: {id} of layer {spatial} lacks {reference:?}");
            }
            let needs_lower = descriptor.layer.is_some_and(|indices| indices.depends_on_lower);
            assert!(!needs_lower || pictures.contains(&(id, spatial - 1)), "{what}: {id} lacks its base");
            pictures.insert((id, spatial));
        }
    }
}

fn descriptor_of<'a>(description: &Description, parts: &'a Parts) -> Option<&'a [u8]> {
    let id = description.sections[0].extensions.id(ExtensionKind::DependencyDescriptor)?;
    parts.elements.iter().find(|element| element.0 == id).map(|element| element.1.as_slice())
}

fn without_descriptors(offer: &str) -> String {
    offer.split_inclusive('\n').filter(|line| !line.contains("dependency-descriptor")).collect()
}

/// The payload behind what may be written over.
fn body(codec: Codec, payload: &[u8]) -> Vec<u8> {
    use dataplane::wire::{vp8, vp9};
    let len = match codec {
        Codec::Vp8 => vp8::Descriptor::parse(payload).unwrap().len,
        Codec::Vp9 => vp9::Descriptor::parse(payload).unwrap().0.len,
        _ => 0,
    };
    payload[len..].to_vec()
}

/// What a viewer got.
struct Outcome {
    layers: Vec<Layer>,
    pictures: usize,
    /// The highest spatial and temporal layer that its receiver counts on in the end, if it has descriptors.
    promised: Option<(u8, u8)>,
    keyframe_requests: usize,
}

fn wish(spatial: u8, temporal: u8) -> Wish {
    Wish { spatial_max: Some(spatial), temporal_max: Some(temporal), ..Wish::default() }
}

#[test]
fn a_viewer_gets_what_it_asked_for_and_never_more() {
    for (name, spatial_max, temporal_max) in LAYERED {
        let source = Source::load(name);
        let mut pictures_before = 0;
        for temporal in 0..=temporal_max {
            let mut packets_before = 0;
            for spatial in 0..=spatial_max {
                let outcome = source.play(&[(Duration::ZERO, wish(spatial, temporal))]);
                let highest = |of: fn(&Layer) -> u8| outcome.layers.iter().map(of).max();
                assert_eq!(highest(|layer| layer.spatial), Some(spatial), "{name}");
                assert_eq!(highest(|layer| layer.temporal), Some(temporal), "{name}");
                assert!(
                    outcome.promised.is_none_or(|it| it == (spatial, temporal)),
                    "{name}: {:?}",
                    outcome.promised
                );
                assert!(outcome.layers.len() > packets_before, "{name}: more layers, more packets");
                packets_before = outcome.layers.len();
                if spatial == spatial_max {
                    assert!(outcome.pictures > pictures_before, "{name}: more layers, more pictures");
                    pictures_before = outcome.pictures;
                }
            }
        }
    }
}

/// Without its descriptors no decoder tells the spatial layers of AV1 apart.
#[test]
fn a_viewer_without_descriptors_gets_the_lowest_spatial_layer_of_av1() {
    let source = Source::load("chromium_av1_l3t3_key");
    let mut plain = source.capture.clone();
    plain.offer = without_descriptors(&plain.offer);
    let (received, _) = play_wishing(&source.capture, &plain, &[]);
    assert!(received.len() > 10);
    for pair in received.windows(2) {
        let (now, next) = (&pair[0], &pair[1]);
        assert_eq!(source.sent[source.by_body[&now.payload]].layer.spatial, 0);
        assert_eq!(now.header.marker, now.header.timestamp != next.header.timestamp);
    }
}

#[test]
fn whoever_changes_its_mind_at_any_time_gets_a_picture_that_can_be_decoded() {
    let mut random = Random(20);
    let (mut requests, mut packets) = (0, 0);
    for (name, spatial_max, temporal_max) in LAYERED {
        let source = Source::load(name);
        let length = source.capture.packets.last().unwrap().at;
        for _ in 0..40 {
            let (mut wishes, mut at) = (Vec::new(), Duration::ZERO);
            while at < length {
                let (spatial, temporal) =
                    (random.below(u64::from(spatial_max) + 1), random.below(u64::from(temporal_max) + 1));
                let is_paused = random.chance(0.1);
                wishes.push((at, Wish { is_paused, ..wish(spatial as u8, temporal as u8) }));
                at += Duration::from_millis(20 + random.below(length.as_millis() as u64 / 6));
            }
            let outcome = source.play(&wishes);
            requests += outcome.keyframe_requests;
            packets += outcome.layers.len();
        }
    }
    assert!(requests > 100, "a rise asks for a keyframe: {requests}");
    assert!(packets > 8_000, "{packets}");
}
