//! What one offer and its answer agreed on, in the engine's own words: no SDP, no str0m.
#![forbid(unsafe_code)]

use crate::id::{Mid, PayloadType, Rid, Ssrc};
use crate::media::format::{ExtensionIds, Format, MediaKind};

/// Everything that was negotiated for one transport.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// The accepted media sections, in the order of the offer.
    pub sections: Vec<Section>,
    /// The canonical name of all that we send (RFC 3550, section 6.5.1), as the answer says it.
    pub cname: String,
    /// Whether RTCP may come without a leading report (RFC 5506).
    pub has_reduced_size_rtcp: bool,
    /// Whether two-byte header extensions may be sent (`extmap-allow-mixed`, RFC 8285, section 6).
    pub allows_mixed_extensions: bool,
}

/// One accepted media section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its media identification.
    pub mid: Mid,
    /// Audio or video.
    pub kind: MediaKind,
    /// Which way media flows, seen from the server.
    pub role: SectionRole,
    /// The formats of the answer, most wanted first.
    pub formats: Vec<Format>,
    /// The header extensions of the answer.
    pub extensions: ExtensionIds,
}

/// Which way the media of a section flows, seen from the server.
#[derive(Clone, Debug)]
pub enum SectionRole {
    /// The peer publishes here.
    Ingress {
        /// The encodings of a simulcast offer, in the order of `a=simulcast`; empty without simulcast.
        rids: Vec<Rid>,
        /// The SSRCs that `a=ssrc` and `a=ssrc-group:FID` of the offer named: media, retransmission.
        ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    },
    /// The peer watches here.
    Egress {
        /// The SSRC announced in the answer.
        ssrc: Ssrc,
        /// The SSRC of its retransmissions.
        rtx_ssrc: Option<Ssrc>,
    },
}

impl Section {
    /// The format that has `payload_type` as its media payload type, redundant payloads included.
    pub fn format(&self, payload_type: PayloadType) -> Option<&Format> {
        self.formats.iter().find(|format| format.payload_type == payload_type || format.is_red(payload_type))
    }

    /// The format whose retransmissions have `payload_type`.
    pub fn format_of_rtx(&self, payload_type: PayloadType) -> Option<&Format> {
        self.formats.iter().find(|format| format.rtx == Some(payload_type))
    }
}
