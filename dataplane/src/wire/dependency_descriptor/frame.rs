//! One frame, as its template or its own descriptor tells it: for whom it is, and what it needs.
#![forbid(unsafe_code)]

use super::Custom;
use super::structure::{CHAINS_MAX, Structure, TARGETS_MAX};
use crate::wire::bits::BitReader;
use crate::wire::layer::Layer;

/// Frames that one frame may refer to. AV1 keeps eight.
pub const FRAME_DIFFS_MAX: usize = 8;

/// A frame, or a template of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its layer.
    pub layer: Layer,
    /// What it is to each decode target.
    pub indications: Indications,
    /// How many frames back its references are.
    pub frame_diffs: FrameDiffs,
    /// For each chain, how many frames back the chain's previous frame is; 0 begins the chain anew.
    pub chain_diffs: ChainDiffs,
}

/// What a frame is to one decode target (section A.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// It does not belong to the target.
    NotPresent,
    /// No later frame of the target refers to it.
    Discardable,
    /// The target can be joined here once this frame can be decoded.
    Switch,
    /// Later frames of the target refer to it.
    Required,
}

/// The indications of a frame, one for each decode target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications(u64);

impl Indications {
    /// What the frame is to `target`.
    pub fn of(self, target: u8) -> Indication {
        if usize::from(target) >= TARGETS_MAX {
            return Indication::NotPresent;
        }
        match self.0 >> (2 * target) & 0b11 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>, target_count: u8) -> Option<Self> {
        let mut all = 0;
        for target in 0..target_count {
            all |= u64::from(bits.bits(2)?) << (2 * target);
        }
        Some(Self(all))
    }
}

/// How many frames back the references of a frame are, 1..=4096.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameDiffs {
    values: [u16; FRAME_DIFFS_MAX],
    count: u8,
}

impl FrameDiffs {
    /// The distances.
    pub fn values(&self) -> &[u16] {
        &self.values[..usize::from(self.count)]
    }

    fn push(&mut self, value: u16) -> Option<()> {
        *self.values.get_mut(usize::from(self.count))? = value;
        self.count += 1;
        Some(())
    }

    /// Those of a template: 4 bits each, each behind a flag.
    pub(super) fn read_template(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut diffs = Self::default();
        while bits.flag()? {
            diffs.push(bits.bits(4)? as u16 + 1)?;
        }
        Some(diffs)
    }

    /// Those of a frame: 4, 8 or 12 bits each, each behind its size.
    fn read_custom(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut diffs = Self::default();
        loop {
            match bits.bits(2)? {
                0 => return Some(diffs),
                size => diffs.push(bits.bits(4 * size)? as u16 + 1)?,
            }
        }
    }
}

/// How many frames back each chain's previous frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainDiffs {
    values: [u8; CHAINS_MAX],
    count: u8,
}

impl ChainDiffs {
    /// The distances, one for each chain.
    pub fn values(&self) -> &[u8] {
        &self.values[..usize::from(self.count)]
    }

    /// `chain_count` is at most [`CHAINS_MAX`].
    pub(super) fn read(bits: &mut BitReader<'_>, chain_count: u8, width: u32) -> Option<Self> {
        let mut diffs = Self { count: chain_count, ..Self::default() };
        for value in diffs.values.get_mut(..usize::from(chain_count))? {
            *value = bits.bits(width)? as u8;
        }
        Some(diffs)
    }
}

impl Frame {
    /// Replaces what a frame says otherwise than its template.
    pub(super) fn customise(
        &mut self,
        bits: &mut BitReader<'_>,
        structure: &Structure,
        custom: Custom,
    ) -> Option<()> {
        if custom.indications {
            self.indications = Indications::read(bits, structure.target_count())?;
        }
        if custom.frame_diffs {
            self.frame_diffs = FrameDiffs::read_custom(bits)?;
        }
        if custom.chain_diffs {
            self.chain_diffs = ChainDiffs::read(bits, structure.chain_count(), 8)?;
        }
        Some(())
    }
}
