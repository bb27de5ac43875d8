//! Session URLs: trickle, restart, the end.

use crate::offer::Offer;
use crate::server::{Server, header, problem};

async fn settle(server: &Server, transports: u64) {
    let mut tries = 0;
    while server.running.shards.transport_count() != transports {
        tries += 1;
        assert!(tries < 200, "the shard still has other than {transports} transports");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

const CANDIDATE: &str = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host";

fn fragment(ufrag: &str, lines: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{lines}\r\n"
    )
}

// W17, W19, W20, E14; lenient on If-Match as docs/WHIP.md ends
#[tokio::test]
async fn candidates_are_204_without_a_tag_with_any_if_match_or_none() {
    let server = Server::new().await;
    for path in ["/whip/a", "/whep/a"] {
        let offer = if path == "/whip/a" { Offer::publisher() } else { Offer::subscriber() };
        let created = server.post(path, offer.to_sdp()).await;
        let session = header(&created, "location").to_owned();
        let tag = header(&created, "etag").to_owned();
        for if_match in [None, Some("*"), Some("\"*\""), Some("\"other\""), Some(tag.as_str())] {
            let response = server.patch(&session, if_match, &fragment("EsAw", CANDIDATE)).await;
            assert_eq!(response.status(), 204, "{if_match:?}");
            assert!(response.headers().get("etag").is_none());
            assert_eq!(response.text().await.unwrap(), "");
        }
        let unusable = "a=candidate:1 1 tcp 1 host.local 9 typ host tcptype active\r\na=end-of-candidates";
        assert_eq!(server.patch(&session, None, &fragment("EsAw", unusable)).await.status(), 204);
    }
    server.stop().await;
}

// The Eyevinn SDK sends its tag as ETag where If-Match belongs: it trickles all the same, and a restart
// still needs If-Match.
#[tokio::test]
async fn candidates_with_the_tag_in_an_etag_header_are_204() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    let patch = |ufrag| {
        let request = server.request("PATCH", &session).header("etag", "\"anything\"");
        let request = request.header("content-type", "application/trickle-ice-sdpfrag");
        request.body(fragment(ufrag, CANDIDATE)).send()
    };
    assert_eq!(patch("EsAw").await.unwrap().status(), 204);
    problem(patch("NewU").await.unwrap(), 428, "precondition_required").await;
    server.stop().await;
}

// W11, E13
#[tokio::test]
async fn a_patch_of_another_type_is_415_and_a_malformed_fragment_is_400() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    for media_type in ["application/sdp", "text/plain"] {
        let request = server.request("PATCH", &session).header("content-type", media_type);
        let response = request.body(fragment("EsAw", CANDIDATE)).send().await.unwrap();
        problem(response, 415, "unsupported_media_type").await;
    }
    for wrong in ["", "hello", "a=candidate:nonsense"] {
        problem(server.patch(&session, None, wrong).await, 400, "malformed_fragment").await;
    }
    server.stop().await;
}

// W12, W15, W23, W26, E13, E15
#[tokio::test]
async fn a_restart_is_428_412_or_422_and_the_session_goes_on() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    let restart = fragment("NewU", CANDIDATE);
    problem(server.patch(&session, None, &restart).await, 428, "precondition_required").await;
    problem(server.patch(&session, Some("\"other\""), &restart).await, 412, "precondition_failed").await;
    for any in ["*", "\"*\""] {
        problem(server.patch(&session, Some(any), &restart).await, 422, "ice_restart_not_supported").await;
    }
    assert_eq!(server.send("GET", &session).await.status(), 204);
    server.stop().await;
}

// H3
#[tokio::test]
async fn a_session_trickles_64_candidates_and_not_65() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    let lines = [CANDIDATE; 32].join("\r\n");
    for _ in 0..2 {
        assert_eq!(server.patch(&session, None, &fragment("EsAw", &lines)).await.status(), 204);
    }
    let response = server.patch(&session, None, &fragment("EsAw", CANDIDATE)).await;
    problem(response, 400, "malformed_fragment").await;
    server.stop().await;
}

// W07, W14: OBS takes exactly 200
#[tokio::test]
async fn delete_is_200_once_and_frees_the_transport() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    settle(&server, 1).await;
    let request = server.request("DELETE", &session).header("if-match", "\"other\"");
    assert_eq!(request.send().await.unwrap().status(), 200);
    problem(server.send("DELETE", &session).await, 404, "session_not_found").await;
    settle(&server, 0).await;
    server.stop().await;
}

// H2
#[tokio::test]
async fn an_unknown_id_and_one_of_the_other_protocol_are_the_same_404() {
    let server = Server::new().await;
    let viewer = server.watch("a").await.replace("/whep/", "/whip/");
    let unknown = format!("/whip/session/{}", "0".repeat(32));
    for path in [viewer.as_str(), &unknown, "/whip/session/short"] {
        for method in ["GET", "DELETE"] {
            problem(server.send(method, path).await, 404, "session_not_found").await;
        }
        let response = server.patch(path, None, &fragment("EsAw", CANDIDATE)).await;
        problem(response, 404, "session_not_found").await;
    }
    server.stop().await;
}

// W33
#[tokio::test]
async fn a_stopping_server_takes_no_session_and_is_not_ready() {
    let server = Server::new().await;
    assert_eq!(server.send("GET", "/readyz").await.status(), 200);
    server.running.service.stop_accepting();
    problem(server.send("GET", "/readyz").await, 503, "not_ready").await;
    assert_eq!(server.send("GET", "/healthz").await.status(), 200);
    let response = server.post("/whip/a", Offer::publisher().to_sdp()).await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503, "shutting_down").await;
    server.stop().await;
}
