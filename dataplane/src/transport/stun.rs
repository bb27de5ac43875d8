//! The STUN that an ICE-lite server needs (RFC 8489, RFC 8445): binding requests in, responses out.
//!
//! Requests are read by `wire/stun.rs` and not by the `is` crate, because that one refuses those without PRIORITY,
//! which FFmpeg sends. Responses are written by `is`. Nothing here trusts anything: whoever holds the
//! password asks [`BindingRequest::is_signed_with`] first.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};

use crate::wire::stun::{MESSAGE_INTEGRITY, USERNAME, binding_request};

const HEADER_LEN: usize = 20;
const BINDING_INDICATION: [u8; 2] = [0x00, 0x11];
const USE_CANDIDATE: u16 = 0x0025;
const SHA1_LEN: usize = 20;
/// Header, XOR-MAPPED-ADDRESS of IPv6, MESSAGE-INTEGRITY and FINGERPRINT are 76 bytes.
const RESPONSE_LEN_MAX: usize = 128;

/// A binding request that parsed. Nothing in it is authenticated yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct BindingRequest<'a> {
    bytes: &'a [u8],
    integrity_at: usize,
    username: &'a [u8],
    /// Whether the peer nominates the path that the request came over.
    pub(super) is_nominating: bool,
}

impl<'a> BindingRequest<'a> {
    /// `None` if it is no binding request, or not a well-formed one. What follows MESSAGE-INTEGRITY is not
    /// signed and not read.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut username = None;
        let mut is_nominating = false;
        for (kind, at, value) in binding_request(bytes)? {
            match kind {
                USERNAME => username = Some(value),
                USE_CANDIDATE => is_nominating = true,
                MESSAGE_INTEGRITY if value.len() == SHA1_LEN => {
                    return Some(Self { bytes, integrity_at: at, username: username?, is_nominating });
                }
                _ => {}
            }
        }
        None
    }

    /// The receiver's username fragment: what stands before the colon of USERNAME.
    pub(super) fn local_ufrag(&self) -> &'a [u8] {
        let end = self.username.iter().position(|byte| *byte == b':').unwrap_or(self.username.len());
        &self.username[..end]
    }

    /// Whether MESSAGE-INTEGRITY is the HMAC of the request under `key` (RFC 8489, section 14.5).
    #[must_use]
    pub(super) fn is_signed_with(&self, key: &hmac::Key) -> bool {
        let signed_len = (self.integrity_at + 4 + SHA1_LEN - HEADER_LEN) as u16;
        let expected =
            sign(key, &[&self.bytes[..2], &signed_len.to_be_bytes(), &self.bytes[4..self.integrity_at]]);
        let value_at = self.integrity_at + 4;
        verify_slices_are_equal(&expected, &self.bytes[value_at..value_at + SHA1_LEN]).is_ok()
    }

    /// The success response, signed with the same password.
    pub(super) fn response(&self, remote: SocketAddr, password: &[u8], key: &hmac::Key) -> Vec<u8> {
        let mut response = vec![0; RESPONSE_LEN_MAX];
        let len = StunMessage::binding_reply(self.transaction(), remote)
            .to_bytes(Some(password), &mut response, |_, parts| sign(key, parts))
            .expect("a response fits its buffer");
        response.truncate(len);
        response
    }

    /// `is` makes a transaction id only from a whole message, so this gives it the shortest there is.
    fn transaction(&self) -> TransId {
        let mut message = [0; HEADER_LEN];
        message[..2].copy_from_slice(&BINDING_INDICATION);
        message[4..].copy_from_slice(&self.bytes[4..HEADER_LEN]);
        StunMessage::parse(&message).expect("an indication without attributes is well-formed").trans_id()
    }
}

/// HMAC-SHA1 over some parts.
pub(super) fn sign(key: &hmac::Key, parts: &[&[u8]]) -> [u8; SHA1_LEN] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; SHA1_LEN];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}
