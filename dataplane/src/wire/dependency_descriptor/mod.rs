//! The dependency descriptor (AV1 RTP specification 1.0, appendix A): which frame a packet belongs to, what
//! that frame needs, and who needs it. It comes with AV1, and with other codecs where it was negotiated.
//!
//! | module        | what it reads                                                       | section      |
//! |---------------|---------------------------------------------------------------------|--------------|
//! | this one      | one descriptor, with the help of the structure that is in force     | A.8.2        |
//! | [`structure`] | the templates, decode targets and chains that frames are told by    | A.8.3        |
//! | [`frame`]     | a frame's indications and references                                | A.8.3, A.8.4 |
//! | [`rewrite`]   | nothing: it writes what differs for one subscriber                  | A.8          |
//!
//! Nothing is kept between two calls: which structure is in force is the caller's knowledge.
//!
//! # Invariants
//!
//! - A descriptor is refused if it reads past its end, has a structure without being the first packet of its
//!   frame, or names more templates, layers or references than there can be (`*_MAX`).
//! - A descriptor whose structure is not known is not refused: it gives its first 24 bits.
#![forbid(unsafe_code)]

pub mod frame;
pub mod rewrite;
pub mod structure;

use super::bits::BitReader;
use frame::Frame;
use structure::Structure;

/// Bytes of the fields that every descriptor has.
pub const MANDATORY_LEN: usize = 3;
/// The largest descriptor that an extension element can carry, bytes (RFC 8285, section 4.3).
pub const DESCRIPTOR_LEN_MAX: usize = 255;
/// Templates are numbered modulo this.
pub const TEMPLATE_IDS: u8 = 64;

const TEMPLATE_ID_MASK: u8 = 0x3f;
/// In the byte behind the mandatory fields.
const HAS_STRUCTURE: u8 = 0x80;

/// What one packet's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame.
    pub ends_frame: bool,
    /// Which template its frame is made by, modulo [`TEMPLATE_IDS`].
    pub template_id: u8,
    /// The frame's number, modulo 2^16.
    pub frame_number: u16,
    /// The decode targets that are active from here on, one bit each, the first the lowest; `None` if they
    /// stay what they were.
    pub active_targets: Option<u32>,
    /// The frame itself; `None` if its structure is not known.
    pub frame: Option<Frame>,
}

/// Reads a descriptor. `known` is the structure in force, if the packet does not bring its own, which is
/// returned beside. `None` if the descriptor is malformed.
pub fn read(bytes: &[u8], known: Option<&Structure>) -> Option<(Descriptor, Option<Structure>)> {
    let mut bits = BitReader::plain(bytes);
    let mut descriptor = Descriptor {
        starts_frame: bits.flag()?,
        ends_frame: bits.flag()?,
        template_id: bits.bits(6)? as u8,
        frame_number: bits.bits(16)? as u16,
        active_targets: None,
        frame: None,
    };
    let flags = if bytes.len() > MANDATORY_LEN { Flags::read(&mut bits)? } else { Flags::default() };
    let own = if flags.has_structure {
        if !descriptor.starts_frame {
            return None;
        }
        Some(Structure::read(&mut bits)?)
    } else {
        None
    };
    let Some(structure) = own.as_ref().or(known) else {
        return Some((descriptor, None));
    };
    let all = u32::MAX >> (32 - u32::from(structure.target_count()));
    if flags.has_active_targets {
        descriptor.active_targets = Some(bits.bits(structure.target_count().into())?);
    } else if flags.has_structure {
        descriptor.active_targets = Some(all);
    }
    if let Some(template) = structure.template(descriptor.template_id) {
        let mut frame = *template;
        frame.customise(&mut bits, structure, flags.custom)?;
        descriptor.frame = Some(frame);
    }
    Some((descriptor, own))
}

/// What stands in a descriptor of more than the mandatory fields.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    has_structure: bool,
    has_active_targets: bool,
    custom: Custom,
}

/// In what a frame differs from its template.
#[derive(Clone, Copy, Debug, Default)]
struct Custom {
    indications: bool,
    frame_diffs: bool,
    chain_diffs: bool,
}

impl Flags {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self {
            has_structure: bits.flag()?,
            has_active_targets: bits.flag()?,
            custom: Custom {
                indications: bits.flag()?,
                frame_diffs: bits.flag()?,
                chain_diffs: bits.flag()?,
            },
        })
    }
}

/// How far the numbers of a source are moved on their way to one subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Added to frame numbers, modulo 2^16.
    pub frame_number: u16,
    /// Added to template ids and to the offset of a structure, modulo [`TEMPLATE_IDS`].
    pub template_id: u8,
}

/// The decode targets that are left where layers are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveTargets {
    /// One bit each, the first the lowest.
    pub mask: u32,
    /// How many there are, 1..=32.
    pub count: u8,
}

/// Moves the numbers in a descriptor that was read before. Distances in it count in frame numbers and stay
/// what they are.
pub fn shift(bytes: &mut [u8], shift: Shift) {
    let [first, high, low, rest @ ..] = bytes else { return };
    let template_id = first.wrapping_add(shift.template_id) & TEMPLATE_ID_MASK;
    *first = *first & !TEMPLATE_ID_MASK | template_id;
    let frame_number = u16::from_be_bytes([*high, *low]).wrapping_add(shift.frame_number);
    [*high, *low] = frame_number.to_be_bytes();
    // Behind five flags the offset of the templates has the next six bits.
    if let [flags, second, ..] = rest
        && *flags & HAS_STRUCTURE != 0
    {
        let offset = ((*flags & 0b111) << 3 | *second >> 5).wrapping_add(shift.template_id);
        *flags = *flags & !0b111 | offset >> 3 & 0b111;
        *second = *second & 0x1f | offset << 5;
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
