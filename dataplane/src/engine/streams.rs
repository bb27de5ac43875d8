//! Which negotiated place each authenticated ingress SSRC has.
#![forbid(unsafe_code)]

use crate::id::Ssrc;
use crate::limits::INGRESS_SSRCS_PER_TRANSPORT_MAX;

/// What the packets of an SSRC are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamRole {
    /// The media of an encoding.
    Media(EncodingPlace),
    /// The retransmissions of an encoding.
    Rtx(EncodingPlace),
}

/// An encoding of a feed of this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EncodingPlace {
    /// Which feed.
    pub(super) feed: u8,
    /// Which encoding of its track.
    pub(super) encoding: u8,
}

/// The bound SSRCs of one peer. A bound SSRC is never bound to another place (docs/SECURITY.md T12).
#[derive(Debug, Default)]
pub(super) struct Streams {
    bound: Vec<(Ssrc, StreamRole)>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(super) fn role(&self, ssrc: Ssrc) -> Option<StreamRole> {
        self.bound.iter().find(|bound| bound.0 == ssrc).map(|bound| bound.1)
    }

    /// Binds an SSRC. A new SSRC for a place replaces the old one, which is forgotten.
    pub(super) fn bind(&mut self, ssrc: Ssrc, role: StreamRole) {
        self.bound.retain(|bound| bound.1 != role);
        if self.bound.len() < INGRESS_SSRCS_PER_TRANSPORT_MAX {
            self.bound.push((ssrc, role));
        }
    }
}
