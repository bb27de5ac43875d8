//! What is written over a packet on its way to one subscriber. A repeat must be identical, so this is what
//! is remembered of a sent packet beside its place in the cache.
#![forbid(unsafe_code)]

use super::picture::Head;
use crate::id::PayloadType;
use crate::wire::dependency_descriptor::{ActiveTargets, Shift};
use crate::wire::{vp8, vp9};

/// What differs between a packet in the cache and the packet that one subscriber gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overwrite {
    /// In the payload.
    pub payload: PayloadOverwrite,
    /// In the dependency descriptor; `None` if that is left out.
    pub dependency: Option<DependencyOverwrite>,
    /// The marker is set: what followed in its picture is left out.
    pub ends_picture: bool,
}

/// What differs in the dependency descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependencyOverwrite {
    /// Its numbers.
    pub shift: Shift,
    /// The decode targets that are left, if not all are.
    pub targets: Option<ActiveTargets>,
}

/// What differs in the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadOverwrite {
    /// Nothing.
    #[default]
    Keep,
    /// Picture ids of a VP8 descriptor.
    Vp8(vp8::Rewrite),
    /// Picture ids of a VP9 descriptor.
    Vp9(vp9::Rewrite),
    /// The payload type inside redundant audio.
    RedInner(PayloadType),
    /// All but the primary block of redundant audio.
    RedPrimary,
}

impl PayloadOverwrite {
    /// The part of the cached payload that leaves unchanged as the whole payload; `None` if bytes differ.
    pub fn borrowed<'a>(&self, payload: &'a [u8], head: &Head) -> Option<&'a [u8]> {
        match (self, head) {
            (PayloadOverwrite::Vp8(_), Head::Vp8(_))
            | (PayloadOverwrite::Vp9(_), Head::Vp9(_))
            | (PayloadOverwrite::RedInner(_), Head::Red(_)) => None,
            (PayloadOverwrite::RedPrimary, Head::Red(header)) => Some(header.primary(payload)),
            _ => Some(payload),
        }
    }

    /// Writes the payload that leaves to the start of `out`, and returns its length. `out` has room for the
    /// payload and what its head grows by.
    pub fn write(&self, payload: &[u8], head: &Head, out: &mut [u8]) -> usize {
        let (len, rest) = match (self, head) {
            (PayloadOverwrite::Vp8(values), Head::Vp8(descriptor)) => {
                (vp8::rewrite(payload, descriptor, values, out), &payload[descriptor.len..])
            }
            (PayloadOverwrite::Vp9(values), Head::Vp9(descriptor)) => {
                (vp9::rewrite(payload, descriptor, values, out), &payload[descriptor.len..])
            }
            _ => (0, self.borrowed(payload, head).unwrap_or(payload)),
        };
        out[len..len + rest.len()].copy_from_slice(rest);
        if let (PayloadOverwrite::RedInner(inner), Head::Red(header)) = (self, head) {
            header.set_inner(&mut out[..rest.len()], *inner);
        }
        len + rest.len()
    }
}
