//! The first bytes of a payload, by which servers and decoders know what it is.
//!
//! Written as libwebrtc writes them; what follows is not coded video, and no decoder is to see it.

use super::record::{Parts, RECORD_LEN};

/// Frames after which the temporal layers of VP8, and the ways up into them, repeat in libwebrtc: 0 2 1 2,
/// where every other time layer 1 and the first frame of layer 2 lean on the base only.
pub(super) const PATTERN_LEN: usize = 8;
const WAYS_UP: [usize; 2] = [1, 2];

/// X (RFC 7741, section 4.2), then N, S; then I, L, T in the second byte.
const HAS_EXTENSION: u8 = 0x80;
const IS_NON_REFERENCE: u8 = 0x20;
const IS_FRAME_START: u8 = 0x10;
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_LAYER: u8 = 0x60;
const IS_LONG: u16 = 0x8000;
const IS_SYNC: u8 = 0x20;
/// Frame tag, start code and dimensions (RFC 6386, section 9.1).
const INTERFRAME_HEADER_LEN: usize = 3;
const KEYFRAME_HEADER_LEN: usize = 10;
const KEYFRAME_START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// STAP-A and FU-A of the importance that parameter sets and references have (RFC 6184, sections 5.7.1, 5.8).
const STAP_A: u8 = 0x78;
const FU_A: u8 = 0x7c;
const FU_IS_START: u8 = 0x80;
const FU_IS_END: u8 = 0x40;
/// Bytes that a fragment of a NAL unit has beside its share of it.
pub(super) const FU_HEAD_LEN: usize = 2;
const NAL_TYPE_MASK: u8 = 0x1f;
/// NAL header and first byte of the slice header, of a keyframe and of any other: first macroblock 0, slice
/// of type I or P, parameter set 0.
const IDR_SLICE: [u8; 2] = [0x65, 0xb8];
const SLICE: [u8; 2] = [0x61, 0xe0];
/// SEI with user data (H.264, section D.1.6): an aggregate of parameter sets has no other place for a record.
const SEI: [u8; 3] = [0x06, 0x05, 16 + RECORD_LEN as u8 - 1];
const SEI_UUID: [u8; 16] = *b"sluice benchmark";

/// Where a packet of VP8 stands in its frame, and the frame among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vp8 {
    /// 15 bits.
    pub(super) picture_id: u16,
    /// Where layers are told apart.
    pub(super) layer: Option<Layer>,
    /// On the first packet only.
    pub(super) start: Option<FrameStart>,
}

/// The temporal layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// TL0PICIDX.
    pub(super) base_index: u8,
    /// TID.
    pub(super) temporal: u8,
    /// Y: it leans on the base only.
    pub(super) is_sync: bool,
}

/// What the header of a VP8 frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameStart {
    /// Width and height of a keyframe; `None` for any other.
    pub(super) size: Option<(u16, u16)>,
    /// Bytes of the frame.
    pub(super) bytes: u32,
}

/// What part of a NAL unit a packet of H.264 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Whole,
    Start,
    Middle,
    End,
}

/// The first bytes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Vp8(Vp8),
    /// SPS and PPS together.
    ParameterSets,
    Slice {
        piece: Piece,
        is_keyframe: bool,
    },
    /// The first byte of a packet (RFC 6716, section 3.1).
    Opus {
        toc: u8,
    },
}

impl Layer {
    /// Whether a frame of an upper layer is a way up, by its place among those since the last keyframe.
    pub(super) fn is_way_up(place: u64) -> bool {
        WAYS_UP.contains(&((place % PATTERN_LEN as u64) as usize))
    }
}

impl Head {
    /// How long it is. `sets` are the parameter sets.
    pub(super) fn parts(&self, sets: &[Vec<u8>]) -> Parts {
        match self {
            Self::Vp8(vp8) => {
                let head_len = match vp8.start {
                    Some(FrameStart { size: Some(_), .. }) => KEYFRAME_HEADER_LEN,
                    Some(FrameStart { size: None, .. }) => INTERFRAME_HEADER_LEN,
                    None => 0,
                };
                Parts { front_len: vp8_front_len(vp8.layer.is_some()), head_len }
            }
            Self::ParameterSets => {
                let sets_len: usize = sets.iter().map(|set| 2 + set.len()).sum();
                Parts { front_len: 0, head_len: 1 + sets_len + 2 + SEI.len() + SEI_UUID.len() }
            }
            Self::Slice { piece, .. } => {
                let head_len = match piece {
                    Piece::Whole => SLICE.len(),
                    Piece::Start => FU_HEAD_LEN + 1,
                    Piece::Middle | Piece::End => FU_HEAD_LEN,
                };
                Parts { front_len: 0, head_len }
            }
            Self::Opus { .. } => Parts { front_len: 0, head_len: 1 },
        }
    }

    /// Writes it to the start of `out`.
    pub(super) fn write(&self, sets: &[Vec<u8>], out: &mut [u8]) {
        let mut pen = Pen(out);
        match self {
            Self::Vp8(vp8) => vp8.write(&mut pen),
            Self::ParameterSets => {
                pen.put(&[STAP_A]);
                for set in sets {
                    pen.put(&(set.len() as u16).to_be_bytes());
                    pen.put(set);
                }
                let sei_len = SEI.len() + SEI_UUID.len() + RECORD_LEN;
                pen.put(&(sei_len as u16).to_be_bytes());
                pen.put(&SEI);
                pen.put(&SEI_UUID);
            }
            Self::Slice { piece, is_keyframe } => {
                let [header, first] = if *is_keyframe { IDR_SLICE } else { SLICE };
                let kind = header & NAL_TYPE_MASK;
                match piece {
                    Piece::Whole => pen.put(&[header, first]),
                    Piece::Start => pen.put(&[FU_A, FU_IS_START | kind, first]),
                    Piece::Middle => pen.put(&[FU_A, kind]),
                    Piece::End => pen.put(&[FU_A, FU_IS_END | kind]),
                }
            }
            Self::Opus { toc } => pen.put(&[*toc]),
        }
    }
}

impl Vp8 {
    fn write(&self, pen: &mut Pen<'_>) {
        // Nothing leans on the highest layer.
        let is_discardable = self.layer.is_some_and(|layer| layer.temporal == 2);
        let first = HAS_EXTENSION
            | if is_discardable { IS_NON_REFERENCE } else { 0 }
            | if self.start.is_some() { IS_FRAME_START } else { 0 };
        pen.put(&[first, HAS_PICTURE_ID | if self.layer.is_some() { HAS_LAYER } else { 0 }]);
        pen.put(&(IS_LONG | self.picture_id).to_be_bytes());
        if let Some(Layer { base_index, temporal, is_sync }) = self.layer {
            pen.put(&[base_index, temporal << 6 | if is_sync { IS_SYNC } else { 0 }]);
        }
        let Some(FrameStart { size, bytes }) = self.start else { return };
        // An inverse keyframe bit, version 0, shown; the first partition is a tenth of the frame.
        let tag = u32::from(size.is_none()) | 1 << 4 | (bytes / 10).clamp(1, (1 << 19) - 1) << 5;
        pen.put(&tag.to_le_bytes()[..INTERFRAME_HEADER_LEN]);
        if let Some((width, height)) = size {
            pen.put(&KEYFRAME_START_CODE);
            pen.put(&width.to_le_bytes());
            pen.put(&height.to_le_bytes());
        }
    }
}

/// Bytes of a VP8 payload descriptor.
pub(super) fn vp8_front_len(has_layer: bool) -> usize {
    if has_layer { 6 } else { 4 }
}

/// Writes on behind what it wrote.
struct Pen<'a>(&'a mut [u8]);

impl Pen<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let out = std::mem::take(&mut self.0);
        let (place, rest) = out.split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.0 = rest;
    }
}
