//! The certificate of HTTPS: from files, or made here at the first start and kept.
#![forbid(unsafe_code)]

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, Tls};
use crate::service::name::hex;

/// HTTPS cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        #[source]
        /// Why.
        source: std::io::Error,
    },
    /// A file does not have what it should.
    #[error("{}: {why}", path.display())]
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
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
}

/// What HTTPS is served with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the listener.
    pub server: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
    /// Where the certificate is.
    pub path: PathBuf,
}

/// Loads or makes the certificate that the settings ask for; `None` if TLS is off. A self-signed one is
/// made for `names` and the usual names of this machine.
///
/// # Errors
///
/// If a file or its content is not what is needed.
pub fn identity(config: &Config, names: &[IpAddr]) -> Result<Option<Identity>, TlsError> {
    let (certificate, key) = match (config.tls, &config.tls_certificate, &config.tls_key) {
        (Tls::Off, ..) => return Ok(None),
        (Tls::Files, Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => self_signed(&config.data_dir, names)?,
    };
    // A second start in one process finds it installed; that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let chain = CertificateDer::pem_slice_iter(&read(&certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(&certificate, format!("not a PEM certificate: {error}")))?;
    let Some(leaf) = chain.first() else { return Err(content(&certificate, "no certificate".to_owned())) };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| hex(&[*byte]).to_uppercase()).collect();
    let fingerprint = pairs.join(":");
    let private = PrivateKeyDer::from_pem_slice(&read(&key)?)
        .map_err(|error| content(&key, format!("not a PEM private key: {error}")))?;
    let mut server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private)?;
    // One protocol less to attack; nothing here needs HTTP/2.
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Identity { server: Arc::new(server), fingerprint, path: certificate }))
}

fn self_signed(folder: &Path, addresses: &[IpAddr]) -> Result<(PathBuf, PathBuf), TlsError> {
    let certificate = folder.join("self-signed.crt.pem");
    let key = folder.join("self-signed.key.pem");
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(addresses.iter().map(ToString::to_string));
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names)?;
    fs::create_dir_all(folder).map_err(|source| TlsError::File { path: folder.to_owned(), source })?;
    write_private(&key, &made.signing_key.serialize_pem())?;
    write_private(&certificate, &made.cert.pem())?;
    Ok((certificate, key))
}

/// For the owner alone, from the first byte on.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn content(path: &Path, why: String) -> TlsError {
    TlsError::Content { path: path.to_owned(), why }
}
