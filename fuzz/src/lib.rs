//! Bodies of the fuzz targets: each is a plain function over bytes that no one has vouched for.
//!
//! A target fails by panicking. Each asserts what its parser promises: what is read stays within bounds,
//! what is written reads back, and where a naive reading of the format is cheap, both agree. The inputs
//! under `corpus/<target>/` and `findings/<target>/` are replayed by `cargo test`, on stable Rust; the
//! binaries in `fuzz_targets/` hand the bodies to libFuzzer, and `fuzz/run` drives them.
#![forbid(unsafe_code)]

mod canary;
mod codecs;
mod engine;
mod layers;
mod rtcp;
mod signalling;
mod srtp;
mod wire;

pub use canary::canary;
pub use codecs::{av1, h264, h265, red, vp8, vp9};
pub use engine::engine;
pub use layers::{dependency_descriptor, layers_allocation};
pub use rtcp::{rtcp, twcc};
pub use signalling::{sdpfrag, whip_offer};
pub use srtp::srtp;
pub use wire::{classify, extension, rtp, stun};

/// One fuzz target: the name of its corpus and of its binary, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target but the [`canary()`], which has to fail.
pub const TARGETS: &[Target] = &[
    ("classify", classify),
    ("stun", stun),
    ("rtp", rtp),
    ("extension", extension),
    ("rtcp", rtcp),
    ("twcc", twcc),
    ("vp8", vp8),
    ("vp9", vp9),
    ("h264", h264),
    ("av1", av1),
    ("h265", h265),
    ("dependency_descriptor", dependency_descriptor),
    ("layers_allocation", layers_allocation),
    ("red", red),
    ("srtp", srtp),
    ("whip_offer", whip_offer),
    ("sdpfrag", sdpfrag),
    ("engine", engine),
];
