//! The place of a frame among the layers of its stream, as every codec counts them.
#![forbid(unsafe_code)]

/// Spatial layers that a descriptor can name: 2 bits in AV1, 3 in VP9, of which encoders use as many.
pub const SPATIAL_LAYERS_MAX: u8 = 8;
/// Temporal layers that a descriptor can name (3 bits).
pub const TEMPORAL_LAYERS_MAX: u8 = 8;

/// A layer. 0 is the base of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Resolution step, below [`SPATIAL_LAYERS_MAX`].
    pub spatial: u8,
    /// Frame-rate step, below [`TEMPORAL_LAYERS_MAX`].
    pub temporal: u8,
}
