//! Answers an SDP offer: the one place that knows SDP and the one where a transport is made.
//!
//! An offer is read (`offer.rs`), judged here, told to str0m in words of our own (`canonical.rs`), and
//! str0m's answer is completed (`answer.rs`). What both agreed on is read back from str0m into a
//! [`Description`]; then str0m forgets the media, which is none of its business any more.
//!
//! # Invariants
//!
//! - An offer is answered as a whole or refused as a whole: no section is ever rejected alone.
//! - Nothing of the peer's text reaches str0m, and a panic of str0m is an error of the offer.
#![forbid(unsafe_code)]

mod answer;
mod canonical;
mod offer;

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use str0m::change::SdpOffer;
use str0m::crypto::CryptoProvider;
use str0m::crypto::dtls::DtlsCert;
use str0m::format::PayloadParams;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use super::Transport;
use super::association::{Association, AssociationParts, LOCAL};
use super::description::{Description, Section, SectionRole};
use super::dtls::{capturing, crypto_provider};
use super::ice::Ice;
use crate::id::{PayloadType, ShardId, Ssrc};
use crate::limits::CANDIDATES_PER_ANSWER_MAX;
use crate::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, Format, MediaKind, Profile};
use answer::Edits;
use offer::{Direction, Offer, OfferedSection, Setup};

/// Answers offers with one certificate and one DTLS configuration for the process.
#[derive(Clone)]
pub struct Negotiator {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl fmt::Debug for Negotiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiator").finish_non_exhaustive()
    }
}

/// What the offering peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// It sends media (WHIP).
    Publisher,
    /// It receives media (WHEP).
    Subscriber,
}

/// How to answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerSettings<'a> {
    /// Who offers.
    pub role: PeerRole,
    /// The shard that will own the transport; it stands in the username fragment.
    pub shard: ShardId,
    /// Our candidates, best first.
    pub candidates: &'a [SocketAddr],
}

/// An answered offer.
#[derive(Debug)]
pub struct Answered {
    /// The SDP answer, with all candidates.
    pub sdp: String,
    /// The transport behind it, to be moved into its shard.
    pub transport: Box<Transport>,
}

/// Why an offer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// It is not SDP, or not an offer that WebRTC knows.
    #[error("malformed SDP: {0}")]
    Malformed(String),
    /// No codec of a section is one that Sluice forwards.
    #[error("no {} codec in common: offered {}, supported {}", kind_name(*.kind), .offered.join(", "), .supported.join(", "))]
    NoCommonCodec {
        /// Of which kind of media.
        kind: MediaKind,
        /// What the offer listed.
        offered: Vec<String>,
        /// What would have been accepted.
        supported: Vec<String>,
    },
    /// The media flows the wrong way for the role, or the offer has no media.
    #[error("{0}")]
    Unacceptable(String),
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

/// Characters of credentials: 5 bits each, all of them `ice-char` (RFC 8839, section 5.4).
const ICE_CHARACTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Hexadecimal digits of the shard at the head of a username fragment.
const SHARD_DIGITS: usize = 4;
/// Random characters after them: 80 bits.
const UFRAG_RANDOM_LEN: usize = 16;
/// Characters of a password: 160 bits.
const PASSWORD_LEN: usize = 32;
/// Characters of the name of our media stream.
const STREAM_LEN: usize = 16;
/// str0m sends no media and so has nothing to report.
const NO_REPORTS: Duration = Duration::from_secs(24 * 60 * 60);

/// The shard that stands in a username fragment of ours; `None` if it is none of ours.
pub fn shard_of_ufrag(ufrag: &[u8]) -> Option<ShardId> {
    let digits = ufrag.get(..SHARD_DIGITS).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    let is_ours = ufrag.len() == SHARD_DIGITS + UFRAG_RANDOM_LEN;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| is_ours).map(ShardId)
}

impl Negotiator {
    /// Makes the certificate and the DTLS configuration, and lets the random number generator gather its
    /// entropy: tens of milliseconds that no offer shall wait for.
    ///
    /// # Errors
    ///
    /// `Unacceptable` if the cryptography does not come up.
    pub fn new(now: Instant) -> Result<Self, NegotiateError> {
        let failed =
            |what: &str| NegotiateError::Unacceptable(format!("cryptography did not come up: {what}"));
        random_name(PASSWORD_LEN).ok_or_else(|| failed("random numbers"))?;
        let crypto = crypto_provider().map_err(|error| failed(&error.to_string()))?;
        let certificate = crypto.dtls_provider.generate_certificate().ok_or_else(|| failed("certificate"))?;
        let negotiator = Self { crypto, certificate };
        let warm_up = IceCreds { ufrag: "warm".to_owned(), pass: "up".to_owned() };
        capturing(|| negotiator.config(warm_up).build(now));
        Ok(negotiator)
    }

    /// Answers an offer and makes the transport behind the answer.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is no SDP offer, `NoCommonCodec` if a section has no codec that is forwarded,
    /// `Unacceptable` if it is an offer that is not taken: no media, the wrong direction for the role, no
    /// bundle, data channels, no SHA-256 fingerprint.
    pub fn answer(
        &self,
        offer: &str,
        settings: &AnswerSettings<'_>,
        now: Instant,
    ) -> Result<Answered, NegotiateError> {
        let offer = Offer::parse(offer)?;
        for section in &offer.sections {
            check_direction(section, settings.role)?;
            check_codecs(section)?;
        }
        if settings.candidates.is_empty() {
            return Err(NegotiateError::Unacceptable(
                "there is no address to offer as a candidate".to_owned(),
            ));
        }
        // str0m has panicked on what it was offered before; that costs this offer and nothing else (D14).
        catch_unwind(AssertUnwindSafe(|| self.answer_parsed(&offer, settings, now)))
            .unwrap_or_else(|_| Err(NegotiateError::Malformed("the offer contradicts itself".to_owned())))
    }

    fn answer_parsed(
        &self,
        offer: &Offer,
        settings: &AnswerSettings<'_>,
        now: Instant,
    ) -> Result<Answered, NegotiateError> {
        let name = |len| {
            random_name(len).ok_or_else(|| NegotiateError::Unacceptable("no random numbers".to_owned()))
        };
        let ufrag = format!("{:0width$x}{}", settings.shard.0, name(UFRAG_RANDOM_LEN)?, width = SHARD_DIGITS);
        let password = name(PASSWORD_LEN)?;
        let stream = name(STREAM_LEN)?;

        let mut config = self.config(IceCreds { ufrag: ufrag.clone(), pass: password.clone() });
        canonical::set_codecs(config.codec_config(), offer);
        let config = config.set_extension_map(canonical::extension_map(offer));
        let (mut rtc, captured) = capturing(|| Box::new(config.build(now)));
        let local = Candidate::host(LOCAL, "udp").expect("a constant address is a candidate");
        rtc.add_local_candidate(local);
        let contradiction = |error: &dyn fmt::Display| NegotiateError::Malformed(error.to_string());
        let canonical = SdpOffer::from_sdp_string(&canonical::canonical_offer(offer, settings.role))
            .map_err(|error| contradiction(&error))?;
        let answer = rtc.sdp_api().accept_offer(canonical).map_err(|error| contradiction(&error))?;

        let (mut description, replaced) = read_back(&mut rtc, offer, settings.role)?;
        description.cname.clone_from(&stream);
        let candidates = &settings.candidates[..settings.candidates.len().min(CANDIDATES_PER_ANSWER_MAX)];
        let edits = Edits { offer, role: settings.role, candidates, replaced: &replaced, stream: &stream };
        let sdp = answer::edit(&answer.to_sdp_string(), &edits);
        let ice = Ice::new(&ufrag, &password);
        let parts = AssociationParts {
            rtc,
            captured,
            is_dtls_client: offer.setup == Setup::Passive,
            expected_fingerprint: offer.fingerprint,
            ufrag,
            password,
        };
        let transport = Transport::sealed(description, ice, Association::new(parts, now), now);
        Ok(Answered { sdp, transport: Box::new(transport) })
    }

    fn config(&self, credentials: IceCreds) -> RtcConfig {
        RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.certificate.clone())
            .set_local_ice_credentials(credentials)
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_send_buffer_audio(1)
            .set_send_buffer_video(1)
            .set_rtcp_report_interval_audio(NO_REPORTS)
            .set_rtcp_report_interval_video(NO_REPORTS)
    }
}

/// Random characters; `None` if there is no randomness.
///
/// Negotiation runs off the shards (D9), and str0m draws random numbers of its own there: the sealed world
/// is not replayed, so nothing is lost by drawing here too.
#[allow(clippy::disallowed_methods)]
fn random_name(len: usize) -> Option<String> {
    let mut bytes = [0; PASSWORD_LEN];
    let bytes = bytes.get_mut(..len)?;
    rand::fill(bytes).ok()?;
    Some(bytes.iter().map(|byte| ICE_CHARACTERS[usize::from(byte % 32)] as char).collect())
}

fn check_direction(section: &OfferedSection, role: PeerRole) -> Result<(), NegotiateError> {
    let (who, wanted) = match role {
        PeerRole::Publisher => ("a publisher", Direction::SendOnly),
        PeerRole::Subscriber => ("a subscriber", Direction::RecvOnly),
    };
    if section.direction == wanted || section.direction == Direction::SendRecv {
        return Ok(());
    }
    let (mid, found, wanted) = (section.mid.0, section.direction.name(), wanted.name());
    Err(NegotiateError::Unacceptable(format!("{who} offers {wanted}, but section {mid} is {found}")))
}

fn check_codecs(section: &OfferedSection) -> Result<(), NegotiateError> {
    if !section.formats.is_empty() {
        return Ok(());
    }
    let supported: &[Codec] = match section.kind {
        MediaKind::Audio => &[Codec::Opus],
        MediaKind::Video => &[Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1, Codec::H265],
    };
    Err(NegotiateError::NoCommonCodec {
        kind: section.kind,
        offered: section.codec_names.clone(),
        supported: supported.iter().map(|codec| codec.name().to_owned()).collect(),
    })
}

/// Reads what was agreed on from str0m and lets it forget the media. Also returns the stream ids and
/// canonical names that its answer uses.
fn read_back(
    rtc: &mut Rtc,
    offer: &Offer,
    role: PeerRole,
) -> Result<(Description, Vec<String>), NegotiateError> {
    let mut description = Description {
        sections: Vec::with_capacity(offer.sections.len()),
        has_reduced_size_rtcp: offer.sections.iter().all(|section| section.has_reduced_size_rtcp),
        allows_mixed_extensions: offer.allows_mixed_extensions,
        cname: String::new(),
    };
    let mut replaced = Vec::new();
    for offered in &offer.sections {
        let mid = str0m::media::Mid::from(offered.mid.0.as_str());
        let lost = || NegotiateError::Malformed(format!("section {} was not taken", offered.mid.0));
        let media = rtc.media(mid).ok_or_else(lost)?;
        replaced.extend([media.stream_id().to_owned(), media.cname().to_owned()]);
        let formats: Vec<Format> = rtc
            .codec_config()
            .params()
            .iter()
            .filter(|params| media.remote_pts().contains(&params.pt()))
            .filter_map(|params| format(params, offered))
            .filter(|format| codec_kind(format.codec) == offered.kind)
            .collect();
        let mut extensions = ExtensionIds::default();
        for (id, extension) in media.remote_extmap().iter_by_media_type(offered.kind == MediaKind::Audio) {
            if let Some(kind) = ExtensionKind::ALL.into_iter().find(|kind| kind.uri() == extension.as_uri()) {
                extensions.set(kind, id);
            }
        }
        if formats.is_empty() {
            return Err(lost());
        }
        let role = match role {
            PeerRole::Publisher => {
                SectionRole::Ingress { rids: offered.rids.clone(), ssrcs: offered.ssrcs.clone() }
            }
            PeerRole::Subscriber => egress(rtc, mid).ok_or_else(lost)?,
        };
        description.sections.push(Section {
            mid: offered.mid,
            kind: offered.kind,
            role,
            formats,
            extensions,
        });
        rtc.direct_api().remove_media(mid);
    }
    Ok((description, replaced))
}

fn egress(rtc: &mut Rtc, mid: str0m::media::Mid) -> Option<SectionRole> {
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, None)?;
    Some(SectionRole::Egress { ssrc: Ssrc(*stream.ssrc()), rtx_ssrc: stream.rtx().map(|ssrc| Ssrc(*ssrc)) })
}

fn codec_kind(codec: Codec) -> MediaKind {
    match codec {
        Codec::Opus => MediaKind::Audio,
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1 => MediaKind::Video,
    }
}

/// Profile and level where an offer says nothing: baseline, level 1 (RFC 6184, section 8.1).
const H264_PROFILE_DEFAULT: u32 = 0x42_000a;

fn format(params: &PayloadParams, section: &OfferedSection) -> Option<Format> {
    let payload_type = PayloadType(*params.pt());
    let offered = section.formats.iter().find(|format| format.payload_type == payload_type)?;
    let parameters = params.spec().format;
    let (codec, profile) = match params.spec().codec {
        str0m::format::Codec::Opus => (Codec::Opus, Profile::Any),
        str0m::format::Codec::Vp8 => (Codec::Vp8, Profile::Any),
        str0m::format::Codec::Vp9 => (Codec::Vp9, Profile::Number(parameters.profile_id.unwrap_or(0) as u8)),
        str0m::format::Codec::Av1 => (Codec::Av1, Profile::Number(parameters.profile.unwrap_or(0))),
        str0m::format::Codec::H264 => {
            let profile_level_id = parameters.profile_level_id.unwrap_or(H264_PROFILE_DEFAULT);
            let packetization_mode = parameters.packetization_mode.unwrap_or(0);
            (Codec::H264, Profile::H264 { profile_level_id, packetization_mode })
        }
        str0m::format::Codec::H265 => {
            let number = |name, default| {
                let value = offer::parameter(&offered.parameters, name);
                value.map_or(Some(default), |value| value.parse().ok())
            };
            let (profile_id, tier_flag) = (number("profile-id", 1)?, number("tier-flag", 0)?);
            (Codec::H265, Profile::H265 { profile_id, tier_flag })
        }
        _ => return None,
    };
    Some(Format {
        codec,
        profile,
        payload_type,
        rtx: params.resend().map(|rtx| PayloadType(*rtx)),
        // Not told to str0m, which would choose a payload type of its own.
        red: offered.red.map(|red| red.payload_type),
        clock_rate_hz: if codec == Codec::Opus { 48_000 } else { 90_000 },
        feedback: Feedback {
            nack: params.fb_nack(),
            pli: params.fb_pli(),
            fir: params.fb_fir(),
            transport_cc: params.fb_transport_cc(),
            remb: params.fb_remb(),
        },
    })
}

#[cfg(test)]
#[path = "negotiate/tests.rs"]
mod tests;
