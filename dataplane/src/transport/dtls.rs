//! DTLS 1.2 for str0m over one shared configuration, and the two things that are taken from it on the
//! way: the keying material of SRTP and the hash of the peer's certificate.
//!
//! `str0m` makes the DTLS instance inside `RtcConfig::build`, on the calling thread. The slot that the
//! instance shall write to is handed to it through a thread-local, so two threads cannot mix theirs up.
//!
//! Also here: what may reach a handshake at all (`HandshakeGuard`).
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use aws_lc_rs::digest;
use dimpl::{Dtls, NamedGroup};
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
    SrtpProfile as DtlsSrtpProfile,
};
use str0m::crypto::{CryptoError, CryptoProvider};

use super::srtp::{SrtpKeys, SrtpProfile};
use crate::counters::DropReason;
use crate::limits::{
    CONNECT_TIMEOUT, DTLS_SIZE_BYTES_MAX, HANDSHAKE_BYTES_MAX, HANDSHAKE_RETRIES_MAX, HANDSHAKE_RETRY_AFTER,
};

/// What one handshake has brought to light.
#[derive(Debug, Default)]
pub struct Captured {
    /// SHA-256 of the peer's certificate.
    pub peer_fingerprint: Option<[u8; 32]>,
    /// The derived SRTP keys, until they are taken.
    pub keys: Option<(SrtpProfile, SrtpKeys)>,
}

/// Where one DTLS instance writes and its transport reads. Both live on one thread at a time, so the lock
/// is never contended.
pub type Slot = Arc<Mutex<Captured>>;

thread_local! {
    static NEXT_SLOT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Runs `build`, in which str0m makes one DTLS instance, and returns what that instance will capture.
pub fn capturing<T>(build: impl FnOnce() -> T) -> (T, Slot) {
    let slot = Slot::default();
    NEXT_SLOT.set(Some(slot.clone()));
    let built = build();
    NEXT_SLOT.set(None);
    (built, slot)
}

/// str0m's cryptography with our DTLS in it. Made once for the process: a DTLS configuration tests each of
/// its key exchanges when it is built, which costs 685 us.
///
/// # Errors
/// If the configuration fails its own tests.
pub fn crypto_provider() -> Result<Arc<CryptoProvider>, DtlsImplError> {
    static PROVIDER: OnceLock<(Provider, OnceLock<Arc<CryptoProvider>>)> = OnceLock::new();
    let (dtls_provider, crypto) = match PROVIDER.get() {
        Some(made) => made,
        None => {
            let provider = Provider { config: Arc::new(dtls_config()?) };
            PROVIDER.get_or_init(|| (provider, OnceLock::new()))
        }
    };
    let make = || Arc::new(CryptoProvider { dtls_provider, ..str0m_aws_lc_rs::default_provider() });
    Ok(crypto.get_or_init(make).clone())
}

/// No cookie, because ICE has verified the address; a certificate of the peer, because without one there
/// is no fingerprint to compare.
fn dtls_config() -> Result<dimpl::Config, DtlsImplError> {
    dimpl::Config::builder()
        .use_server_cookie(false)
        .require_client_certificate(true)
        .mtu(DTLS_SIZE_BYTES_MAX)
        .handshake_timeout(CONNECT_TIMEOUT)
        .flight_start_rto(HANDSHAKE_RETRY_AFTER)
        .flight_retries(HANDSHAKE_RETRIES_MAX)
        .kx_groups(&[NamedGroup::X25519, NamedGroup::Secp256r1])
        .build()
}

#[derive(Debug)]
struct Provider {
    config: Arc<dimpl::Config>,
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        dimpl::certificate::generate_self_signed_certificate().ok()
    }

    /// Always DTLS 1.2: there the server chooses the SRTP profile, and chooses GCM.
    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = Dtls::new_12(self.config.clone(), certificate.clone(), now);
        Ok(Box::new(Capturing { dtls, slot: NEXT_SLOT.take().unwrap_or_default() }))
    }
}

struct Capturing {
    dtls: Dtls,
    slot: Slot,
}

impl fmt::Debug for Capturing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capturing").finish_non_exhaustive()
    }
}

impl DtlsInstance for Capturing {
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.dtls.poll_output(buffer);
        match &output {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let is_client = self.dtls.is_active();
                let keys = srtp_profile(*profile)
                    .and_then(|profile| Some((profile, SrtpKeys::derive(profile, material, is_client)?)));
                lock(&self.slot).keys = keys;
            }
            DtlsOutput::PeerCert(certificate) => {
                let hash = digest::digest(&digest::SHA256, certificate);
                lock(&self.slot).peer_fingerprint = hash.as_ref().try_into().ok();
            }
            _ => {}
        }
        output
    }

    fn set_active(&mut self, is_active: bool) {
        self.dtls.set_active(is_active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

/// What a slot holds. A poisoned lock is as good as another: its values are written whole.
pub fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, Captured> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn srtp_profile(profile: DtlsSrtpProfile) -> Option<SrtpProfile> {
    match profile {
        DtlsSrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        DtlsSrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        DtlsSrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmHmacSha1_80),
        _ => None,
    }
}

const RECORD_HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;
const CONTENT_ALERT: u8 = 21;
const CONTENT_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RANDOM_LEN: usize = 32;

/// Decides which datagrams may reach the handshake (docs/SECURITY.md T1, T6 and "Required" 3).
///
/// What is not encrypted can be forged by whoever can forge the peer's address, so: a client gets no
/// ClientHello, a server only one (its random tells it from another one; a repetition and the fragments
/// of it pass), nobody gets a plaintext alert, and the handshake has a size.
#[derive(Debug)]
pub(super) struct HandshakeGuard {
    is_dtls_client: bool,
    random: Option<[u8; RANDOM_LEN]>,
    bytes: usize,
}

impl HandshakeGuard {
    pub(super) fn new(is_dtls_client: bool) -> Self {
        Self { is_dtls_client, random: None, bytes: 0 }
    }

    /// Passes a datagram or says why not. Only what passes counts towards `HANDSHAKE_BYTES_MAX`.
    pub(super) fn admit(&mut self, datagram: &[u8], is_connected: bool) -> Result<(), DropReason> {
        let mut random = self.random;
        let mut rest = datagram;
        while !rest.is_empty() {
            let (record, after) = split_record(rest).ok_or(DropReason::DtlsRefused)?;
            self.admit_record(record, &mut random)?;
            rest = after;
        }
        if !is_connected {
            let bytes = self.bytes + datagram.len();
            if bytes > HANDSHAKE_BYTES_MAX {
                return Err(DropReason::HandshakeTooLong);
            }
            self.bytes = bytes;
        }
        self.random = random;
        Ok(())
    }

    fn admit_record(&self, record: &[u8], random: &mut Option<[u8; RANDOM_LEN]>) -> Result<(), DropReason> {
        let (header, mut messages) = record.split_at(RECORD_HEADER_LEN);
        let is_plaintext = header[3..5] == [0, 0];
        if !is_plaintext {
            return Ok(());
        }
        match header[0] {
            CONTENT_ALERT => return Err(DropReason::DtlsRefused),
            CONTENT_HANDSHAKE => {}
            _ => return Ok(()),
        }
        while !messages.is_empty() {
            let (message, after) = split_handshake(messages).ok_or(DropReason::DtlsRefused)?;
            if message[0] == CLIENT_HELLO {
                self.admit_client_hello(message, random)?;
            }
            messages = after;
        }
        Ok(())
    }

    fn admit_client_hello(
        &self,
        message: &[u8],
        random: &mut Option<[u8; RANDOM_LEN]>,
    ) -> Result<(), DropReason> {
        if self.is_dtls_client {
            return Err(DropReason::UnexpectedClientHello);
        }
        let is_first_fragment = message[6..9] == [0, 0, 0];
        if !is_first_fragment {
            return Ok(());
        }
        // After the header and client_version (RFC 5246, section 7.4.1.2).
        let at = HANDSHAKE_HEADER_LEN + 2;
        let theirs = message.get(at..at + RANDOM_LEN).and_then(|random| random.try_into().ok());
        let theirs: [u8; RANDOM_LEN] = theirs.ok_or(DropReason::UnexpectedClientHello)?;
        if *random.get_or_insert(theirs) != theirs {
            return Err(DropReason::UnexpectedClientHello);
        }
        Ok(())
    }
}

/// The first record, header included, and what follows it (RFC 6347, section 4.1).
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes.get(11..RECORD_HEADER_LEN)?;
    bytes.split_at_checked(RECORD_HEADER_LEN + usize::from(u16::from_be_bytes([len[0], len[1]])))
}

/// The first handshake message or fragment, header included, and what follows it (RFC 6347, section 4.2.2).
fn split_handshake(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes.get(9..HANDSHAKE_HEADER_LEN)?;
    let len = usize::from(len[0]) << 16 | usize::from(len[1]) << 8 | usize::from(len[2]);
    bytes.split_at_checked(HANDSHAKE_HEADER_LEN + len)
}
