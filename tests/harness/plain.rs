//! Packets that a test writes field by field, what came out of the shard, and transports for both.

use std::time::Duration;

use dataplane::id::{Mid, PayloadType, Ssrc, Token, TrackId};
use dataplane::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, Format, MediaKind, Profile};
use dataplane::transport::description::{Description, Section, SectionRole};
use dataplane::wire::extension::{Elements, ExtensionWriter, Form};
use dataplane::wire::rtp::{FIXED_HEADER_LEN, RtpHeader, set_extension_bit, write_header};

use crate::replay::ReplayClient;
use crate::world::{World, client_address};

/// An RTP packet of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Its sequence number.
    pub number: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
    /// Its header extensions, each by id.
    pub elements: Vec<(u8, Vec<u8>)>,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Plain {
    /// The datagram: in the two-byte form only if an element needs it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 1500];
        let (payload_type, ssrc) = (PayloadType(self.payload_type), Ssrc(self.ssrc));
        write_header(&mut out, self.marker, payload_type, self.number, self.timestamp, ssrc);
        let form = self.elements.iter().map(|(id, data)| Form::needed_for(*id, data.len())).max();
        let mut writer = ExtensionWriter::new(&mut out[FIXED_HEADER_LEN..], form.unwrap_or(Form::OneByte));
        for (id, data) in &self.elements {
            assert!(writer.push(*id, data), "a test sends what fits");
        }
        let extension_len = writer.finish();
        if extension_len > 0 {
            set_extension_bit(&mut out);
        }
        out.truncate(FIXED_HEADER_LEN + extension_len);
        out.extend(&self.payload);
        out
    }

    /// What a datagram holds.
    pub fn decode(bytes: &[u8]) -> Self {
        let header = RtpHeader::parse(bytes).unwrap();
        let elements = match &header.extension {
            Some((profile, block)) => {
                let elements = Elements::new(*profile, &bytes[block.clone()]);
                elements.map(|(id, data)| (id, data.to_vec())).collect()
            }
            None => Vec::new(),
        };
        Self {
            ssrc: header.ssrc.0,
            payload_type: header.payload_type.0,
            number: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            elements,
            payload: bytes[header.len..].to_vec(),
        }
    }

    /// The data of the element `id`.
    pub fn element(&self, id: u8) -> Option<&[u8]> {
        self.elements.iter().find(|element| element.0 == id).map(|element| element.1.as_slice())
    }
}

/// A format of this codec.
pub fn format(codec: Codec, profile: Profile, payload_type: u8) -> Format {
    let is_audio = codec == Codec::Opus;
    Format {
        codec,
        profile,
        payload_type: PayloadType(payload_type),
        rtx: None,
        red: None,
        clock_rate_hz: if is_audio { 48_000 } else { 90_000 },
        feedback: Feedback { nack: !is_audio, pli: true, ..Feedback::default() },
    }
}

/// What one peer of a [`PlainStage`] negotiated.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its formats.
    pub formats: Vec<Format>,
    /// Its header extensions.
    pub extensions: Vec<(ExtensionKind, u8)>,
    /// `extmap-allow-mixed`.
    pub allows_mixed: bool,
}

impl Terms {
    /// These formats without any extension.
    pub fn of(formats: &[Format]) -> Self {
        Self { formats: formats.to_vec(), extensions: Vec::new(), allows_mixed: true }
    }

    /// These formats with these extensions.
    pub fn with(formats: &[Format], extensions: &[(ExtensionKind, u8)]) -> Self {
        Self { extensions: extensions.to_vec(), ..Self::of(formats) }
    }

    fn description(&self, kind: MediaKind, role: SectionRole) -> Description {
        let mut extensions = ExtensionIds::default();
        for (kind, id) in &self.extensions {
            extensions.set(*kind, *id);
        }
        let mid = Mid(Token::new(b"0").unwrap());
        Description {
            sections: vec![Section { mid, kind, role, formats: self.formats.clone(), extensions }],
            cname: "plain".to_owned(),
            has_reduced_size_rtcp: true,
            allows_mixed_extensions: self.allows_mixed,
        }
    }
}

/// One track, whose publisher sends what the test writes.
pub struct PlainStage {
    /// The shard and everyone.
    pub world: World<ReplayClient>,
    kind: MediaKind,
    track: TrackId,
}

impl PlainStage {
    /// A shard with one track. The first to join is its publisher.
    pub fn new(kind: MediaKind, publisher: &Terms) -> Self {
        Self::with_shards(kind, publisher, 1)
    }

    /// The same over several shards: with two, the first viewer is not on the shard of the publisher.
    pub fn with_shards(kind: MediaKind, publisher: &Terms, shards: u16) -> Self {
        let mut world = World::with_shards(1, shards);
        let track = world.add_track(1, kind);
        let mut stage = Self { world, kind, track };
        let ssrcs = (1..=4).map(|ssrc| (Ssrc(ssrc), None)).collect();
        stage.join(publisher, SectionRole::Ingress { rids: Vec::new(), ssrcs });
        stage
    }

    /// A viewer joins; returns its place.
    pub fn watch(&mut self, terms: &Terms) -> usize {
        let ssrc = Ssrc(0x2000_0000 + self.world.clients.len() as u32);
        self.join(terms, SectionRole::Egress { ssrc, rtx_ssrc: None })
    }

    fn join(&mut self, terms: &Terms, role: SectionRole) -> usize {
        let index = self.world.clients.len();
        let description = terms.description(self.kind, role);
        let (client, transport) =
            ReplayClient::with_description(index, client_address(index), description, self.world.now);
        let client = self.world.join(client, transport, &[(self.track, self.kind)]).unwrap();
        self.world.run_for(Duration::from_millis(50));
        client
    }

    /// The publisher sends a packet, and the world goes on for a while.
    pub fn publish(&mut self, packet: &Plain, then: Duration) {
        self.world.clients[0].send(packet.encode());
        self.world.run_for(then);
    }

    /// What a viewer got so far.
    pub fn seen(&self, viewer: usize) -> Vec<Plain> {
        self.world.clients[viewer].packets.iter().map(|bytes| Plain::decode(bytes)).collect()
    }
}
