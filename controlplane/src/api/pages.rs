//! The pages, embedded into the binary.
#![forbid(unsafe_code)]

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::service::name::RoomName;

const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: \
     mediastream:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        /// Every embedded file: its name and its content.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $name))),)*];
    };
}

embed! {
    "index.html", "publish.html", "watch.html", "sluice.css", "icon.svg",
    "api.js", "devices.js", "diagnose.js", "dom.js", "publish.js", "rooms.js", "session.js", "stats.js",
    "watch.js", "whep.js", "whip.js",
}

/// `/`.
pub async fn index() -> Response {
    file("index.html")
}

/// `/publish/{room}`.
pub async fn publish(Path(room): Path<String>) -> Response {
    page_of_room(&room, "publish.html")
}

/// `/watch/{room}`.
pub async fn watch(Path(room): Path<String>) -> Response {
    page_of_room(&room, "watch.html")
}

/// `/assets/{file}`.
pub async fn asset(Path(name): Path<String>) -> Response {
    file(&name)
}

fn page_of_room(room: &str, page: &str) -> Response {
    match RoomName::new(room) {
        Some(_) => file(page),
        None => Problem::room_name().into_response(),
    }
}

fn file(name: &str) -> Response {
    let Some((_, content)) = FILES.iter().find(|(known, _)| *known == name) else {
        return Problem::no_such_page().into_response();
    };
    let media_type = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, *content).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded_and_no_other() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).unwrap();
        let mut there: Vec<String> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        there.sort();
        embedded.sort_unstable();
        assert_eq!(embedded, there);
    }
}
