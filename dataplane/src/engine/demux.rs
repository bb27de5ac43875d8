//! Finds the peer that a datagram belongs to. Filled only by verified STUN (D13).
#![forbid(unsafe_code)]

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::PeerIndex;
use crate::counters::DropReason;
use crate::transport::path::Path;

/// The address table and the username fragments of one shard.
#[derive(Debug)]
pub(super) struct Demux {
    paths: HashMap<Path, PeerIndex, FixedState>,
    ufrags: HashMap<Box<str>, PeerIndex, FixedState>,
}

impl Demux {
    /// Empty tables. The seed makes the hashes of addresses unpredictable for outsiders.
    pub(super) fn new(seed: u64) -> Self {
        let state = FixedState::with_seed(seed);
        Self { paths: HashMap::with_hasher(state.clone()), ufrags: HashMap::with_hasher(state) }
    }

    /// Entries of the address table and of that of username fragments.
    pub(super) fn lens(&self) -> (usize, usize) {
        (self.paths.len(), self.ufrags.len())
    }

    pub(super) fn by_path(&self, path: Path) -> Result<PeerIndex, DropReason> {
        self.paths.get(&path).copied().ok_or(DropReason::UnknownAddress)
    }

    pub(super) fn by_ufrag(&self, ufrag: &str) -> Result<PeerIndex, DropReason> {
        self.ufrags.get(ufrag).copied().ok_or(DropReason::UnknownUfrag)
    }

    pub(super) fn add_ufrag(&mut self, ufrag: &str, peer: PeerIndex) {
        self.ufrags.insert(ufrag.into(), peer);
    }

    /// An address belongs to whoever verified it last: a port may be reused by another peer.
    pub(super) fn add_path(&mut self, path: Path, peer: PeerIndex) {
        self.paths.insert(path, peer);
    }

    pub(super) fn remove_path(&mut self, path: Path, peer: PeerIndex) {
        if self.paths.get(&path) == Some(&peer) {
            self.paths.remove(&path);
        }
    }

    /// Forgets a peer.
    pub(super) fn remove(&mut self, ufrag: &str, paths: &[Path], peer: PeerIndex) {
        self.ufrags.remove(ufrag);
        for path in paths {
            self.remove_path(*path, peer);
        }
    }
}
