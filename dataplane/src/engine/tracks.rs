//! The tracks of a shard, who feeds each and who watches it.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::hop::Wants;
use super::{PeerIndex, TrackIndex};
use crate::id::{ShardId, TrackId};
use crate::limits::ENCODINGS_PER_TRACK_MAX;
use crate::media::track::Track;
use crate::media::wish::Wish;

/// A track and its edges.
#[derive(Debug)]
pub(super) struct TrackNode {
    pub(super) id: TrackId,
    pub(super) track: Track,
    /// The peer that feeds it.
    pub(super) publisher: Option<PeerIndex>,
    /// The peers that watch it, each with the place among its subscriptions.
    pub(super) subscribers: Vec<(PeerIndex, u16)>,
    /// Where it is fed, if not here.
    pub(super) home: Option<Home>,
    /// The shards on which somebody watches it, too.
    pub(super) mirrors: Vec<Mirror>,
}

/// The shard that feeds a track that stands here as a mirror, and what it knows.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) shard: ShardId,
    /// It was told that somebody watches.
    pub(super) is_told_watched: bool,
    /// What is wanted here, and what of that it was told.
    pub(super) wants: Option<Wants>,
    pub(super) told_wants: Option<Wants>,
    /// Somebody waits for a keyframe, and nothing has come yet that it could be asked of.
    pub(super) wants_best: bool,
    /// It stands on the list of those with something to tell.
    pub(super) is_listed: bool,
}

impl Home {
    pub(super) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            is_told_watched: false,
            wants: None,
            told_wants: None,
            wants_best: false,
            is_listed: false,
        }
    }
}

/// A mirror of a track on another shard.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) shard: ShardId,
    /// Its place in the table there.
    pub(super) place: usize,
    /// The version of the ladder that it has; `None` if it has none.
    pub(super) ladder_version: Option<u32>,
    /// What is wanted there; `None` until it says so.
    pub(super) wants: Option<Wants>,
    /// For each encoding, the timestamp of the frame that was cut last because there was no room.
    pub(super) cut: [Option<u32>; ENCODINGS_PER_TRACK_MAX],
}

impl Mirror {
    pub(super) fn new(shard: ShardId, place: usize) -> Self {
        let cut = [None; ENCODINGS_PER_TRACK_MAX];
        Self { shard, place, ladder_version: None, wants: None, cut }
    }

    /// The encodings of `track` that are wanted there, one bit each: the best, until it has seen what there is.
    pub(super) fn wanted_encodings(&self, track: &Track) -> u32 {
        let known = self.wants.filter(|wants| wants.feed == track.feed());
        known.map_or_else(|| Wish::default().resolve(track.ladder()).encodings(), |wants| wants.encodings)
    }

    /// Whether nobody there has a use for `encoding`. Whoever looked at another ladder may have.
    pub(super) fn is_indifferent_to(&self, encoding: u8, track: &Track) -> bool {
        let of_now =
            |wants: &Wants| wants.feed == track.feed() && wants.ladder_version == track.ladder().version();
        self.wants.filter(of_now).is_some_and(|wants| wants.encodings & 1 << encoding == 0)
    }
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

    pub(super) fn get_mut(&mut self, index: TrackIndex) -> Option<&mut TrackNode> {
        self.nodes.get_mut(index.0)
    }

    pub(super) fn insert(&mut self, id: TrackId, track: Track, home: Option<Home>, mirrors: Vec<Mirror>) {
        let node = TrackNode { id, track, publisher: None, subscribers: Vec::new(), home, mirrors };
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
