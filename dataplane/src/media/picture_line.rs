//! The VP8 picture ids of one egress stream, over switches of the source (RFC 7741, section 4.2).
//!
//! Decoders wait for a picture id that is missing, so ids go on without a step where the source changes.
//! Within one source they are the source's own, shifted by a constant.
#![forbid(unsafe_code)]

use super::picture::Vp8Picture;
use crate::wire::vp8;

/// Maps the picture ids of the current source to egress picture ids.
#[derive(Debug, Default)]
pub struct PictureLine {
    picture_shift: i64,
    tl0_shift: u8,
    key_shift: u8,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    picture_id: i64,
    values: vp8::Rewrite,
}

impl PictureLine {
    /// Goes over to a source whose first picture is `picture`.
    pub fn switch(&mut self, picture: &Vp8Picture) {
        let Some(last) = self.last else { return };
        let first = &picture.descriptor;
        self.picture_shift = last.picture_id + 1 - picture.picture_id.map_or(0, |id| id as i64);
        self.tl0_shift = shift(last.values.tl0_picture_index, first.tl0_picture_index);
        self.key_shift = shift(last.values.key_index, first.key_index);
    }

    /// What to write into the descriptor of a packet; `None` if its source sends no picture ids.
    pub fn place(&mut self, picture: &Vp8Picture) -> Option<vp8::Rewrite> {
        let picture_id = picture.picture_id? as i64 + self.picture_shift;
        let descriptor = &picture.descriptor;
        let values = vp8::Rewrite {
            picture_id: picture_id.rem_euclid(1 << 15) as u16,
            tl0_picture_index: descriptor.tl0_picture_index.unwrap_or(0).wrapping_add(self.tl0_shift),
            key_index: descriptor.key_index.unwrap_or(0).wrapping_add(self.key_shift) % 32,
        };
        if self.last.is_none_or(|last| picture_id > last.picture_id) {
            self.last = Some(Last { picture_id, values });
        }
        Some(values)
    }
}

/// The constant that makes `first` follow `last` without a step.
fn shift(last: u8, first: Option<u8>) -> u8 {
    last.wrapping_add(1).wrapping_sub(first.unwrap_or(0))
}
