//! Makes str0m's answer ours: our candidates, our media streams, and the attributes that str0m leaves out.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::PeerRole;
use super::offer::{Offer, OfferedFormat};

/// Type preference of a host candidate (RFC 8445, section 5.1.2.2).
const HOST_PREFERENCE: u32 = 126;

/// What is put into the answer.
pub(super) struct Edits<'a> {
    pub(super) offer: &'a Offer,
    pub(super) role: PeerRole,
    pub(super) candidates: &'a [SocketAddr],
    /// Stream ids and canonical names that str0m made, each of which becomes `stream`.
    pub(super) replaced: &'a [String],
    /// The name of the first media stream, and its canonical name.
    pub(super) stream: &'a str,
}

/// str0m's answer, edited.
pub(super) fn edit(answer: &str, edits: &Edits<'_>) -> String {
    let mut sdp = String::with_capacity(answer.len() + 1024);
    let mut section = 0;
    let mut stream = edits.stream.to_owned();
    for line in answer.lines() {
        let is_section = line.starts_with("m=");
        if is_section {
            stream = stream_of(edits, section);
        }
        section += usize::from(is_section);
        if !is_kept(line, edits) {
            continue;
        }
        if line.starts_with("a=msid-semantic:") {
            push_line(&mut sdp, &format!("a=msid-semantic: WMS {}", edits.stream));
            continue;
        }
        let mut line = line.to_owned();
        // One canonical name for all, as all leave on one clock (RFC 3550, section 6.5.1).
        let name = if line.contains(" cname:") { edits.stream } else { &stream };
        for replaced in edits.replaced {
            line = line.replace(replaced.as_str(), name);
        }
        let offered = edits.offer.sections.get(section.wrapping_sub(1));
        if let Some(offered) = offered.filter(|_| is_section) {
            line = with_redundancy(&line, &offered.formats);
        }
        push_line(&mut sdp, &line);
        for red in offered.into_iter().flat_map(|offered| redundancy_of(&line, &offered.formats)) {
            push_line(&mut sdp, &red);
        }
        if let Some(offered) = offered.filter(|_| line == "a=rtcp-mux") {
            if offered.has_reduced_size_rtcp {
                push_line(&mut sdp, "a=rtcp-rsize");
            }
            if offered.measures_round_trip {
                push_line(&mut sdp, "a=rtcp-xr:rcvr-rtt=all");
            }
        }
        if section == 1 && line.starts_with("c=") {
            push_candidates(&mut sdp, edits.candidates);
        }
    }
    sdp
}

/// A line of a media section with the payload types of redundancy, each on the side of its format where the
/// offer had it.
fn with_redundancy(line: &str, formats: &[OfferedFormat]) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for format in formats {
        let media = format.payload_type.0.to_string();
        // Behind the kind, the port and the protocol.
        let place = words.iter().skip(3).position(|word| *word == media).map(|place| place + 3);
        if let (Some(red), Some(place)) = (format.red, place) {
            let place = if red.is_preferred { place } else { place + 1 };
            words.insert(place, red.payload_type.0.to_string());
        }
    }
    words.join(" ")
}

/// What is said of the redundancy of a format, behind the line that maps it (RFC 2198, section 5).
fn redundancy_of(line: &str, formats: &[OfferedFormat]) -> Option<String> {
    let mapped = line.strip_prefix("a=rtpmap:")?.split(' ').next()?.parse::<u8>().ok()?;
    let format = formats.iter().find(|format| format.payload_type.0 == mapped)?;
    let red = format.red?.payload_type.0;
    Some(format!("a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {mapped}/{mapped}"))
}

/// The stream of a section. The first audio and the first video are one stream (WHEP wants one msid for
/// them), the second ones another: browsers keep one pair of each stream in lip sync.
fn stream_of(edits: &Edits<'_>, section: usize) -> String {
    let sections = &edits.offer.sections;
    let kind = sections.get(section).map(|offered| offered.kind);
    let before = sections.iter().take(section).filter(|earlier| Some(earlier.kind) == kind).count();
    match before {
        0 => edits.stream.to_owned(),
        _ => format!("{}-{}", edits.stream, before + 1),
    }
}

fn is_kept(line: &str, edits: &Edits<'_>) -> bool {
    let is_publisher = edits.role == PeerRole::Publisher;
    match line {
        "a=extmap-allow-mixed" => edits.offer.allows_mixed_extensions,
        _ if line.starts_with("a=candidate:") || line == "a=end-of-candidates" => false,
        // We send a publisher nothing, so there is no stream to name.
        _ if line.starts_with("a=msid") => !is_publisher,
        _ => true,
    }
}

/// Our addresses, best first: clients that take only one take the first (FFmpeg does).
fn push_candidates(sdp: &mut String, candidates: &[SocketAddr]) {
    for (at, address) in candidates.iter().enumerate() {
        let local_preference = 65_535 - at as u32;
        let priority = HOST_PREFERENCE << 24 | local_preference << 8 | 255;
        let (ip, port) = (address.ip(), address.port());
        push_line(sdp, &format!("a=candidate:{} 1 udp {priority} {ip} {port} typ host", at + 1));
    }
    push_line(sdp, "a=end-of-candidates");
}

fn push_line(sdp: &mut String, line: &str) {
    write!(sdp, "{line}\r\n").expect("a string takes what it is given");
}
