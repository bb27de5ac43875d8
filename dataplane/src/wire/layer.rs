//! The place of a frame among the layers of its stream, as every codec counts them.
#![forbid(unsafe_code)]

/// A layer. 0 is the base of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Resolution step: two bits in AV1, three in VP9.
    pub spatial: u8,
    /// Frame-rate step: three bits at most.
    pub temporal: u8,
}
