//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): endpoints and sessions. They differ in the role of
//! the peer and in a few answers, so each handler serves both.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use dataplane::transport::negotiate::PeerRole;

use super::App;
use super::fragment;
use super::guard::ACCEPT_PATCH;
use super::problem::Problem;
use crate::limits::{BODY_TIMEOUT, FRAGMENT_BYTES_MAX, OFFER_BYTES_MAX, OFFER_CANDIDATES_MAX};
use crate::service::name::{RoomName, SessionId};
use crate::service::rooms::Session;
use crate::service::{Error, Offer};

const SDP: &str = "application/sdp";
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// An endpoint: POST an offer, get a session whose URL begins with `sessions`.
pub fn endpoint(role: PeerRole, sessions: &'static str) -> MethodRouter<App> {
    let create =
        move |State(app): State<App>,
              ConnectInfo(peer): ConnectInfo<SocketAddr>,
              Path(room): Path<String>,
              request: Request| async move { create(&app, role, sessions, peer, &room, request).await };
    let show = move |Path(room): Path<String>| async move {
        RoomName::new(&room).ok_or_else(Problem::room_name)?;
        Ok::<Response, Problem>(nothing_to_show(role))
    };
    get(show).post(create).layer(DefaultBodyLimit::max(OFFER_BYTES_MAX))
}

/// A session: PATCH a fragment, DELETE to end it.
pub fn session(role: PeerRole) -> MethodRouter<App> {
    let show = move |State(app): State<App>, Path(id): Path<String>| async move {
        find(&app, role, &id)?;
        Ok::<Response, Problem>(nothing_to_show(role))
    };
    let trickle = move |State(app): State<App>, Path(id): Path<String>, request: Request| async move {
        trickle(&app, role, &id, request).await
    };
    let end = move |State(app): State<App>, Path(id): Path<String>| async move {
        let (id, _) = find(&app, role, &id)?;
        app.service.close_session(id, role).await?;
        // OBS takes exactly 200 for success.
        Ok::<StatusCode, Problem>(StatusCode::OK)
    };
    get(show).patch(trickle).delete(end).layer(DefaultBodyLimit::max(FRAGMENT_BYTES_MAX))
}

/// WHIP: 204 (RFC 9725, section 4.1). WHEP: 200 and an empty SDP, so that HEAD has the header that its
/// section 4.2 asks for.
fn nothing_to_show(role: PeerRole) -> Response {
    match role {
        PeerRole::Publisher => StatusCode::NO_CONTENT.into_response(),
        PeerRole::Subscriber => ([(header::CONTENT_TYPE, SDP)], "").into_response(),
    }
}

async fn create(
    app: &App,
    role: PeerRole,
    sessions: &str,
    peer: SocketAddr,
    room: &str,
    request: Request,
) -> Result<Response, Problem> {
    let room = RoomName::new(room).ok_or_else(Problem::room_name)?;
    check_media_type(request.headers(), SDP)?;
    let sdp = read_text(request).await?.map_err(Problem::malformed_sdp)?;
    if sdp.trim().is_empty() {
        return Err(Problem::malformed_sdp("the body is empty; this server expects the client's offer"));
    }
    if sdp.lines().filter(|line| line.starts_with("a=candidate:")).count() > OFFER_CANDIDATES_MAX {
        return Err(Problem::malformed_sdp(format!("more than {OFFER_CANDIDATES_MAX} candidates")));
    }
    let ufrag = fragment::ufrag_of_offer(&sdp).map(str::to_owned);
    let offer = Offer { room, role, sdp, ufrag, peer: peer.ip() };
    let opened = app.service.open_session(offer).await?;
    // Path only: OBS drops the query of a relative URL, and a proxy may have changed the authority.
    let location = format!("{sessions}/{}", opened.id.to_url());
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, format!("\"{}\"", opened.etag)),
        (ACCEPT_PATCH, SDP_FRAGMENT.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, opened.answer).into_response())
}

/// RFC 9725, section 4.3. A trickle fragment is taken with any entity tag or none: deployed clients send
/// none, and the server is ICE-lite, so nothing depends on it. Restarts are refused and leave the session
/// as it is.
async fn trickle(app: &App, role: PeerRole, id: &str, request: Request) -> Result<StatusCode, Problem> {
    let (id, session) = find(app, role, id)?;
    let headers = request.headers().clone();
    check_media_type(&headers, SDP_FRAGMENT)?;
    let text = read_text(request).await?.map_err(Problem::malformed_fragment)?;
    let fragment = fragment::parse(&text).map_err(Problem::malformed_fragment)?;
    if fragment.is_restart(session.remote_ufrag.as_deref()) {
        return Err(refuse_restart(&headers, &session));
    }
    if !app.service.count_candidates(id, fragment.candidate_count) {
        return Err(Problem::malformed_fragment("the session has sent too many candidates"));
    }
    if if_match(&headers).is_none_or(|tag| !matches_tag(tag, &session)) {
        tracing::debug!(session = id.short(), "candidates without the current entity tag");
    }
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_restart(headers: &HeaderMap, session: &Session) -> Problem {
    let Some(tag) = if_match(headers) else {
        let detail = "an ICE restart needs If-Match";
        let status = StatusCode::PRECONDITION_REQUIRED;
        return Problem::new(status, "precondition_required", "If-Match is missing", detail);
    };
    if !matches_tag(tag, session) {
        let detail = "If-Match names another ICE session";
        let status = StatusCode::PRECONDITION_FAILED;
        return Problem::new(status, "precondition_failed", "If-Match does not match", detail);
    }
    let detail = "this server does not restart ICE; the session goes on as it is";
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "ice_restart_not_supported", "No ICE restart", detail)
}

fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// `*`, with or without quotes (RFC 9725 has both), or the strong tag of the session.
fn matches_tag(tags: &str, session: &Session) -> bool {
    tags.split(',').map(|tag| tag.trim().trim_matches('"')).any(|tag| tag == "*" || tag == session.etag)
}

/// An id that was never given and one of the other protocol are both 404. docs/SECURITY.md H2.
fn find(app: &App, role: PeerRole, id: &str) -> Result<(SessionId, Session), Problem> {
    let id = SessionId::parse(id).ok_or(Error::UnknownSession)?;
    Ok((id, app.service.session(id, Some(role))?))
}

/// 415 if the Content-Type is another than `wanted`.
pub fn check_media_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(wanted.as_bytes()) { Ok(()) } else { Err(Problem::media_type(wanted)) }
}

/// The body, within its size and time; the inner error is for text that is not UTF-8.
pub async fn read_text(request: Request) -> Result<Result<String, String>, Problem> {
    let reading = Bytes::from_request(request, &());
    let bytes = tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(|_| body_timeout(BODY_TIMEOUT))?;
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Problem::new(status, "too_large", "The body is too large", "the body is larger than allowed")
        }
        status => Problem::new(status, "bad_body", "The body did not arrive", rejection.body_text()),
    })?;
    Ok(String::from_utf8(bytes.into()).map_err(|_| "the body is not UTF-8".to_owned()))
}

fn body_timeout(limit: Duration) -> Problem {
    let detail = format!("the body did not arrive within {} s", limit.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "The body is too slow", detail)
}
