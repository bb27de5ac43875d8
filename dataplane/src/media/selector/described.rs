//! Layers of a source with dependency descriptors (AV1 RTP specification 1.0, appendix A): which frames one
//! subscriber gets.
//!
//! The stream itself says which sets of frames can be decoded alone (decode targets), and by its chains whether
//! one of them can be joined. The best active target within what is wanted is followed as soon as its chain is
//! unbroken.
#![forbid(unsafe_code)]

use super::Marks;
use super::fates::{Fate, Fates, Since};
use crate::counters::DropReason;
use crate::media::dependency::Dependency;
use crate::wire::dependency_descriptor::ActiveTargets;
use crate::wire::dependency_descriptor::frame::{Frame, Indication};
use crate::wire::dependency_descriptor::structure::Structure;
use crate::wire::layer::Layer;

/// The state of one source.
#[derive(Debug, Default)]
pub(super) struct DescribedFilter {
    fates: Fates,
    /// The decode target that is sent.
    target: Since<Followed>,
    /// The best that is wanted, since the newest picture began.
    best: Option<u8>,
    /// The decode targets that the source still makes, one bit each.
    active: u32,
    /// The timestamp of the newest picture.
    timestamp: Option<u32>,
    /// Since the last structure the receiver was told that targets are over: what it is to count on stands in every
    /// packet, as any may be lost.
    is_restricted: bool,
    awaits_keyframe: bool,
}

/// A decode target and its highest layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Followed {
    target: u8,
    layer: Layer,
}

impl DescribedFilter {
    pub(super) fn layer(&self) -> Option<Layer> {
        self.target.now().map(|followed| followed.layer)
    }

    pub(super) fn awaits_keyframe(&self) -> bool {
        self.awaits_keyframe
    }

    /// Decides over a packet. `structure` is the one that its descriptor was read with.
    pub(super) fn decide(
        &mut self,
        dependency: &Dependency,
        structure: &Structure,
        timestamp: u32,
        wanted: Layer,
    ) -> Result<Marks, DropReason> {
        let number = dependency.frame_number;
        let Some(frame) = &dependency.frame else {
            // Its structure is on its way: the same fate for all of it, so that what refers to it may follow.
            if self.fates.of(number) == Fate::Unknown {
                self.fates.note(number, true);
            }
            return Ok(Marks::default());
        };
        if self.fates.is_newest(number) {
            self.advance(dependency, frame, structure, timestamp, wanted);
        }
        let followed = self.target.at(number).ok_or(DropReason::AwaitingKeyframe)?;
        match self.fates.of(number) {
            Fate::Forwarded => {}
            Fate::Forgotten => return Err(DropReason::TooLate),
            Fate::Dropped => return Err(reason(frame, followed)),
            Fate::Unknown => {
                let judged = self.judge(number, frame, followed);
                self.fates.note(number, judged.is_ok());
                judged?;
            }
        }
        let has_structure = dependency.templates.is_some();
        Ok(Marks {
            ends_picture: dependency.ends_frame && frame.layer.spatial == followed.layer.spatial,
            targets: self.remaining(structure, followed, has_structure),
        })
    }

    /// Takes in what a newer frame says, and moves to the best target if this is where it can be joined.
    fn advance(
        &mut self,
        dependency: &Dependency,
        frame: &Frame,
        structure: &Structure,
        timestamp: u32,
        wanted: Layer,
    ) {
        self.active = dependency.active_targets.unwrap_or(self.active);
        if self.timestamp == Some(timestamp) {
            return;
        }
        self.timestamp = Some(timestamp);
        self.best = best_within(structure, self.active, wanted);
        let Some(best) = self.best else { return };
        let number = dependency.frame_number;
        let followed = Followed { target: best, layer: structure.targets()[usize::from(best)].layer };
        let is_new_sequence = dependency.templates.is_some();
        if is_new_sequence
            || self.target.now() == Some(followed)
            || self.can_join(number, frame, structure, best)
        {
            self.target.set(number, followed);
            self.awaits_keyframe = false;
        }
    }

    /// Whether everything that later frames of `target` need was forwarded (section A.7). A chain promises no more
    /// than that for the base of time: elsewhere the upper frame of this picture may refer to what was left out,
    /// when the lower one has been sent without an end.
    fn can_join(&self, number: u64, frame: &Frame, structure: &Structure, target: u8) -> bool {
        let layer = structure.targets()[usize::from(target)].layer;
        let rises = self.target.now().is_none_or(|followed| layer.spatial > followed.layer.spatial);
        if rises && frame.layer.temporal > 0 {
            return false;
        }
        let was_forwarded = |diff: u64| {
            number.checked_sub(diff).is_some_and(|before| self.fates.of(before) == Fate::Forwarded)
        };
        let is_switch = frame.indications.of(target) == Indication::Switch
            && frame.frame_diffs.values().iter().all(|diff| was_forwarded(u64::from(*diff)));
        let chain = structure.targets()[usize::from(target)].chain;
        let diff = chain.and_then(|chain| frame.chain_diffs.values().get(usize::from(chain)));
        is_switch || diff.is_some_and(|diff| *diff == 0 || was_forwarded(u64::from(*diff)))
    }

    fn judge(&mut self, number: u64, frame: &Frame, followed: Followed) -> Result<(), DropReason> {
        let is_present = |target| frame.indications.of(target) != Indication::NotPresent;
        if !is_present(followed.target) {
            let is_better = self.best.is_some_and(|best| best != followed.target && is_present(best));
            self.awaits_keyframe |= is_better && self.fates.is_newest(number);
            return Err(reason(frame, followed));
        }
        let diffs = frame.frame_diffs.values().iter();
        let mut references = diffs.filter_map(|diff| number.checked_sub(u64::from(*diff)));
        if references.any(|reference| self.fates.of(reference) == Fate::Dropped) {
            self.awaits_keyframe |= frame.layer.temporal == 0;
            return Err(DropReason::MissingReference);
        }
        Ok(())
    }

    /// The decode targets that can still be decoded, if they are not all that the source makes.
    fn remaining(
        &mut self,
        structure: &Structure,
        followed: Followed,
        has_structure: bool,
    ) -> Option<ActiveTargets> {
        let targets = structure.targets().iter().enumerate();
        let is_within = |layer: &Layer| {
            layer.spatial <= followed.layer.spatial && layer.temporal <= followed.layer.temporal
        };
        let within = targets.filter(|(_, target)| is_within(&target.layer));
        let mask = within.fold(0, |mask, (at, _)| mask | 1 << at) & self.active;
        let all = u32::MAX >> (u32::BITS - u32::from(structure.target_count()));
        let is_restricted = mask != self.active & all;
        self.is_restricted = is_restricted || self.is_restricted && !has_structure;
        self.is_restricted.then_some(ActiveTargets { mask, count: structure.target_count() })
    }
}

/// The highest active decode target within `wanted`, or the lowest of all.
fn best_within(structure: &Structure, active: u32, wanted: Layer) -> Option<u8> {
    let targets = structure.targets().iter().enumerate();
    let active = targets.filter(|(at, _)| active & 1 << at != 0).map(|(at, target)| (at as u8, target.layer));
    let key = |layer: Layer| (layer.spatial, layer.temporal);
    let within =
        active.clone().filter(|(_, at)| at.spatial <= wanted.spatial && at.temporal <= wanted.temporal);
    let best = within.max_by_key(|(_, layer)| key(*layer));
    best.or_else(|| active.min_by_key(|(_, layer)| key(*layer))).map(|(at, _)| at)
}

fn reason(frame: &Frame, followed: Followed) -> DropReason {
    if frame.indications.of(followed.target) != Indication::NotPresent {
        DropReason::MissingReference
    } else if frame.layer.spatial <= followed.layer.spatial && frame.layer.temporal > followed.layer.temporal
    {
        DropReason::TemporalLayer
    } else {
        DropReason::SpatialLayer
    }
}
