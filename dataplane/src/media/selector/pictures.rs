//! Spatial and temporal layers of VP9 (RFC 9628, section 4.2): which layer frames of one source one subscriber
//! gets.
//!
//! Everything up to the current layer is forwarded, unless no upper layer refers to it (Z): between the
//! keyframes of `L3T3_KEY` that is the current layer alone. It falls where the lower layer is complete, and rises
//! where the upper one refers to no earlier picture and the picture has not ended below it: at a keyframe.
#![forbid(unsafe_code)]

use super::Marks;
use super::fates::{Fate, Fates, Since};
use crate::counters::DropReason;
use crate::wire::layer::Layer;
use crate::wire::vp9::{Descriptor, LayerIndices};

/// Names for the layer frames of one picture: a spatial id has three bits.
const NAMES: u64 = 8;
/// The encoder has stopped a spatial layer that was in none of so many pictures: half a second at 30 a second.
const ABSENT_MAX: u64 = 16;

/// The state of one source. Layer frames are named by picture id and spatial id.
#[derive(Debug, Default)]
pub(super) struct PictureFilter {
    fates: Fates,
    /// The highest layer that is sent.
    limit: Since<Layer>,
    /// What is wanted, since the newest picture began.
    wanted: Layer,
    /// Spatial layers of which no frame that later ones need was left out since the last keyframe, one bit each.
    complete: u8,
    /// Spatial layers of which a frame was left out since the newest base of time, one bit each.
    broken: u8,
    /// The newest picture is a keyframe, in which the layers are climbed one by one.
    is_key: bool,
    /// The highest spatial layer that the source announced, if it did.
    top: Option<u8>,
    /// The newest picture that had a frame of the current spatial layer.
    whole: u64,
    /// The highest temporal layer that was seen.
    highest_temporal: u8,
    /// Pictures behind the newest look behind it in no temporal layer above its own.
    is_way_up: bool,
    /// The newest picture whose last packet was marked.
    ended: Option<u64>,
    awaits_keyframe: bool,
}

impl PictureFilter {
    pub(super) fn layer(&self) -> Layer {
        let limit = self.limit.now().unwrap_or_default();
        Layer { temporal: limit.temporal.min(self.highest_temporal), ..limit }
    }

    pub(super) fn awaits_keyframe(&self) -> bool {
        self.awaits_keyframe
    }

    /// Decides over a packet of the picture `id`.
    pub(super) fn decide(
        &mut self,
        id: u64,
        descriptor: &Descriptor,
        indices: &LayerIndices,
        wanted: Layer,
    ) -> Result<Marks, DropReason> {
        let layer = indices.layer;
        let frame = id * NAMES + u64::from(layer.spatial);
        let fate = match self.fates.of(frame) {
            Fate::Unknown => self.judge(id, frame, descriptor, indices, wanted),
            fate => fate,
        };
        match fate {
            Fate::Forwarded => {
                let is_last = descriptor.ends_layer_frame && layer.spatial == self.last_of(id);
                if is_last {
                    self.ended = self.ended.max(Some(id));
                }
                Ok(Marks { ends_picture: is_last, targets: None })
            }
            Fate::Forgotten => Err(DropReason::TooLate),
            _ => Err(self.reason(frame, layer)),
        }
    }

    fn judge(
        &mut self,
        id: u64,
        frame: u64,
        descriptor: &Descriptor,
        indices: &LayerIndices,
        wanted: Layer,
    ) -> Fate {
        let layer = indices.layer;
        let newest = self.fates.newest().map(|newest| newest / NAMES);
        if newest.is_none_or(|newest| id > newest) {
            self.begin_picture(id, wanted);
        }
        if !descriptor.is_inter_picture && newest.is_none_or(|newest| id >= newest) {
            self.is_key = true;
            if layer.spatial == 0 {
                self.begin_keyframe(id, descriptor);
            }
        }
        let is_below_there = !indices.depends_on_lower || self.fates.of(frame - 1) != Fate::Dropped;
        let can = is_below_there && (!descriptor.is_inter_picture || self.is_complete(layer.spatial));
        let is_late = !self.fates.is_newest(frame);
        if !is_late {
            if layer.temporal == 0 {
                self.broken &= !(1 << layer.spatial);
            }
            self.move_spatially(frame, layer.spatial, can);
        }
        if layer.spatial == self.limit.now().unwrap_or_default().spatial {
            self.whole = self.whole.max(id);
        }
        // A late frame of an older picture is judged by what held when that ended.
        let limit = self.limit_of(id);
        let is_base =
            layer.spatial == limit.spatial || (layer.spatial < limit.spatial && !descriptor.is_not_for_upper);
        let is_wanted = layer.temporal <= limit.temporal && is_base;
        let is_forwarded = is_wanted && (can || is_late && is_below_there);
        if !is_forwarded && layer.temporal <= limit.temporal {
            self.broken |= 1 << layer.spatial;
        }
        if layer.temporal == 0 && !is_forwarded {
            self.complete &= !(1 << layer.spatial);
        } else if !descriptor.is_inter_picture && is_forwarded {
            self.complete |= 1 << layer.spatial;
        }
        self.awaits_keyframe |= is_wanted && !is_forwarded;
        self.is_way_up |= !is_late && is_forwarded && indices.is_switching_up;
        self.highest_temporal = self.highest_temporal.max(layer.temporal);
        self.fates.note(frame, is_forwarded);
        if is_forwarded { Fate::Forwarded } else { Fate::Dropped }
    }

    /// Between two pictures the temporal layer falls, and rises if the picture before is a way up.
    fn begin_picture(&mut self, id: u64, wanted: Layer) {
        self.wanted = wanted;
        self.is_key = false;
        let first = Layer { spatial: 0, temporal: wanted.temporal };
        let limit = self.limit.now().unwrap_or(first);
        if limit.spatial > 0 && id > self.whole + ABSENT_MAX {
            self.wanted.spatial = wanted.spatial.min(limit.spatial - 1);
        }
        let temporal = if self.is_way_up { wanted.temporal } else { limit.temporal.min(wanted.temporal) };
        self.is_way_up = false;
        self.limit.set(id * NAMES, Layer { temporal, ..limit });
    }

    fn begin_keyframe(&mut self, id: u64, descriptor: &Descriptor) {
        self.awaits_keyframe = false;
        self.top = descriptor.spatial_layer_count.map(|count| count - 1).or(self.top);
        // What comes of the wanted layers is sent; what does not come is lost, and not left out.
        self.complete = ((1u16 << (self.wanted.spatial.min(7) + 1)) - 1) as u8;
        let limit = self.limit.now().unwrap_or_default();
        self.limit.set(id * NAMES, Layer { temporal: self.wanted.temporal, ..limit });
    }

    /// Rises to a layer that can be joined, or falls to one.
    fn move_spatially(&mut self, frame: u64, spatial: u8, can: bool) {
        let limit = self.limit.now().unwrap_or_default();
        let is_up = limit.spatial < spatial && spatial <= self.wanted.spatial;
        let is_down = self.wanted.spatial <= spatial && spatial < limit.spatial;
        let has_ended = self.ended == Some(frame / NAMES);
        let is_broken = self.broken & (1 << spatial) != 0;
        if is_down && can && is_broken {
            // It can be joined at the next base of time.
        } else if (is_up && !has_ended || is_down) && can {
            self.limit.set(frame, Layer { spatial, ..limit });
            self.awaits_keyframe = false;
        } else if is_up || is_down {
            self.awaits_keyframe = true;
        } else if limit.spatial == self.wanted.spatial {
            self.awaits_keyframe = false;
        }
    }

    fn is_complete(&self, spatial: u8) -> bool {
        self.complete & (1 << spatial) != 0
    }

    fn limit_of(&self, picture: u64) -> Layer {
        self.limit.at(picture * NAMES + NAMES - 1).unwrap_or_default()
    }

    /// The spatial layer that ends a picture on its way out. The layers of a keyframe are still being climbed.
    fn last_of(&self, picture: u64) -> u8 {
        let is_newest = self.fates.newest().is_some_and(|newest| newest / NAMES == picture);
        if is_newest && self.is_key {
            self.wanted.spatial.min(self.top.unwrap_or(u8::MAX))
        } else {
            self.limit_of(picture).spatial
        }
    }

    fn reason(&self, frame: u64, layer: Layer) -> DropReason {
        let limit = self.limit_of(frame / NAMES);
        if layer.spatial == limit.spatial && layer.temporal <= limit.temporal {
            DropReason::MissingReference
        } else if layer.spatial <= limit.spatial && layer.temporal > limit.temporal {
            DropReason::TemporalLayer
        } else {
            DropReason::SpatialLayer
        }
    }
}
