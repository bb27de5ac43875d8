//! Every route of the server, on one screen, and what they share.
#![forbid(unsafe_code)]

pub mod fragment;
mod guard;
mod health;
mod layers;
mod media;
mod pages;
pub mod problem;
pub mod rate;
mod state;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::get;
use dataplane::transport::negotiate::PeerRole::{Publisher, Subscriber};

use crate::config::{Auth, Origins};
use crate::limits::LAYER_REQUEST_BYTES_MAX;
use crate::metrics::{Exposition, Metrics};
use crate::service::Service;
use crate::service::status::Surroundings;
use problem::Problem;
use rate::RateLimit;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// Rooms and sessions.
    pub service: Arc<Service>,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// Shows them.
    pub exposition: Arc<Exposition>,
    /// Who may use the API.
    pub auth: Auth,
    /// Which web origins may.
    pub origins: Origins,
    /// How often.
    pub rate: Arc<RateLimit>,
    /// What the server runs on.
    pub surroundings: Arc<Surroundings>,
}

/// The routes of the main listener; `/metrics` is among them only while that is on loopback, and the status
/// only there or with a token.
pub fn router(app: App, is_local: bool) -> Router {
    let is_status_shown = is_local || matches!(app.auth, Auth::Token(_));
    let status = if is_status_shown { get(status::status) } else { get(status::private) };
    let small = DefaultBodyLimit::max(LAYER_REQUEST_BYTES_MAX);
    let mut guarded = Router::new()
        .route("/whip/{room}", media::endpoint(Publisher, "/whip/session"))
        .route("/whip/session/{id}", media::session(Publisher))
        .route("/api/whip/publish/{room}", media::endpoint(Publisher, "/api/whip/session"))
        .route("/api/whip/session/{id}", media::session(Publisher))
        .route("/whep/{room}", media::endpoint(Subscriber, "/whep/session"))
        .route("/whep/session/{id}", media::session(Subscriber))
        .route("/api/whep/play/{room}", media::endpoint(Subscriber, "/api/whep/session"))
        .route("/api/whep/session/{id}", media::session(Subscriber))
        .route("/api/rooms", get(state::rooms))
        .route("/api/rooms/{room}", get(state::room))
        .route("/api/sessions/{id}", get(state::session).patch(layers::request).layer(small))
        .route("/api/status", status);
    if is_local {
        guarded = guarded.route("/metrics", get(health::metrics));
    }
    let open = Router::new()
        .route("/", get(pages::rooms))
        .route("/publish/{room}", get(pages::publish))
        .route("/watch/{room}", get(pages::watch))
        .route("/status", get(pages::status))
        .route("/assets/{file}", get(pages::asset))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz));
    guarded
        .route_layer(from_fn_with_state(app.clone(), guard::admit))
        .merge(open)
        .method_not_allowed_fallback(wrong_method)
        .fallback(async || Problem::no_such_page())
        .layer(from_fn_with_state(app.clone(), guard::cors))
        .layer(from_fn_with_state(app.clone(), guard::count))
        .with_state(app)
}

/// The routes of the second listener, which asks for no token.
pub fn metrics_router(app: App) -> Router {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route("/api/status", get(status::status))
        .route("/", get(async || Redirect::temporary("/status")))
        .route("/status", get(pages::status))
        .route("/assets/{file}", get(pages::asset))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(app)
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Wrong method", detail)
}
