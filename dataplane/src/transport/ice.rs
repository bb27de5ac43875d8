//! ICE-lite (RFC 8445, section 2.5): which addresses of the peer are trusted, and which one is used.
//!
//! # Invariants
//!
//! - An address gets on the list only by a binding request that is signed with our password (D13).
//! - The list has at most `PATHS_PER_TRANSPORT_MAX` paths; the nominated one is never the one to go.
#![forbid(unsafe_code)]

use std::time::Instant;

use aws_lc_rs::hmac;

use super::PathChange;
use super::path::Path;
use super::stun::BindingRequest;
use crate::counters::DropReason;
use crate::limits::PATHS_PER_TRANSPORT_MAX;

/// One transport's ICE agent.
#[derive(Debug)]
pub(super) struct Ice {
    ufrag: String,
    password: String,
    key: hmac::Key,
    paths: Vec<Path>,
    /// When each of `paths` was verified last.
    verified_at: Vec<Instant>,
    nominated: Option<Path>,
}

/// What a verified request did.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) change: PathChange,
    pub(super) response: Vec<u8>,
}

impl Ice {
    pub(super) fn new(ufrag: &str, password: &str) -> Self {
        Self {
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()),
            paths: Vec::new(),
            verified_at: Vec::new(),
            nominated: None,
        }
    }

    pub(super) fn ufrag(&self) -> &str {
        &self.ufrag
    }

    pub(super) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Where to send: the path nominated last; before any nomination, the first that was verified.
    pub(super) fn nominated(&self) -> Option<Path> {
        self.nominated.or_else(|| self.paths.first().copied())
    }

    /// Verifies a binding request before anything else, then takes note of its path.
    pub(super) fn handle_request(
        &mut self,
        path: Path,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Verified, DropReason> {
        let request = BindingRequest::parse(bytes).ok_or(DropReason::MalformedStun)?;
        if request.local_ufrag() != self.ufrag.as_bytes() {
            return Err(DropReason::UnknownUfrag);
        }
        if !request.is_signed_with(&self.key) {
            return Err(DropReason::StunIntegrity);
        }
        let change = self.trust(path, now)?;
        if request.is_nominating {
            self.nominated = Some(path);
        }
        Ok(Verified { change, response: request.response(path.remote, self.password.as_bytes(), &self.key) })
    }

    fn trust(&mut self, path: Path, now: Instant) -> Result<PathChange, DropReason> {
        if let Some(at) = self.paths.iter().position(|known| *known == path) {
            self.verified_at[at] = now;
            // Said each time: whoever else has verified this address meanwhile has taken it over.
            return Ok(PathChange { added: Some(path), removed: None });
        }
        let mut removed = None;
        if self.paths.len() >= PATHS_PER_TRANSPORT_MAX {
            let oldest = self.oldest_unused().ok_or(DropReason::TooManyPaths)?;
            removed = Some(self.paths.remove(oldest));
            self.verified_at.remove(oldest);
        }
        self.paths.push(path);
        self.verified_at.push(now);
        Ok(PathChange { added: Some(path), removed })
    }

    fn oldest_unused(&self) -> Option<usize> {
        let used = self.nominated();
        (0..self.paths.len())
            .filter(|at| Some(self.paths[*at]) != used)
            .min_by_key(|at| self.verified_at[*at])
    }
}
