//! Takes a new certificate into use while connections are open: when its files have changed, or when it is
//! told to. Open connections keep the one that they began with; a new one that cannot be used is refused
//! aloud, and the old one stays.
#![forbid(unsafe_code)]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use axum_server::tls_rustls::RustlsConfig;

use super::{Certificate, Identity, TlsError, load};

/// The certificate in use, and where newer ones come from.
#[derive(Debug)]
pub struct Reloading {
    path: PathBuf,
    key_path: PathBuf,
    serving: RustlsConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    certificate: Certificate,
    /// The files that were read last, whether they could be used or not.
    read: Marks,
    /// The files as they were at the last look.
    seen: Marks,
}

/// What changes when the files of certificate and key do.
type Marks = [Option<(u64, u64, i64, i64)>; 2];

impl Reloading {
    /// Begins with `identity`.
    pub fn new(identity: &Identity) -> Self {
        let marks = marks(&identity.path, &identity.key_path);
        Self {
            path: identity.path.clone(),
            key_path: identity.key_path.clone(),
            serving: RustlsConfig::from_config(identity.server.clone()),
            state: Mutex::new(State { certificate: identity.certificate.clone(), read: marks, seen: marks }),
        }
    }

    /// What a listener serves with: later certificates reach it.
    pub fn serving(&self) -> RustlsConfig {
        self.serving.clone()
    }

    /// Where the certificate is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificate in use.
    pub fn certificate(&self) -> Certificate {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).certificate.clone()
    }

    /// Reads the files again if they have changed and rest since the last look: certificate and key are
    /// rarely replaced in one step. `None` if there was nothing to do.
    pub fn reload_if_changed(&self) -> Option<Result<Certificate, TlsError>> {
        let found = marks(&self.path, &self.key_path);
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let has_rested = std::mem::replace(&mut state.seen, found) == found;
            if found == state.read || !has_rested {
                return None;
            }
        }
        Some(self.reload())
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// If they cannot be used; the certificate in use stays.
    pub fn reload(&self) -> Result<Certificate, TlsError> {
        let found = marks(&self.path, &self.key_path);
        let loaded = load(&self.path, &self.key_path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read = found;
        let identity = loaded?;
        self.serving.reload_from_config(identity.server);
        state.certificate = identity.certificate.clone();
        Ok(identity.certificate)
    }
}

fn marks(certificate: &Path, key: &Path) -> Marks {
    [certificate, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sluice-reload-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, part: &str, text: &str) -> PathBuf {
            let path = self.0.join(part);
            std::fs::write(&path, text).unwrap();
            path
        }

        fn identity(&self) -> Identity {
            let (certificate, key) = pair();
            load(&self.write("crt", &certificate), &self.write("key", &key)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    // docs/SECURITY.md H13
    #[test]
    fn a_certificate_that_changed_is_taken_once_its_files_rest() {
        let folder = Folder::new("taken");
        let reloading = Reloading::new(&folder.identity());
        let first = reloading.certificate();
        assert!(reloading.reload_if_changed().is_none());
        let (certificate, key) = pair();
        folder.write("crt", &certificate);
        assert!(reloading.reload_if_changed().is_none());
        folder.write("key", &key);
        assert!(reloading.reload_if_changed().is_none());
        let second = reloading.reload_if_changed().unwrap().unwrap();
        assert_ne!(first.fingerprint, second.fingerprint);
        assert_eq!(reloading.certificate(), second);
        assert!(reloading.reload_if_changed().is_none());
    }

    // docs/SECURITY.md H13
    #[test]
    fn a_certificate_that_cannot_be_used_is_refused_once_and_the_old_one_stays() {
        let folder = Folder::new("refused");
        let reloading = Reloading::new(&folder.identity());
        let first = reloading.certificate();
        folder.write("crt", &pair().0);
        assert!(reloading.reload_if_changed().is_none());
        assert!(matches!(reloading.reload_if_changed(), Some(Err(TlsError::Pair { .. }))));
        assert!(reloading.reload_if_changed().is_none());
        assert_eq!(reloading.certificate(), first);
    }
}
