//! Binding requests without chance: the transaction id is a counter.

use is::stun::{StunMessage, TransId};

pub(crate) const PASSWORD: &str = "replay-password-of-24-chars";

/// The request `count` for the transport named `ufrag`, which nominates its path.
pub(crate) fn request(ufrag: &str, count: u8) -> Vec<u8> {
    let username = format!("{ufrag}:peer");
    let request = StunMessage::binding_request(&username, TransId::new(), true, 7, 1, true);
    let mut out = [0; 256];
    let len = request.to_bytes(Some(PASSWORD.as_bytes()), &mut out, hmac_sha1).unwrap();
    // The transaction id is the only random number of this world: make it the counter.
    out[8..20].fill(count);
    let len = resign(&mut out[..len]);
    out[..len].to_vec()
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().unwrap()
}

/// Signs a binding request again after its transaction id was changed, and leaves FINGERPRINT out, which is
/// optional (RFC 8489, section 14.7). Returns the length.
fn resign(bytes: &mut [u8]) -> usize {
    const INTEGRITY_LEN: usize = 24;
    const FINGERPRINT_LEN: usize = 8;
    let len = bytes.len() - FINGERPRINT_LEN;
    bytes[2..4].copy_from_slice(&((len - 20) as u16).to_be_bytes());
    let signed = len - INTEGRITY_LEN;
    let mac = hmac_sha1(PASSWORD.as_bytes(), &[&bytes[..signed]]);
    bytes[signed + 4..len].copy_from_slice(&mac);
    len
}
