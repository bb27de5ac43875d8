//! The pages, embedded into the binary. `layout.html` is what they share; the file of a page is what stands
//! inside it.
#![forbid(unsafe_code)]

use axum::extract::Path;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::service::name::RoomName;

/// Nothing but our own files; no script, style or handler within a page, and no text that becomes markup.
/// docs/SECURITY.md H17.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; media-src 'self' blob: mediastream:; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const PERMISSIONS_POLICY: &str = "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), \
     picture-in-picture=(self), screen-wake-lock=(self), autoplay=(self), geolocation=(), payment=(), usb=()";

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        /// Every embedded file: its name and its content.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $name))),)*];
    };
}

embed! {
    "layout.html", "rooms.html", "publish.html", "watch.html", "status.html",
    "sluice.css", "media.css", "figures.css", "icon.svg", "icons.svg",
    "api.js", "chart.js", "copy.js", "devices.js", "diagnose.js", "dom.js", "drops.js", "figures.js",
    "keys.js", "links.js", "measures.js", "meter.js", "notice.js", "poll.js", "publish.js", "rates.js",
    "rooms.js", "series.js", "server-measures.js", "session.js", "stats.js", "status-tables.js",
    "status.js", "token.js", "watch.js", "whep.js", "whip.js",
}

/// `/`.
pub async fn rooms() -> Response {
    page("rooms", "Rooms")
}

/// `/publish/{room}`.
pub async fn publish(Path(room): Path<String>) -> Response {
    page_of_room(&room, "publish", "Publish")
}

/// `/watch/{room}`.
pub async fn watch(Path(room): Path<String>) -> Response {
    page_of_room(&room, "watch", "Watch")
}

/// `/status`.
pub async fn status() -> Response {
    page("status", "Status")
}

/// `/assets/{file}`: everything but what makes up the pages.
pub async fn asset(Path(name): Path<String>) -> Response {
    let media_type = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => return Problem::no_such_page().into_response(),
    };
    match FILES.iter().find(|(known, _)| *known == name) {
        Some((_, content)) => answer(media_type, *content),
        None => Problem::no_such_page().into_response(),
    }
}

fn page_of_room(room: &str, name: &str, title: &str) -> Response {
    match RoomName::new(room) {
        Some(_) => page(name, title),
        None => Problem::room_name().into_response(),
    }
}

fn page(name: &str, title: &str) -> Response {
    answer("text/html; charset=utf-8", whole(name, title))
}

/// The page `name` inside the layout. Nothing of a request gets into it.
fn whole(name: &str, title: &str) -> String {
    let marked = format!("data-page=\"{name}\"");
    file("layout.html")
        .replace(&marked, "aria-current=\"page\"")
        .replace("{{title}}", title)
        .replace("{{name}}", name)
        .replace("{{main}}", file(&format!("{name}.html")))
}

fn file(name: &str) -> &'static str {
    let (_, content) =
        FILES.iter().find(|(known, _)| *known == name).expect("a page is among the embedded files");
    content
}

fn answer(media_type: &'static str, content: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PAGES: [&str; 4] = ["rooms", "publish", "watch", "status"];

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

    #[test]
    fn every_page_is_whole_and_has_nothing_that_its_policy_forbids() {
        for name in PAGES {
            let page = whole(name, "Title");
            assert!(page.contains("<title>Title · Sluice</title>"), "{name}");
            assert!(page.contains(&format!("/assets/{name}.js")), "{name}");
            for forbidden in ["{{", "<script>", "<style", " style=", " onclick=", "http://", "https://"] {
                assert!(!page.contains(forbidden), "{name} has {forbidden}");
            }
        }
    }

    #[test]
    fn every_file_that_a_page_names_is_there() {
        for name in PAGES {
            let page = whole(name, "Title");
            for part in page.split("/assets/").skip(1) {
                let asset = part.split(['"', '#']).next().unwrap();
                assert!(FILES.iter().any(|(known, _)| *known == asset), "{name} names {asset}");
            }
        }
    }
}
