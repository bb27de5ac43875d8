//! The certificate of HTTPS: from files, or made here at the first start and kept; read again when its
//! files change. docs/SECURITY.md H13.
#![forbid(unsafe_code)]

mod reload;

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::{Config, Tls};
use crate::service::name::hex;

pub use reload::Reloading;

/// HTTPS cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// Reading or writing.
        action: &'static str,
        /// Which one.
        path: PathBuf,
        #[source]
        /// Why.
        source: std::io::Error,
    },
    /// A file does not have what it should.
    #[error("{} {why}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("making a certificate: {0}")]
    Making(#[from] rcgen::Error),
    /// The certificate and the key do not fit.
    #[error("{} and {} do not belong together: {source}", certificate.display(), key.display())]
    Pair {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        #[source]
        /// Why.
        source: rustls::Error,
    },
}

impl TlsError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
        match self {
            Self::File { action: "reading", source, .. } if source.kind() == NotFound => {
                "set SLUICE_TLS_CERTIFICATE and SLUICE_TLS_KEY to files that exist, or SLUICE_TLS=self-signed"
                    .to_owned()
            }
            Self::File { action: "reading", path, source } if source.kind() == PermissionDenied => {
                format!("let the user that runs sluice read {}", path.display())
            }
            Self::File { source, .. } if source.kind() == StorageFull => {
                "make room on that disk, or set SLUICE_DATA_DIR to a directory on another".to_owned()
            }
            Self::File { .. } => {
                "set SLUICE_DATA_DIR to a directory that the user that runs sluice may write to".to_owned()
            }
            Self::Content { path, .. } => {
                let file = path.display();
                format!(
                    "`openssl x509 -noout -text -in {file}` shows a certificate, `openssl pkey -noout -in {file}` a key"
                )
            }
            Self::Making(_) => "set SLUICE_TLS=files and name a certificate".to_owned(),
            Self::Pair { .. } => "name the key that the certificate was made with".to_owned(),
        }
    }
}

/// What HTTPS is served with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the listener.
    pub server: Arc<ServerConfig>,
    /// What clients see of it.
    pub certificate: Certificate,
    /// Where the certificate is.
    pub path: PathBuf,
    /// Where its key is.
    pub key_path: PathBuf,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256, as browsers show it.
    pub fingerprint: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is good, seconds since 1970.
    pub not_before: i64,
    /// Until when it is good, seconds since 1970.
    pub not_after: i64,
}

/// Loads or makes the certificate that the settings ask for; `None` if TLS is off. A self-signed one is
/// made for `names` and the usual names of this machine.
///
/// # Errors
///
/// If a file or its content is not what is needed.
pub fn identity(config: &Config, names: &[IpAddr]) -> Result<Option<Identity>, TlsError> {
    let Some((certificate, key)) = paths(config) else { return Ok(None) };
    if config.tls == Tls::SelfSigned && !(certificate.exists() && key.exists()) {
        make_self_signed(&config.data_dir, (&certificate, &key), names)?;
    }
    load(&certificate, &key).map(Some)
}

/// Where the certificate and its key are, or will be; `None` if TLS is off.
pub fn paths(config: &Config) -> Option<(PathBuf, PathBuf)> {
    match (config.tls, &config.tls_certificate, &config.tls_key) {
        (Tls::Off, ..) => None,
        (Tls::Files, Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        _ => Some((config.data_dir.join("self-signed.crt.pem"), config.data_dir.join("self-signed.key.pem"))),
    }
}

/// Reads a certificate and its key.
///
/// # Errors
///
/// If a file cannot be read, or they do not belong together.
pub fn load(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    // A second start in one process finds it installed; that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(certificate, format!("is no PEM certificate: {error}")))?;
    let Some(leaf) = chain.first() else {
        return Err(content(certificate, "has no PEM certificate in it".to_owned()));
    };
    let facts =
        describe(leaf).ok_or_else(|| content(certificate, "has no X.509 certificate in it".to_owned()))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| content(key, format!("has no PEM private key in it: {error}")))?;
    let pair = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
    let mut server = pair.map_err(|source| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    // One protocol less to attack; nothing here needs HTTP/2.
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity {
        server: Arc::new(server),
        certificate: facts,
        path: certificate.to_owned(),
        key_path: key.to_owned(),
    })
}

fn describe(leaf: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| hex(&[*byte]).to_uppercase()).collect();
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names = alternatives
        .map_or_else(Vec::new, |names| names.value.general_names.iter().filter_map(name).collect());
    Some(Certificate {
        fingerprint: pairs.join(":"),
        names,
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn make_self_signed(folder: &Path, files: (&Path, &Path), addresses: &[IpAddr]) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(
        addresses.iter().map(ToString::to_string).filter(|name| !name.starts_with("127.") && name != "::1"),
    );
    let made = rcgen::generate_simple_self_signed(names)?;
    fs::create_dir_all(folder).map_err(|source| TlsError::File {
        action: "making the directory",
        path: folder.to_owned(),
        source,
    })?;
    write_private(files.1, &made.signing_key.serialize_pem())?;
    write_private(files.0, &made.cert.pem())
}

/// For the owner alone, from the first byte on; whole or not at all, so that a full disk leaves nothing
/// behind that the next start would trip over.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    use std::os::unix::fs::OpenOptionsExt;
    let unfinished = path.with_extension("unfinished");
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let written = open
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        TlsError::File { action: "writing", path: path.to_owned(), source }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { action: "reading", path: path.to_owned(), source })
}

fn content(path: &Path, why: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), why }
}
