//! SRTP and SRTCP by hand (RFC 3711, RFC 7714): opens what a peer sends, seals what it gets.
//!
//! An [`Opener`] holds what the peer's half of the keys can open, a [`Sealer`] what ours can seal. It
//! knows no RTP beyond the SSRC, the sequence number and the length of the header, and no handshake: the
//! keying material is an argument.
//!
//! # Invariants
//!
//! - A rollover counter, a replay window and the context of an SSRC change only after the tag of a
//!   packet has verified; there are at most `INGRESS_SSRCS_PER_TRANSPORT_MAX` contexts.
//! - A sealer never uses one SRTCP index twice. For SRTP the caller owns the index: it must never seal
//!   two packets with one (SSRC, index).
//! - Nothing here allocates once an SSRC is known.
#![forbid(unsafe_code)]

mod cipher;
mod kdf;
mod replay;

use crate::counters::DropReason;
use crate::id::Ssrc;
use crate::limits::INGRESS_SSRCS_PER_TRANSPORT_MAX;
use crate::transport::Opened;
use cipher::{Cipher, RtcpPacket, RtpPacket};
use replay::ReplayWindow;

/// The fixed part of an RTP header: there is no shorter packet (RFC 3550, section 5.1).
const RTP_HEADER_LEN_MIN: usize = 12;
/// The part of SRTCP that stays in the clear: one header and the sender's SSRC (RFC 3711, section 3.4).
const RTCP_HEADER_LEN: usize = 8;
/// SRTCP indexes are 31 bits (RFC 3711, section 3.4).
const RTCP_INDEX_END: u32 = 1 << 31;
/// SRTP indexes are 48 bits (RFC 3711, section 3.3.1).
const RTP_INDEX_END: u64 = 1 << 48;

/// A protection profile of DTLS-SRTP (RFC 5764, section 4.1.2; RFC 7714, section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// 0x0007.
    AeadAes128Gcm,
    /// 0x0008.
    AeadAes256Gcm,
    /// 0x0001.
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    /// Every profile that is spoken.
    pub const ALL: [SrtpProfile; 3] =
        [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmHmacSha1_80];

    /// The name in the IANA registry "DTLS-SRTP Protection Profiles".
    pub fn name(self) -> &'static str {
        match self {
            SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            SrtpProfile::Aes128CmHmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// Bytes of one master key.
    pub fn master_key_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmHmacSha1_80 => 16,
            SrtpProfile::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of one master salt.
    pub fn master_salt_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 12,
            SrtpProfile::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Bytes of keying material that the DTLS exporter must give (RFC 5764, section 4.2).
    pub fn keying_material_len(self) -> usize {
        2 * (self.master_key_len() + self.master_salt_len())
    }
}

/// Both directions of one association.
#[derive(Debug)]
pub struct SrtpKeys {
    /// Opens what the peer sends.
    pub opener: Opener,
    /// Seals what the peer gets.
    pub sealer: Sealer,
}

impl SrtpKeys {
    /// Derives the session keys from exported keying material: client key, server key, client salt,
    /// server salt (RFC 5764, section 4.2). `None` if its length does not fit the profile.
    pub fn derive(profile: SrtpProfile, keying_material: &[u8], is_dtls_client: bool) -> Option<Self> {
        if keying_material.len() != profile.keying_material_len() {
            return None;
        }
        let (keys, salts) = keying_material.split_at(2 * profile.master_key_len());
        let (client_key, server_key) = keys.split_at(profile.master_key_len());
        let (client_salt, server_salt) = salts.split_at(profile.master_salt_len());
        let (client, server) = ((client_key, client_salt), (server_key, server_salt));
        let (ours, theirs) = if is_dtls_client { (client, server) } else { (server, client) };
        Some(Self {
            opener: Opener::new(Streams::derive(profile, theirs.0, theirs.1)?),
            sealer: Sealer { ciphers: Streams::derive(profile, ours.0, ours.1)?, rtcp_index: 0 },
        })
    }

    /// Keys that protect nothing: no tag, the payload is copied. Only for a replayed world (D10).
    pub(super) fn null() -> Self {
        let null = || Streams { rtp: Cipher::Null, rtcp: Cipher::Null };
        Self { opener: Opener::new(null()), sealer: Sealer { ciphers: null(), rtcp_index: 0 } }
    }
}

/// The two ciphers of one direction.
#[derive(Debug)]
struct Streams {
    rtp: Cipher,
    rtcp: Cipher,
}

impl Streams {
    fn derive(profile: SrtpProfile, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        let cipher = |labels| Cipher::derive(profile, master_key, master_salt, labels);
        Some(Self { rtp: cipher(&kdf::RTP_LABELS)?, rtcp: cipher(&kdf::RTCP_LABELS)? })
    }
}

/// Seals packets with our half of the keys.
#[derive(Debug)]
pub struct Sealer {
    ciphers: Streams,
    rtcp_index: u32,
}

impl Sealer {
    /// Bytes that sealing adds to an RTP packet.
    pub fn rtp_growth(&self) -> usize {
        self.ciphers.rtp.tag_len()
    }

    /// Bytes that sealing adds to an RTCP packet.
    pub fn rtcp_growth(&self) -> usize {
        self.ciphers.rtcp.tag_len() + self.ciphers.rtcp.rtcp_index_len()
    }

    /// Seals an RTP packet where it stands (RFC 3711, section 3.1) and returns its new length.
    ///
    /// `packet` starts with `header_len` bytes of header and `plain_len` bytes of payload and has room
    /// for [`Sealer::rtp_growth`] more. `index` is the sequence number extended by the rollover counter;
    /// one `(ssrc, index)` must be sealed at most once in the life of the key.
    pub fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        plain_len: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        debug_assert!(index < RTP_INDEX_END, "an SRTP index has 48 bits");
        let sealed_len = header_len + plain_len + self.rtp_growth();
        let packet = RtpPacket { bytes: &mut packet[..sealed_len], header_len, ssrc, index };
        self.ciphers.rtp.seal_rtp(packet);
        sealed_len
    }

    /// Like [`Sealer::seal_rtp`], but takes the payload from elsewhere: `packet` holds the header only.
    pub fn seal_rtp_from(
        &self,
        packet: &mut [u8],
        header_len: usize,
        plain: &[u8],
        ssrc: Ssrc,
        index: u64,
    ) -> usize {
        debug_assert!(index < RTP_INDEX_END, "an SRTP index has 48 bits");
        let sealed_len = header_len + plain.len() + self.rtp_growth();
        let packet = RtpPacket { bytes: &mut packet[..sealed_len], header_len, ssrc, index };
        self.ciphers.rtp.seal_rtp_from(packet, plain);
        sealed_len
    }

    /// Seals a compound RTCP packet where it stands (RFC 3711, section 3.4) and returns its new length.
    ///
    /// `packet` starts with `plain_len` bytes of RTCP, at least 8, and has room for
    /// [`Sealer::rtcp_growth`] more. Returns 0, and seals nothing, when the key has sealed 2^31 packets.
    pub fn seal_rtcp(&mut self, packet: &mut [u8], plain_len: usize) -> usize {
        let index = self.rtcp_index;
        if index >= RTCP_INDEX_END || plain_len < RTCP_HEADER_LEN {
            return 0;
        }
        self.rtcp_index += 1;
        let sealed_len = plain_len + self.rtcp_growth();
        let ssrc = Ssrc(read_u32(packet, 4));
        self.ciphers.rtcp.seal_rtcp(RtcpPacket { bytes: &mut packet[..sealed_len], plain_len, ssrc, index });
        sealed_len
    }
}

/// Opens packets with the peer's half of the keys.
#[derive(Debug)]
pub struct Opener {
    ciphers: Streams,
    rtp: Windows,
    rtcp: Windows,
}

impl Opener {
    fn new(ciphers: Streams) -> Self {
        Self { ciphers, rtp: Windows::default(), rtcp: Windows::default() }
    }

    /// Opens an SRTP packet (RFC 3711, section 3.3) into `payload`, which must hold what follows the
    /// header. On an error nothing has changed but the bytes of `payload`.
    ///
    /// # Errors
    ///
    /// `MalformedRtp` if the packet ends within its header, `BadSize` if `payload` is too small,
    /// `TooManySsrcs`, `Replayed`, `AuthenticationFailed`.
    pub fn open_rtp(
        &mut self,
        packet: &[u8],
        header_len: usize,
        ssrc: Ssrc,
        sequence_number: u16,
        payload: &mut [u8],
    ) -> Result<Opened, DropReason> {
        if header_len < RTP_HEADER_LEN_MIN || packet.len() < header_len {
            return Err(DropReason::MalformedRtp);
        }
        let tag_len = self.ciphers.rtp.tag_len();
        let payload_len =
            (packet.len() - header_len).checked_sub(tag_len).ok_or(DropReason::AuthenticationFailed)?;
        let plain = payload.get_mut(..payload_len).ok_or(DropReason::BadSize)?;
        let known = self.rtp.find(ssrc)?;
        let index = match known {
            Some(at) => self.rtp.windows[at].estimate(sequence_number).ok_or(DropReason::Replayed)?,
            None => u64::from(sequence_number),
        };
        self.rtp.check(known, index)?;
        if !self.ciphers.rtp.open_rtp(packet, header_len, ssrc, index, plain) {
            return Err(DropReason::AuthenticationFailed);
        }
        self.rtp.accept(known, ssrc, index);
        Ok(Opened { index, payload_len })
    }

    /// Opens an SRTCP packet (RFC 3711, section 3.4) into `plain` and returns its length. On an error
    /// nothing has changed but the bytes of `plain`. A packet that is authenticated but not encrypted is
    /// refused: DTLS-SRTP has no way to agree on that.
    ///
    /// # Errors
    ///
    /// `MalformedRtcp` if the packet is too short, `BadSize` if `plain` is, `TooManySsrcs`, `Replayed`,
    /// `AuthenticationFailed`.
    pub fn open_rtcp(&mut self, packet: &[u8], plain: &mut [u8]) -> Result<usize, DropReason> {
        let cipher = &self.ciphers.rtcp;
        let growth = cipher.tag_len() + cipher.rtcp_index_len();
        let plain_len = packet.len().checked_sub(growth).ok_or(DropReason::MalformedRtcp)?;
        if plain_len < RTCP_HEADER_LEN {
            return Err(DropReason::MalformedRtcp);
        }
        let plain = plain.get_mut(..plain_len).ok_or(DropReason::BadSize)?;
        let ssrc = Ssrc(read_u32(packet, 4));
        let Some(word) = cipher.rtcp_index_word(packet) else {
            plain.copy_from_slice(packet);
            return Ok(plain_len);
        };
        if word < RTCP_INDEX_END {
            return Err(DropReason::AuthenticationFailed);
        }
        let index = u64::from(word - RTCP_INDEX_END);
        let known = self.rtcp.find(ssrc)?;
        self.rtcp.check(known, index)?;
        if !cipher.open_rtcp(packet, ssrc, word, plain) {
            return Err(DropReason::AuthenticationFailed);
        }
        self.rtcp.accept(known, ssrc, index);
        Ok(plain_len)
    }
}

/// The replay window of each SSRC that has authenticated. A transport has a handful, so a walk over a
/// flat list beats a map.
#[derive(Debug, Default)]
struct Windows {
    ssrcs: Vec<Ssrc>,
    windows: Vec<ReplayWindow>,
}

impl Windows {
    /// Where the window of `ssrc` stands, or `None` if there is none yet and room for it.
    fn find(&self, ssrc: Ssrc) -> Result<Option<usize>, DropReason> {
        let known = self.ssrcs.iter().position(|known| *known == ssrc);
        if known.is_none() && self.ssrcs.len() >= INGRESS_SSRCS_PER_TRANSPORT_MAX {
            return Err(DropReason::TooManySsrcs);
        }
        Ok(known)
    }

    fn check(&self, known: Option<usize>, index: u64) -> Result<(), DropReason> {
        match known {
            Some(at) if !self.windows[at].is_new(index) => Err(DropReason::Replayed),
            _ => Ok(()),
        }
    }

    /// Takes note of an index whose tag has verified.
    fn accept(&mut self, known: Option<usize>, ssrc: Ssrc, index: u64) {
        match known {
            Some(at) => self.windows[at].accept(index),
            None => {
                self.ssrcs.push(ssrc);
                self.windows.push(ReplayWindow::new(index));
            }
        }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
#[path = "srtp/tests.rs"]
mod tests;
