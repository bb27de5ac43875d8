//! How full a shard is: every table and queue with its length, so that a test or a debugger can hold it
//! against the bounds of `limits.rs`. Looks at everything and changes nothing; not for the way of a packet.
#![forbid(unsafe_code)]

use super::Engine;

/// The lengths of a shard's tables and queues. `_max` is the longest of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Peers, closing ones included.
    pub peers: usize,
    /// Tracks.
    pub tracks: usize,
    /// Tracks that somebody feeds.
    pub publishers: usize,
    /// Subscriptions, as the tracks know them.
    pub subscribers: usize,
    /// Other shards that watch tracks of this one.
    pub mirrors: usize,
    /// Subscriptions, as the peers know them. The same number.
    pub watches: usize,
    /// Entries of the address table.
    pub paths: usize,
    /// Entries of the table of username fragments.
    pub ufrags: usize,
    /// Peers with a deadline.
    pub deadlines: usize,
    /// Peers that wait for a flush. None after a turn.
    pub dirty: usize,
    /// Packets that wait to cross to other shards. None after a turn.
    pub leaving: usize,
    /// Events that nobody has taken.
    pub events: usize,
    /// Packets that wait to be sealed for one peer. None after a turn.
    pub outbox_max: usize,
    /// Verified paths of one transport.
    pub paths_max: usize,
    /// Bound SSRCs of one peer.
    pub streams_max: usize,
    /// Arrivals of one publisher that wait to be reported.
    pub twcc_pending_max: usize,
    /// Missing packets of one encoding.
    pub missing_max: usize,
    /// Encodings of one track.
    pub encodings_max: usize,
    /// Packets kept for one track.
    pub cached_max: usize,
}

impl Engine {
    /// How full the shard is now.
    pub fn occupancy(&self) -> Occupancy {
        let (paths, ufrags) = self.demux.lens();
        let mut seen = Occupancy {
            peers: self.peers.len(),
            tracks: self.tracks.len(),
            paths,
            ufrags,
            deadlines: self.timers.len(),
            dirty: self.dirty.len(),
            leaving: self.leaving_len(),
            events: self.events.len(),
            ..Occupancy::default()
        };
        for (_, peer) in &self.peers {
            seen.watches += peer.watches.len();
            seen.outbox_max = seen.outbox_max.max(peer.outbox.len());
            seen.paths_max = seen.paths_max.max(peer.transport.paths().len());
            seen.streams_max = seen.streams_max.max(peer.streams.len());
            seen.twcc_pending_max = seen.twcc_pending_max.max(peer.twcc_log.pending_len());
        }
        for node in self.tracks.iter() {
            seen.publishers += usize::from(node.publisher.is_some());
            seen.subscribers += node.subscribers.len();
            seen.mirrors += node.mirrors.len();
            seen.encodings_max = seen.encodings_max.max(node.track.encodings.len());
            seen.cached_max = seen.cached_max.max(node.track.cache.kept());
            let runs = node.track.encodings.iter().filter_map(|encoding| encoding.run.as_ref());
            let missing = runs.map(|run| run.missing.count()).max().unwrap_or(0);
            seen.missing_max = seen.missing_max.max(missing);
        }
        seen
    }
}
