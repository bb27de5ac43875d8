//! WHEP endpoints (draft-ietf-wish-whep).

use controlplane::config::WithoutPublisher;

use crate::offer::Offer;
use crate::server::{Server, header, problem};

// E01, E02
#[tokio::test]
async fn get_and_head_are_200_with_the_type_of_sdp_and_no_content() {
    let server = Server::new().await;
    let session = server.watch("a").await;
    for path in ["/whep/a", "/api/whep/play/a", &session] {
        for method in ["GET", "HEAD"] {
            let response = server.send(method, path).await;
            assert_eq!(response.status(), 200, "{method} {path}");
            assert_eq!(header(&response, "content-type"), "application/sdp");
            assert_eq!(response.text().await.unwrap(), "");
        }
    }
    server.stop().await;
}

// E03
#[tokio::test]
async fn an_offer_of_another_type_is_415_and_one_that_is_no_sdp_is_400() {
    let server = Server::new().await;
    let request = server.request("POST", "/whep/a").header("content-type", "text/plain");
    let response = request.body(Offer::subscriber().to_sdp()).send().await.unwrap();
    problem(response, 415, "unsupported_media_type").await;
    problem(server.post("/whep/a", "hello").await, 400, "malformed_sdp").await;
    server.stop().await;
}

// E04, E08, E14, E16 (BUNDLE and rtcp-mux; not rtcp-mux-only)
#[tokio::test]
async fn an_accepted_offer_is_201_with_a_sendonly_answer() {
    let server = Server::new().await;
    let response = server.post("/whep/a", Offer::subscriber().to_sdp()).await;
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "content-type"), "application/sdp");
    assert!(header(&response, "location").starts_with("/whep/session/"));
    assert!(header(&response, "etag").starts_with('"'));
    let answer = response.text().await.unwrap();
    assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=rtcp-mux\r\n").count(), 2, "{answer}");
    assert!(answer.contains("typ host"), "{answer}");
    server.stop().await;
}

// E08
#[tokio::test]
async fn an_offer_that_only_sends_is_422() {
    let server = Server::new().await;
    for direction in ["sendonly", "inactive"] {
        let offer = Offer { direction, ..Offer::subscriber() };
        problem(server.post("/whep/a", offer.to_sdp()).await, 422, "offer_not_acceptable").await;
    }
    server.stop().await;
}

// E10
#[tokio::test]
async fn without_a_publisher_a_viewer_waits_or_gets_409_with_retry_after() {
    let server = Server::new().await;
    server.watch("a").await;
    server.stop().await;

    let server = Server::with(|config| config.whep_without_publisher = WithoutPublisher::Refuse).await;
    let response = server.post("/whep/a", Offer::subscriber().to_sdp()).await;
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() > 0);
    problem(response, 409, "no_publisher").await;
    server.publish("a").await;
    server.watch("a").await;
    server.stop().await;
}

// S4-03: section 6 of the contradictions in docs/WHIP.md
#[tokio::test]
async fn a_full_room_is_503_with_retry_after() {
    let server = Server::with(|config| config.subscribers_per_room_max = 1).await;
    server.watch("a").await;
    let response = server.post("/whep/a", Offer::subscriber().to_sdp()).await;
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() > 0);
    problem(response, 503, "room_full").await;
    server.watch("b").await;
    server.stop().await;
}

// E12, W14
#[tokio::test]
async fn delete_ends_a_viewer_whatever_its_tag_says() {
    let server = Server::new().await;
    let session = server.watch("a").await;
    let request = server.request("DELETE", &session).header("if-match", "\"other\"");
    assert_eq!(request.send().await.unwrap().status(), 200);
    problem(server.send("DELETE", &session).await, 404, "session_not_found").await;
    server.stop().await;
}
