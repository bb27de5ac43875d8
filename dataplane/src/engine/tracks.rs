//! The tracks of a shard, who feeds each and who watches it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::{PeerIndex, TrackIndex};
use crate::id::TrackId;
use crate::media::track::Track;

/// A track and its edges.
#[derive(Debug)]
pub(super) struct TrackNode {
    pub(super) id: TrackId,
    pub(super) track: Track,
    /// The peer that feeds it.
    pub(super) publisher: Option<PeerIndex>,
    /// The peers that watch it, each with the place among its subscriptions.
    pub(super) subscribers: Vec<(PeerIndex, u16)>,
}

/// The tracks of one shard.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    nodes: Slab<TrackNode>,
    by_id: HashMap<TrackId, TrackIndex>,
}

impl Tracks {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TrackNode> {
        self.nodes.iter().map(|(_, node)| node)
    }

    pub(super) fn find(&self, id: TrackId) -> Option<TrackIndex> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn insert(&mut self, id: TrackId, track: Track) {
        let node = TrackNode { id, track, publisher: None, subscribers: Vec::new() };
        self.by_id.insert(id, TrackIndex(self.nodes.insert(node)));
    }

    pub(super) fn remove(&mut self, index: TrackIndex) -> TrackNode {
        let node = self.nodes.remove(index.0);
        self.by_id.remove(&node.id);
        node
    }
}

impl Index<TrackIndex> for Tracks {
    type Output = TrackNode;

    fn index(&self, index: TrackIndex) -> &TrackNode {
        &self.nodes[index.0]
    }
}

impl IndexMut<TrackIndex> for Tracks {
    fn index_mut(&mut self, index: TrackIndex) -> &mut TrackNode {
        &mut self.nodes[index.0]
    }
}
