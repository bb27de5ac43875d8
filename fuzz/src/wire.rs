//! What every datagram meets first: protocols, STUN, RTP headers and their extensions.

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::hmac;
use dataplane::counters::DropReason;
use dataplane::limits::DATAGRAM_SIZE_BYTES_MAX;
use dataplane::transport::Transport;
use dataplane::transport::description::Description;
use dataplane::transport::path::Path;
use dataplane::wire::classify::Protocol;
use dataplane::wire::extension::{self, Elements, ExtensionWriter, Form};
use dataplane::wire::rtp::{self, RtpHeader};
use dataplane::wire::stun;

const STUN_HEADER_LEN: usize = 20;
const UFRAG: &str = "0003aaaaaaaaaaaaaaaa";
const PASSWORD: &str = "a password that no input can know";

/// Protocols of one port: what is too large is refused, and the first two bytes say the rest (RFC 7983).
pub fn classify(bytes: &[u8]) {
    let protocol = dataplane::wire::classify::classify(bytes);
    let expected = match bytes {
        [] => Err(DropReason::BadSize),
        _ if bytes.len() > DATAGRAM_SIZE_BYTES_MAX => Err(DropReason::BadSize),
        [first, ..] if *first < 4 => Ok(Protocol::Stun),
        [first, ..] if (20..64).contains(first) => Ok(Protocol::Dtls),
        [first, second, ..] if first / 64 == 2 && second / 32 == 6 => Ok(Protocol::Rtcp),
        [first, _, ..] if first / 64 == 2 => Ok(Protocol::Rtp),
        _ => Err(DropReason::UnknownProtocol),
    };
    assert_eq!(protocol, expected);
}

/// STUN binding requests: attributes stay within the request, the username fragment is the one that a naive
/// reading finds, what is not signed changes nothing, and what is signed is taken.
pub fn stun(bytes: &[u8]) {
    let mut end = STUN_HEADER_LEN;
    for (_, at, value) in stun::binding_request(bytes).into_iter().flatten() {
        assert_eq!(at, end, "attributes stand one behind the other");
        assert_eq!(&bytes[at + 4..][..value.len()], value);
        end = at + 4 + value.len().next_multiple_of(4);
        assert!(end <= bytes.len());
    }
    let ufrag = stun::local_ufrag(bytes);
    assert_eq!(ufrag.ok(), naive_ufrag(bytes));

    let now = Instant::now();
    let mut transport = Transport::replay(Description::default(), UFRAG, PASSWORD, now);
    let addresses: [SocketAddr; 2] = [([10, 0, 0, 1], 7000).into(), ([10, 0, 0, 2], 4000).into()];
    let path = Path { local: addresses[0], remote: addresses[1] };
    assert!(transport.handle_stun(path, bytes, now).is_err(), "nobody knows the password");
    assert!(transport.paths().is_empty() && !transport.is_connected() && transport.poll_transmit().is_none());

    let Some(signed) = signed(bytes) else { return };
    let change = transport.handle_stun(path, &signed, now);
    assert_eq!(change.is_ok(), stun::local_ufrag(&signed) == Ok(UFRAG), "{change:?}");
    if change.is_ok() {
        let response = transport.poll_transmit().expect("a request is answered").bytes;
        assert!(response.len() <= signed.len() * 3 / 2, "an answer does not amplify");
        assert_eq!(response[4..STUN_HEADER_LEN], signed[4..STUN_HEADER_LEN], "the same transaction");
    }
}

/// The username fragment of a binding request, looked for by offsets.
fn naive_ufrag(bytes: &[u8]) -> Option<&str> {
    let number = |at: usize| Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?));
    let is_request = number(0)? == 1 && bytes.get(4..8)? == [0x21, 0x12, 0xa4, 0x42];
    let is_whole = bytes.len() >= STUN_HEADER_LEN && number(2)? == bytes.len() - STUN_HEADER_LEN;
    if !is_request || !is_whole || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let mut at = STUN_HEADER_LEN;
    while at < bytes.len() {
        let (kind, len) = (number(at)?, number(at + 2)?);
        let value = bytes.get(at + 4..at + 4 + len)?;
        match kind {
            0x0006 => {
                let colon = value.iter().position(|byte| *byte == b':')?;
                let ufrag = std::str::from_utf8(value).ok()?.get(..colon)?;
                return (1..=256).contains(&ufrag.len()).then_some(ufrag);
            }
            0x0008 | 0x001c => return None,
            _ => at += 4 + len.next_multiple_of(4),
        }
    }
    None
}

/// The attributes of a request before its signature, signed with the password of the transport; the username
/// fragment `UFRAG` is put in front if there is no username.
fn signed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut request = bytes.get(..STUN_HEADER_LEN)?.to_vec();
    let attributes = stun::binding_request(bytes)?;
    let unsigned: Vec<_> = attributes.take_while(|(kind, ..)| !matches!(kind, 0x0008 | 0x001c)).collect();
    if !unsigned.iter().any(|(kind, ..)| *kind == stun::USERNAME) {
        let username = format!("{UFRAG}:abc");
        request.extend(stun::USERNAME.to_be_bytes());
        request.extend((username.len() as u16).to_be_bytes());
        request.extend(username.as_bytes());
    }
    for (kind, _, value) in unsigned {
        request.extend(kind.to_be_bytes());
        request.extend((value.len() as u16).to_be_bytes());
        request.extend(value);
        request.resize(request.len().next_multiple_of(4), 0);
    }
    sign(&mut request, PASSWORD);
    Some(request)
}

/// Appends a MESSAGE-INTEGRITY to a request (RFC 8489, section 14.5).
pub(crate) fn sign(request: &mut Vec<u8>, password: &str) {
    const ATTRIBUTE_LEN: usize = 24;
    let len = request.len() + ATTRIBUTE_LEN - STUN_HEADER_LEN;
    request[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, request);
    request.extend(stun::MESSAGE_INTEGRITY.to_be_bytes());
    request.extend([0, 20]);
    request.extend(tag.as_ref());
}

/// RTP headers and padding: positions stay within the packet, and a header that is written anew reads as the
/// one that was read.
pub fn rtp(bytes: &[u8]) {
    let Ok(header) = RtpHeader::parse(bytes) else { return };
    let payload = &bytes[header.len..];
    if let Ok(len) = rtp::padding_len(payload) {
        assert!((1..=payload.len()).contains(&len));
        assert_eq!(usize::from(payload[payload.len() - 1]), len);
    }
    let mut out = [0; rtp::FIXED_HEADER_LEN];
    let RtpHeader { marker, payload_type, sequence_number, timestamp, ssrc, .. } = header;
    let len = rtp::write_header(&mut out, marker, payload_type, sequence_number, timestamp, ssrc);
    let plain = RtpHeader { has_padding: false, extension: None, len, ..header.clone() };
    assert_eq!(RtpHeader::parse(&out), Ok(plain));

    let Some((profile, elements)) = header.extension else { return };
    let csrcs_len = 4 * usize::from(bytes[0] & 0x0f);
    assert_eq!((elements.start, elements.end), (16 + csrcs_len, header.len));
    read_elements(profile, &bytes[elements]);
}

/// Header extension elements, in both forms.
pub fn extension(bytes: &[u8]) {
    read_elements(extension::ONE_BYTE_PROFILE, bytes);
    read_elements(extension::TWO_BYTE_PROFILE, bytes);
}

/// What is read fits into its block, and reads the same after it was written anew.
fn read_elements(profile: u16, block: &[u8]) {
    let elements: Vec<(u8, &[u8])> = Elements::new(profile, block).collect();
    let is_one_byte = profile == extension::ONE_BYTE_PROFILE;
    let header_len = if is_one_byte { 1 } else { 2 };
    let len: usize = elements.iter().map(|(_, data)| header_len + data.len()).sum();
    assert!(len <= block.len());

    let form = if is_one_byte { Form::OneByte } else { Form::TwoByte };
    let mut out = vec![0xff; 4 + len.next_multiple_of(4)];
    let mut writer = ExtensionWriter::new(&mut out, form);
    let words_max = usize::from(u16::MAX);
    for (id, data) in &elements {
        assert!(form >= Form::needed_for(*id, data.len()));
        assert!(writer.push(*id, data) || len > 4 * words_max, "what was read can be written");
    }
    let written = writer.finish();
    assert_eq!(written, if elements.is_empty() { 0 } else { out.len() });
    if written > 0 {
        let words = usize::from(u16::from_be_bytes([out[2], out[3]]));
        assert_eq!(4 + 4 * words, written);
        let profile = u16::from_be_bytes([out[0], out[1]]);
        assert!(Elements::new(profile, &out[4..]).eq(elements));
    }
}
