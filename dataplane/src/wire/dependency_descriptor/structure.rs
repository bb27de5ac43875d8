//! The template dependency structure: it comes with the first packet of a coded video sequence and is in
//! force until the next one.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use super::TEMPLATE_IDS;
use super::frame::{ChainDiffs, Frame, FrameDiffs, Indication, Indications};
use crate::wire::bits::BitReader;
use crate::wire::layer::Layer;

/// Decode targets that a structure can have: the count has five bits.
pub const TARGETS_MAX: usize = 32;
/// Chains: at most one for each decode target.
pub const CHAINS_MAX: usize = TARGETS_MAX;
/// Templates: as many as there are ids.
const TEMPLATES_MAX: usize = TEMPLATE_IDS as usize;
/// Spatial layers: two bits in AV1 (AV1, section 5.3.3).
const SPATIAL_MAX: usize = 4;
/// Temporal layers: three bits.
const TEMPORAL_MAX: u8 = 8;

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    template_id_offset: u8,
    target_count: u8,
    chain_count: u8,
    templates: ArrayVec<Frame, TEMPLATES_MAX>,
    targets: [Target; TARGETS_MAX],
    /// The largest picture of each spatial layer; empty if the structure does not say it.
    resolutions: ArrayVec<(u16, u16), SPATIAL_MAX>,
}

/// A decode target: a set of frames that can be decoded together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The highest layer in it.
    pub layer: Layer,
    /// The chain that says whether it can still be decoded; `None` if the structure has no chains.
    pub chain: Option<u8>,
}

impl Structure {
    /// The id of the first template.
    pub fn template_id_offset(&self) -> u8 {
        self.template_id_offset
    }

    /// How many templates there are, 1..=64.
    pub fn template_count(&self) -> u8 {
        self.templates.len() as u8
    }

    /// The template that has `template_id`; `None` if it belongs to another structure.
    pub fn template(&self, template_id: u8) -> Option<&Frame> {
        let index = (template_id + TEMPLATE_IDS).wrapping_sub(self.template_id_offset) % TEMPLATE_IDS;
        self.templates.get(usize::from(index))
    }

    /// How many decode targets there are, 1..=32.
    pub fn target_count(&self) -> u8 {
        self.target_count
    }

    /// The decode targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets[..usize::from(self.target_count)]
    }

    /// How many chains there are. 0: nothing is protected.
    pub fn chain_count(&self) -> u8 {
        self.chain_count
    }

    /// Width and height of the largest picture of each spatial layer, lowest first, pixels.
    pub fn resolutions(&self) -> &[(u16, u16)] {
        &self.resolutions
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let template_id_offset = bits.bits(6)? as u8;
        let target_count = bits.bits(5)? as u8 + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            template.indications = Indications::read(bits, target_count)?;
        }
        for template in &mut templates {
            template.frame_diffs = FrameDiffs::read_template(bits)?;
        }
        let mut targets = [Target::default(); TARGETS_MAX];
        let chain_count = non_symmetric(bits, u32::from(target_count) + 1)? as u8;
        if chain_count > 0 {
            for target in &mut targets[..usize::from(target_count)] {
                target.chain = Some(non_symmetric(bits, chain_count.into())? as u8);
            }
            for template in &mut templates {
                template.chain_diffs = ChainDiffs::read(bits, chain_count, 4)?;
            }
        }
        for (at, target) in targets[..usize::from(target_count)].iter_mut().enumerate() {
            target.layer = highest_layer(&templates, at as u8);
        }
        let mut resolutions = ArrayVec::new();
        if bits.flag()? {
            let highest = templates.last().map_or(0, |template| template.layer.spatial);
            for _ in 0..=highest {
                resolutions.try_push((read_edge(bits)?, read_edge(bits)?)).ok()?;
            }
        }
        Some(Self { template_id_offset, target_count, chain_count, templates, targets, resolutions })
    }
}

/// The layers of the templates: each the one before, or the next temporal or spatial one.
fn read_layers(bits: &mut BitReader<'_>) -> Option<ArrayVec<Frame, TEMPLATES_MAX>> {
    let mut templates = ArrayVec::new();
    let mut layer = Layer::default();
    loop {
        templates.try_push(Frame { layer, ..Frame::default() }).ok()?;
        match bits.bits(2)? {
            0 => {}
            1 => layer.temporal += 1,
            2 => layer = Layer { spatial: layer.spatial + 1, temporal: 0 },
            _ => return Some(templates),
        }
        if usize::from(layer.spatial) >= SPATIAL_MAX || layer.temporal >= TEMPORAL_MAX {
            return None;
        }
    }
}

fn highest_layer(templates: &[Frame], target: u8) -> Layer {
    let of_target =
        templates.iter().filter(|template| template.indications.of(target) != Indication::NotPresent);
    of_target.fold(Layer::default(), |highest, template| Layer {
        spatial: highest.spatial.max(template.layer.spatial),
        temporal: highest.temporal.max(template.layer.temporal),
    })
}

/// One less is written; 65536 is taken for 65535.
fn read_edge(bits: &mut BitReader<'_>) -> Option<u16> {
    Some((bits.bits(16)? as u16).saturating_add(1))
}

/// A number below `count`, in as few bits as that needs (section A.8.1). `count` is at least 1.
fn non_symmetric(bits: &mut BitReader<'_>, count: u32) -> Option<u32> {
    let width = u32::BITS - count.leading_zeros();
    let short = (1 << width) - count;
    let value = bits.bits(width - 1)?;
    if value < short {
        return Some(value);
    }
    Some((value << 1) - short + bits.bits(1)?)
}
