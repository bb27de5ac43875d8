//! The picture ids of one egress stream of VP8 or VP9, over switches of the source (RFC 7741, section 4.2;
//! RFC 9628, section 4.2).
//!
//! Decoders wait for a picture id that is missing, so ids go on without a step where the source changes. Within
//! one source of VP9 they are the source's own, shifted by a constant: gaps stay, because its references count in
//! picture ids. Those of VP8 refer to nothing, so the id of a picture that is left out is closed, and that of one
//! that never came stays open.
#![forbid(unsafe_code)]

use super::overwrite::PayloadOverwrite;
use super::picture::{Head, Picture};
use crate::wire::picture_id::PictureId;
use crate::wire::{vp8, vp9};

/// Runs of left-out pictures behind which a late one still finds its id.
const SHIFTS_LEN_MAX: usize = 64;

/// Maps the picture ids of the current source to egress picture ids.
#[derive(Debug, Default)]
pub struct PictureLine {
    /// What is added to the ids of the source, from which of them on, oldest first. None: nothing.
    shifts: Vec<(i64, i64)>,
    /// The newest id of the source.
    newest: Option<i64>,
    tl0_shift: u8,
    key_shift: u8,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    picture_id: i64,
    tl0_picture_index: u8,
    key_index: u8,
}

/// The indices beside a picture id, where the source has them.
#[derive(Clone, Copy, Debug)]
struct Indices {
    picture_id: Option<PictureId>,
    tl0_picture_index: Option<u8>,
    key_index: Option<u8>,
}

impl Indices {
    fn of(head: &Head) -> Self {
        match head {
            Head::Vp8(descriptor) => Self {
                picture_id: descriptor.picture_id,
                tl0_picture_index: descriptor.tl0_picture_index,
                key_index: descriptor.key_index,
            },
            Head::Vp9(descriptor) => Self {
                picture_id: descriptor.picture_id,
                tl0_picture_index: descriptor.layer.and_then(|indices| indices.tl0_picture_index),
                key_index: None,
            },
            _ => Self { picture_id: None, tl0_picture_index: None, key_index: None },
        }
    }
}

impl PictureLine {
    /// Goes over to a source whose first picture is `picture`.
    pub fn switch(&mut self, picture: &Picture) {
        let (Some(last), Some(picture_id)) = (self.last, picture.picture_id) else { return };
        let first = Indices::of(&picture.head);
        self.shifts.clear();
        self.shifts.push((i64::MIN, last.picture_id + 1 - picture_id as i64));
        self.newest = None;
        self.tl0_shift = shift(last.tl0_picture_index, first.tl0_picture_index);
        self.key_shift = shift(last.key_index, first.key_index);
    }

    /// Leaves a picture out. Further packets of it, and one that comes late, change nothing.
    pub fn skip(&mut self, picture: &Picture) {
        let (Head::Vp8(_), Some(source_id)) = (&picture.head, picture.picture_id) else { return };
        let source_id = source_id as i64;
        if self.newest.is_some_and(|newest| source_id <= newest) {
            return;
        }
        self.newest = Some(source_id);
        let shift = self.shifts.last().map_or(0, |shift| shift.1) - 1;
        // The one before was left out too: no picture hangs on its shift yet.
        self.shifts.pop_if(|last| last.0 == source_id);
        if self.shifts.len() == SHIFTS_LEN_MAX {
            self.shifts.remove(0);
        }
        self.shifts.push((source_id + 1, shift));
    }

    /// What to write into the descriptor of a packet: nothing if its source sends no picture ids, or if they
    /// are what they should be.
    pub fn place(&mut self, picture: &Picture) -> PayloadOverwrite {
        let Some(source_id) = picture.picture_id.map(|id| id as i64) else {
            return PayloadOverwrite::Keep;
        };
        self.newest = self.newest.max(Some(source_id));
        let shift = self.shifts.iter().rev().find(|(from, _)| *from <= source_id);
        let picture_id = source_id + shift.map_or(0, |shift| shift.1);
        let source = Indices::of(&picture.head);
        let tl0_picture_index = source.tl0_picture_index.unwrap_or(0).wrapping_add(self.tl0_shift);
        let key_index = source.key_index.unwrap_or(0).wrapping_add(self.key_shift) % 32;
        if self.last.is_none_or(|last| picture_id > last.picture_id) {
            self.last = Some(Last { picture_id, tl0_picture_index, key_index });
        }
        let value = picture_id.rem_euclid(1 << 15) as u16;
        let is_same = source.picture_id == Some(PictureId { value, is_long: true })
            && source.tl0_picture_index.is_none_or(|index| index == tl0_picture_index)
            && source.key_index.is_none_or(|index| index == key_index);
        match picture.head {
            _ if is_same => PayloadOverwrite::Keep,
            Head::Vp8(_) => {
                PayloadOverwrite::Vp8(vp8::Rewrite { picture_id: value, tl0_picture_index, key_index })
            }
            Head::Vp9(_) => PayloadOverwrite::Vp9(vp9::Rewrite { picture_id: value, tl0_picture_index }),
            _ => PayloadOverwrite::Keep,
        }
    }
}

/// The constant that makes `first` follow `last` without a step.
fn shift(last: u8, first: Option<u8>) -> u8 {
    last.wrapping_add(1).wrapping_sub(first.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::media::format::Codec;
    use crate::media::picture::PictureReader;

    /// A VP9 packet in non-flexible mode with a long picture id.
    fn vp9_packet(picture_id: u16, tl0: u8, is_keyframe: bool) -> Vec<u8> {
        let [high, low] = PictureId::long_bytes(picture_id);
        vec![if is_keyframe { 0b1010_1000 } else { 0b1110_1000 }, high, low, 0, tl0, 0xaa]
    }

    fn read(reader: &mut PictureReader, picture_id: u16, tl0: u8) -> Picture {
        reader.read(Codec::Vp9, &vp9_packet(picture_id, tl0, false), None)
    }

    fn written(overwrite: PayloadOverwrite) -> Option<(u16, u8)> {
        match overwrite {
            PayloadOverwrite::Vp9(values) => Some((values.picture_id, values.tl0_picture_index)),
            _ => None,
        }
    }

    #[test]
    fn a_first_source_with_long_ids_is_left_as_it_is() {
        let (mut line, mut reader) = (PictureLine::default(), PictureReader::default());
        for picture in [5u16, 6, 9] {
            assert_eq!(line.place(&read(&mut reader, picture, 3)), PayloadOverwrite::Keep);
        }
    }

    #[test]
    fn a_second_source_goes_on_where_the_first_ended_and_keeps_its_own_gaps() {
        let (mut line, mut first, mut second) =
            (PictureLine::default(), PictureReader::default(), PictureReader::default());
        line.place(&read(&mut first, 32_767, 200));
        let entry = read(&mut second, 500, 9);
        line.switch(&entry);
        assert_eq!(written(line.place(&entry)), Some((0, 201)), "over the wrap of 15 bits");
        assert_eq!(written(line.place(&read(&mut second, 503, 10))), Some((3, 202)), "a gap stays a gap");
        assert_eq!(written(line.place(&read(&mut second, 501, 9))), Some((1, 201)), "also for what is late");
    }

    #[test]
    fn a_change_of_codec_breaks_no_line() {
        let (mut line, mut vp9, mut h264) =
            (PictureLine::default(), PictureReader::default(), PictureReader::default());
        line.place(&read(&mut vp9, 7, 0));
        let other = h264.read(Codec::H264, &[0x67, 1, 2], None);
        line.switch(&other);
        assert_eq!(line.place(&other), PayloadOverwrite::Keep);
        let back = read(&mut PictureReader::default(), 100, 0);
        line.switch(&back);
        assert_eq!(written(line.place(&back)), Some((8, 1)));
    }

    #[test]
    fn a_picture_of_vp8_that_is_left_out_closes_its_id_and_a_lost_one_does_not() {
        let packet = |id: u16| {
            let [high, low] = PictureId::long_bytes(id);
            vec![0x90, 0x80, high, low, 1, 0, 0, 0xaa]
        };
        let (mut line, mut reader) = (PictureLine::default(), PictureReader::default());
        let mut seen = Vec::new();
        // 100 sent, 101 and 102 left out, 103 lost, 104 sent, 105 left out twice over, 106 sent; 103 comes late.
        for (id, is_sent) in [
            (100, true),
            (101, false),
            (102, false),
            (104, true),
            (105, false),
            (105, false),
            (106, true),
            (103, true),
            (102, false),
            (107, true),
        ] {
            let picture = reader.read(Codec::Vp8, &packet(id), None);
            if !is_sent {
                line.skip(&picture);
                continue;
            }
            seen.push(match line.place(&picture) {
                PayloadOverwrite::Vp8(values) => values.picture_id,
                _ => id,
            });
        }
        assert_eq!(seen, [100, 102, 103, 101, 104]);
    }

    proptest! {
        /// Over any number of switches the distance of two pictures of one source is what it was, and a new
        /// source begins right behind the old one.
        #[test]
        fn distances_stay_and_joints_have_no_step(
            sources in prop::collection::vec((0u16..1 << 15, prop::collection::vec(0u16..60, 1..20)), 1..8),
        ) {
            let mut line = PictureLine::default();
            let mut newest: Option<u16> = None;
            for (first, steps) in sources {
                let mut reader = PictureReader::default();
                let entry = read(&mut reader, first, 0);
                line.switch(&entry);
                let mut source_id = first;
                let mut is_entry = true;
                for step in steps {
                    let step = if is_entry { 0 } else { step };
                    source_id = (source_id + step) % (1 << 15);
                    let picture = read(&mut reader, source_id, 0);
                    let out = written(line.place(&picture)).map_or(source_id, |values| values.0);
                    let expected = newest.map(|newest| (newest + if is_entry { 1 } else { step }) % (1 << 15));
                    prop_assert_eq!(out, expected.unwrap_or(out));
                    newest = Some(out);
                    is_entry = false;
                }
            }
        }
    }
}
