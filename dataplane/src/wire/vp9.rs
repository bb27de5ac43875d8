//! The VP9 payload descriptor (RFC 9628, section 4.2), in flexible and non-flexible mode, with its
//! scalability structure.
//!
//! This module reads and rewrites fields. Which value follows which is the rewriter's business, and which
//! layer is sent to whom the selector's.
//!
//! # Invariants
//!
//! - What is refused: F without I, more than three references, a structure past the payload, a spatial id
//!   above the structure of the same packet, inter-layer prediction in the lowest layer.
//! - A rewritten descriptor has the presence bits of its source, and a picture id of 15 bits if there is
//!   one: it is at most one byte longer. References count in picture ids and stay what they are.
#![forbid(unsafe_code)]

use super::layer::Layer;
use super::picture_id::PictureId;
use super::reader::Reader;
use crate::counters::DropReason;

const HAS_PICTURE_ID: u8 = 0x80;
const IS_INTER_PICTURE: u8 = 0x40;
const HAS_LAYER: u8 = 0x20;
const IS_FLEXIBLE: u8 = 0x10;
const STARTS_LAYER_FRAME: u8 = 0x08;
const ENDS_LAYER_FRAME: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
const IS_NOT_FOR_UPPER: u8 = 0x01;

const IS_SWITCHING_UP: u8 = 0x10;
const DEPENDS_ON_LOWER: u8 = 0x01;
const HAS_MORE_REFERENCES: u8 = 0x01;
const STRUCTURE_HAS_SIZES: u8 = 0x10;
const STRUCTURE_HAS_GROUP: u8 = 0x08;

/// Pictures that one picture may refer to (RFC 9628, section 4.2).
pub const REFERENCES_MAX: usize = 3;
/// Bytes that a rewritten descriptor may be longer than its source.
pub const REWRITE_GROWTH_BYTES_MAX: usize = 1;

/// A parsed payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// PictureID: all layer frames of one picture have the same.
    pub picture_id: Option<PictureId>,
    /// P: the layer frame refers to earlier pictures.
    pub is_inter_picture: bool,
    /// F: references stand in each packet, not in the structure.
    pub is_flexible: bool,
    /// B: first packet of a layer frame.
    pub starts_layer_frame: bool,
    /// E: last packet of a layer frame.
    pub ends_layer_frame: bool,
    /// Z: no upper spatial layer of this picture refers to it.
    pub is_not_for_upper: bool,
    /// The layer indices. Without them the frame is all there is of its picture.
    pub layer: Option<LayerIndices>,
    /// P_DIFF: how many pictures back its references are, in flexible mode.
    pub references: References,
    /// Width and height of the highest spatial layer, pixels, if the structure names sizes.
    pub size: Option<(u16, u16)>,
    /// How many spatial layers the structure announces, if there is one.
    pub spatial_layer_count: Option<u8>,
    /// Bytes of the descriptor.
    pub len: usize,
}

/// The layer indices of a layer frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerIndices {
    /// SID and TID.
    pub layer: Layer,
    /// U: later pictures of higher temporal layers do not look behind this one.
    pub is_switching_up: bool,
    /// D: it refers to the next lower spatial layer of its picture.
    pub depends_on_lower: bool,
    /// TL0PICIDX: counts pictures of the base layer; only in non-flexible mode.
    pub tl0_picture_index: Option<u8>,
}

/// How many pictures back the references of a layer frame are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct References {
    distances: [u8; REFERENCES_MAX],
    count: u8,
}

impl References {
    /// The distances, 7 bits each in a packet and 8 in a structure.
    pub fn distances(&self) -> &[u8] {
        &self.distances[..usize::from(self.count)]
    }

    fn push(&mut self, distance: u8) -> Option<()> {
        *self.distances.get_mut(usize::from(self.count))? = distance;
        self.count += 1;
        Some(())
    }
}

/// A scalability structure (RFC 9628, section 4.2.1), which was read to its end when the descriptor was.
#[derive(Clone, Copy, Debug)]
pub struct Structure<'a> {
    spatial_layer_count: u8,
    sizes: Option<Reader<'a>>,
    group_count: u8,
    group: Reader<'a>,
}

/// One picture of the group that a structure describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPicture {
    /// Its temporal layer.
    pub temporal: u8,
    /// See [`LayerIndices::is_switching_up`].
    pub is_switching_up: bool,
    /// Its references.
    pub references: References,
}

impl<'a> Structure<'a> {
    /// N_S + 1.
    pub fn spatial_layer_count(&self) -> u8 {
        self.spatial_layer_count
    }

    /// Width and height of each spatial layer, lowest first, pixels; nothing if the structure names none.
    pub fn sizes(&self) -> impl Iterator<Item = (u16, u16)> + use<'a> {
        let mut reader = self.sizes;
        (0..self.spatial_layer_count).map_while(move |_| read_size(reader.as_mut()?))
    }

    /// The pictures of the group, in order; nothing if the structure has no group.
    pub fn group(&self) -> impl Iterator<Item = GroupPicture> + use<'a> {
        let mut reader = self.group;
        (0..self.group_count).map_while(move |_| read_group_picture(&mut reader))
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let first = reader.u8()?;
        let spatial_layer_count = (first >> 5) + 1;
        let sizes = (first & STRUCTURE_HAS_SIZES != 0).then_some(*reader);
        if sizes.is_some() {
            reader.bytes(4 * usize::from(spatial_layer_count))?;
        }
        let group_count = if first & STRUCTURE_HAS_GROUP != 0 { reader.u8()? } else { 0 };
        let group = *reader;
        for _ in 0..group_count {
            read_group_picture(reader)?;
        }
        Some(Self { spatial_layer_count, sizes, group_count, group })
    }
}

fn read_size(reader: &mut Reader<'_>) -> Option<(u16, u16)> {
    Some((reader.u16()?, reader.u16()?))
}

fn read_group_picture(reader: &mut Reader<'_>) -> Option<GroupPicture> {
    let first = reader.u8()?;
    let mut references = References::default();
    for _ in 0..first >> 2 & 0b11 {
        references.push(reader.u8()?)?;
    }
    Some(GroupPicture { temporal: first >> 5, is_switching_up: first & IS_SWITCHING_UP != 0, references })
}

impl Descriptor {
    /// Reads the descriptor at the start of a payload without padding, with its structure if it has one.
    ///
    /// # Errors
    /// [`DropReason::MalformedPayload`] if it reaches past the end, nothing follows it, or it says what no
    /// VP9 stream can (see the module).
    pub fn parse(payload: &[u8]) -> Result<(Descriptor, Option<Structure<'_>>), DropReason> {
        Self::read(payload).ok_or(DropReason::MalformedPayload)
    }

    fn read(payload: &[u8]) -> Option<(Descriptor, Option<Structure<'_>>)> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let has = |bit| first & bit != 0;
        let is_flexible = has(IS_FLEXIBLE);
        if is_flexible && !has(HAS_PICTURE_ID) {
            return None;
        }
        let picture_id = if has(HAS_PICTURE_ID) { Some(PictureId::read(&mut reader)?) } else { None };
        let layer = if has(HAS_LAYER) { Some(LayerIndices::read(&mut reader, is_flexible)?) } else { None };
        let references = if is_flexible && has(IS_INTER_PICTURE) {
            read_references(&mut reader)?
        } else {
            References::default()
        };
        let structure = if has(HAS_STRUCTURE) { Some(Structure::read(&mut reader)?) } else { None };
        let spatial_layer_count = structure.map(|structure| structure.spatial_layer_count);
        let spatial = layer.map_or(0, |indices| indices.layer.spatial);
        if reader.is_empty() || spatial_layer_count.is_some_and(|count| spatial >= count) {
            return None;
        }
        let descriptor = Descriptor {
            picture_id,
            is_inter_picture: has(IS_INTER_PICTURE),
            is_flexible,
            starts_layer_frame: has(STARTS_LAYER_FRAME),
            ends_layer_frame: has(ENDS_LAYER_FRAME),
            is_not_for_upper: has(IS_NOT_FOR_UPPER),
            layer,
            references,
            size: structure.and_then(|structure| structure.sizes().last()),
            spatial_layer_count,
            len: payload.len() - reader.rest().len(),
        };
        Some((descriptor, structure))
    }

    /// First packet of a picture: the start of a frame of the lowest spatial layer.
    pub fn starts_picture(&self) -> bool {
        self.starts_layer_frame && self.layer.is_none_or(|indices| indices.layer.spatial == 0)
    }

    /// First packet of a picture that needs no other: a decoder can enter here.
    pub fn starts_keyframe(&self) -> bool {
        self.starts_picture() && !self.is_inter_picture
    }
}

impl LayerIndices {
    fn read(reader: &mut Reader<'_>, is_flexible: bool) -> Option<Self> {
        let byte = reader.u8()?;
        let layer = Layer { spatial: byte >> 1 & 0b111, temporal: byte >> 5 };
        let depends_on_lower = byte & DEPENDS_ON_LOWER != 0;
        if depends_on_lower && layer.spatial == 0 {
            return None;
        }
        let is_switching_up = byte & IS_SWITCHING_UP != 0;
        let tl0_picture_index = if is_flexible { None } else { Some(reader.u8()?) };
        Some(Self { layer, is_switching_up, depends_on_lower, tl0_picture_index })
    }
}

fn read_references(reader: &mut Reader<'_>) -> Option<References> {
    let mut references = References::default();
    loop {
        let byte = reader.u8()?;
        references.push(byte >> 1)?;
        if byte & HAS_MORE_REFERENCES == 0 {
            return Some(references);
        }
    }
}

/// What to put into a descriptor, where its source has such a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The lower 15 bits are written.
    pub picture_id: u16,
    /// TL0PICIDX.
    pub tl0_picture_index: u8,
}

/// Writes a descriptor like that of the payload `src`, which was parsed to `descriptor`, with other
/// values. Returns its length, at most [`REWRITE_GROWTH_BYTES_MAX`] more than `descriptor.len`, or 0 if
/// `out` is too small. What follows the descriptor is for the caller to copy.
pub fn rewrite(src: &[u8], descriptor: &Descriptor, values: &Rewrite, out: &mut [u8]) -> usize {
    write(src, descriptor, values, out).unwrap_or(0)
}

fn write(src: &[u8], descriptor: &Descriptor, values: &Rewrite, out: &mut [u8]) -> Option<usize> {
    let (first, rest) = src.get(..descriptor.len)?.split_first()?;
    let rest = rest.get(descriptor.picture_id.map_or(0, PictureId::len)..)?;
    let head_len = if descriptor.picture_id.is_some() { 3 } else { 1 };
    let out = out.get_mut(..head_len + rest.len())?;
    out[0] = *first;
    if descriptor.picture_id.is_some() {
        out[1..head_len].copy_from_slice(&PictureId::long_bytes(values.picture_id));
    }
    let tail = &mut out[head_len..];
    tail.copy_from_slice(rest);
    if descriptor.layer.is_some_and(|indices| indices.tl0_picture_index.is_some()) {
        // Behind the byte of the layer indices.
        *tail.get_mut(1)? = values.tl0_picture_index;
    }
    Some(out.len())
}

#[cfg(test)]
#[path = "vp9/tests.rs"]
mod tests;
