//! Answers an SDP offer: the one file that knows SDP and the one where a transport is made.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Instant;

use super::Transport;
use crate::id::ShardId;
use crate::media::format::MediaKind;

/// Answers offers with one certificate and one DTLS configuration for the process.
#[derive(Clone, Debug)]
pub struct Negotiator;

/// What the offering peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// It sends media (WHIP).
    Publisher,
    /// It receives media (WHEP).
    Subscriber,
}

/// How to answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerSettings<'a> {
    /// Who offers.
    pub role: PeerRole,
    /// The shard that will own the transport; it stands in the username fragment.
    pub shard: ShardId,
    /// Our candidates, best first.
    pub candidates: &'a [SocketAddr],
}

/// An answered offer.
#[derive(Debug)]
pub struct Answered {
    /// The SDP answer, with all candidates.
    pub sdp: String,
    /// The transport behind it, to be moved into its shard.
    pub transport: Box<Transport>,
}

/// Why an offer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// It is not SDP, or not an offer that WebRTC knows.
    #[error("malformed SDP: {0}")]
    Malformed(String),
    /// No codec of a section is one that Sluice forwards.
    #[error("no {} codec in common: offered {}, supported {}", kind_name(*.kind), .offered.join(", "), .supported.join(", "))]
    NoCommonCodec {
        /// Of which kind of media.
        kind: MediaKind,
        /// What the offer listed.
        offered: Vec<String>,
        /// What would have been accepted.
        supported: Vec<String>,
    },
    /// The media flows the wrong way for the role, or the offer has no media.
    #[error("{0}")]
    Unacceptable(String),
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

#[allow(unused_variables, missing_docs, clippy::todo)]
impl Negotiator {
    pub fn new(now: Instant) -> Result<Self, NegotiateError> {
        todo!()
    }
    pub fn answer(
        &self,
        offer: &str,
        settings: &AnswerSettings<'_>,
        now: Instant,
    ) -> Result<Answered, NegotiateError> {
        todo!()
    }
}
