//! Keeps account of what an engine was given and checks what it sends against that.
//!
//! # What is checked of every datagram
//!
//! - It goes to an address that its receiver has verified by signed STUN, and to nobody who is gone.
//! - Media is what somebody published from a verified address: each payload ends in a tag, which is known.
//! - A number is used once on an SSRC: two packets under one number would be two under one nonce.
//! - A retransmission names a number that was sent, and carries what was sent under it.
//! - Payload types, extensions and RTCP are those of the receiver's negotiation and can be read.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use dataplane::command::Event;
use dataplane::id::{PayloadType, Ssrc, TrackId, TransportId};
use dataplane::limits::EGRESS_SLOT_BYTES;
use dataplane::transport::description::{Section, SectionRole};
use dataplane::transport::path::{Egress, Path};
use dataplane::wire::classify::{Protocol, classify};
use dataplane::wire::extension::Elements;
use dataplane::wire::rtcp::packets;
use dataplane::wire::rtp::{RtpHeader, padding_len};

use super::peer::Peer;

/// What a payload ends in: who published it and when is looked up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag(u32);

impl Tag {
    const MAGIC: [u8; 4] = *b"tag!";

    pub(super) fn bytes(self) -> Vec<u8> {
        [Self::MAGIC, self.0.to_be_bytes()].concat()
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let tag = payload.last_chunk::<8>()?;
        let (magic, number) = tag.split_at(4);
        (magic == Self::MAGIC).then(|| Tag(u32::from_be_bytes(number.try_into().unwrap_or_default())))
    }
}

/// A stream to one peer.
struct Stream {
    receiver: TransportId,
    section: Section,
    /// The media SSRC, if this is the one of its retransmissions.
    repeats: Option<Ssrc>,
    /// What was sent under each number.
    sent: HashMap<u16, Option<Tag>>,
    newest: u16,
}

#[derive(Default)]
pub(super) struct Ledger {
    space: Vec<u8>,
    sent: u64,
    tags: u32,
    /// Whoever verified an address, ever.
    verified: HashMap<SocketAddr, HashSet<TransportId>>,
    /// Payloads that came from a verified address.
    pub(super) published: HashSet<Tag>,
    streams: HashMap<Ssrc, Stream>,
    present: HashSet<TransportId>,
    connected: HashSet<TransportId>,
    flowing: HashSet<TrackId>,
}

impl Ledger {
    pub(super) fn next_tag(&mut self) -> Tag {
        self.tags += 1;
        Tag(self.tags)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn is_connected(&self, id: TransportId) -> bool {
        self.connected.contains(&id)
    }

    /// The newest number of a stream.
    pub(super) fn newest(&self, ssrc: Ssrc) -> u16 {
        self.streams.get(&ssrc).map_or(0, |stream| stream.newest)
    }

    pub(super) fn note_joined(&mut self, peer: &Peer) {
        self.present.insert(peer.id);
        for section in &peer.sections {
            let SectionRole::Egress { ssrc, rtx_ssrc } = section.role else { continue };
            let stream = |repeats| Stream {
                receiver: peer.id,
                section: section.clone(),
                repeats,
                sent: HashMap::new(),
                newest: 0,
            };
            self.streams.insert(ssrc, stream(None));
            if let Some(rtx_ssrc) = rtx_ssrc {
                self.streams.insert(rtx_ssrc, stream(Some(ssrc)));
            }
        }
    }

    /// A signed request of a peer came from an address.
    pub(super) fn note_verified(&mut self, id: TransportId, from: SocketAddr) {
        self.verified.entry(from).or_default().insert(id);
    }

    /// A payload came from an address. Only if somebody verified that may it go on.
    pub(super) fn note_published(&mut self, from: SocketAddr, tag: Tag) {
        if self.verified.contains_key(&from) {
            self.published.insert(tag);
        }
    }

    pub(super) fn note_event(&mut self, event: &Event) {
        match *event {
            Event::TransportConnected { id } => {
                assert!(self.present.contains(&id) && self.connected.insert(id), "connected once: {id:?}");
                assert!(self.verified.values().any(|peers| peers.contains(&id)), "{id:?} proved nothing");
            }
            Event::TransportClosed { id, .. } => {
                assert!(self.present.remove(&id), "closed once: {id:?}");
                self.streams.retain(|_, stream| stream.receiver != id);
            }
            Event::TrackStarted { track, .. } => {
                self.flowing.insert(track);
            }
            Event::TrackStopped { track } => assert!(self.flowing.remove(&track), "{track:?} never started"),
            _ => {}
        }
    }

    fn check_media(&mut self, path: Path, packet: &[u8]) {
        let header = RtpHeader::parse(packet).expect("what is sent can be read");
        let stream = self.streams.get(&header.ssrc);
        let stream = stream.unwrap_or_else(|| panic!("{:?} is nobody's, or of one gone", header.ssrc));
        assert!(self.verified[&path.remote].contains(&stream.receiver), "media to whom it is not for");
        if let Some((profile, range)) = header.extension {
            let elements: Vec<_> = Elements::new(profile, &packet[range]).collect();
            assert!(!elements.is_empty(), "an extension block holds something");
            for (id, _) in elements {
                assert!(stream.section.extensions.kind(id).is_some(), "extension {id} was not negotiated");
            }
        }
        let payload = &packet[header.len..];
        let tag = match (stream.repeats, header.has_padding) {
            (None, true) => {
                assert_eq!(padding_len(payload), Ok(payload.len()), "padding and nothing else");
                None
            }
            (None, false) => {
                check_format(&stream.section, header.payload_type, false);
                self.check_published(payload)
            }
            (Some(media), _) => {
                check_format(&stream.section, header.payload_type, true);
                let (original, payload) = payload.split_first_chunk().expect("RTX begins with a number");
                let original = self.streams[&media].sent.get(&u16::from_be_bytes(*original));
                let tag = self.check_published(payload);
                assert_eq!(original, Some(&tag), "what is repeated was sent so");
                tag
            }
        };
        let stream = self.streams.get_mut(&header.ssrc).expect("it was found above");
        stream.newest = header.sequence_number;
        let before = stream.sent.insert(header.sequence_number, tag);
        assert!(before.is_none(), "{:?} {} was used before", header.ssrc, header.sequence_number);
    }

    /// The tag of a payload that has one; without payload there is none.
    fn check_published(&self, payload: &[u8]) -> Option<Tag> {
        let tag = Tag::of(payload);
        match tag {
            Some(tag) => assert!(self.published.contains(&tag), "{tag:?} came from a stranger"),
            None => assert!(payload.is_empty(), "a payload that nobody published: {payload:?}"),
        }
        tag
    }
}

fn check_format(section: &Section, payload_type: PayloadType, is_rtx: bool) {
    let format = if is_rtx { section.format_of_rtx(payload_type) } else { section.format(payload_type) };
    assert!(format.is_some(), "{payload_type:?} was not negotiated");
}

impl Egress for Ledger {
    fn reserve(&mut self) -> &mut [u8] {
        self.space.clear();
        self.space.resize(EGRESS_SLOT_BYTES, 0xee);
        &mut self.space
    }

    fn commit(&mut self, path: Path, len: usize, _received_at: Option<Instant>) {
        self.sent += 1;
        assert!(len > 0, "an empty datagram");
        let datagram = self.space[..len].to_vec();
        assert!(self.verified.contains_key(&path.remote), "{path:?} was never verified");
        match datagram[0] {
            0..=3 => assert_eq!(datagram[..2], [1, 1], "a binding response"),
            _ if classify(&datagram[..2]) == Ok(Protocol::Rtcp) => {
                let count = packets(&datagram).expect("RTCP that is sent can be read").count();
                assert!(count > 0);
            }
            _ => self.check_media(path, &datagram),
        }
    }
}
