//! Decides, packet by packet, which layers of a track one subscription receives.
//!
//! The room after the router and before the rewriters: what is forwarded here is numbered and sealed.
//!
//! | word        | set by                                 | meaning                              |
//! |-------------|----------------------------------------|--------------------------------------|
//! | `requested` | the subscriber, by a command ([`Wish`]) | the most that is worth sending       |
//! | `target`    | [`Wish::resolve`]                      | the layer that we want to be sending |
//! | `current`   | this module, at a switch point         | the layer that is being sent         |
//!
//! This module knows nothing of bitrates or wishes: it turns `target` into `current`. How the layers of one
//! source depend on each other is told by its codec, so there are three filters:
//!
//! | source                            | filter          | a frame is named by           |
//! |-----------------------------------|-----------------|-------------------------------|
//! | with dependency descriptors       | `described`     | its frame number              |
//! | VP9                               | `pictures`      | its picture id and its layer  |
//! | VP8                               | `temporal`      | its picture id                |
//! | any other, or without such names  | none            | everything is forwarded       |
//!
//! # Invariants
//!
//! - An encoding is entered at a keyframe only. Until that comes, the encoding of before flows: waiting never
//!   freezes the picture, except on a link that collapses ([`LayerSelector::collapse`]).
//! - The packets of one frame have one fate, in whatever order they come.
//! - A frame is forwarded only if no frame that it refers to was dropped here.
//! - Nothing changes within a picture, so that one packet of it, the last that is forwarded, ends it.
//!
//! [`Wish`]: super::wish::Wish
//! [`Wish::resolve`]: super::wish::Wish::resolve
#![forbid(unsafe_code)]

mod described;
mod fates;
mod pictures;
mod temporal;

use std::time::{Duration, Instant};

use super::packet::Source;
use super::picture::{Head, Picture};
use crate::counters::DropReason;
use crate::limits::COLLAPSE_PAUSE_MIN;
use crate::wire::dependency_descriptor::ActiveTargets;
use crate::wire::dependency_descriptor::structure::Structure;
use crate::wire::layer::Layer;
use described::DescribedFilter;
use pictures::PictureFilter;
use temporal::TemporalFilter;

/// Where a subscription is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The encoding.
    pub encoding: u8,
    /// The highest layer of it. More than there is means all there is.
    pub layer: Layer,
}

/// More than any stream has.
pub const ALL_LAYERS: Layer = Layer { spatial: u8::MAX, temporal: u8::MAX };

/// What the selector needs to know of a packet. The rest of the payload is not its business.
#[derive(Clone, Copy, Debug)]
pub struct PacketMeta<'a> {
    /// Whose numbers these are.
    pub source: Source,
    /// Its number.
    pub index: u64,
    /// RTP timestamp: packets of one picture share it.
    pub timestamp: u32,
    /// What its payload says.
    pub picture: &'a Picture,
    /// The structure that its dependency descriptor is read with.
    pub structure: Option<&'a Structure>,
    /// A decoder can start here, and what came early of the same frame is at hand.
    pub is_way_in: bool,
    /// The receiver can tell spatial layers apart.
    pub tells_layers: bool,
}

/// What to do with one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pick {
    /// It goes on.
    Forward(Marks),
    /// It goes on, and begins a source.
    Switch(Marks),
    /// It ends here.
    Drop(DropReason),
}

/// What leaving layers out changes of the packets that go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It is the last packet that is forwarded of its picture, although others follow.
    pub ends_picture: bool,
    /// What is left of the decode targets, if not all are.
    pub targets: Option<ActiveTargets>,
}

/// The forwarding state of one subscription. Starts paused.
#[derive(Debug, Default)]
pub struct LayerSelector {
    target: Option<Target>,
    current: Option<Current>,
    /// The link collapses: when the picture pauses, if the lower layer has not begun by then.
    pause_at: Option<Instant>,
}

/// What is being sent.
#[derive(Debug)]
struct Current {
    source: Source,
    /// The number of the first packet: what stands before it came too late.
    first: u64,
    /// The timestamp of the newest packet that was forwarded.
    timestamp: u32,
    /// What its layers are held to.
    held: Layer,
    filter: Filter,
}

/// How the layers of a source are told apart.
#[derive(Debug, Default)]
enum Filter {
    #[default]
    Whole,
    Temporal(Box<TemporalFilter>),
    Pictures(Box<PictureFilter>),
    Described(Box<DescribedFilter>),
}

impl LayerSelector {
    /// Sets where to go. `None` pauses, at the end of the picture that is being sent.
    pub fn set_target(&mut self, target: Option<Target>) {
        self.target = target;
    }

    /// Where it is to go.
    pub fn target(&self) -> Option<Target> {
        self.target
    }

    /// The link cannot carry what is being sent: until the target is reached only the base of time is sent, and
    /// after two round trips, at least [`COLLAPSE_PAUSE_MIN`], nothing.
    pub fn collapse(&mut self, round_trip: Duration, now: Instant) {
        self.pause_at.get_or_insert(now + COLLAPSE_PAUSE_MIN.max(round_trip * 2));
    }

    /// The link carries what is being sent.
    pub fn recover(&mut self) {
        self.pause_at = None;
    }

    /// The encoding that is being sent, and its highest layer that is; `None` for that if it has no layers.
    pub fn current(&self) -> Option<(u8, Option<Layer>)> {
        let current = self.current.as_ref()?;
        Some((current.source.encoding, current.filter.layer()))
    }

    /// Whether `source` is what is being sent.
    pub fn follows(&self, source: Source) -> bool {
        self.current.as_ref().is_some_and(|current| current.source == source)
    }

    /// Whether what is being sent waits for a keyframe of its own source to reach the target.
    pub fn awaits_keyframe(&self) -> bool {
        let Some((current, target)) = self.current.as_ref().zip(self.target) else { return false };
        current.source.encoding == target.encoding && current.filter.awaits_keyframe()
    }

    /// Whether everything that is wanted is being sent.
    pub fn has_arrived(&self) -> bool {
        match (&self.current, self.target) {
            (Some(current), Some(target)) => {
                let is_within =
                    current.filter.layer().is_none_or(|layer| layer.spatial <= target.layer.spatial);
                current.source.encoding == target.encoding && is_within && !current.filter.awaits_keyframe()
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// Decides the fate of the next packet of the track, in the order of arrival.
    pub fn select(&mut self, packet: &PacketMeta<'_>, now: Instant) -> Pick {
        if self.is_over(packet, now) {
            self.current = None;
        }
        let has_arrived = self.has_arrived();
        if has_arrived {
            self.pause_at = None;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.source == packet.source) {
            if let Some(target) = self.target.filter(|target| target.encoding == packet.source.encoding) {
                current.held = target.layer;
            }
            let is_collapsing = self.pause_at.is_some();
            return match current.follow(packet, is_collapsing) {
                Ok(marks) => Pick::Forward(marks),
                Err(reason) => Pick::Drop(reason),
            };
        }
        let Some(target) = self.target else { return Pick::Drop(DropReason::Paused) };
        if target.encoding != packet.source.encoding {
            return Pick::Drop(DropReason::OtherEncoding);
        }
        if !packet.is_way_in {
            return Pick::Drop(DropReason::AwaitingKeyframe);
        }
        self.enter(target, packet)
    }

    /// Whether nothing more of the current source is to be sent: not within a picture, which would be cut.
    fn is_over(&self, packet: &PacketMeta<'_>, now: Instant) -> bool {
        let Some(current) = self.current.as_ref().filter(|current| current.source == packet.source) else {
            return false;
        };
        let has_collapsed = !self.has_arrived() && self.pause_at.is_some_and(|at| now >= at);
        (self.target.is_none() || has_collapsed) && packet.timestamp != current.timestamp
    }

    fn enter(&mut self, target: Target, packet: &PacketMeta<'_>) -> Pick {
        let mut current = Current {
            source: packet.source,
            first: packet.index,
            timestamp: packet.timestamp,
            held: target.layer,
            filter: Filter::default(),
        };
        match current.follow(packet, false) {
            Ok(marks) => {
                self.current = Some(current);
                self.pause_at = None;
                Pick::Switch(marks)
            }
            Err(reason) => Pick::Drop(reason),
        }
    }
}

impl Current {
    fn follow(&mut self, packet: &PacketMeta<'_>, is_collapsing: bool) -> Result<Marks, DropReason> {
        if packet.index < self.first {
            return Err(DropReason::TooLate);
        }
        let mut wanted = self.held;
        if is_collapsing {
            wanted.temporal = 0;
        }
        if !packet.tells_layers {
            wanted.spatial = 0;
        }
        self.filter.suit(packet);
        let marks = self.filter.decide(packet, wanted)?;
        if packet.timestamp.wrapping_sub(self.timestamp) as i32 > 0 {
            self.timestamp = packet.timestamp;
        }
        Ok(marks)
    }
}

impl Filter {
    /// Begins to filter when the source first shows how. A dependency descriptor knows more than a payload.
    fn suit(&mut self, packet: &PacketMeta<'_>) {
        let picture = packet.picture;
        if picture.dependency.is_some_and(|dependency| dependency.templates.is_some()) {
            if !matches!(self, Filter::Described(_)) {
                *self = Filter::Described(Box::default());
            }
        } else if matches!(self, Filter::Whole)
            && picture.is_entry
            && picture.picture_id.is_some()
            && picture.layer.is_some()
        {
            match picture.head {
                Head::Vp8(_) => *self = Filter::Temporal(Box::default()),
                Head::Vp9(_) => *self = Filter::Pictures(Box::default()),
                _ => {}
            }
        }
    }

    /// What does not say what it is goes on (docs/SECURITY.md M7).
    fn decide(&mut self, packet: &PacketMeta<'_>, wanted: Layer) -> Result<Marks, DropReason> {
        let picture = packet.picture;
        match (self, &picture.head) {
            (Filter::Described(filter), _) => match (&picture.dependency, packet.structure) {
                (Some(dependency), Some(structure)) => {
                    filter.decide(dependency, structure, packet.timestamp, wanted)
                }
                _ => Ok(Marks::default()),
            },
            (Filter::Temporal(filter), Head::Vp8(descriptor)) => {
                match (picture.picture_id, descriptor.temporal) {
                    (Some(id), Some(temporal)) => {
                        filter.decide(id, temporal, picture.is_entry, wanted.temporal)
                    }
                    _ => Ok(Marks::default()),
                }
            }
            (Filter::Pictures(filter), Head::Vp9(descriptor)) => match (picture.picture_id, descriptor.layer)
            {
                (Some(id), Some(indices)) => filter.decide(id, descriptor, &indices, wanted),
                _ => Ok(Marks::default()),
            },
            _ => Ok(Marks::default()),
        }
    }

    fn layer(&self) -> Option<Layer> {
        match self {
            Filter::Whole => None,
            Filter::Temporal(filter) => Some(filter.layer()),
            Filter::Pictures(filter) => Some(filter.layer()),
            Filter::Described(filter) => filter.layer(),
        }
    }

    fn awaits_keyframe(&self) -> bool {
        match self {
            Filter::Whole => false,
            Filter::Temporal(filter) => filter.awaits_keyframe(),
            Filter::Pictures(filter) => filter.awaits_keyframe(),
            Filter::Described(filter) => filter.awaits_keyframe(),
        }
    }
}

#[cfg(test)]
#[path = "selector/tests.rs"]
mod tests;
