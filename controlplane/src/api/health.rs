//! `/healthz`, `/readyz` and `/metrics`: for machines that look after this one.
#![forbid(unsafe_code)]

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;

/// 200 as long as a new start would not help: 503 once every shard has ended.
pub async fn healthz(State(app): State<App>) -> Response {
    if app.service.is_alive() {
        return "ok\n".into_response();
    }
    let detail = "every shard has ended; the process has to be started again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "shard_down", "No shard runs", detail).into_response()
}

/// 200 as long as new sessions are taken and every shard does its work, else 503 with the reason.
pub async fn readyz(State(app): State<App>) -> Response {
    match app.service.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "not_ready", "Not ready", why).retry_after(1).into_response()
        }
    }
}

/// OpenMetrics text.
pub async fn metrics(State(app): State<App>) -> Response {
    match app.exposition.render() {
        Ok(page) => {
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, media_type)], page).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
