//! From an SDP exchange to what a session needs: sections, payload types, extension ids, SSRCs.
#![forbid(unsafe_code)]

use dataplane::id::{PayloadType, Ssrc};
use str0m::Rtc;
use str0m::change::SdpApi;
use str0m::format::{Codec as Str0mCodec, PayloadParams};
use str0m::media::{Direction, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::rtp::{Extension, ExtensionMap};

use super::Part;
use crate::load::session::{EncodingTerms, Extensions, Format, Terms};
use crate::traffic::Codec;

/// Ticks of video timestamps.
const VIDEO_CLOCK_RATE: u32 = 90_000;
/// Ticks of Opus timestamps (RFC 7587, section 4.1).
const OPUS_CLOCK_RATE: u32 = 48_000;

/// One media section of a client.
#[derive(Clone, Debug)]
pub(super) struct Section {
    mid: Mid,
    codec: Option<Codec>,
    rids: Vec<&'static str>,
}

impl Section {
    /// A section that the server offered, from which we receive.
    pub(super) fn theirs(mid: Mid) -> Self {
        Self { mid, codec: None, rids: Vec::new() }
    }
}

/// Adds the sections of a part to an offer.
pub(super) fn sections_of(part: &Part, change: &mut SdpApi<'_>) -> Vec<Section> {
    match part {
        Part::Gives(gifts) => gifts
            .iter()
            .map(|gift| {
                let kind = if gift.codec.is_audio() { MediaKind::Audio } else { MediaKind::Video };
                let layers = gift.rids.iter().map(|rid| SimulcastLayer::new(rid)).collect();
                let simulcast =
                    (!gift.rids.is_empty()).then_some(Simulcast { send: layers, recv: Vec::new() });
                let mid = change.add_media(kind, Direction::SendOnly, None, None, simulcast);
                Section { mid, codec: Some(gift.codec), rids: gift.rids.clone() }
            })
            .collect(),
        Part::Takes(takes) => {
            let kinds = std::iter::repeat_n(MediaKind::Video, takes.video)
                .chain(std::iter::repeat_n(MediaKind::Audio, takes.audio));
            kinds
                .map(|kind| change.add_media(kind, Direction::RecvOnly, None, None, None))
                .map(|mid| Section { mid, codec: None, rids: Vec::new() })
                .collect()
        }
    }
}

/// What was negotiated. `own` names us in reports.
pub(super) fn terms_of(rtc: &mut Rtc, sections: &[Section], own: Ssrc, repairs: Vec<(Ssrc, Ssrc)>) -> Terms {
    let params: Vec<PayloadParams> = rtc.codec_config().params().to_vec();
    let mut terms = Terms {
        ssrc: own,
        extensions: Extensions::default(),
        formats: params.iter().map(format_of).collect(),
        repairs,
        encodings: Vec::new(),
    };
    for section in sections {
        let Some(media) = rtc.media(section.mid) else { continue };
        note_extensions(&mut terms.extensions, media.remote_extmap());
        let agreed = media.remote_pts().to_vec();
        let Some(codec) = section.codec else { continue };
        let chosen =
            params.iter().find(|params| agreed.contains(&params.pt()) && codec_of(params) == Some(codec));
        let Some(chosen) = chosen.map(format_of) else { continue };
        let rids = section.rids.iter().map(|rid| Some(*rid));
        let rids: Vec<_> = if section.rids.is_empty() { vec![None] } else { rids.collect() };
        for rid in rids {
            let mut direct = rtc.direct_api();
            let Some(stream) = direct.stream_tx_by_mid(section.mid, rid.map(Rid::from)) else { continue };
            terms.encodings.push(EncodingTerms {
                payload_type: chosen.payload_type,
                rtx_payload_type: chosen.rtx,
                ssrc: Ssrc(*stream.ssrc()),
                rtx_ssrc: stream.rtx().map(|ssrc| Ssrc(*ssrc)),
                mid: section.mid.to_string(),
                rid: rid.map(str::to_owned),
            });
        }
    }
    // A sender's reports stand under one of its streams.
    if let Some(first) = terms.encodings.first() {
        terms.ssrc = first.ssrc;
    }
    terms
}

fn format_of(params: &PayloadParams) -> Format {
    let is_audio = codec_of(params) == Some(Codec::Opus);
    Format {
        payload_type: PayloadType(*params.pt()),
        rtx: params.resend().map(|payload_type| PayloadType(*payload_type)),
        clock_rate: if is_audio { OPUS_CLOCK_RATE } else { VIDEO_CLOCK_RATE },
        is_repaired: !is_audio,
    }
}

fn codec_of(params: &PayloadParams) -> Option<Codec> {
    match params.spec().codec {
        Str0mCodec::Vp8 => Some(Codec::Vp8),
        Str0mCodec::H264 => Some(Codec::H264),
        Str0mCodec::Opus => Some(Codec::Opus),
        _ => None,
    }
}

/// With BUNDLE an id means the same in every section.
fn note_extensions(extensions: &mut Extensions, negotiated: &ExtensionMap) {
    for (place, extension) in [
        (&mut extensions.mid, Extension::RtpMid),
        (&mut extensions.rid, Extension::RtpStreamId),
        (&mut extensions.repaired_rid, Extension::RepairedRtpStreamId),
        (&mut extensions.transport_cc, Extension::TransportSequenceNumber),
        (&mut extensions.audio_level, Extension::AudioLevel),
    ] {
        *place = place.or(negotiated.id_of(extension));
    }
}

/// The pairs `(repair, original)` of `a=ssrc-group:FID original repair` (RFC 5576, section 4.2).
pub(super) fn repairs_of(sdp: &str) -> Vec<(Ssrc, Ssrc)> {
    let groups = sdp.lines().filter_map(|line| line.trim_end().strip_prefix("a=ssrc-group:FID "));
    groups
        .filter_map(|group| {
            let (original, repair) = group.split_once(' ')?;
            Some((Ssrc(repair.trim().parse().ok()?), Ssrc(original.parse().ok()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_stream_is_known_by_the_group_that_names_it() {
        let sdp = "v=0\r\na=ssrc-group:FID 11 12\r\na=ssrc:11 cname:x\r\na=ssrc-group:FID 21 22\r\n\
                   a=ssrc-group:SIM 1 2\r\na=ssrc-group:FID x 3\r\n";
        assert_eq!(repairs_of(sdp), [(Ssrc(12), Ssrc(11)), (Ssrc(22), Ssrc(21))]);
    }
}
