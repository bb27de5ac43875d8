//! Which negotiated place each authenticated ingress SSRC has.
#![forbid(unsafe_code)]

use std::time::Instant;

use arrayvec::ArrayVec;

use crate::id::Ssrc;
use crate::limits::{INGRESS_SSRCS_PER_TRANSPORT_MAX, RETIRED_SSRCS_MAX, SSRC_RETIREMENT};

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
    /// What was replaced, and when.
    retired: ArrayVec<(Ssrc, Instant), RETIRED_SSRCS_MAX>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(super) fn role(&self, ssrc: Ssrc) -> Option<StreamRole> {
        self.bound.iter().find(|bound| bound.0 == ssrc).map(|bound| bound.1)
    }

    /// Whether an SSRC was replaced lately: what still comes of it is late, and must not take its place back.
    pub(super) fn is_retired(&self, ssrc: Ssrc, now: Instant) -> bool {
        self.retired.iter().any(|retired| retired.0 == ssrc && now < retired.1 + SSRC_RETIREMENT)
    }

    /// Binds an SSRC. A new SSRC for a place replaces the old one, and that of its retransmissions: they carry
    /// numbers of the old one.
    pub(super) fn bind(&mut self, ssrc: Ssrc, role: StreamRole, now: Instant) {
        let is_replaced = self.bound.iter().any(|bound| bound.1 == role);
        let follower = match role {
            StreamRole::Media(place) if is_replaced => Some(StreamRole::Rtx(place)),
            _ => None,
        };
        for (old, _) in self.bound.extract_if(.., |bound| bound.1 == role || Some(bound.1) == follower) {
            if self.retired.is_full() {
                self.retired.remove(0);
            }
            self.retired.push((old, now));
        }
        if self.bound.len() < INGRESS_SSRCS_PER_TRANSPORT_MAX {
            self.bound.push((ssrc, role));
        }
    }
}
