//! Follows the dependency descriptors of one encoding: frame numbers that do not wrap, and the structure in
//! force.
//!
//! # Invariants
//!
//! - A packet is read with the structure that was in force when its frame was made: one that comes late from
//!   before a new structure is read with the one before.
//! - Memory is taken with the first structure and reused for later ones.
#![forbid(unsafe_code)]

use crate::wire::dependency_descriptor::frame::Frame;
use crate::wire::dependency_descriptor::structure::Structure;
use crate::wire::dependency_descriptor::{self as wire};
use crate::wire::serial::Unwrapper;

/// What a packet's dependency descriptor says, for selecting and numbering frames.
#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    /// The frame's number, extended.
    pub frame_number: u64,
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame.
    pub ends_frame: bool,
    /// The template ids of the structure that comes with this packet: a coded video sequence begins.
    pub templates: Option<Templates>,
    /// The decode targets that are active from here on, where the packet says it.
    pub active_targets: Option<u32>,
    /// The frame; `None` if its structure never came.
    pub frame: Option<Frame>,
}

/// A range of template ids, which wrap at [`wire::TEMPLATE_IDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Templates {
    /// The first.
    pub first: u8,
    /// How many.
    pub count: u8,
}

/// A structure and the frame that it came with.
#[derive(Debug)]
struct Known {
    structure: Structure,
    from: u64,
}

/// Reads the descriptors of one encoding.
#[derive(Debug, Default)]
pub struct DependencyReader {
    frame_numbers: Unwrapper,
    current: Option<Box<Known>>,
    previous: Option<Box<Known>>,
}

impl DependencyReader {
    /// Reads the descriptor of the next packet; `None` if it is malformed.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Dependency> {
        let &[_, high, low, ..] = bytes else { return None };
        // Not remembered before the descriptor is known to be sound.
        let frame_number = self.frame_numbers.peek(u16::from_be_bytes([high, low]));
        let (seen, own) = wire::read(bytes, self.in_force(frame_number))?;
        self.frame_numbers.extend(seen.frame_number);
        let templates = own.as_ref().map(|structure| Templates {
            first: structure.template_id_offset(),
            count: structure.template_count(),
        });
        if let Some(structure) = own {
            self.learn(structure, frame_number);
        }
        Some(Dependency {
            frame_number,
            starts_frame: seen.starts_frame,
            ends_frame: seen.ends_frame,
            templates,
            active_targets: seen.active_targets,
            frame: seen.frame,
        })
    }

    /// The structure that a frame is made by.
    pub fn in_force(&self, frame_number: u64) -> Option<&Structure> {
        self.known(frame_number).map(|known| &known.structure)
    }

    /// The frame that this structure came with.
    pub fn in_force_from(&self, frame_number: u64) -> Option<u64> {
        self.known(frame_number).map(|known| known.from)
    }

    /// Takes over what another reader saw in a descriptor, so that it is read here with the structure of the frame
    /// `from`, as it was there, or with none.
    pub fn follow(&mut self, seen: &Dependency, bytes: &[u8], from: Option<u64>) {
        let number = seen.frame_number;
        if seen.templates.is_some()
            && self.in_force_from(number) != Some(number)
            && let Some((_, Some(structure))) = wire::read(bytes, None)
        {
            self.learn(structure, number);
        }
        // A structure that did not come here would be taken for the one before it.
        if self.in_force_from(number) != from {
            if self.current.as_ref().is_some_and(|current| current.from <= number) {
                self.current = None;
            }
            self.previous = None;
        }
    }

    fn known(&self, frame_number: u64) -> Option<&Known> {
        let known = [&self.current, &self.previous].into_iter().flatten();
        known.map(|known| &**known).find(|known| known.from <= frame_number)
    }

    fn learn(&mut self, structure: Structure, from: u64) {
        let is_newest = self.current.as_ref().is_none_or(|current| from >= current.from);
        if is_newest {
            std::mem::swap(&mut self.current, &mut self.previous);
        }
        let is_forgotten = self.previous.as_ref().is_some_and(|previous| from < previous.from);
        if !is_newest && is_forgotten {
            return;
        }
        let place = if is_newest { &mut self.current } else { &mut self.previous };
        match place {
            Some(known) => **known = Known { structure, from },
            None => *place = Some(Box::new(Known { structure, from })),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::wire::dependency_descriptor::tests::keyframe;

    #[test]
    fn who_follows_reads_with_the_same_structure_or_with_none() {
        let (mut home, mut mirror) = (DependencyReader::default(), DependencyReader::default());
        let mut keyframe_at = |number: u16| {
            let bytes = keyframe(0, number);
            (home.read(&bytes).unwrap(), bytes)
        };
        let (first, bytes) = keyframe_at(10);
        mirror.follow(&first, &bytes, Some(first.frame_number));
        let number = |number: u64| first.frame_number - 10 + number;
        let later = |at| Dependency { frame_number: number(at), templates: None, ..first };
        mirror.follow(&later(11), &[], Some(number(10)));
        assert_eq!(mirror.in_force_from(number(11)), Some(number(10)));

        keyframe_at(20);
        mirror.follow(&later(21), &[], Some(number(20)));
        assert!(mirror.in_force(number(21)).is_none(), "the structure of 20 was lost on the way");

        let (third, bytes) = keyframe_at(30);
        mirror.follow(&third, &bytes, Some(number(30)));
        mirror.follow(&later(25), &[], Some(number(20)));
        assert!(mirror.in_force(number(25)).is_none());
        assert_eq!(mirror.in_force_from(number(31)), Some(number(30)), "one that is late takes nothing away");
    }
}
