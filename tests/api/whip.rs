//! WHIP endpoints (RFC 9725).

use crate::offer::Offer;
use crate::server::{Server, header, problem};
use dataplane::limits::TRACKS_PER_KIND_MAX;

// W01
#[tokio::test]
async fn get_has_no_content_on_the_endpoint_and_on_the_session() {
    let server = Server::new().await;
    assert_eq!(server.send("GET", "/whip/a").await.status(), 204);
    let session = server.publish("a").await;
    assert_eq!(server.send("GET", &session).await.status(), 204);
    server.stop().await;
}

// W02, W03, C6
#[tokio::test]
async fn an_offer_of_another_type_is_415_and_one_that_is_no_sdp_is_400() {
    let server = Server::new().await;
    for media_type in ["application/json", "text/plain", "application/sdpx"] {
        let request = server.request("POST", "/whip/a").header("content-type", media_type);
        let response = request.body(Offer::publisher().to_sdp()).send().await.unwrap();
        problem(response, 415, "unsupported_media_type").await;
    }
    let response = server.request("POST", "/whip/a").body("v=0").send().await.unwrap();
    problem(response, 415, "unsupported_media_type").await;
    for body in ["", "  \r\n", "hello", "{}"] {
        problem(server.post("/whip/a", body).await, 400, "malformed_sdp").await;
    }
    let request = server.request("POST", "/whip/a").header("content-type", "application/sdp");
    problem(request.body(vec![0xff, 0xfe]).send().await.unwrap(), 400, "malformed_sdp").await;
    server.stop().await;
}

// W04, W05, W13, W16, W27 (BUNDLE and rtcp-mux; not rtcp-mux-only)
#[tokio::test]
async fn an_accepted_offer_is_201_with_the_answer_its_location_and_a_strong_tag() {
    let server = Server::new().await;
    let request = server.request("POST", "/whip/a").header("content-type", "Application/SDP; charset=utf-8");
    let response = request.body(Offer::publisher().to_sdp()).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), "application/sdp");
    assert_eq!(header(&response, "accept-patch"), "application/trickle-ice-sdpfrag");
    let location = header(&response, "location").to_owned();
    let id = location.strip_prefix("/whip/session/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{location}");
    let tag = header(&response, "etag").to_owned();
    assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let answer = response.text().await.unwrap();
    assert!(answer.starts_with("v=0\r\n"));
    assert_eq!(answer.matches("a=recvonly").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=rtcp-mux\r\n").count(), 2, "{answer}");
    assert!(answer.contains("a=group:BUNDLE 0 1"), "{answer}");
    let port = server.running.shards.iter().next().unwrap().local_addresses()[0].port();
    assert!(answer.contains(&format!(" 127.0.0.1 {port} typ host")), "{answer}");
    server.stop().await;
}

// S4-01, C17
#[tokio::test]
async fn the_alias_gives_sessions_below_its_own_path() {
    let server = Server::new().await;
    let response = server.post("/api/whip/publish/a", Offer::publisher().to_sdp()).await;
    assert_eq!(response.status(), 201);
    let location = header(&response, "location").to_owned();
    assert!(location.starts_with("/api/whip/session/"), "{location}");
    assert_eq!(server.send("DELETE", &location).await.status(), 200);
    server.stop().await;
}

// W05, W28, W29, W30
#[tokio::test]
async fn offers_that_whip_forbids_are_422_and_make_no_room() {
    let server = Server::new().await;
    let good = Offer::publisher;
    let wrong = [
        Offer { direction: "recvonly", ..good() },
        Offer { direction: "inactive", ..good() },
        Offer { setup: "holdconn", ..good() },
        Offer { sections: vec![], ..good() },
        Offer { sections: vec!["audio"; TRACKS_PER_KIND_MAX + 1], ..good() },
        Offer { without: "a=rtcp-mux", ..good() },
        Offer { without: "a=fingerprint", ..good() },
    ];
    for offer in wrong {
        let response = server.post("/whip/a", offer.to_sdp()).await;
        problem(response, 422, "offer_not_acceptable").await;
    }
    // The publisher that failed does not stand in the way of one that does not.
    server.publish("a").await;
    server.stop().await;
}

// W28, E17, docs/decisions/0101: camera and screen are two streams; more sections of a kind than a room has are refused
#[tokio::test]
async fn several_sections_of_a_kind_with_msids_of_their_own_are_taken_and_too_many_are_422_that_says_so() {
    let server = Server::new().await;
    for (path, good) in [("/whip/a", Offer::publisher()), ("/whep/a", Offer::subscriber())] {
        let offer = |sections| Offer { sections, ..good.clone() }.to_sdp();
        let many = server.post(path, offer(vec!["video"; TRACKS_PER_KIND_MAX + 1])).await;
        let body = problem(many, 422, "offer_not_acceptable").await;
        let reason = format!("more than {TRACKS_PER_KIND_MAX} video sections");
        assert!(body["detail"].as_str().unwrap().contains(&reason), "{body}");
        let mut two = offer(vec!["audio", "video", "video"]);
        two = two.replace("a=msid:stream video2", "a=msid:screen video2");
        assert_eq!(server.post(path, two).await.status(), 201, "{path}");
    }
    server.stop().await;
}

// W30: FFmpeg offers passive, newer ones active
#[tokio::test]
async fn every_dtls_role_is_answered_with_its_counterpart() {
    let server = Server::new().await;
    for (setup, answered) in
        [("actpass", "a=setup:"), ("active", "a=setup:passive"), ("passive", "a=setup:active")]
    {
        let response =
            server.post(&format!("/whip/{setup}"), Offer { setup, ..Offer::publisher() }.to_sdp()).await;
        assert_eq!(response.status(), 201, "{setup}");
        assert!(response.text().await.unwrap().contains(answered), "{setup}");
    }
    server.stop().await;
}

// W29
#[tokio::test]
async fn no_common_codec_is_422_and_names_what_was_offered() {
    let server = Server::new().await;
    let offer = Offer { video_codecs: vec!["THEORA"], ..Offer::publisher() };
    let body = problem(server.post("/whip/a", offer.to_sdp()).await, 422, "codec_not_supported").await;
    assert_eq!(body["kind"], "video");
    assert!(body["detail"].as_str().unwrap().contains("THEORA"), "{body}");
    assert!(body["supported"].as_array().is_some_and(|list| !list.is_empty()), "{body}");
    server.stop().await;
}

// S4-03, C11
#[tokio::test]
async fn a_second_publisher_is_409_until_the_first_is_deleted() {
    let server = Server::new().await;
    let first = server.publish("a").await;
    let second = server.post("/whip/a", Offer::publisher().to_sdp()).await;
    problem(second, 409, "publisher_present").await;
    assert_eq!(server.send("DELETE", &first).await.status(), 200);
    server.publish("a").await;
    server.stop().await;
}

// C11
#[tokio::test]
async fn with_takeover_the_second_publisher_closes_the_first() {
    let server = Server::with(|config| {
        config.second_publisher = controlplane::config::SecondPublisher::Takeover;
    })
    .await;
    let first = server.publish("a").await;
    let second = server.publish("a").await;
    problem(server.send("GET", &first).await, 404, "session_not_found").await;
    assert_eq!(server.send("GET", &second).await.status(), 204);
    server.stop().await;
}

// W09, W36, H9
#[tokio::test]
async fn options_is_200_with_accept_post_and_what_browsers_need() {
    let server = Server::with(|config| {
        config.auth =
            controlplane::config::Auth::Token(controlplane::config::Secret::new("0123456789abcdef"));
    })
    .await;
    for path in ["/whip/a", "/whep/a", "/api/whip/publish/a", "/api/whep/play/a"] {
        let response =
            server.request("OPTIONS", path).header("origin", "https://a.example").send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "accept-post"), "application/sdp");
        assert_eq!(header(&response, "access-control-allow-origin"), "*");
        assert!(header(&response, "access-control-allow-methods").contains("POST"));
        for name in ["Authorization", "Content-Type", "If-Match"] {
            assert!(header(&response, "access-control-allow-headers").contains(name), "{name}");
        }
        for name in ["Location", "ETag", "Link", "Accept-Patch", "Retry-After"] {
            assert!(header(&response, "access-control-expose-headers").contains(name), "{name}");
        }
    }
    server.stop().await;
}

// H9
#[tokio::test]
async fn only_listed_origins_may_read_answers() {
    let origins = vec!["https://a.example".to_owned()];
    let server =
        Server::with(|config| config.cors_origins = controlplane::config::Origins::Listed(origins)).await;
    let ask = |origin: &'static str| server.request("GET", "/whip/a").header("origin", origin).send();
    let listed = ask("https://a.example").await.unwrap();
    assert_eq!(header(&listed, "access-control-allow-origin"), "https://a.example");
    let other = ask("https://b.example").await.unwrap();
    assert!(other.headers().get("access-control-allow-origin").is_none());
    server.stop().await;
}
