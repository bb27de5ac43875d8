//! The dependency descriptors of one egress stream, over switches of the source (AV1 RTP specification 1.0,
//! section A.8).
//!
//! Frame numbers go on without a step where the source changes, and the templates of the new source get ids
//! that those of the old one do not have: two encoders often number theirs alike, and the same ids with
//! another content would be read with the wrong structure.
//!
//! # Invariants
//!
//! - Within one source numbers are shifted by a constant, which is chosen at a packet with a structure and
//!   nowhere else. Distances between frames stay what they are.
//! - A source whose structure cannot be sent to this subscriber has no descriptors here: without it they
//!   could not be read.
#![forbid(unsafe_code)]

use super::dependency::{Dependency, Templates};
use crate::wire::dependency_descriptor::{Shift, TEMPLATE_IDS};

/// Maps frame numbers and template ids of the current source to egress ones.
#[derive(Debug, Default)]
pub struct DependencyLine {
    /// The shift of the current source, once a structure of it was sent.
    shift: Option<SourceShift>,
    /// The newest frame number that was sent.
    last_frame: Option<u64>,
    /// The first template id behind those that were sent last.
    next_template: u8,
}

#[derive(Clone, Copy, Debug)]
struct SourceShift {
    frames: i64,
    templates: u8,
}

impl DependencyLine {
    /// Goes over to another source. Nothing is sent of it until its structure comes.
    pub fn switch(&mut self) {
        self.shift = None;
    }

    /// By how much to shift the descriptor of a packet; `None` if it is left out. `fits` says whether the
    /// subscriber can get an element of its size.
    pub fn place(&mut self, dependency: &Dependency, fits: bool) -> Option<Shift> {
        if let Some(templates) = dependency.templates {
            self.take_structure(dependency.frame_number, templates, fits);
        }
        let shift = self.shift.filter(|_| fits)?;
        let frame_number = dependency.frame_number.checked_add_signed(shift.frames)?;
        self.last_frame = self.last_frame.max(Some(frame_number));
        Some(Shift { frame_number: shift.frames as u16, template_id: shift.templates })
    }

    fn take_structure(&mut self, frame_number: u64, templates: Templates, fits: bool) {
        if !fits {
            self.shift = None;
            return;
        }
        let shift = *self.shift.get_or_insert_with(|| match self.last_frame {
            None => SourceShift { frames: 0, templates: 0 },
            Some(last) => SourceShift {
                frames: (last as i64 + 1) - frame_number as i64,
                templates: (self.next_template + TEMPLATE_IDS - templates.first) % TEMPLATE_IDS,
            },
        });
        self.next_template = (templates.first + shift.templates + templates.count) % TEMPLATE_IDS;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(frame_number: u64, templates: Option<(u8, u8)>) -> Dependency {
        Dependency {
            frame_number,
            starts_frame: true,
            ends_frame: true,
            templates: templates.map(|(first, count)| Templates { first, count }),
            active_targets: None,
            frame: None,
        }
    }

    fn shift(frame_number: u16, template_id: u8) -> Option<Shift> {
        Some(Shift { frame_number, template_id })
    }

    #[test]
    fn a_source_is_silent_until_its_structure_comes() {
        let mut line = DependencyLine::default();
        assert_eq!(line.place(&packet(100, None), true), None);
        assert_eq!(line.place(&packet(101, Some((0, 5))), true), shift(0, 0));
        assert_eq!(line.place(&packet(102, None), true), shift(0, 0));
        line.switch();
        assert_eq!(line.place(&packet(7, None), true), None);
    }

    #[test]
    fn a_new_source_follows_on_and_shares_no_template() {
        let mut line = DependencyLine::default();
        assert_eq!(line.place(&packet(100, Some((60, 6))), true), shift(0, 0));
        line.place(&packet(102, None), true);
        line.switch();
        // The old templates are 60..=63, 0 and 1.
        assert_eq!(line.place(&packet(40, Some((0, 6))), true), shift(63, 2));
        assert_eq!(line.place(&packet(45, None), true), shift(63, 2), "a gap stays a gap");
        assert_eq!(
            line.place(&packet(46, Some((6, 6))), true),
            shift(63, 2),
            "within a source nothing moves"
        );
        line.switch();
        assert_eq!(line.place(&packet(40, Some((0, 4))), true), shift(70, 14));
    }

    #[test]
    fn a_structure_that_does_not_fit_silences_its_source() {
        let mut line = DependencyLine::default();
        assert_eq!(line.place(&packet(1, Some((0, 5))), false), None);
        assert_eq!(line.place(&packet(2, None), true), None);
        assert_eq!(line.place(&packet(3, Some((5, 2))), true), shift(0, 0));
        assert_eq!(line.place(&packet(4, None), false), None, "only this packet goes without");
        assert_eq!(line.place(&packet(5, None), true), shift(0, 0));
    }

    proptest! {
        /// Whatever the encoders number, no frame number comes twice and the templates of a source and the
        /// one before it do not overlap.
        #[test]
        fn numbers_of_neighbouring_sources_never_meet(
            sources in prop::collection::vec((0u64..60_000, 0u8..64, 1u8..=32, 1u64..40), 1..12),
        ) {
            let mut line = DependencyLine::default();
            let mut last: Option<u16> = None;
            let mut before: Vec<u8> = Vec::new();
            for (first, offset, count, frames) in sources {
                line.switch();
                for frame in 0..frames {
                    let is_first = frame == 0;
                    let seen = packet(65_536 + first + frame, is_first.then_some((offset, count)));
                    let moved = line.place(&seen, true).expect("it begins with a structure");
                    let number = (seen.frame_number as u16).wrapping_add(moved.frame_number);
                    if let Some(last) = last {
                        prop_assert_eq!(number, last.wrapping_add(1));
                    }
                    last = Some(number);
                    if is_first {
                        let ids: Vec<u8> = (0..count).map(|id| (offset + id + moved.template_id) % 64).collect();
                        prop_assert!(ids.iter().all(|id| !before.contains(id)));
                        before = ids;
                    }
                }
            }
        }
    }
}
