//! Reads from a payload what forwarding needs to know of the picture.
#![forbid(unsafe_code)]

use super::dependency::{Dependency, DependencyReader};
use super::format::Codec;
use crate::wire::dependency_descriptor::structure::Structure;
use crate::wire::layer::Layer;
use crate::wire::picture_id::PictureId;
use crate::wire::{av1, h264, h265, red, vp8, vp9};

/// What a payload says of its picture.
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    /// Whether a decoder that saw nothing before can start with this packet. Always, for audio.
    pub is_entry: bool,
    /// Width and height of a keyframe, pixels.
    pub size: Option<(u16, u16)>,
    /// The layer that the packet belongs to, where it says so.
    pub layer: Option<Layer>,
    /// The picture id of VP8 and VP9, extended. `None` if the source sends none.
    pub picture_id: Option<u64>,
    /// The head of the payload, where it may be rewritten on the way out.
    pub head: Head,
    /// What the dependency descriptor says, if there is a sound one.
    pub dependency: Option<Dependency>,
}

/// The head of a payload that may differ from subscriber to subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// The payload leaves as it came.
    #[default]
    Fixed,
    /// A VP8 payload descriptor.
    Vp8(vp8::Descriptor),
    /// A VP9 payload descriptor.
    Vp9(vp9::Descriptor),
    /// Headers of redundant audio.
    Red(red::Header),
}

/// Which parameter sets came in band so far: where any did, a keyframe begins with the first of them.
#[derive(Debug, Default)]
struct ParameterSets {
    has_vps: bool,
    has_sps: bool,
}

/// Follows the pictures of one encoding.
#[derive(Debug, Default)]
pub struct PictureReader {
    highest_picture_id: Option<u64>,
    parameter_sets: ParameterSets,
    dependencies: DependencyReader,
}

impl PictureReader {
    /// Reads one payload, and the dependency descriptor that came with it. What cannot be parsed is forwarded
    /// undecided (docs/SECURITY.md M7): it never counts as an entry.
    ///
    /// Where there is a dependency descriptor it says what begins here, also of what is encrypted end to end.
    pub fn read(&mut self, codec: Codec, payload: &[u8], dependency: Option<&[u8]>) -> Picture {
        let mut picture = self.read_payload(codec, payload);
        picture.dependency = dependency.and_then(|bytes| self.dependencies.read(bytes));
        if let Some(seen) = &picture.dependency {
            picture.is_entry = seen.templates.is_some();
            picture.layer = seen.frame.map(|frame| frame.layer).or(picture.layer);
            let structure = self.dependencies.in_force(seen.frame_number).filter(|_| picture.is_entry);
            let largest = structure.and_then(|structure| structure.resolutions().last().copied());
            picture.size = picture.size.or(largest);
        }
        picture
    }

    /// The structure that the dependency descriptor of a frame is read with.
    pub fn structure(&self, frame_number: u64) -> Option<&Structure> {
        self.dependencies.in_force(frame_number)
    }

    /// The frame that this structure came with.
    pub fn structure_from(&self, frame_number: u64) -> Option<u64> {
        self.dependencies.in_force_from(frame_number)
    }

    /// Takes over what another reader saw: see [`DependencyReader::follow`].
    pub fn follow(&mut self, seen: &Dependency, bytes: &[u8], structure_from: Option<u64>) {
        self.dependencies.follow(seen, bytes, structure_from);
    }

    fn read_payload(&mut self, codec: Codec, payload: &[u8]) -> Picture {
        match codec {
            Codec::Opus => Picture { is_entry: true, ..Picture::default() },
            Codec::Vp8 => self.read_vp8(payload),
            Codec::Vp9 => self.read_vp9(payload),
            Codec::H264 => self.read_h264(payload),
            Codec::H265 => self.read_h265(payload),
            Codec::Av1 => {
                let seen = av1::inspect(payload);
                Picture { is_entry: seen.is_keyframe_start, size: seen.size, ..Picture::default() }
            }
        }
    }

    /// A keyframe begins with its parameter sets. Only where none ever came in band, signalling gave them and
    /// the IDR slice is the beginning.
    fn read_h264(&mut self, payload: &[u8]) -> Picture {
        let seen = h264::inspect(payload);
        self.parameter_sets.has_sps |= seen.is_keyframe_start;
        let is_entry = seen.is_keyframe_start || (seen.has_idr && !self.parameter_sets.has_sps);
        Picture { is_entry, size: seen.size, ..Picture::default() }
    }

    /// As with H.264, but the first of the parameter sets is the VPS.
    fn read_h265(&mut self, payload: &[u8]) -> Picture {
        let seen = h265::inspect(payload);
        let known = &mut self.parameter_sets;
        known.has_vps |= seen.has_vps;
        known.has_sps |= seen.has_sps;
        let is_entry = seen.has_vps
            || (seen.has_sps && !known.has_vps)
            || (seen.has_irap && !known.has_vps && !known.has_sps);
        let layer = seen.temporal.map(|temporal| Layer { spatial: 0, temporal });
        Picture { is_entry, size: seen.size, layer, ..Picture::default() }
    }

    fn read_vp8(&mut self, payload: &[u8]) -> Picture {
        let Ok(descriptor) = vp8::Descriptor::parse(payload) else {
            return Picture::default();
        };
        Picture {
            is_entry: descriptor.is_frame_start && descriptor.is_keyframe,
            size: descriptor.size,
            layer: descriptor.temporal.map(|temporal| Layer { spatial: 0, temporal: temporal.tid }),
            picture_id: descriptor.picture_id.map(|id| self.extend(id)),
            head: Head::Vp8(descriptor),
            dependency: None,
        }
    }

    fn read_vp9(&mut self, payload: &[u8]) -> Picture {
        let Ok((descriptor, _)) = vp9::Descriptor::parse(payload) else {
            return Picture::default();
        };
        Picture {
            is_entry: descriptor.starts_keyframe(),
            size: descriptor.size,
            layer: descriptor.layer.map(|indices| indices.layer),
            picture_id: descriptor.picture_id.map(|id| self.extend(id)),
            head: Head::Vp9(descriptor),
            dependency: None,
        }
    }

    /// Puts an id on the line nearest to the highest so far. A publisher may change the width in mid-stream,
    /// so each value is unwrapped by its own modulus.
    fn extend(&mut self, id: PictureId) -> u64 {
        let modulus = id.modulus();
        let value = u64::from(id.value) % modulus;
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
        let short = |value| PictureId { value, is_long: false };
        let first = reader.extend(short(126));
        assert_eq!(reader.extend(short(127)), first + 1);
        assert_eq!(reader.extend(short(0)), first + 2);
        assert_eq!(reader.extend(short(127)), first + 1, "a late packet keeps its own picture");
        let wide = reader.extend(PictureId { value: ((first + 3) % (1 << 15)) as u16, is_long: true });
        assert_eq!(wide, first + 3);
    }

    fn entries(codec: Codec, payloads: &[&[u8]]) -> Vec<bool> {
        let mut reader = PictureReader::default();
        payloads.iter().map(|payload| reader.read(codec, payload, None).is_entry).collect()
    }

    #[test]
    fn a_keyframe_begins_with_the_first_of_its_parameter_sets() {
        let (vps, sps, pps, idr) = (&[64, 1, 1][..], &[66, 1, 1][..], &[68, 1, 1][..], &[38, 1, 1][..]);
        assert_eq!(
            entries(Codec::H265, &[vps, sps, pps, idr, vps, sps]),
            [true, false, false, false, true, false]
        );
        assert_eq!(entries(Codec::H265, &[idr, sps, idr, vps, sps]), [true, true, false, true, false]);
        let (sps, pps, idr) = (&[0x67, 1][..], &[0x68, 1][..], &[0x65, 1][..]);
        assert_eq!(entries(Codec::H264, &[idr, sps, pps, idr]), [true, true, false, false]);
    }
}
