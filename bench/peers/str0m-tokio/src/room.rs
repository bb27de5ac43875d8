//! What the publisher of a room and its subscribers share.

use std::sync::Arc;

use str0m::format::CodecSpec;
use str0m::rtp::{ExtensionValues, SeqNo, Ssrc};
use tokio::sync::{Notify, broadcast};

/// Packets that a slow subscriber may lag behind before it loses the oldest.
const BACKLOG_LEN: usize = 1024;

/// One packet of the publisher, shared by all subscribers.
pub(crate) struct MediaPacket {
    pub(crate) ssrc: Ssrc,
    pub(crate) spec: CodecSpec,
    pub(crate) sequence_number: SeqNo,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Only the values that belong to the media; what belongs to a transport is made anew by str0m.
    pub(crate) extensions: ExtensionValues,
    pub(crate) payload: Arc<[u8]>,
}

/// One room: one publisher at a time, any number of subscribers.
pub(crate) struct Room {
    pub(crate) packets: broadcast::Sender<Arc<MediaPacket>>,
    /// Set when a subscriber wants a keyframe. One permit is kept, so a burst of wishes is one request.
    pub(crate) keyframe_wanted: Notify,
}

impl Default for Room {
    fn default() -> Self {
        Self { packets: broadcast::Sender::new(BACKLOG_LEN), keyframe_wanted: Notify::new() }
    }
}
