//! Header extensions through a shard: each forwarded under the subscriber's own id where it was negotiated,
//! and stripped where it was not.

use dataplane::command::{Command, Reply};
use dataplane::id::TrackId;
use dataplane::media::format::{Codec, ExtensionKind, Format, MediaKind, Profile};
use dataplane::time::NtpTime;
use harness::plain::{Plain, PlainStage, Terms, format};

use crate::codecs::TICK;

/// What becomes of a kind on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It leaves as it came.
    Forwarded,
    /// We write a value of our own, as long as the subscriber does not say that it knows us.
    Ours(usize),
    /// It says something to us only.
    Stripped,
}

/// Every kind, a value that a publisher may send, and what becomes of it.
fn table() -> Vec<(ExtensionKind, Vec<u8>, Fate)> {
    use ExtensionKind as Kind;
    // A structure of one template and one decode target.
    let structure = vec![0x80, 0, 7, 0x80, 0, 0b1110_0000];
    vec![
        (Kind::Mid, b"0".to_vec(), Fate::Ours(1)),
        (Kind::Rid, b"h".to_vec(), Fate::Stripped),
        (Kind::RepairedRid, b"h".to_vec(), Fate::Stripped),
        (Kind::TransportCc, vec![0, 9], Fate::Ours(2)),
        // Not where the newer of the two is negotiated.
        (Kind::AbsSendTime, vec![1, 2, 3], Fate::Stripped),
        (Kind::AudioLevel, vec![0x85], Fate::Forwarded),
        (Kind::VideoOrientation, vec![1], Fate::Forwarded),
        (Kind::DependencyDescriptor, structure, Fate::Forwarded),
        (Kind::PlayoutDelay, vec![0, 0x10, 0x20], Fate::Forwarded),
        (Kind::AbsCaptureTime, vec![0xe5, 0, 0, 0, 0, 0, 0, 0], Fate::Forwarded),
        (Kind::VideoLayersAllocation, vec![0b0000_0001, 0, 50], Fate::Stripped),
        (Kind::ContentType, vec![1], Fate::Forwarded),
        (Kind::ColorSpace, [&[1, 1, 1, 0][..], &[5; 24]].concat(), Fate::Forwarded),
    ]
}

fn h264() -> Format {
    format(Codec::H264, Profile::H264 { profile_level_id: 0x42e01f, packetization_mode: 1 }, 108)
}

fn ingress_id(kind: ExtensionKind) -> u8 {
    kind as u8 + 1
}

/// Other ids, with one that only the two-byte form has.
fn egress_id(kind: ExtensionKind) -> u8 {
    16 - kind as u8
}

fn ids(id: impl Fn(ExtensionKind) -> u8) -> Vec<(ExtensionKind, u8)> {
    ExtensionKind::ALL.into_iter().map(|kind| (kind, id(kind))).collect()
}

fn packet(at: u16, elements: Vec<(u8, Vec<u8>)>) -> Plain {
    Plain {
        ssrc: 1,
        payload_type: 108,
        number: 70 + at,
        timestamp: 90_000 * u32::from(at),
        marker: true,
        elements,
        payload: vec![0x67, 0x42, 0xe0, 0x1f, at as u8],
    }
}

#[test]
fn every_kind_is_forwarded_where_it_was_negotiated_and_stripped_where_not() {
    [1, 2].into_iter().for_each(check_every_kind);
}

fn check_every_kind(shards: u16) {
    let table = table();
    assert_eq!(table.iter().map(|row| row.0).collect::<Vec<_>>(), ExtensionKind::ALL);
    let terms = Terms::with(&[h264()], &ids(ingress_id));
    let mut stage = PlainStage::with_shards(MediaKind::Video, &terms, shards);
    let all = stage.watch(&Terms::with(&[h264()], &ids(egress_id)));
    let each: Vec<usize> = ExtensionKind::ALL
        .into_iter()
        .map(|kind| stage.watch(&Terms::with(&[h264()], &[(kind, egress_id(kind))])))
        .collect();
    let none = stage.watch(&Terms::of(&[h264()]));
    let elements = table.iter().map(|(kind, data, _)| (ingress_id(*kind), data.clone())).collect();
    stage.publish(&packet(0, elements), TICK);

    let got = stage.seen(all).remove(0);
    for (kind, data, fate) in &table {
        let element = got.element(egress_id(*kind));
        match fate {
            Fate::Forwarded => assert_eq!(element, Some(data.as_slice()), "{kind:?}"),
            Fate::Ours(len) => assert_eq!(element.map(<[u8]>::len), Some(*len), "{kind:?}"),
            Fate::Stripped => assert_eq!(element, None, "{kind:?}"),
        }
    }
    for (viewer, (kind, _, fate)) in each.into_iter().zip(&table) {
        let elements = stage.seen(viewer).remove(0).elements;
        let is_there = *fate != Fate::Stripped || *kind == ExtensionKind::AbsSendTime;
        let expected: Vec<u8> = is_there.then(|| egress_id(*kind)).into_iter().collect();
        assert_eq!(elements.iter().map(|element| element.0).collect::<Vec<_>>(), expected, "{kind:?} alone");
    }
    assert_eq!(stage.seen(none).remove(0).elements, []);
}

#[test]
fn what_an_unwilling_receiver_cannot_read_is_left_out_and_the_rest_comes() {
    let mut stage = PlainStage::new(MediaKind::Video, &Terms::with(&[h264()], &ids(ingress_id)));
    let terms = Terms::with(&[h264()], &[(ExtensionKind::ColorSpace, 4), (ExtensionKind::ContentType, 5)]);
    let viewer = stage.watch(&Terms { allows_mixed: false, ..terms });
    let (space, content) = (ingress_id(ExtensionKind::ColorSpace), ingress_id(ExtensionKind::ContentType));
    stage.publish(&packet(0, vec![(space, vec![9; 28]), (content, vec![1])]), TICK);
    stage.publish(&packet(1, vec![(space, vec![9; 4])]), TICK);
    let elements: Vec<Vec<(u8, Vec<u8>)>> =
        stage.seen(viewer).into_iter().map(|packet| packet.elements).collect();
    assert_eq!(elements, [vec![(5, vec![1])], vec![(4, vec![9; 4])]]);
}

#[test]
fn who_joins_later_learns_what_was_said_before() {
    [1, 2].into_iter().for_each(check_who_joins_later);
}

fn check_who_joins_later(shards: u16) {
    let kinds = [ExtensionKind::VideoOrientation, ExtensionKind::PlayoutDelay, ExtensionKind::AbsCaptureTime];
    let negotiated = kinds.map(|kind| (kind, ingress_id(kind)));
    let terms = Terms::with(&[h264()], &negotiated);
    let mut stage = PlainStage::with_shards(MediaKind::Video, &terms, shards);
    let [orientation, delay, captured] = kinds.map(ingress_id);
    let ntp = NtpTime(0xe500_0000_0000_0000);
    let first =
        vec![(orientation, vec![3]), (delay, vec![0, 1, 2]), (captured, ntp.0.to_be_bytes().to_vec())];
    stage.publish(&packet(0, first), TICK);
    let late = stage.watch(&terms);
    stage.publish(&packet(1, Vec::new()), TICK);
    stage.publish(&packet(2, Vec::new()), TICK);

    let seen = stage.seen(late);
    assert_eq!(seen[0].element(orientation), Some(&[3][..]), "with every keyframe");
    assert_eq!(seen[0].element(delay), Some(&[0, 1, 2][..]), "until it is known to have arrived");
    let told = seen[0].element(captured).expect("with the first packet");
    assert_eq!(told, (ntp.0 + (1 << 32)).to_be_bytes(), "one second after the packet that said it");
    assert_eq!(seen[1].element(captured), None, "and then only as the publisher says it");
}

#[test]
fn the_api_shows_what_the_publisher_says_of_its_layers() {
    let kind = ExtensionKind::VideoLayersAllocation;
    let terms = Terms::with(&[h264()], &[(kind, 9)]);
    let mut stage = PlainStage::new(MediaKind::Video, &terms);
    // One stream, one spatial layer, two temporal ones of 100 and 250 kbit/s, 640 x 360 at 30.
    let value = vec![0b0000_0001, 0b0100_0000, 100, 0xfa, 0x01, 2, 127, 1, 103, 30];
    stage.publish(&packet(0, vec![(9, value)]), TICK);
    let Reply::Track(report) = stage.world.command(Command::DescribeTrack { track: TrackId(1) }) else {
        panic!("the track is there");
    };
    let encoding = &report.encodings[0];
    assert_eq!(encoding.size, Some((640, 360)));
    let layer = &encoding.layers[0];
    assert_eq!((layer.spatial, &layer.bitrates_kbps[..]), (0, &[100, 250][..]));
    assert_eq!((layer.size, layer.frame_rate), (Some((640, 360)), Some(30)));
}
