//! Reads what Sluice wants to know of an SDP offer (RFC 8866, RFC 8829), and nothing else.
//!
//! What is not understood is not kept: str0m is later given an offer that is written anew from what was
//! kept (`canonical.rs`), so nothing of the peer's text reaches it unread.
#![forbid(unsafe_code)]

use super::NegotiateError;
use super::canonical::means_the_same;
use crate::id::{Mid, PayloadType, Rid, Ssrc, Token};
use crate::limits::{
    ENCODINGS_PER_TRACK_MAX, FORMATS_PER_SECTION_MAX, SDP_SIZE_BYTES_MAX, SECTIONS_PER_OFFER_MAX,
};
use crate::media::format::{Codec, ExtensionIds, ExtensionKind, Feedback, MediaKind};

/// SSRCs of one section that are kept: a media and a retransmission SSRC for each encoding.
const SSRCS_PER_SECTION_MAX: usize = 2 * ENCODINGS_PER_TRACK_MAX;
/// The largest extension id that str0m negotiates.
const EXTENSION_ID_MAX: u8 = 16;
/// Payload types that cannot be told from RTCP packet types (RFC 5761, section 4).
const RTCP_CONFLICT: std::ops::RangeInclusive<u8> = 64..=95;

/// The DTLS role that the peer offers (RFC 8842, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    ActPass,
    Active,
    Passive,
}

/// An offer.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) fingerprint: [u8; 32],
    pub(super) setup: Setup,
    pub(super) allows_mixed_extensions: bool,
    pub(super) sections: Vec<OfferedSection>,
}

/// The direction attribute of a section, as the peer wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// One media section.
#[derive(Debug)]
pub(super) struct OfferedSection {
    pub(super) kind: MediaKind,
    pub(super) mid: Mid,
    pub(super) direction: Direction,
    pub(super) formats: Vec<OfferedFormat>,
    /// The names of all codecs, supported or not, for the error that names them.
    pub(super) codec_names: Vec<String>,
    pub(super) extensions: ExtensionIds,
    pub(super) has_reduced_size_rtcp: bool,
    /// It wants its round trip measured although it sends nothing (RFC 3611, section 5).
    pub(super) measures_round_trip: bool,
    pub(super) rids: Vec<Rid>,
    pub(super) ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
}

/// One supported format of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfferedFormat {
    pub(super) codec: Codec,
    pub(super) payload_type: PayloadType,
    pub(super) rtx: Option<PayloadType>,
    pub(super) red: Option<OfferedRed>,
    /// The parameters of `a=fmtp`, or nothing.
    pub(super) parameters: String,
    pub(super) feedback: Feedback,
}

/// Redundancy of a format (RFC 2198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfferedRed {
    pub(super) payload_type: PayloadType,
    /// It stands before its format in the offer: the peer would rather have it.
    pub(super) is_preferred: bool,
}

/// Lines of the session or of one section, each without `a=` where it is an attribute.
#[derive(Debug, Default)]
struct Block<'a> {
    media: &'a str,
    attributes: Vec<&'a str>,
}

impl<'a> Block<'a> {
    /// The values of `name:value` attributes.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.attributes
            .iter()
            .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }

    fn has(&self, flag: &str) -> bool {
        self.attributes.contains(&flag)
    }
}

fn malformed(why: impl Into<String>) -> NegotiateError {
    NegotiateError::Malformed(why.into())
}

fn unacceptable(why: impl Into<String>) -> NegotiateError {
    NegotiateError::Unacceptable(why.into())
}

impl Offer {
    /// Reads an offer.
    pub(super) fn parse(text: &str) -> Result<Self, NegotiateError> {
        let (session, blocks) = split(text)?;
        if session.has("ice-lite") {
            return Err(unacceptable("both sides are ICE-lite: nobody would check connectivity"));
        }
        check_bundle(&session, &blocks)?;
        let mut sections = Vec::with_capacity(blocks.len());
        for block in &blocks {
            sections.push(OfferedSection::parse(block)?);
        }
        check_unique(&sections)?;
        Ok(Self {
            fingerprint: fingerprint(&session, &blocks)?,
            setup: setup(&session, &blocks)?,
            allows_mixed_extensions: session.has("extmap-allow-mixed")
                || blocks.iter().all(|block| block.has("extmap-allow-mixed")),
            sections,
        })
    }
}

fn split(text: &str) -> Result<(Block<'_>, Vec<Block<'_>>), NegotiateError> {
    if text.len() > SDP_SIZE_BYTES_MAX {
        return Err(malformed(format!("more than {SDP_SIZE_BYTES_MAX} bytes")));
    }
    if !text.starts_with("v=0") {
        return Err(malformed("it does not start with v=0"));
    }
    let mut session = Block::default();
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            if blocks.len() >= SECTIONS_PER_OFFER_MAX {
                return Err(unacceptable(format!("more than {SECTIONS_PER_OFFER_MAX} media sections")));
            }
            blocks.push(Block { media, attributes: Vec::new() });
        } else if let Some(attribute) = line.strip_prefix("a=") {
            blocks.last_mut().unwrap_or(&mut session).attributes.push(attribute);
        }
    }
    if blocks.is_empty() {
        return Err(unacceptable("there is no media section"));
    }
    Ok((session, blocks))
}

/// There is one transport, so all sections must be in one bundle (RFC 9143).
fn check_bundle(session: &Block<'_>, blocks: &[Block<'_>]) -> Result<(), NegotiateError> {
    let groups: Vec<&str> =
        session.values("group").filter_map(|group| group.strip_prefix("BUNDLE")).collect();
    let is_bundled =
        |mid: &str| groups.iter().any(|group| group.split_whitespace().any(|member| member == mid));
    let are_bundled = blocks.iter().all(|block| block.values("mid").next().is_some_and(is_bundled));
    if blocks.len() > 1 && !(groups.len() == 1 && are_bundled) {
        return Err(unacceptable("the media sections are not in one BUNDLE group"));
    }
    Ok(())
}

/// Within a bundle, a mid and a payload type mean one thing (RFC 9143, sections 7.2 and 9.1).
fn check_unique(sections: &[OfferedSection]) -> Result<(), NegotiateError> {
    let mut meanings: [Option<(Codec, &str, bool)>; 128] = [None; 128];
    for (at, section) in sections.iter().enumerate() {
        if sections[..at].iter().any(|earlier| earlier.mid == section.mid) {
            return Err(malformed(format!("two sections have the mid {}", section.mid.0)));
        }
        for format in &section.formats {
            check_one_payload_type(&sections[..at], section, format)?;
            let parameters = format.parameters.as_str();
            let media = (format.payload_type, (format.codec, parameters, false));
            let rtx = format.rtx.map(|rtx| (rtx, (format.codec, parameters, true)));
            let red = format.red.map(|red| (red.payload_type, (format.codec, "red", true)));
            for (payload_type, meaning) in [media].into_iter().chain(rtx).chain(red) {
                let known = meanings[usize::from(payload_type.0)].get_or_insert(meaning);
                if *known != meaning {
                    return Err(malformed(format!("payload type {} means two things", payload_type.0)));
                }
            }
        }
    }
    Ok(())
}

/// The other way round is legal, but str0m cannot answer it: it knows one payload type for a format.
fn check_one_payload_type(
    earlier: &[OfferedSection],
    section: &OfferedSection,
    format: &OfferedFormat,
) -> Result<(), NegotiateError> {
    for known in earlier {
        let other = known.formats.iter().find(|other| means_the_same(other, format));
        if let Some(other) = other.filter(|other| other.payload_type != format.payload_type) {
            return Err(unacceptable(format!(
                "{} has payload type {} in section {} and {} in section {}: give it the same in both",
                format.codec.name(),
                other.payload_type.0,
                known.mid.0,
                format.payload_type.0,
                section.mid.0
            )));
        }
    }
    Ok(())
}

/// One certificate, named by its SHA-256 (RFC 8122, section 5; docs/SECURITY.md T7).
fn fingerprint(session: &Block<'_>, blocks: &[Block<'_>]) -> Result<[u8; 32], NegotiateError> {
    let mut found = None;
    for value in blocks.iter().chain([session]).flat_map(|block| block.values("fingerprint")) {
        let Some((hash, digits)) = value.split_once(' ') else { continue };
        if !hash.eq_ignore_ascii_case("sha-256") {
            continue;
        }
        let bytes =
            parse_fingerprint(digits.trim()).ok_or_else(|| malformed("a=fingerprint is no SHA-256"))?;
        if *found.get_or_insert(bytes) != bytes {
            return Err(unacceptable("the media sections have different fingerprints"));
        }
    }
    found.ok_or_else(|| unacceptable("there is no a=fingerprint with sha-256"))
}

fn parse_fingerprint(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut pairs = digits.split(':');
    for byte in &mut bytes {
        let pair =
            pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}

fn setup(session: &Block<'_>, blocks: &[Block<'_>]) -> Result<Setup, NegotiateError> {
    let value = blocks.iter().chain([session]).find_map(|block| block.values("setup").next());
    match value {
        Some("actpass") => Ok(Setup::ActPass),
        Some("active") => Ok(Setup::Active),
        Some("passive") => Ok(Setup::Passive),
        Some(other) => Err(unacceptable(format!("a=setup:{other} is no role to offer"))),
        None => Err(unacceptable("there is no a=setup")),
    }
}

impl OfferedSection {
    fn parse(block: &Block<'_>) -> Result<Self, NegotiateError> {
        let mut words = block.media.split_whitespace();
        let kind = match words.next() {
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            Some("application") => {
                return Err(unacceptable("data channels are not forwarded: leave out m=application"));
            }
            other => return Err(unacceptable(format!("m={} is not forwarded", other.unwrap_or_default()))),
        };
        let port = words.next().unwrap_or_default();
        let proto = words.next().unwrap_or_default();
        if !matches!(proto, "UDP/TLS/RTP/SAVPF" | "UDP/TLS/RTP/SAVP" | "TCP/DTLS/RTP/SAVPF" | "RTP/SAVPF") {
            return Err(unacceptable(format!("the protocol {proto} is not spoken")));
        }
        let mid = block.values("mid").next().and_then(|mid| Token::new(mid.as_bytes()));
        let mid =
            Mid(mid.ok_or_else(|| malformed("a media section has no mid, or one of more than 16 bytes"))?);
        if port == "0" && !block.has("bundle-only") {
            return Err(unacceptable(format!("section {} is offered as rejected (port 0)", mid.0)));
        }
        if !block.has("rtcp-mux") {
            return Err(unacceptable(format!("section {} does not offer rtcp-mux", mid.0)));
        }
        let (formats, codec_names) = formats(block, kind, words)?;
        Ok(Self {
            kind,
            mid,
            direction: direction(block),
            formats,
            codec_names,
            extensions: extensions(block),
            has_reduced_size_rtcp: block.has("rtcp-rsize"),
            measures_round_trip: block.values("rtcp-xr").any(|formats| formats.contains("rcvr-rtt")),
            rids: rids(block)?,
            ssrcs: ssrcs(block),
        })
    }
}

fn direction(block: &Block<'_>) -> Direction {
    let all = [Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    all.into_iter().find(|direction| block.has(direction.name())).unwrap_or(Direction::SendRecv)
}

/// The supported formats of `block` in the order of its m-line, and the names of all codecs.
fn formats<'a>(
    block: &Block<'a>,
    kind: MediaKind,
    payload_types: impl Iterator<Item = &'a str>,
) -> Result<(Vec<OfferedFormat>, Vec<String>), NegotiateError> {
    let mut formats: Vec<OfferedFormat> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for payload_type in payload_types.take(FORMATS_PER_SECTION_MAX) {
        let payload_type = parse_payload_type(payload_type)?;
        let Some((name, clock)) =
            of_payload_type(block, "rtpmap", payload_type).next().and_then(|m| m.split_once('/'))
        else {
            continue;
        };
        let is_shown =
            !["rtx", "red", "ulpfec", "telephone-event", "CN"].iter().any(|n| name.eq_ignore_ascii_case(n));
        if is_shown && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
        let Some(codec) = codec(kind, name, clock).filter(|_| !RTCP_CONFLICT.contains(&payload_type.0))
        else {
            continue;
        };
        let format = OfferedFormat {
            codec,
            payload_type,
            rtx: rtx_of(block, payload_type)?,
            red: red_of(block, codec, payload_type),
            parameters: of_payload_type(block, "fmtp", payload_type).next().unwrap_or_default().to_owned(),
            feedback: feedback(block, payload_type),
        };
        if !is_understood(&format) {
            continue;
        }
        if !formats.iter().any(|known| means_the_same(known, &format)) {
            formats.push(format);
        }
    }
    Ok((formats, names))
}

fn codec(kind: MediaKind, name: &str, clock: &str) -> Option<Codec> {
    let known: &[(Codec, &str)] = match kind {
        MediaKind::Audio => &[(Codec::Opus, "48000/2")],
        MediaKind::Video => {
            &[Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1, Codec::H265].map(|codec| (codec, "90000"))
        }
    };
    let is_match =
        |(codec, expected): &&(Codec, &str)| codec.name().eq_ignore_ascii_case(name) && clock == *expected;
    known.iter().find(is_match).map(|(codec, _)| *codec)
}

/// Whether packets of a format can be read. H.265 with decoding order numbers or over several streams cannot
/// (RFC 7798, section 7.1).
fn is_understood(format: &OfferedFormat) -> bool {
    let value = |name| parameter(&format.parameters, name);
    format.codec != Codec::H265
        || (value("sprop-max-don-diff").is_none_or(|value| value == "0")
            && value("tx-mode").is_none_or(|mode| mode.eq_ignore_ascii_case("SRST")))
}

/// The value of a parameter of `a=fmtp`.
pub(super) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn parse_payload_type(text: &str) -> Result<PayloadType, NegotiateError> {
    let value = text.parse().ok().filter(|value| *value < 128);
    value
        .map(PayloadType)
        .ok_or_else(|| malformed(format!("{:.20} is no payload type", text.escape_debug().to_string())))
}

/// What `a=name:PT value` says of one payload type.
fn of_payload_type<'a>(
    block: &Block<'a>,
    name: &'static str,
    payload_type: PayloadType,
) -> impl Iterator<Item = &'a str> {
    block.values(name).filter_map(move |value| {
        let (number, rest) = value.split_once(' ')?;
        (number.parse() == Ok(payload_type.0)).then_some(rest.trim())
    })
}

/// The payload type whose `apt` is `media` (RFC 4588, section 8.1).
fn rtx_of(block: &Block<'_>, media: PayloadType) -> Result<Option<PayloadType>, NegotiateError> {
    for value in block.values("fmtp") {
        let Some((number, parameters)) = value.split_once(' ') else { continue };
        let mut pairs = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
        if !pairs.any(|(name, value)| name == "apt" && value.parse() == Ok(media.0)) {
            continue;
        }
        let rtx = parse_payload_type(number)?;
        let is_rtx =
            of_payload_type(block, "rtpmap", rtx).any(|map| map.to_ascii_lowercase().starts_with("rtx/"));
        if is_rtx && !RTCP_CONFLICT.contains(&rtx.0) && rtx != media {
            return Ok(Some(rtx));
        }
    }
    Ok(None)
}

/// The payload type of redundant payloads that hold nothing but `media` (RFC 2198, section 5).
fn red_of(block: &Block<'_>, codec: Codec, media: PayloadType) -> Option<OfferedRed> {
    if codec != Codec::Opus {
        return None;
    }
    let order: Vec<u8> =
        block.media.split_whitespace().skip(3).filter_map(|number| number.parse().ok()).collect();
    let place = |payload_type: u8| order.iter().position(|known| *known == payload_type);
    block.values("rtpmap").find_map(|value| {
        let (number, map) = value.split_once(' ')?;
        let payload_type = parse_payload_type(number).ok()?;
        let mut inner = of_payload_type(block, "fmtp", payload_type).next()?.split('/');
        let is_red = map.trim().eq_ignore_ascii_case("red/48000/2")
            && inner.all(|inner| inner.trim().parse() == Ok(media.0))
            && !RTCP_CONFLICT.contains(&payload_type.0)
            && payload_type != media;
        let is_preferred = place(payload_type.0)? < place(media.0)?;
        is_red.then_some(OfferedRed { payload_type, is_preferred })
    })
}

fn feedback(block: &Block<'_>, payload_type: PayloadType) -> Feedback {
    let mut feedback = Feedback::default();
    for value in block.values("rtcp-fb") {
        let Some((number, what)) = value.split_once(' ') else { continue };
        if number != "*" && number.parse() != Ok(payload_type.0) {
            continue;
        }
        match what.trim() {
            "nack" => feedback.nack = true,
            "nack pli" => feedback.pli = true,
            "ccm fir" => feedback.fir = true,
            "transport-cc" => feedback.transport_cc = true,
            "goog-remb" => feedback.remb = true,
            _ => {}
        }
    }
    feedback
}

fn extensions(block: &Block<'_>) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for value in block.values("extmap") {
        let mut words = value.split_whitespace();
        let id = words.next().and_then(|id| id.split('/').next()?.parse::<u8>().ok());
        let Some(id) = id.filter(|id| (1..=EXTENSION_ID_MAX).contains(id)) else { continue };
        let uri = words.next().unwrap_or_default();
        let kind = ExtensionKind::ALL.into_iter().find(|kind| kind.uri() == uri);
        if let Some(kind) = kind.filter(|kind| ids.id(*kind).is_none() && ids.kind(id).is_none()) {
            ids.set(kind, id);
        }
    }
    ids
}

/// The encodings of `a=simulcast:send` in their order, of alternatives the first (RFC 8853, section 5.1).
fn rids(block: &Block<'_>) -> Result<Vec<Rid>, NegotiateError> {
    let Some(list) = block.values("simulcast").find_map(|value| {
        let mut words = value.split_whitespace().skip_while(|word| *word != "send");
        words.nth(1)
    }) else {
        return Ok(Vec::new());
    };
    let mut rids = Vec::new();
    for alternatives in list.trim_start_matches("rid=").split(';') {
        let name = alternatives.split(',').next().unwrap_or_default().trim_start_matches('~');
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let rid = Token::new(name.as_bytes()).filter(|_| is_plain).map(Rid);
        let rid =
            rid.ok_or_else(|| malformed("a=simulcast names a RID that is none, or has more than 16 bytes"))?;
        if rids.contains(&rid) || rids.len() >= ENCODINGS_PER_TRACK_MAX {
            return Err(unacceptable(format!(
                "a=simulcast repeats a RID or has more than {ENCODINGS_PER_TRACK_MAX}"
            )));
        }
        rids.push(rid);
    }
    Ok(rids)
}

/// The media SSRCs that `a=ssrc` names, each with the one that repeats it (RFC 5576, section 4.2).
fn ssrcs(block: &Block<'_>) -> Vec<(Ssrc, Option<Ssrc>)> {
    let repeats: Vec<(Ssrc, Ssrc)> = block
        .values("ssrc-group")
        .filter_map(|group| {
            let mut words = group.strip_prefix("FID ")?.split_whitespace().map_while(parse_ssrc);
            Some((words.next()?, words.next()?))
        })
        .take(SSRCS_PER_SECTION_MAX)
        .collect();
    let mut ssrcs: Vec<(Ssrc, Option<Ssrc>)> = Vec::new();
    for ssrc in block.values("ssrc").filter_map(|line| parse_ssrc(line.split_whitespace().next()?)) {
        let is_repeat = repeats.iter().any(|(_, repeat)| *repeat == ssrc);
        let is_known = ssrcs.iter().any(|(known, _)| *known == ssrc);
        if !is_repeat && !is_known && ssrcs.len() < SSRCS_PER_SECTION_MAX {
            let repeat = repeats.iter().find(|(media, _)| *media == ssrc).map(|(_, repeat)| *repeat);
            ssrcs.push((ssrc, repeat));
        }
    }
    ssrcs
}

fn parse_ssrc(word: &str) -> Option<Ssrc> {
    word.parse().ok().map(Ssrc)
}
