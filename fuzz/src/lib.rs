//! Bodies of the fuzz targets: each is a plain function over bytes that no one has vouched for.
//!
//! A target fails by panicking. Beyond that each asserts what its parser promises about positions and
//! counts. The inputs under `corpus/<target>/` are replayed by `cargo test`, on stable Rust.
#![forbid(unsafe_code)]

use dataplane::id::PayloadType;
use dataplane::limits::{
    DATAGRAM_SIZE_BYTES_MAX, NACK_ENTRIES_PER_PACKET_MAX, RTCP_PACKETS_PER_COMPOUND_MAX,
    TWCC_STATUSES_READ_MAX,
};
use dataplane::wire::dependency_descriptor::structure::Structure;
use dataplane::wire::dependency_descriptor::{self, Shift};
use dataplane::wire::extension::{self, Elements};
use dataplane::wire::layers_allocation::LayersAllocation;
use dataplane::wire::red;
use dataplane::wire::rtcp::{self, RtcpPacket};
use dataplane::wire::rtp::{self, RtpHeader};
use dataplane::wire::twcc::TransportFeedback;
use dataplane::wire::vp8::{self, Descriptor, Rewrite};
use dataplane::wire::vp9;

/// One fuzz target: the name of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("classify", classify),
    ("stun", stun),
    ("rtp", rtp),
    ("extension", extension),
    ("rtcp", rtcp),
    ("twcc", twcc),
    ("vp8", vp8),
    ("vp9", vp9),
    ("h264", h264),
    ("av1", av1),
    ("h265", h265),
    ("dependency_descriptor", dependency_descriptor),
    ("layers_allocation", layers_allocation),
    ("red", red),
];

/// Protocols of one port: what is too large is refused.
pub fn classify(bytes: &[u8]) {
    let protocol = dataplane::wire::classify::classify(bytes);
    assert!(protocol.is_err() || (1..=DATAGRAM_SIZE_BYTES_MAX).contains(&bytes.len()));
}

/// STUN binding requests: a username fragment is never empty.
pub fn stun(bytes: &[u8]) {
    if let Ok(ufrag) = dataplane::wire::stun::local_ufrag(bytes) {
        assert!(!ufrag.is_empty() && !ufrag.contains(':'));
    }
}

/// RTP headers and padding: positions stay within the packet.
pub fn rtp(bytes: &[u8]) {
    let Ok(header) = RtpHeader::parse(bytes) else {
        return;
    };
    let payload = &bytes[header.len..];
    if let Ok(len) = rtp::padding_len(payload) {
        assert!((1..=payload.len()).contains(&len));
    }
    if let Some((profile, elements)) = header.extension {
        read_elements(profile, &bytes[elements]);
    }
}

/// Header extension elements, in both forms.
pub fn extension(bytes: &[u8]) {
    read_elements(extension::ONE_BYTE_PROFILE, bytes);
    read_elements(extension::TWO_BYTE_PROFILE, bytes);
}

fn read_elements(profile: u16, block: &[u8]) {
    let read: usize = Elements::new(profile, block).map(|(_, data)| 1 + data.len()).sum();
    assert!(read <= block.len());
}

/// RTCP compounds: every iterator ends within its bound.
pub fn rtcp(bytes: &[u8]) {
    let mut count = 0;
    for packet in rtcp::packets(bytes).into_iter().flatten() {
        count += 1;
        match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                assert!(blocks.count() <= 31);
            }
            RtcpPacket::Bye(ssrcs) => assert!(ssrcs.count() <= 31),
            RtcpPacket::Remb { ssrcs, .. } => assert!(ssrcs.count() <= 255),
            RtcpPacket::Nack { entries, .. } => assert!(entries.count() <= 17 * NACK_ENTRIES_PER_PACKET_MAX),
            RtcpPacket::Fir(entries) => assert!(8 * entries.count() <= bytes.len()),
            RtcpPacket::TransportFeedback(feedback) => read_statuses(&feedback),
            RtcpPacket::SourceDescription
            | RtcpPacket::Pli { .. }
            | RtcpPacket::ReferenceTime { .. }
            | RtcpPacket::Unknown => {}
        }
    }
    assert!(count <= RTCP_PACKETS_PER_COMPOUND_MAX);
}

/// Transport-wide feedback: the bytes are what stands behind the SSRCs, cut to whole words.
pub fn twcc(bytes: &[u8]) {
    let words = (bytes.len() / 4).min(DATAGRAM_SIZE_BYTES_MAX / 4);
    let mut packet = vec![0x8f, 205];
    packet.extend((words as u16 + 2).to_be_bytes());
    packet.extend([0; 8]);
    packet.extend(&bytes[..4 * words]);
    rtcp(&packet);
}

fn read_statuses(feedback: &TransportFeedback) {
    let statuses = feedback.statuses();
    let first = statuses.clone().next().map(|(sequence_number, _)| sequence_number);
    assert_eq!(first, Some(feedback.base));
    let count = statuses.count();
    assert!(count == usize::from(feedback.count) && count <= TWCC_STATUSES_READ_MAX);
}

/// VP8 payload descriptors: a rewritten one reads as it was written.
pub fn vp8(bytes: &[u8]) {
    let Ok(descriptor) = Descriptor::parse(bytes) else {
        return;
    };
    let values = Rewrite { picture_id: 0x1234, tl0_picture_index: 7, key_index: 3 };
    let mut out = [0; 16];
    let len = vp8::rewrite(bytes, &descriptor, &values, &mut out);
    assert!((1..=descriptor.len + vp8::REWRITE_GROWTH_BYTES_MAX).contains(&len));
    let rewritten = [&out[..len], &bytes[descriptor.len..]].concat();
    let again = Descriptor::parse(&rewritten).expect("a rewritten descriptor parses");
    assert_eq!(
        again.picture_id.map(|id| (id.value, id.is_long)),
        descriptor.picture_id.map(|_| (0x1234, true))
    );
    assert_eq!((again.len, again.temporal, again.size), (len, descriptor.temporal, descriptor.size));
}

/// VP9 payload descriptors: a rewritten one reads as it was written.
pub fn vp9(bytes: &[u8]) {
    let Ok((descriptor, structure)) = vp9::Descriptor::parse(bytes) else {
        return;
    };
    if let Some(structure) = structure {
        assert!(structure.sizes().count() <= 8 && structure.group().count() <= 255);
    }
    let values = vp9::Rewrite { picture_id: 0x1234, tl0_picture_index: 7 };
    let mut out = vec![0; descriptor.len + vp9::REWRITE_GROWTH_BYTES_MAX];
    let len = vp9::rewrite(bytes, &descriptor, &values, &mut out);
    assert!((1..=out.len()).contains(&len));
    let rewritten = [&out[..len], &bytes[descriptor.len..]].concat();
    let (again, _) = vp9::Descriptor::parse(&rewritten).expect("a rewritten descriptor parses");
    assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|_| 0x1234));
    assert_eq!((again.len, again.references, again.size), (len, descriptor.references, descriptor.size));
}

/// H.264 payloads.
pub fn h264(bytes: &[u8]) {
    let seen = dataplane::wire::h264::inspect(bytes);
    assert!(seen.is_keyframe_start || seen.size.is_none());
}

/// AV1 payloads.
pub fn av1(bytes: &[u8]) {
    let seen = dataplane::wire::av1::inspect(bytes);
    assert!(!seen.is_keyframe_start || bytes.first().is_some_and(|aggregation| aggregation & 0x88 == 0x08));
}

/// H.265 payloads.
pub fn h265(bytes: &[u8]) {
    let seen = dataplane::wire::h265::inspect(bytes);
    assert!(seen.has_sps || seen.size.is_none());
    assert!(seen.temporal.is_none_or(|temporal| temporal < 7));
}

/// Dependency descriptors, several of one source: each is a length and its bytes. A shifted one reads as before
/// but for its numbers.
pub fn dependency_descriptor(bytes: &[u8]) {
    let mut structure: Option<Structure> = None;
    let mut rest = bytes;
    while let [len, behind @ ..] = rest {
        let (descriptor, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = behind;
        let Some((seen, own)) = dependency_descriptor::read(descriptor, structure.as_ref()) else { continue };
        let mut shifted = descriptor.to_vec();
        let shift = Shift { frame_number: 0x8001, template_id: 17 };
        dependency_descriptor::shift(&mut shifted, shift);
        if own.is_some() {
            let (again, _) =
                dependency_descriptor::read(&shifted, None).expect("a shifted descriptor parses");
            assert_eq!(again.frame_number, seen.frame_number.wrapping_add(shift.frame_number));
            assert_eq!((again.frame, again.active_targets), (seen.frame, seen.active_targets));
        }
        if let Some(own) = own {
            assert!(own.targets().iter().all(|target| target.chain < Some(own.chain_count())));
            structure = Some(own);
        }
    }
}

/// What publishers say of their layers.
pub fn layers_allocation(bytes: &[u8]) {
    if let Some(allocation) = LayersAllocation::parse(bytes) {
        assert!(allocation.own_layers().count() <= allocation.layers.len());
        for layer in &allocation.layers {
            assert_eq!(layer.bitrates_kbps.len(), usize::from(layer.highest.temporal) + 1);
        }
    }
}

/// Redundant audio, whose first byte names the payload type inside: every byte is a header's or a block's.
pub fn red(bytes: &[u8]) {
    let inner = PayloadType(bytes.first().map_or(0, |first| first & 0x7f));
    let Ok(header) = red::Header::parse(bytes, inner) else {
        return;
    };
    let redundant: usize = header.redundant(bytes).map(|block| block.payload.len()).sum();
    let headers = 4 * usize::from(header.redundant_count()) + 1;
    assert_eq!(headers + redundant + header.primary(bytes).len(), bytes.len());
    let mut rewritten = bytes.to_vec();
    header.set_inner(&mut rewritten, PayloadType(96));
    assert_eq!(red::Header::parse(&rewritten, PayloadType(96)), Ok(header));
}
