//! What a viewer asks for of what it is shown: another layer, or a pause.
#![forbid(unsafe_code)]

use dataplane::command::{Command, Refusal, Reply};
use dataplane::id::{Mid, Rid};
use dataplane::limits::KEYFRAME_REQUEST_WINDOW;
use dataplane::media::wish::Wish;
use dataplane::transport::negotiate::PeerRole;

use super::name::SessionId;
use super::rooms::Session;
use super::{Error, Service};
use crate::shards::CallError;

/// Why a request for layers is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The session publishes.
    #[error("this session publishes; layers are asked for by sessions that watch")]
    NotWatching,
    /// Nothing is shown in the section that was named, or no video at all.
    #[error("{}", unknown_section(.0.as_ref()))]
    UnknownSection(Option<Mid>),
    /// The publisher has no such encoding.
    #[error("there is no encoding {wanted:?}; the publisher has {}", names(.known))]
    UnknownEncoding {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Too many requests of late.
    #[error("other layers were asked for too often; try again in {} s", KEYFRAME_REQUEST_WINDOW.as_secs())]
    TooMany,
}

fn unknown_section(mid: Option<&Mid>) -> String {
    match mid {
        Some(mid) => format!(
            "nothing is shown in a media section {:?}; see subscriptions of this session",
            mid.0.as_str()
        ),
        None => "no video is shown to this session".to_owned(),
    }
}

fn names(known: &[String]) -> String {
    if known.is_empty() { "only one, without a name".to_owned() } else { known.join(", ") }
}

impl Service {
    /// Asks for other layers of what is shown in the media section `mid`, or of all video. The picture follows at
    /// the next switch point.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSession`], [`Error::Layer`], or the shard's.
    pub async fn request_layer(&self, id: SessionId, mid: Option<Mid>, wish: Wish) -> Result<(), Error> {
        let session = self.session(id, None)?;
        if session.role == PeerRole::Publisher {
            return Err(LayerError::NotWatching.into());
        }
        let command = Command::RequestLayer { id: session.transport, mid, wish };
        let refusal = match self.shards.call(session.shard, command).await {
            Err(CallError::Refused(refusal)) => refusal,
            outcome => return Ok(outcome.map(|_| ())?),
        };
        Err(match refusal {
            Refusal::UnknownTransport => Error::UnknownSession,
            Refusal::UnknownSection => LayerError::UnknownSection(mid).into(),
            Refusal::TooManyWishes => LayerError::TooMany.into(),
            Refusal::UnknownEncoding => {
                let wanted = wish.rid.map(|Rid(name)| name.as_str().to_owned()).unwrap_or_default();
                LayerError::UnknownEncoding { wanted, known: self.encodings_of(&session).await }.into()
            }
            refusal => CallError::Refused(refusal).into(),
        })
    }

    /// The names of the encodings of everything that a session is shown.
    async fn encodings_of(&self, session: &Session) -> Vec<String> {
        let mut names = Vec::new();
        for (track, _) in &session.tracks {
            let command = Command::DescribeTrack { track: *track };
            if let Ok(Reply::Track(report)) = self.shards.call(session.shard, command).await {
                names.extend(report.encodings.into_iter().filter_map(|encoding| encoding.rid));
            }
        }
        names.sort_unstable();
        names
    }
}
