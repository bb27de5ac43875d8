//! The answer that accepts everything: each section of the offer mirrored, with our own transport in it.
//!
//! The server's negotiator makes that transport from a plain Opus section with the peer's credentials, so
//! that ICE, DTLS and SRTP are those of the server whatever the offer has in it.

use std::net::SocketAddr;
use std::time::Instant;

use dataplane::id::ShardId;
use dataplane::media::format::ExtensionKind;
use dataplane::transport::Transport;
use dataplane::transport::negotiate::{AnswerSettings, Negotiator, PeerRole};

/// Attributes that a mirrored section takes over as they are.
const MIRRORED: [&str; 5] = ["a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=rtcp-rsize"];
/// Attributes of our transport that every section repeats.
const OF_TRANSPORT: [&str; 4] = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"];

/// An accepted publisher.
pub(crate) struct Accepted {
    /// The answer.
    pub(crate) answer: String,
    /// The transport behind it.
    pub(crate) transport: Box<Transport>,
    /// The id of the transport-wide sequence number.
    pub(crate) transport_cc: Option<u8>,
}

/// Accepts all of `offer`; media is to come to `local`.
pub(crate) fn accept(offer: &str, local: SocketAddr, now: Instant) -> Result<Accepted, String> {
    let negotiator = Negotiator::new(now).map_err(|error| error.to_string())?;
    let settings = AnswerSettings { role: PeerRole::Publisher, shard: ShardId(0), candidates: &[local] };
    let answered =
        negotiator.answer(&plain_offer(offer), &settings, now).map_err(|error| error.to_string())?;
    Ok(Accepted {
        answer: mirrored(offer, &answered.sdp),
        transport: answered.transport,
        transport_cc: extension_id(offer, ExtensionKind::TransportCc),
    })
}

/// An offer of nothing but Opus, with the credentials of `offer`.
fn plain_offer(offer: &str) -> String {
    let mut plain = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\n"
        .to_owned();
    for line in OF_TRANSPORT.iter().filter_map(|start| first(offer, start)) {
        plain.extend([line, "\r\n"]);
    }
    plain
}

fn mirrored(offer: &str, ours: &str) -> String {
    let session = ours.lines().take_while(|line| !line.starts_with("m="));
    let mut answer: Vec<String> =
        session.filter(|line| !line.starts_with("a=group:")).map(str::to_owned).collect();
    // Without two-byte extensions a browser leaves long ones out, the dependency descriptor first of all.
    let of_session = ["a=group:BUNDLE", "a=extmap-allow-mixed"];
    answer.extend(of_session.iter().filter_map(|start| first(offer, start)).map(str::to_owned));
    let candidates: Vec<&str> = ours.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    let mut in_section = false;
    for line in offer.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            in_section = true;
            let mut words: Vec<&str> = media.split(' ').collect();
            words[1] = "9";
            answer.extend([format!("m={}", words.join(" ")), "c=IN IP4 0.0.0.0".to_owned()]);
            answer.extend(OF_TRANSPORT.iter().filter_map(|start| first(ours, start)).map(str::to_owned));
            answer.extend(candidates.iter().map(|line| (*line).to_owned()));
            answer.extend(["a=end-of-candidates", "a=rtcp-mux", "a=recvonly"].map(str::to_owned));
        } else if in_section {
            answer.extend(mirrored_line(line));
        }
    }
    answer.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect()
}

/// What a line of an offered section becomes, if it is answered at all.
fn mirrored_line(line: &str) -> Option<String> {
    if line.starts_with("a=extmap:") {
        // One that the peer only receives is of no use here.
        return (!line.contains("/recvonly ")).then(|| line.replace("/sendonly ", "/recvonly "));
    }
    if line.starts_with("a=rid:") || line.starts_with("a=simulcast:") {
        return Some(line.replacen("send", "recv", 1));
    }
    MIRRORED.iter().any(|start| line.starts_with(start)).then(|| line.to_owned())
}

fn first<'a>(sdp: &'a str, start: &str) -> Option<&'a str> {
    sdp.lines().find(|line| line.starts_with(start))
}

fn extension_id(offer: &str, kind: ExtensionKind) -> Option<u8> {
    let line = offer.lines().find(|line| line.starts_with("a=extmap:") && line.ends_with(kind.uri()))?;
    line.strip_prefix("a=extmap:")?.split([' ', '/']).next()?.parse().ok()
}

/// The offer as it is kept: without the addresses of the machine that recorded it.
pub(crate) fn tidied(offer: &str) -> String {
    let kept = offer.lines().filter(|line| !line.starts_with("a=candidate:"));
    let plain = kept.map(|line| if line.starts_with("c=IN") { "c=IN IP4 0.0.0.0" } else { line });
    plain.flat_map(|line| [line, "\r\n"]).collect()
}
