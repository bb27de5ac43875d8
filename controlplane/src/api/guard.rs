//! What every request passes before its handler: counting, CORS, the rate limit, the token, in this order.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;
use crate::config::{Auth, Origins};

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate",
);
const ALLOWED: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, If-Match");
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("86400");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// The header that says which media types PATCH takes (RFC 5789, section 3.1).
pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Counts the answer by the pattern of its route.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    app.metrics.request(route, method, response.status().as_u16());
    response
}

/// Answers OPTIONS and tells browsers what they may read. There are no cookies: the token in a header is
/// all there is, so no origin gets anything by asking. docs/SECURITY.md H9.
pub async fn cors(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    // What a machine is and does is nobody's business but that of origins that were named.
    let is_shared = app.origins != Origins::Any || route.as_deref() != Some("/api/status");
    let allowed = allowed_origin(&app.origins, request.headers()).filter(|_| is_shared);
    let mut response = match route {
        Some(route) if request.method() == Method::OPTIONS => preflight(&route),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    if matches!(app.origins, Origins::Listed(_)) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn allowed_origin(origins: &Origins, headers: &HeaderMap) -> Option<HeaderValue> {
    match origins {
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Listed(listed) => {
            let origin = headers.get(header::ORIGIN)?;
            listed.iter().any(|item| item.as_bytes() == origin.as_bytes()).then(|| origin.clone())
        }
    }
}

/// RFC 9725, section 4.2: 200 with Accept-Post, and without a token.
fn preflight(route: &str) -> Response {
    let is_media = route.contains("/whip/") || route.contains("/whep/");
    let methods = match (is_media, route.ends_with("/session/{id}")) {
        (true, true) => "DELETE, GET, HEAD, OPTIONS, PATCH",
        (true, false) => "GET, HEAD, OPTIONS, POST",
        (false, _) if route == "/api/sessions/{id}" => "GET, HEAD, OPTIONS, PATCH",
        (false, _) => "GET, HEAD, OPTIONS",
    };
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    if is_media {
        headers.insert(ACCEPT_POST, HeaderValue::from_static("application/sdp"));
        headers.insert(ACCEPT_PATCH, HeaderValue::from_static("application/trickle-ice-sdpfrag"));
    }
    response
}

/// The rate limit of the peer, then its token. docs/SECURITY.md H1.
pub async fn admit(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if let Err(wait) = app.rate.check(peer.ip()) {
        let detail = "this address sends too many requests";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Problem::new(status, "rate_limited", "Too many requests", detail)
            .retry_after(wait.as_secs() + 1)
            .into_response();
    }
    match check_token(&app.auth, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Bearer tokens (RFC 6750, section 2.1), compared in constant time.
fn check_token(auth: &Auth, headers: &HeaderMap) -> Result<(), Problem> {
    let Auth::Token(secret) = auth else { return Ok(()) };
    let status = StatusCode::UNAUTHORIZED;
    let title = "Access token needed";
    let Some(credentials) = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes) else {
        let detail = "send the access token as Authorization: Bearer <token>";
        return Err(Problem::new(status, "unauthorized", title, detail).challenge("Bearer realm=\"sluice\""));
    };
    let token = match credentials.split_at_checked(b"bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => b"",
    };
    match aws_lc_rs::constant_time::verify_slices_are_equal(token, secret.reveal().as_bytes()) {
        Ok(()) => Ok(()),
        Err(_) => {
            let challenge = "Bearer realm=\"sluice\", error=\"invalid_token\"";
            Err(Problem::new(status, "unauthorized", title, "the access token is wrong").challenge(challenge))
        }
    }
}
