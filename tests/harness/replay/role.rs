//! What a replay client offers, and the description that negotiation would have made of it.

use dataplane::id::{Mid, PayloadType, Rid, Ssrc, Token};
use dataplane::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, Format, MediaKind, Profile};
use dataplane::transport::description::{Description, Section, SectionRole};

/// Ids of the header extensions, the same on every section.
pub(super) const MID_ID: u8 = 1;
pub(super) const RID_ID: u8 = 2;
pub(super) const TRANSPORT_CC_ID: u8 = 3;
pub(super) const REPAIRED_RID_ID: u8 = 4;
pub(super) const AUDIO_LEVEL_ID: u8 = 5;

/// Every codec of the world, in the order of their payload types.
const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

/// One encoding that a replay publisher sends.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Its RID; empty without simulcast.
    pub rid: &'static str,
    /// Its picture size.
    pub size: (u16, u16),
}

/// One section that a client publishes.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// The codec that it sends.
    pub codec: Codec,
    /// Its encodings; one without a RID where there is no simulcast.
    pub encodings: Vec<Encoding>,
}

/// What a client publishes and watches.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// Sections that it publishes.
    pub publishes: Vec<Publishing>,
    /// Sections that it watches, each with the codecs that it can show.
    pub watches: Vec<Vec<Codec>>,
    /// Whether it numbers its packets for transport-wide feedback.
    pub has_transport_cc: bool,
    /// Whether it answers NACKs over RTX; otherwise it sends the same packet again.
    pub has_rtx: bool,
}

impl Role {
    /// One VP8 section with these encodings, or one that is watched if there are none.
    pub fn vp8(encodings: &[Encoding]) -> Self {
        let publishing = Publishing { codec: Codec::Vp8, encodings: encodings.to_vec() };
        let (publishes, watches) = match encodings {
            [] => (Vec::new(), vec![vec![Codec::Vp8]]),
            _ => (vec![publishing], Vec::new()),
        };
        Self { publishes, watches, ..Self::default() }
    }

    /// What negotiation would have made of it. Payload types differ from client to client.
    pub(super) fn description(&self, index: usize) -> Description {
        let publishes = self.publishes.iter().enumerate();
        let mut sections: Vec<Section> = publishes.map(|(at, it)| self.ingress(index, at, it)).collect();
        for (at, codecs) in self.watches.iter().enumerate() {
            sections.push(self.egress(index, self.publishes.len() + at, codecs));
        }
        Description {
            sections,
            cname: "replay".to_owned(),
            has_reduced_size_rtcp: index.is_multiple_of(2),
            allows_mixed_extensions: true,
        }
    }

    fn ingress(&self, index: usize, at: usize, publishing: &Publishing) -> Section {
        let named = publishing.encodings.iter().filter(|encoding| !encoding.rid.is_empty());
        let rids: Vec<Rid> = named.map(|encoding| Rid(token(encoding.rid))).collect();
        let mut extensions = self.extensions();
        if !rids.is_empty() {
            extensions.set(ExtensionKind::Rid, RID_ID);
            extensions.set(ExtensionKind::RepairedRid, REPAIRED_RID_ID);
        }
        let ssrcs = if rids.is_empty() {
            vec![(media_ssrc(index, at, 0), self.has_rtx.then(|| rtx_ssrc(index, at, 0)))]
        } else {
            Vec::new()
        };
        let role = SectionRole::Ingress { rids, ssrcs };
        self.section(index, at, role, &[publishing.codec], extensions)
    }

    fn egress(&self, index: usize, at: usize, codecs: &[Codec]) -> Section {
        let kind = kind_of(codecs[0]);
        let rtx_ssrc = (kind == MediaKind::Video).then(|| shown_rtx_ssrc(index, at));
        let role = SectionRole::Egress { ssrc: shown_ssrc(index, at), rtx_ssrc };
        self.section(index, at, role, codecs, self.extensions())
    }

    fn section(
        &self,
        index: usize,
        at: usize,
        role: SectionRole,
        codecs: &[Codec],
        extensions: ExtensionIds,
    ) -> Section {
        Section {
            mid: Mid(token(&at.to_string())),
            kind: kind_of(codecs[0]),
            role,
            formats: codecs.iter().map(|codec| format(index, *codec)).collect(),
            extensions,
        }
    }

    fn extensions(&self) -> ExtensionIds {
        let mut extensions = ExtensionIds::default();
        extensions.set(ExtensionKind::Mid, MID_ID);
        extensions.set(ExtensionKind::AudioLevel, AUDIO_LEVEL_ID);
        if self.has_transport_cc {
            extensions.set(ExtensionKind::TransportCc, TRANSPORT_CC_ID);
        }
        extensions
    }
}

/// The format of `codec` on client `index`.
pub(super) fn format(index: usize, codec: Codec) -> Format {
    let at = CODECS.iter().position(|known| *known == codec).unwrap_or_default();
    let payload_type = 96 + 2 * ((at + index) % CODECS.len()) as u8;
    let is_video = kind_of(codec) == MediaKind::Video;
    let profile = match codec {
        Codec::H264 => Profile::H264 { profile_level_id: 0x42e01f, packetization_mode: 1 },
        Codec::Vp9 | Codec::Av1 => Profile::Number(0),
        _ => Profile::Any,
    };
    Format {
        codec,
        profile,
        payload_type: PayloadType(payload_type),
        rtx: is_video.then_some(PayloadType(payload_type + 1)),
        red: None,
        clock_rate_hz: if is_video { 90_000 } else { 48_000 },
        feedback: Feedback { nack: is_video, pli: is_video, ..Feedback::default() },
    }
}

pub(super) fn kind_of(codec: Codec) -> MediaKind {
    if codec == Codec::Opus { MediaKind::Audio } else { MediaKind::Video }
}

pub(super) fn media_ssrc(index: usize, section: usize, encoding: usize) -> Ssrc {
    Ssrc(0x1000_0000 + place(index, section) + encoding as u32)
}

pub(super) fn rtx_ssrc(index: usize, section: usize, encoding: usize) -> Ssrc {
    Ssrc(0x4000_0000 + place(index, section) + encoding as u32)
}

pub(super) fn shown_ssrc(index: usize, section: usize) -> Ssrc {
    Ssrc(0x2000_0000 + place(index, section))
}

pub(super) fn shown_rtx_ssrc(index: usize, section: usize) -> Ssrc {
    Ssrc(0x3000_0000 + place(index, section))
}

fn place(index: usize, section: usize) -> u32 {
    (index as u32) * 4096 + (section as u32) * 16
}

fn token(text: &str) -> Token {
    Token::new(text.as_bytes()).unwrap()
}
