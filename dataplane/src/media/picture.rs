//! Reads from a payload what forwarding needs to know of the picture.
#![forbid(unsafe_code)]

use super::format::Codec;
use crate::wire::{av1, h264, vp8, vp9};

/// What a payload says of its picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    /// Whether a decoder that saw nothing before can start with this packet. Always, for audio.
    pub is_entry: bool,
    /// Width and height of a keyframe, pixels.
    pub size: Option<(u16, u16)>,
    /// The VP8 payload descriptor, to be rewritten on the way out.
    pub vp8: Option<Vp8Picture>,
}

/// A VP8 payload descriptor and its picture id on a line that does not wrap.
#[derive(Clone, Copy, Debug)]
pub struct Vp8Picture {
    /// The descriptor as it came.
    pub descriptor: vp8::Descriptor,
    /// The picture id, extended. `None` if the source sends none.
    pub picture_id: Option<u64>,
}

/// Follows the picture ids of one encoding.
#[derive(Debug, Default)]
pub struct PictureReader {
    highest_picture_id: Option<u64>,
    has_parameter_sets: bool,
}

impl PictureReader {
    /// Reads one payload. What cannot be parsed is forwarded undecided (docs/SECURITY.md M7): it never
    /// counts as an entry.
    pub fn read(&mut self, codec: Codec, payload: &[u8]) -> Picture {
        match codec {
            Codec::Opus => Picture { is_entry: true, ..Picture::default() },
            Codec::Vp8 => self.read_vp8(payload),
            Codec::Vp9 => {
                let seen = vp9::inspect(payload);
                Picture { is_entry: seen.is_keyframe_start, size: seen.size, vp8: None }
            }
            Codec::H264 => self.read_h264(payload),
            Codec::Av1 => Picture { is_entry: av1::inspect(payload).is_keyframe_start, ..Picture::default() },
        }
    }

    /// A keyframe begins with its parameter sets. Only where none ever came in band, signalling gave them and
    /// the IDR slice is the beginning.
    fn read_h264(&mut self, payload: &[u8]) -> Picture {
        let seen = h264::inspect(payload);
        self.has_parameter_sets |= seen.is_keyframe_start;
        let is_entry = seen.is_keyframe_start || (seen.has_idr && !self.has_parameter_sets);
        Picture { is_entry, size: seen.size, vp8: None }
    }

    fn read_vp8(&mut self, payload: &[u8]) -> Picture {
        let Ok(descriptor) = vp8::Descriptor::parse(payload) else {
            return Picture::default();
        };
        let picture_id = descriptor.picture_id.map(|id| self.extend(id.value, id.is_long));
        Picture {
            is_entry: descriptor.is_frame_start && descriptor.is_keyframe,
            size: descriptor.size,
            vp8: Some(Vp8Picture { descriptor, picture_id }),
        }
    }

    /// Puts a 7-bit or 15-bit id on the line nearest to the highest so far. A publisher may change the
    /// width in mid-stream, so each value is unwrapped by its own modulus.
    fn extend(&mut self, value: u16, is_long: bool) -> u64 {
        let modulus: u64 = if is_long { 1 << 15 } else { 1 << 7 };
        let value = u64::from(value) % modulus;
        let extended = match self.highest_picture_id {
            None => (1 << 16) + value,
            Some(highest) => {
                let forward = (value + modulus - highest % modulus) % modulus;
                if forward < modulus / 2 { highest + forward } else { highest + forward - modulus }
            }
        };
        self.highest_picture_id = self.highest_picture_id.max(Some(extended));
        extended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_id_goes_on_over_its_wrap_and_over_a_change_of_width() {
        let mut reader = PictureReader::default();
        let first = reader.extend(126, false);
        assert_eq!(reader.extend(127, false), first + 1);
        assert_eq!(reader.extend(0, false), first + 2);
        assert_eq!(reader.extend(127, false), first + 1, "a late packet keeps its own picture");
        let wide = reader.extend(((first + 3) % (1 << 15)) as u16, true);
        assert_eq!(wide, first + 3);
    }
}
