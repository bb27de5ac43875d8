//! Finds lost packets of audio in the redundancy of the next one (RFC 2198), for subscribers who get none.
//!
//! What was found takes the place of what was lost, under the number that is still open: its turn is before
//! the packet that it was found in, or never, as nothing may run back in time.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::ingress::Arrived;
use super::{Engine, TrackIndex};
use crate::media::carried::Carried;
use crate::media::packet::{Packet, Source};
use crate::media::packet_cache::CacheKey;
use crate::media::picture::{Head, Picture};
use crate::media::track::Track;
use crate::wire::red::{self, Block};

impl Engine {
    /// Recovers what is missing right before a packet that is in the vacant slot of its track's cache, and
    /// leaves that packet in the slot that is vacant then.
    pub(super) fn recover(
        &mut self,
        track: TrackIndex,
        encoding: u8,
        arrived: &Arrived<'_>,
        header: red::Header,
        gap: u64,
        now: Instant,
    ) {
        if gap == 0 || header.redundant_count() == 0 {
            return;
        }
        let len = arrived.payload_len;
        let cache = &mut self.tracks[track].track.cache;
        self.scratch[..len].copy_from_slice(&cache.vacant_payload()[..len]);
        let count = u64::from(header.redundant_count());
        for at in 0..count {
            // The last block is the packet before this one, and so on backwards.
            let back = count - at;
            let node = &mut self.tracks[track].track;
            let block = header.redundant(&self.scratch[..len]).nth(at as usize);
            let Some(block) = block.filter(|_| back <= gap) else { continue };
            if let Some(key) = keep_block(node, encoding, arrived, back, block) {
                self.route(track, key, now);
            }
        }
        let cache = &mut self.tracks[track].track.cache;
        cache.vacant_payload()[..len].copy_from_slice(&self.scratch[..len]);
    }
}

/// Keeps a block as the packet `back` numbers before the one it came in. `None` if that packet is not missing,
/// or if the block belongs to none: it is empty, or not newer than what came before the gap.
fn keep_block(
    track: &mut Track,
    encoding: u8,
    arrived: &Arrived<'_>,
    back: u64,
    block: Block<'_>,
) -> Option<CacheKey> {
    let run = track.encodings.get_mut(usize::from(encoding))?.run.as_mut()?;
    let timestamp = arrived.timestamp.wrapping_sub(block.timestamp_offset.into());
    let is_between = |before: u32| (timestamp.wrapping_sub(before) as i32) > 0;
    if block.payload.is_empty()
        || block.timestamp_offset == 0
        || !run.newest_timestamp.is_some_and(is_between)
    {
        return None;
    }
    let index = arrived.index.checked_sub(back)?;
    if !run.fill(index) {
        return None;
    }
    let epoch = run.epoch;
    track.cache.vacant_payload()[..block.payload.len()].copy_from_slice(block.payload);
    Some(track.cache.commit(Packet {
        source: Source { encoding, epoch },
        index,
        timestamp,
        marker: false,
        payload_len: block.payload.len() as u16,
        picture: Picture { is_entry: true, head: Head::Fixed, ..Picture::default() },
        dependency_len: 0,
        carried: Carried::default(),
        is_recovered: true,
        received_at: None,
    }))
}
