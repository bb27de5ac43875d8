//! `/healthz`, `/readyz` and `/metrics`: for machines that look after this one.
#![forbid(unsafe_code)]

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;

/// 200 as long as the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 as long as new sessions are taken and every shard answers, else 503 with the reason.
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
