//! The transforms: AEAD_AES_GCM (RFC 7714) and AES-CM with HMAC-SHA1-80 (RFC 3711, section 4).
//!
//! A [`Cipher`] is one direction of one kind of packet. It knows nonces, associated data and tags; it
//! does not know whether an index may be used.
#![forbid(unsafe_code)]

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::kdf::{Labels, counter_mode_key, derive};
use super::{RTCP_HEADER_LEN, RTCP_INDEX_END, SrtpProfile};
use crate::id::Ssrc;

/// Bytes of a GCM tag (RFC 7714, section 13.2).
const GCM_TAG_LEN: usize = 16;
/// Bytes of a truncated HMAC-SHA1 (RFC 3711, section 5.2).
const SHA1_TAG_LEN: usize = 10;
/// Bytes of the HMAC-SHA1 key (RFC 3711, section 5.2).
const SHA1_KEY_LEN: usize = 20;
/// Bytes of E flag and index at the end of SRTCP.
const RTCP_INDEX_LEN: usize = 4;
const CM_SALT_LEN: usize = 14;

/// Why an encryption of aws-lc cannot fail: lengths and keys were checked when the key was made.
const SEALS: &str = "a packet is far below the limits of the cipher";

/// One direction of SRTP or of SRTCP.
#[derive(Debug)]
pub(super) enum Cipher {
    Gcm {
        key: LessSafeKey,
        salt: [u8; NONCE_LEN],
    },
    /// Boxed: the state of an HMAC is large, and few peers need it.
    CounterMode(Box<CounterMode>),
    Null,
}

/// The session keys of AES-CM with HMAC-SHA1.
#[derive(Debug)]
pub(super) struct CounterMode {
    key: EncryptingKey,
    salt: [u8; CM_SALT_LEN],
    authentication: hmac::Key,
}

/// A packet to seal: header, payload and room for the tag.
pub(super) struct RtpPacket<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) header_len: usize,
    pub(super) ssrc: Ssrc,
    pub(super) index: u64,
}

/// A compound to seal: `plain_len` bytes of RTCP and room for tag and index.
pub(super) struct RtcpPacket<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) plain_len: usize,
    pub(super) ssrc: Ssrc,
    pub(super) index: u32,
}

impl Cipher {
    pub(super) fn derive(
        profile: SrtpProfile,
        master_key: &[u8],
        master_salt: &[u8],
        labels: &Labels,
    ) -> Option<Self> {
        let mut key = [0; 32];
        let key = &mut key[..profile.master_key_len()];
        derive(master_key, master_salt, labels.key, key)?;
        match profile {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => {
                let mut salt = [0; NONCE_LEN];
                derive(master_key, master_salt, labels.salt, &mut salt)?;
                Self::gcm(key, salt)
            }
            SrtpProfile::Aes128CmHmacSha1_80 => {
                let mut salt = [0; CM_SALT_LEN];
                derive(master_key, master_salt, labels.salt, &mut salt)?;
                let mut authentication = [0; SHA1_KEY_LEN];
                derive(master_key, master_salt, labels.authentication, &mut authentication)?;
                Self::counter_mode(key, salt, &authentication)
            }
        }
    }

    /// From session keys.
    pub(super) fn gcm(key: &[u8], salt: [u8; NONCE_LEN]) -> Option<Self> {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        Some(Self::Gcm { key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?), salt })
    }

    /// From session keys.
    pub(super) fn counter_mode(key: &[u8], salt: [u8; CM_SALT_LEN], authentication: &[u8]) -> Option<Self> {
        let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication);
        Some(Self::CounterMode(Box::new(CounterMode { key: counter_mode_key(key)?, salt, authentication })))
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG_LEN,
            Self::CounterMode(_) => SHA1_TAG_LEN,
            Self::Null => 0,
        }
    }

    pub(super) fn rtcp_index_len(&self) -> usize {
        match self {
            Self::Gcm { .. } | Self::CounterMode(_) => RTCP_INDEX_LEN,
            Self::Null => 0,
        }
    }

    pub(super) fn seal_rtp(&self, packet: RtpPacket<'_>) {
        let RtpPacket { bytes, header_len, ssrc, index } = packet;
        let body_end = bytes.len() - self.tag_len();
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = bytes.split_at_mut(header_len);
                let (body, tag) = rest.split_at_mut(body_end - header_len);
                let nonce = gcm_rtp_nonce(salt, ssrc, index);
                key.seal_in_place_scatter(nonce, Aad::from(&*header), body, &[], tag).expect(SEALS);
            }
            Self::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                apply_key_stream(key, salt, ssrc, index, &mut bytes[header_len..body_end]);
                let (message, tag) = bytes.split_at_mut(body_end);
                tag.copy_from_slice(&sha1_tag(authentication, message, roc(index)));
            }
            Self::Null => {}
        }
    }

    pub(super) fn seal_rtp_from(&self, packet: RtpPacket<'_>, plain: &[u8]) {
        let RtpPacket { bytes, header_len, ssrc, index } = packet;
        if let Self::Gcm { key, salt } = self {
            let (header, rest) = bytes.split_at_mut(header_len);
            let (body, tag) = rest.split_at_mut(plain.len());
            let nonce = gcm_rtp_nonce(salt, ssrc, index);
            key.seal_out_of_place_scatter(nonce, Aad::from(&*header), plain, body, &[], tag).expect(SEALS);
            return;
        }
        bytes[header_len..header_len + plain.len()].copy_from_slice(plain);
        self.seal_rtp(RtpPacket { bytes, header_len, ssrc, index });
    }

    /// Opens into `plain`, which has exactly the length of the ciphertext. False if the tag is wrong.
    #[must_use]
    pub(super) fn open_rtp(
        &self,
        packet: &[u8],
        header_len: usize,
        ssrc: Ssrc,
        index: u64,
        plain: &mut [u8],
    ) -> bool {
        let (message, tag) = packet.split_at(packet.len() - self.tag_len());
        let (header, body) = message.split_at(header_len);
        match self {
            Self::Gcm { key, salt } => {
                let nonce = gcm_rtp_nonce(salt, ssrc, index);
                key.open_separate_gather(nonce, Aad::from(header), body, tag, plain).is_ok()
            }
            Self::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let is_genuine =
                    verify_slices_are_equal(&sha1_tag(authentication, message, roc(index)), tag).is_ok();
                if is_genuine {
                    plain.copy_from_slice(body);
                    apply_key_stream(key, salt, ssrc, index, plain);
                }
                is_genuine
            }
            Self::Null => {
                plain.copy_from_slice(body);
                true
            }
        }
    }

    pub(super) fn seal_rtcp(&self, packet: RtcpPacket<'_>) {
        let RtcpPacket { bytes, plain_len, ssrc, index } = packet;
        let word = (RTCP_INDEX_END | index).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let (header, rest) = bytes.split_at_mut(RTCP_HEADER_LEN);
                let (body, trailer) = rest.split_at_mut(plain_len - RTCP_HEADER_LEN);
                let (tag, index_word) = trailer.split_at_mut(GCM_TAG_LEN);
                let nonce = gcm_rtcp_nonce(salt, ssrc, index);
                let aad = gcm_rtcp_aad(header, word);
                key.seal_in_place_scatter(nonce, Aad::from(aad), body, &[], tag).expect(SEALS);
                index_word.copy_from_slice(&word);
            }
            Self::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                apply_key_stream(key, salt, ssrc, u64::from(index), &mut bytes[RTCP_HEADER_LEN..plain_len]);
                let (message, trailer) = bytes.split_at_mut(plain_len);
                trailer[..RTCP_INDEX_LEN].copy_from_slice(&word);
                trailer[RTCP_INDEX_LEN..].copy_from_slice(&sha1_tag(authentication, message, word));
            }
            Self::Null => {}
        }
    }

    /// The E flag and index of a packet that is long enough; `None` where there is no such word.
    pub(super) fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let at = match self {
            Self::Gcm { .. } => packet.len() - RTCP_INDEX_LEN,
            Self::CounterMode(_) => packet.len() - SHA1_TAG_LEN - RTCP_INDEX_LEN,
            Self::Null => return None,
        };
        Some(super::read_u32(packet, at))
    }

    /// Opens into `plain`, which has exactly the length of the plaintext. False if the tag is wrong.
    #[must_use]
    pub(super) fn open_rtcp(&self, packet: &[u8], ssrc: Ssrc, word: u32, plain: &mut [u8]) -> bool {
        let (message, trailer) = packet.split_at(plain.len());
        let (header, body) = message.split_at(RTCP_HEADER_LEN);
        let (plain_header, plain_body) = plain.split_at_mut(RTCP_HEADER_LEN);
        plain_header.copy_from_slice(header);
        let index = word & (RTCP_INDEX_END - 1);
        match self {
            Self::Gcm { key, salt } => {
                let nonce = gcm_rtcp_nonce(salt, ssrc, index);
                let aad = Aad::from(gcm_rtcp_aad(header, word.to_be_bytes()));
                key.open_separate_gather(nonce, aad, body, &trailer[..GCM_TAG_LEN], plain_body).is_ok()
            }
            Self::CounterMode(keys) => {
                let CounterMode { key, salt, authentication } = &**keys;
                let expected = sha1_tag(authentication, message, word.to_be_bytes());
                let is_genuine = verify_slices_are_equal(&expected, &trailer[RTCP_INDEX_LEN..]).is_ok();
                if is_genuine {
                    plain_body.copy_from_slice(body);
                    apply_key_stream(key, salt, ssrc, u64::from(index), plain_body);
                }
                is_genuine
            }
            Self::Null => {
                plain_body.copy_from_slice(body);
                true
            }
        }
    }
}

/// The rollover counter of an index, as it is authenticated.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714, section 8.1: two zero bytes, SSRC, rollover counter, sequence number; XOR salt.
fn gcm_rtp_nonce(salt: &[u8; NONCE_LEN], ssrc: Ssrc, index: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    salted(nonce, salt)
}

/// RFC 7714, section 9.1: two zero bytes, SSRC, two zero bytes, index; XOR salt.
fn gcm_rtcp_nonce(salt: &[u8; NONCE_LEN], ssrc: Ssrc, index: u32) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[2..6].copy_from_slice(&ssrc.0.to_be_bytes());
    nonce[8..].copy_from_slice(&index.to_be_bytes());
    salted(nonce, salt)
}

fn salted(mut nonce: [u8; NONCE_LEN], salt: &[u8; NONCE_LEN]) -> Nonce {
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714, section 9.2: the first header and SSRC, then the E flag with the index.
fn gcm_rtcp_aad(header: &[u8], word: [u8; RTCP_INDEX_LEN]) -> [u8; RTCP_HEADER_LEN + RTCP_INDEX_LEN] {
    let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
    aad[..RTCP_HEADER_LEN].copy_from_slice(header);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&word);
    aad
}

/// RFC 3711, section 4.1.1: IV = salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16.
fn apply_key_stream(key: &EncryptingKey, salt: &[u8; CM_SALT_LEN], ssrc: Ssrc, index: u64, data: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..CM_SALT_LEN].copy_from_slice(salt);
    for (byte, ssrc) in iv[4..8].iter_mut().zip(ssrc.0.to_be_bytes()) {
        *byte ^= ssrc;
    }
    for (byte, index) in iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
        *byte ^= index;
    }
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv))).expect(SEALS);
}

/// RFC 3711, section 4.2: over the packet and what follows it unsent, cut to 80 bits.
fn sha1_tag(key: &hmac::Key, message: &[u8], suffix: [u8; 4]) -> [u8; SHA1_TAG_LEN] {
    let mut context = hmac::Context::with_key(key);
    context.update(message);
    context.update(&suffix);
    let mut tag = [0; SHA1_TAG_LEN];
    tag.copy_from_slice(&context.sign().as_ref()[..SHA1_TAG_LEN]);
    tag
}
