//! Finds whom a STUN binding request is for: the part of USERNAME before the colon is the username
//! fragment that we gave out (RFC 8445, section 7.2.2).
//!
//! This is the key of the demultiplexer, read before anything is verified. The transport that it leads
//! to walks the same attributes and checks MESSAGE-INTEGRITY; this module knows no password and answers nothing.
#![forbid(unsafe_code)]

use super::reader::Reader;
use crate::counters::DropReason;

const BINDING_REQUEST: u16 = 0x0001;
const MAGIC_COOKIE: u32 = 0x2112_a442;
const TRANSACTION_ID_LEN: usize = 12;
/// Attribute types (RFC 8489, section 18.3).
pub const USERNAME: u16 = 0x0006;
/// See [`USERNAME`].
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
/// The longest username fragment (RFC 8445, section 5.3).
const UFRAG_LEN_MAX: usize = 256;

/// The local username fragment in the USERNAME of a binding request (RFC 8489, sections 5 and 14.3).
///
/// # Errors
/// [`DropReason::MalformedStun`] if this is no well-formed binding request, or if no USERNAME of the
/// form `local:remote` stands before its MESSAGE-INTEGRITY.
pub fn local_ufrag(bytes: &[u8]) -> Result<&str, DropReason> {
    username(bytes).and_then(before_colon).ok_or(DropReason::MalformedStun)
}

/// The attributes of a binding request in their order: type, where the attribute begins in `bytes`, value.
/// `None` if this is no whole binding request (RFC 8489, section 5); what is cut short ends the walk.
pub fn binding_request(bytes: &[u8]) -> Option<Attributes<'_>> {
    let mut reader = Reader::new(bytes);
    let is_binding_request = reader.u16()? == BINDING_REQUEST;
    let attributes_len = usize::from(reader.u16()?);
    let has_cookie = reader.u32()? == MAGIC_COOKIE;
    reader.bytes(TRANSACTION_ID_LEN)?;
    let is_whole = attributes_len == reader.rest().len() && attributes_len.is_multiple_of(4);
    (is_binding_request && has_cookie && is_whole).then_some(Attributes { len: bytes.len(), reader })
}

/// See [`binding_request`].
#[derive(Debug)]
pub struct Attributes<'a> {
    /// Bytes of the whole request.
    len: usize,
    reader: Reader<'a>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, usize, &'a [u8]);

    // Each attribute takes four bytes at least, so the size of a datagram bounds the walk.
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.len - self.reader.rest().len();
        let kind = self.reader.u16()?;
        let len = usize::from(self.reader.u16()?);
        let value = self.reader.bytes(len.next_multiple_of(4))?.get(..len)?;
        Some((kind, at, value))
    }
}

fn username(bytes: &[u8]) -> Option<&[u8]> {
    for (kind, _, value) in binding_request(bytes)? {
        match kind {
            USERNAME => return Some(value),
            // What stands behind is not covered by it (RFC 8489, section 14.5).
            MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => return None,
            _ => {}
        }
    }
    None
}

fn before_colon(username: &[u8]) -> Option<&str> {
    let (local, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
    (1..=UFRAG_LEN_MAX).contains(&local.len()).then_some(local)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A binding request with these attributes.
    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut bytes = vec![0, 1];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend([7; TRANSACTION_ID_LEN]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_local_part_of_the_username_is_found() {
        let bytes = request(&[(0x0024, &[0; 4]), (USERNAME, b"evtj:h6vY"), (MESSAGE_INTEGRITY, &[0; 20])]);
        assert_eq!(local_ufrag(&bytes), Ok("evtj"));
    }

    #[test]
    fn a_username_behind_the_integrity_is_not_believed() {
        let bytes = request(&[(MESSAGE_INTEGRITY, &[0; 20]), (USERNAME, b"evtj:h6vY")]);
        assert_eq!(local_ufrag(&bytes), Err(DropReason::MalformedStun));
    }

    #[test]
    fn a_username_without_a_local_part_is_refused() {
        let long = [b'a'; 300];
        for username in [&b"evtj"[..], b":h6vY", b"", b"\xff\xfe:a", &long] {
            let bytes = request(&[(USERNAME, username)]);
            assert_eq!(local_ufrag(&bytes), Err(DropReason::MalformedStun), "{username:?}");
        }
    }

    #[test]
    fn what_is_no_whole_binding_request_is_refused() {
        let good = request(&[(USERNAME, b"evtj:h6vY")]);
        assert!(local_ufrag(&good).is_ok());
        for (at, value) in [(0, 1), (1, 2), (3, 0), (4, 0), (23, 255)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(local_ufrag(&bad), Err(DropReason::MalformedStun), "byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(local_ufrag(&good[..len]), Err(DropReason::MalformedStun), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), body in vec(any::<u8>(), 0..80)) {
            let _ = local_ufrag(&bytes);
            let mut framed = request(&[]);
            framed[3] = body.len() as u8;
            framed.extend(body);
            let _ = local_ufrag(&framed);
        }
    }
}
