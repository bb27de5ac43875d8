//! Writes the decode targets that are left into a descriptor.
//!
//! A receiver that is not told waits for frames of the layers that are left out (section A.8.3,
//! `active_decode_targets_bitmask`).
#![forbid(unsafe_code)]

use super::structure::Structure;
use super::{ActiveTargets, MANDATORY_LEN};
use crate::wire::bits::BitReader;

/// Bytes that a descriptor may grow by: five flags and a bit for each of 32 decode targets.
pub const GROWTH_BYTES_MAX: usize = 5;

const FLAGS_LEN: u32 = 5;
const HAS_ACTIVE_TARGETS: u32 = 0b0_1000;
const HAS_STRUCTURE: u32 = 0b1_0000;

/// Copies the descriptor `src`, which was read before, to `out` with other active decode targets. Returns its
/// length; `None` if `out` is too small, or `src` is not what `active` is for.
pub fn set_active_targets(src: &[u8], active: ActiveTargets, out: &mut [u8]) -> Option<usize> {
    let mut reader = BitReader::plain(src);
    let mut writer = BitWriter { out, len_bits: 0 };
    writer.copy(&mut reader, 8 * MANDATORY_LEN)?;
    let flags = if src.len() > MANDATORY_LEN { reader.bits(FLAGS_LEN)? } else { 0 };
    writer.put(flags | HAS_ACTIVE_TARGETS, FLAGS_LEN)?;
    if flags & HAS_STRUCTURE != 0 {
        let mut behind = reader.clone();
        let own = Structure::read(&mut behind)?;
        if own.target_count() != active.count {
            return None;
        }
        let len = reader.left() - behind.left();
        writer.copy(&mut reader, len)?;
    }
    if flags & HAS_ACTIVE_TARGETS != 0 {
        reader.bits(active.count.into())?;
    }
    writer.put(active.mask, active.count.into())?;
    let rest = reader.left();
    writer.copy(&mut reader, rest)?;
    Some(writer.len_bits.div_ceil(8))
}

/// Writes bits, most significant first.
struct BitWriter<'a> {
    out: &'a mut [u8],
    len_bits: usize,
}

impl BitWriter<'_> {
    fn put(&mut self, value: u32, width: u32) -> Option<()> {
        for at in (0..width).rev() {
            let byte = self.out.get_mut(self.len_bits / 8)?;
            let place = 7 - self.len_bits % 8;
            if place == 7 {
                *byte = 0;
            }
            *byte |= ((value >> at & 1) as u8) << place;
            self.len_bits += 1;
        }
        Some(())
    }

    fn copy(&mut self, from: &mut BitReader<'_>, count: usize) -> Option<()> {
        let mut left = count;
        while left > 0 {
            let width = left.min(16) as u32;
            self.put(from.bits(width)?, width)?;
            left -= width as usize;
        }
        Some(())
    }
}
