//! What str0m is told: an offer written anew from what was understood, and codecs and extensions that are
//! exactly those of the offer.
//!
//! So nothing of the peer's text reaches str0m, no payload type is ever moved, and the answer repeats the
//! numbers of the offer.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use str0m::format::{CodecConfig, FormatParams};
use str0m::media::Frequency;
use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};

use super::PeerRole;
use super::offer::{Offer, OfferedFormat, OfferedSection, Setup};
use crate::media::format::{Codec, ExtensionKind, MediaKind};
use crate::transport::association::REMOTE_UFRAG;

/// str0m never sends with it: it is the made-up peer's.
const REMOTE_PASSWORD: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

/// The offer as str0m gets it.
pub(super) fn canonical_offer(offer: &Offer, role: PeerRole) -> String {
    let mut sdp = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE");
    for section in &offer.sections {
        push(&mut sdp, format_args!(" {}", section.mid.0));
    }
    sdp.push_str("\r\n");
    for section in &offer.sections {
        write_section(&mut sdp, offer, section, role);
    }
    sdp
}

/// Appends to a string, which cannot fail.
fn push(sdp: &mut String, what: std::fmt::Arguments<'_>) {
    sdp.write_fmt(what).expect("a string takes what it is given");
}

fn write_section(sdp: &mut String, offer: &Offer, section: &OfferedSection, role: PeerRole) {
    let kind = match section.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    push(sdp, format_args!("m={kind} 9 UDP/TLS/RTP/SAVPF"));
    for format in &section.formats {
        push(sdp, format_args!(" {}", format.payload_type.0));
        if let Some(rtx) = format.rtx {
            push(sdp, format_args!(" {}", rtx.0));
        }
    }
    let setup = match offer.setup {
        Setup::ActPass => "actpass",
        Setup::Active => "active",
        Setup::Passive => "passive",
    };
    let digits: Vec<String> = offer.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    push(
        sdp,
        format_args!(
            "\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{REMOTE_UFRAG}\r\na=ice-pwd:{REMOTE_PASSWORD}\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:{setup}\r\na=mid:{}\r\n",
            digits.join(":"),
            section.mid.0
        ),
    );
    for kind in ExtensionKind::ALL {
        if let Some(id) = section.extensions.id(kind) {
            push(sdp, format_args!("a=extmap:{id} {}\r\n", kind.uri()));
        }
    }
    let direction = match role {
        PeerRole::Publisher => "sendonly",
        PeerRole::Subscriber => "recvonly",
    };
    push(sdp, format_args!("a={direction}\r\na=rtcp-mux\r\n"));
    for format in &section.formats {
        write_format(sdp, format);
    }
    if role == PeerRole::Publisher && !section.rids.is_empty() {
        let names: Vec<&str> = section.rids.iter().map(|rid| rid.0.as_str()).collect();
        for name in &names {
            push(sdp, format_args!("a=rid:{name} send\r\n"));
        }
        push(sdp, format_args!("a=simulcast:send {}\r\n", names.join(";")));
    }
}

fn write_format(sdp: &mut String, format: &OfferedFormat) {
    let pt = format.payload_type.0;
    let (name, clock) = match format.codec {
        Codec::Opus => ("opus", "48000/2"),
        codec => (codec.name(), "90000"),
    };
    push(sdp, format_args!("a=rtpmap:{pt} {name}/{clock}\r\n"));
    let feedback = format.feedback;
    for (is_offered, what) in [
        (feedback.remb, "goog-remb"),
        (feedback.transport_cc, "transport-cc"),
        (feedback.fir, "ccm fir"),
        (feedback.nack, "nack"),
        (feedback.pli, "nack pli"),
    ] {
        if is_offered {
            push(sdp, format_args!("a=rtcp-fb:{pt} {what}\r\n"));
        }
    }
    if !format.parameters.is_empty() {
        push(sdp, format_args!("a=fmtp:{pt} {}\r\n", format.parameters));
    }
    if let Some(rtx) = format.rtx {
        push(sdp, format_args!("a=rtpmap:{} rtx/90000\r\na=fmtp:{} apt={pt}\r\n", rtx.0, rtx.0));
    }
}

/// Makes `config` have the formats of the offer and no others.
pub(super) fn set_codecs(config: &mut CodecConfig, offer: &Offer) {
    config.clear();
    let mut known = [false; 128];
    for format in offer.sections.iter().flat_map(|section| &section.formats) {
        if std::mem::replace(&mut known[usize::from(format.payload_type.0)], true) {
            continue;
        }
        add_codec(config, format);
        let added = config.last_mut().expect("a format was just added");
        added.set_fb_nack(format.feedback.nack);
        added.set_fb_pli(format.feedback.pli);
        added.set_fb_fir(format.feedback.fir);
        added.set_fb_remb(format.feedback.remb);
        added.set_fb_transport_cc(format.feedback.transport_cc);
    }
}

fn add_codec(config: &mut CodecConfig, format: &OfferedFormat) {
    let (codec, clock, channels) = match format.codec {
        Codec::Opus => (str0m::format::Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
        Codec::Vp8 => (str0m::format::Codec::Vp8, Frequency::NINETY_KHZ, None),
        Codec::Vp9 => (str0m::format::Codec::Vp9, Frequency::NINETY_KHZ, None),
        Codec::H264 => (str0m::format::Codec::H264, Frequency::NINETY_KHZ, None),
        Codec::H265 => (str0m::format::Codec::H265, Frequency::NINETY_KHZ, None),
        Codec::Av1 => (str0m::format::Codec::Av1, Frequency::NINETY_KHZ, None),
    };
    let rtx = format.rtx.map(|rtx| rtx.0.into());
    let parameters = FormatParams::parse_line(&format.parameters);
    config.add_config(format.payload_type.0.into(), rtx, codec, clock, channels, parameters);
}

/// Whether two formats are one for str0m, however their parameters are written. It gives such formats one
/// payload type, or panics as it tries to.
pub(super) fn means_the_same(a: &OfferedFormat, b: &OfferedFormat) -> bool {
    if a.codec != b.codec || a.parameters == b.parameters {
        return a.codec == b.codec;
    }
    let mut config = CodecConfig::empty();
    add_codec(&mut config, a);
    add_codec(&mut config, b);
    let [first, second] = config.params() else { return false };
    // Of two that match equally well str0m takes the one that comes later.
    let found = config.match_params(*first).map(|found| found.spec());
    first.spec() == second.spec() || found != Some(first.spec())
}

/// The extensions of the offer, each under its own number. Within a bundle a number has one meaning; where
/// an offer breaks that, its first section is right.
pub(super) fn extension_map(offer: &Offer) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for section in &offer.sections {
        for kind in ExtensionKind::ALL {
            let Some(id) = section.extensions.id(kind) else { continue };
            let extension = extension(kind);
            if map.lookup(id).is_none() && map.id_of(extension.clone()).is_none() {
                map.set(id, extension);
            }
        }
    }
    map
}

fn extension(kind: ExtensionKind) -> Extension {
    match kind {
        ExtensionKind::Mid => Extension::RtpMid,
        ExtensionKind::Rid => Extension::RtpStreamId,
        ExtensionKind::RepairedRid => Extension::RepairedRtpStreamId,
        ExtensionKind::TransportCc => Extension::TransportSequenceNumber,
        ExtensionKind::AbsSendTime => Extension::AbsoluteSendTime,
        ExtensionKind::AudioLevel => Extension::AudioLevel,
        ExtensionKind::VideoOrientation => Extension::VideoOrientation,
        ExtensionKind::PlayoutDelay => Extension::PlayoutDelay,
        ExtensionKind::AbsCaptureTime => Extension::AbsoluteCaptureTime,
        ExtensionKind::ContentType => Extension::VideoContentType,
        ExtensionKind::ColorSpace => Extension::ColorSpace,
        ExtensionKind::DependencyDescriptor | ExtensionKind::VideoLayersAllocation => {
            Extension::with_serializer(kind.uri(), Named)
        }
    }
}

/// A video extension that str0m negotiates and never meets: no RTP passes through it.
#[derive(Debug)]
struct Named;

impl ExtensionSerializer for Named {
    fn write_to(&self, _buffer: &mut [u8], _values: &ExtensionValues) -> usize {
        0
    }

    fn parse_value(&self, _buffer: &[u8], _values: &mut ExtensionValues) -> bool {
        false
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }
}
