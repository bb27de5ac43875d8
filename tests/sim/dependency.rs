//! Dependency descriptors on their way through a shard: with the numbers of each subscriber, in the form that
//! it can read, or not at all.

use dataplane::media::format::{Codec, ExtensionKind, Format, MediaKind, Profile};
use dataplane::wire::dependency_descriptor::structure::Structure;
use dataplane::wire::dependency_descriptor::{self, Descriptor};
use harness::plain::{Plain, PlainStage, Terms, format};

use crate::codecs::TICK;

/// The id of the descriptor at the publisher; viewers have others.
const INGRESS_ID: u8 = 12;

/// Bytes of bits that are written as text, padded with zeros.
fn packed(text: &str) -> Vec<u8> {
    let mut bits: Vec<u8> = text.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

/// A frame in one packet. With a structure it is a keyframe of three temporal layers: four templates, one
/// chain, and a size, so that its descriptor has 18 bytes.
fn descriptor(template_id: u8, frame_number: u16, structure: Option<u8>) -> Vec<u8> {
    let head = format!("11 {template_id:06b} {frame_number:016b}");
    let Some(offset) = structure else { return packed(&head) };
    packed(&format!(
        "{head} 1 0 0 0 0 {offset:06b} 00010 00 01 01 11 10 10 10 11 10 10 00 11 10 00 00 01 \
         0 1 0011 0 1 0001 0 1 0000 0 01 0000 0100 0010 0001 1 {:016b} {:016b}",
        1280 - 1,
        720 - 1
    ))
}

fn av1() -> Format {
    format(Codec::Av1, Profile::Number(0), 45)
}

fn terms(id: u8, allows_mixed: bool) -> Terms {
    Terms { allows_mixed, ..Terms::with(&[av1()], &[(ExtensionKind::DependencyDescriptor, id)]) }
}

/// A packet of a source, with a payload that begins no sequence: the descriptor says what does.
fn packet(ssrc: u32, at: u16, dependency: Vec<u8>) -> Plain {
    Plain {
        ssrc,
        payload_type: 45,
        number: 1_000 * ssrc as u16 + at,
        timestamp: 7_000_000 * ssrc + 3_000 * u32::from(at),
        marker: true,
        elements: vec![(INGRESS_ID, dependency)],
        payload: vec![0b0001_0000, 6 << 3, at as u8],
    }
}

/// Two sources whose templates and frame numbers are alike; each begins with a frame that nobody can enter at.
fn publish_two_sources(stage: &mut PlainStage) {
    for ssrc in [1, 2] {
        for (at, dependency) in [
            descriptor(1, 39, None),
            descriptor(0, 40, Some(0)),
            descriptor(3, 41, None),
            descriptor(2, 42, None),
        ]
        .into_iter()
        .enumerate()
        {
            stage.publish(&packet(ssrc, at as u16, dependency), TICK);
        }
    }
}

/// Reads what a viewer got as its decoder would: with the newest structure.
fn read(packets: &[Plain], id: u8) -> Vec<Descriptor> {
    let mut structure: Option<Structure> = None;
    let mut seen = Vec::new();
    for packet in packets {
        let bytes = packet.element(id).expect("every packet has its descriptor");
        let (descriptor, own) = dependency_descriptor::read(bytes, structure.as_ref()).unwrap();
        structure = own.or(structure);
        seen.push(descriptor);
    }
    seen
}

#[test]
fn frames_and_templates_go_on_over_a_switch_of_the_source() {
    let mut stage = PlainStage::new(MediaKind::Video, &terms(INGRESS_ID, true));
    let viewer = stage.watch(&terms(5, true));
    publish_two_sources(&mut stage);
    let packets = stage.seen(viewer);
    let seen = read(&packets, 5);
    let numbers: Vec<u16> = seen.iter().map(|descriptor| descriptor.frame_number).collect();
    assert_eq!(numbers, [40, 41, 42, 43, 44, 45]);
    let ids: Vec<u8> = seen.iter().map(|descriptor| descriptor.template_id).collect();
    assert_eq!(ids, [0, 3, 2, 4, 7, 6], "the templates 0 to 3 are taken");
    let layers: Vec<u8> = seen.iter().map(|descriptor| descriptor.frame.unwrap().layer.temporal).collect();
    assert_eq!(layers, [0, 2, 1, 0, 2, 1], "each is read with its own structure");
    let payloads: Vec<u8> = packets.iter().map(|packet| packet.payload[2]).collect();
    assert_eq!(payloads, [1, 2, 3, 1, 2, 3], "a decoder enters at a structure only");
}

#[test]
fn the_two_byte_form_is_for_packets_that_need_it() {
    let mut stage = PlainStage::new(MediaKind::Video, &terms(INGRESS_ID, true));
    let viewer = stage.watch(&terms(5, true));
    publish_two_sources(&mut stage);
    let profiles: Vec<u16> = stage.world.clients[viewer]
        .packets
        .iter()
        .map(|bytes| u16::from_be_bytes([bytes[12], bytes[13]]))
        .collect();
    assert_eq!(profiles, [0x1000, 0xbede, 0xbede, 0x1000, 0xbede, 0xbede]);
}

#[test]
fn who_cannot_read_the_structure_gets_no_descriptors() {
    let mut stage = PlainStage::new(MediaKind::Video, &terms(INGRESS_ID, true));
    let viewers = [stage.watch(&terms(5, false)), stage.watch(&Terms::of(&[av1()]))];
    publish_two_sources(&mut stage);
    for viewer in viewers {
        let packets = stage.seen(viewer);
        assert_eq!(packets.len(), 6, "the pictures come all the same");
        assert!(packets.iter().all(|packet| packet.elements.is_empty()));
    }
}

#[test]
fn a_malformed_descriptor_is_left_out_and_says_nothing() {
    let mut stage = PlainStage::new(MediaKind::Video, &terms(INGRESS_ID, true));
    let viewer = stage.watch(&terms(5, true));
    let mut cut = descriptor(0, 40, Some(0));
    cut.truncate(9);
    stage.publish(&packet(1, 0, cut.clone()), TICK);
    assert_eq!(stage.seen(viewer), []);
    stage.publish(&packet(1, 1, descriptor(0, 41, Some(0))), TICK);
    stage.publish(&packet(1, 2, cut), TICK);
    stage.publish(&packet(1, 3, descriptor(1, 42, None)), TICK);
    let lengths: Vec<Option<usize>> =
        stage.seen(viewer).iter().map(|packet| packet.element(5).map(<[u8]>::len)).collect();
    assert_eq!(lengths, [Some(18), None, Some(3)]);
}

/// VP8, VP9 and H.264 have descriptors too, where they were negotiated: they then say where a keyframe begins.
#[test]
fn other_codecs_are_entered_where_their_descriptor_says_so() {
    let formats = [
        format(Codec::Vp8, Profile::Any, 45),
        format(Codec::Vp9, Profile::Number(0), 45),
        format(Codec::H264, Profile::H264 { profile_level_id: 0x42e01f, packetization_mode: 1 }, 45),
    ];
    for codec in formats {
        let with = |id| Terms::with(&[codec], &[(ExtensionKind::DependencyDescriptor, id)]);
        let mut stage = PlainStage::new(MediaKind::Video, &with(INGRESS_ID));
        let viewer = stage.watch(&with(5));
        // Encrypted end to end: no codec would know its own bytes.
        let sent = |at: u16, dependency| Plain { payload: vec![0xff; 30], ..packet(1, at, dependency) };
        stage.publish(&sent(0, descriptor(1, 9, None)), TICK);
        stage.publish(&sent(1, descriptor(0, 10, Some(0))), TICK);
        stage.publish(&sent(2, descriptor(3, 11, None)), TICK);
        let numbers: Vec<u16> =
            read(&stage.seen(viewer), 5).iter().map(|descriptor| descriptor.frame_number).collect();
        assert_eq!(numbers, [10, 11], "{:?}", codec.codec);
    }
}
