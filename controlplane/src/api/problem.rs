//! The one place where an error becomes an HTTP response (RFC 9457 problem details).
//!
//! The body is a superset for clients of other systems: `code` and `error` are the same stable word,
//! `detail` and `message` the same sentence for people.
#![forbid(unsafe_code)]

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dataplane::command::Refusal;
use dataplane::limits::KEYFRAME_REQUEST_WINDOW;
use dataplane::transport::negotiate::NegotiateError;
use serde_json::{Map, Value, json};

use crate::service::layers::LayerError;
use crate::service::rooms::{RoomError, kind_name};
use crate::service::view::ProblemView;
use crate::service::{self};
use crate::shards::CallError;

/// Seconds after which a viewer may ask again whether there is a publisher (WHEP, section 4.3.8).
const RETRY_NO_PUBLISHER_SECONDS: u64 = 2;
/// Seconds after which a full or overloaded server may be asked again.
const RETRY_FULL_SECONDS: u64 = 5;

/// What the client is told. Causes stay in our log.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    retry_after_seconds: Option<u64>,
    challenge: Option<&'static str>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem. `code` is stable: clients compare it.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            retry_after_seconds: None,
            challenge: None,
            more: Map::new(),
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// Says how to authenticate (RFC 6750, section 3).
    #[must_use]
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.more.insert(member.to_owned(), value);
        self
    }

    /// 400 for an offer that cannot be read.
    pub fn malformed_sdp(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_sdp", "The offer is malformed", detail)
    }

    /// 400 for a fragment that cannot be read.
    pub fn malformed_fragment(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_fragment", "The SDP fragment is malformed", detail)
    }

    /// 415.
    pub fn media_type(wanted: &'static str) -> Self {
        let detail = format!("the Content-Type must be {wanted}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported_media_type", "Wrong media type", detail)
    }

    /// 404 for a path.
    pub fn no_such_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", "there is nothing at this address")
    }

    /// 400 for a room name.
    pub fn room_name() -> Self {
        let detail = "a room name has 1 to 128 characters of A-Z a-z 0-9 - _ . ~";
        Self::new(StatusCode::BAD_REQUEST, "invalid_room_name", "Not a room name", detail)
    }
}

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Self {
        use service::Error::{
            Internal, Layer, Negotiate, Room, Shard, Stopping, UnknownRoom, UnknownSession,
        };
        let detail = error.to_string();
        match error {
            Room(error) => of_room(error),
            Negotiate(error) => of_offer(error),
            Shard(error) => of_shard(error),
            Layer(error) => of_layer(&error),
            UnknownSession => {
                Self::new(StatusCode::NOT_FOUND, "session_not_found", "No such session", detail)
            }
            UnknownRoom(_) => Self::new(StatusCode::NOT_FOUND, "room_not_found", "No such room", detail),
            Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "The server is stopping", detail)
                    .retry_after(RETRY_FULL_SECONDS)
            }
            Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail),
        }
    }
}

fn of_room(error: RoomError) -> Problem {
    let detail = error.to_string();
    match error {
        RoomError::PublisherPresent(_) => {
            Problem::new(StatusCode::CONFLICT, "publisher_present", "The room has a publisher", detail)
        }
        RoomError::NoPublisher(_) => {
            Problem::new(StatusCode::CONFLICT, "no_publisher", "Nobody publishes to the room", detail)
                .retry_after(RETRY_NO_PUBLISHER_SECONDS)
        }
        RoomError::RoomFull(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "room_full", "The room is full", detail)
                .retry_after(RETRY_FULL_SECONDS)
        }
        RoomError::ServerFull(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "server_full", "The server is full", detail)
                .retry_after(RETRY_FULL_SECONDS)
        }
        RoomError::TooManyPending => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            Problem::new(status, "too_many_pending", "Too many sessions are connecting", detail)
                .retry_after(RETRY_FULL_SECONDS)
        }
        RoomError::TooManySections(_) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, "offer_not_acceptable", "The offer is not acceptable", detail)
        }
        RoomError::Codec(problem) => {
            let view = ProblemView::from(&problem);
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, view.code, view.title, detail)
                .with("codec", json!(view.codec))
                .with("kind", json!(view.kind))
                .with("offered", json!(view.offered))
        }
        RoomError::ClosedMeanwhile => {
            Problem::new(StatusCode::CONFLICT, "session_closed", "The session was closed", detail)
        }
    }
}

fn of_offer(error: NegotiateError) -> Problem {
    let detail = error.to_string();
    match error {
        NegotiateError::Malformed(_) => Problem::malformed_sdp(detail),
        NegotiateError::NoCommonCodec { kind, offered, supported } => {
            let title = "No codec in common";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "codec_not_supported", title, detail)
                .with("kind", json!(kind_name(kind)))
                .with("offered", json!(offered))
                .with("supported", json!(supported))
        }
        NegotiateError::Unacceptable(_) => {
            let title = "The offer is not acceptable";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "offer_not_acceptable", title, detail)
        }
    }
}

fn of_layer(error: &LayerError) -> Problem {
    let (status, code, title) = match error {
        LayerError::NotWatching => {
            (StatusCode::UNPROCESSABLE_ENTITY, "not_a_subscriber", "The session does not watch")
        }
        LayerError::UnknownSection(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unknown_media_section", "Nothing is shown there")
        }
        LayerError::UnknownEncoding { .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unknown_encoding", "No such encoding")
        }
        LayerError::TooMany => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Problem::new(status, "too_many_layer_requests", "Too many requests", error.to_string())
                .retry_after(KEYFRAME_REQUEST_WINDOW.as_secs());
        }
    };
    Problem::new(status, code, title, error.to_string())
}

fn of_shard(error: CallError) -> Problem {
    let detail = error.to_string();
    let (status, code, title) = match error {
        CallError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded"),
        CallError::Refused(Refusal::ShardFull) => {
            (StatusCode::SERVICE_UNAVAILABLE, "server_full", "The server is full")
        }
        CallError::TimedOut => {
            (StatusCode::GATEWAY_TIMEOUT, "shard_timeout", "The server did not answer in time")
        }
        CallError::Refused(Refusal::TrackIsPublished) => {
            (StatusCode::CONFLICT, "publisher_present", "The room has a publisher")
        }
        CallError::Gone => {
            tracing::error!(code = "shard_down", "request failed: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "shard_down", "The media thread of the room has ended")
        }
        CallError::Refused(_) => {
            tracing::error!(code = "internal", "request failed: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error")
        }
    };
    let problem = Problem::new(status, code, title, detail);
    // Another shard takes the room over, so it is worth another try.
    let is_busy = status == StatusCode::SERVICE_UNAVAILABLE;
    if is_busy { problem.retry_after(RETRY_FULL_SECONDS) } else { problem }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.more;
        body.insert("type".to_owned(), json!(format!("urn:sluice:problem:{}", self.code)));
        body.insert("title".to_owned(), json!(self.title));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.insert("code".to_owned(), json!(self.code));
        body.insert("error".to_owned(), json!(self.code));
        body.insert("message".to_owned(), json!(self.detail));
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
