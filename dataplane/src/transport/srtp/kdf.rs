//! Session keys from a master key: AES in counter mode with a key derivation rate of 0 (RFC 3711,
//! section 4.3; RFC 7714, section 11 for the 12-byte salts).
#![forbid(unsafe_code)]

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// Bytes of the salt that the derivation works on; a shorter one is padded with zeros at its end.
const SALT_LEN: usize = 14;

/// Which purposes the keys of one kind of packet have (RFC 3711, section 4.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels {
    pub(super) key: u8,
    pub(super) authentication: u8,
    pub(super) salt: u8,
}

pub(super) const RTP_LABELS: Labels = Labels { key: 0, authentication: 1, salt: 2 };
pub(super) const RTCP_LABELS: Labels = Labels { key: 3, authentication: 4, salt: 5 };

/// Fills `out` with the key of one label. `None` if the master key or salt has no valid length.
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: u8, out: &mut [u8]) -> Option<()> {
    if master_salt.len() > SALT_LEN {
        return None;
    }
    let mut block = [0; 16];
    block[..master_salt.len()].copy_from_slice(master_salt);
    block[7] ^= label;
    out.fill(0);
    counter_mode_key(master_key)?
        .less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(block)))
        .ok()?;
    Some(())
}

/// An AES key of 16 or 32 bytes for counter mode.
pub(super) fn counter_mode_key(key: &[u8]) -> Option<EncryptingKey> {
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return None,
    };
    EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key).ok()?).ok()
}
