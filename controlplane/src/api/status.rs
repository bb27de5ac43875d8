//! `GET /api/status`: what the server measures of itself, for the page `/status`.
#![forbid(unsafe_code)]

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::problem::Problem;
use crate::service::status::StatusView;

/// Totals since start; whoever asks takes differences.
pub async fn status(State(app): State<App>) -> Json<StatusView> {
    Json(app.service.status(&app.surroundings, Instant::now()))
}

/// In its place on a listener that everyone reaches without a token: addresses and load of a machine are
/// not for the public. docs/SECURITY.md H14.
pub async fn private() -> Problem {
    let detail = "this server is open to everyone, so its status is shown on its own machine only: open \
                  /status of SLUICE_METRICS_LISTEN there, or set SLUICE_AUTH=token:<secret>";
    Problem::new(StatusCode::FORBIDDEN, "status_private", "The status is not public", detail)
}
