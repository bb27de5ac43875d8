//! Each limit at its limit and one above it, and what cannot start.

use controlplane::config::Config;
use controlplane::limits::{FRAGMENT_BYTES_MAX, HEADER_TIMEOUT, OFFER_BYTES_MAX};
use controlplane::start::start;

use crate::offer::Offer;
use crate::server::{Server, header, problem};

fn padded(mut text: String, len: usize) -> String {
    text.push_str("a=x:");
    text.push_str(&"x".repeat(len - text.len() - 2));
    text.push_str("\r\n");
    text
}

// H4
#[tokio::test]
async fn an_offer_of_the_largest_size_is_taken_and_one_byte_more_is_413() {
    let server = Server::new().await;
    let largest = padded(Offer::publisher().to_sdp(), OFFER_BYTES_MAX);
    assert_eq!(server.post("/whip/a", largest.clone()).await.status(), 201);
    let response = server.post("/whip/b", padded(Offer::publisher().to_sdp(), OFFER_BYTES_MAX + 1)).await;
    problem(response, 413, "too_large").await;
    server.stop().await;
}

// H4
#[tokio::test]
async fn a_fragment_of_the_largest_size_is_taken_and_one_byte_more_is_413() {
    let server = Server::new().await;
    let session = server.publish("a").await;
    let fragment = |len| padded("a=end-of-candidates\r\n".to_owned(), len);
    assert_eq!(server.patch(&session, None, &fragment(FRAGMENT_BYTES_MAX)).await.status(), 204);
    let response = server.patch(&session, None, &fragment(FRAGMENT_BYTES_MAX + 1)).await;
    problem(response, 413, "too_large").await;
    server.stop().await;
}

// H4
#[tokio::test]
async fn an_offer_has_512_candidates_and_not_513() {
    let server = Server::new().await;
    let line = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
    let offer = |count| Offer::publisher().to_sdp() + &line.repeat(count);
    assert_eq!(server.post("/whip/a", offer(512)).await.status(), 201);
    problem(server.post("/whip/b", offer(513)).await, 400, "malformed_sdp").await;
    server.stop().await;
}

// H16
#[tokio::test]
async fn a_room_name_of_128_characters_is_taken_and_others_are_400() {
    let server = Server::new().await;
    server.publish(&"a".repeat(128)).await;
    for name in [&"a".repeat(129), "a%20b", "%C3%A4", "a%2Fb", "a@b"] {
        let response = server.post(&format!("/whip/{name}"), Offer::publisher().to_sdp()).await;
        problem(response, 400, "invalid_room_name").await;
    }
    server.stop().await;
}

// W40, H1: the bucket comes before everything else, the token included
#[tokio::test]
async fn a_burst_passes_and_one_more_is_429_with_retry_after() {
    let server = Server::with(|config| {
        config.rate_limit_per_second = 1;
        config.rate_limit_burst = 3;
        config.rate_limit_exempt = Vec::new();
    })
    .await;
    for _ in 0..3 {
        assert_eq!(server.send("GET", "/whip/a").await.status(), 204);
    }
    let response = server.send("GET", "/whip/a").await;
    assert!(header(&response, "retry-after").parse::<u64>().unwrap() >= 1);
    problem(response, 429, "rate_limited").await;
    assert_eq!(server.send("GET", "/healthz").await.status(), 200);
    server.stop().await;
}

// H5
#[tokio::test]
async fn a_connection_that_never_ends_its_head_is_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let server = Server::new().await;
    let mut slow = tokio::net::TcpStream::connect(server.running.http).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
    let mut rest = Vec::new();
    let limit = HEADER_TIMEOUT + std::time::Duration::from_secs(3);
    let closed = tokio::time::timeout(limit, slow.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open after {limit:?}");
    assert!(!String::from_utf8_lossy(&rest).contains("200"), "{rest:?}");
    server.stop().await;
}

// S4-03
#[tokio::test]
async fn a_server_has_as_many_publishers_as_allowed_and_one_more_is_503() {
    let server = Server::with(|config| config.publishers_max = 2).await;
    server.publish("a").await;
    server.publish("b").await;
    let response = server.post("/whip/c", Offer::publisher().to_sdp()).await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503, "server_full").await;
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_remedy() {
    let server = Server::new().await;
    let mut config = Config::defaults();
    config.rtc_port = 0;
    config.shards = Some(1);
    config.http_listen = server.running.http;
    let error = start(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains(&server.running.http.to_string()), "{error}");
    assert!(error.remedy().contains("SLUICE_HTTP_LISTEN"), "{}", error.remedy());

    let shard = server.running.shards.iter().next().unwrap().local_addresses()[0];
    config.http_listen = "127.0.0.1:0".parse().unwrap();
    config.rtc_listen = vec![shard.ip()];
    config.rtc_port = shard.port();
    let error = start(config).await.unwrap_err();
    assert!(error.to_string().contains(&shard.port().to_string()), "{error}");
    assert!(error.remedy().contains("SLUICE_RTC_PORT"), "{}", error.remedy());
    server.stop().await;
}

#[tokio::test]
async fn shards_that_have_no_port_left_are_an_error_that_names_the_settings() {
    let server = Server::new().await;
    let mut config = Config::defaults();
    config.http_listen = "127.0.0.1:0".parse().unwrap();
    config.rtc_listen = vec!["127.0.0.1".parse().unwrap()];
    (config.rtc_port, config.shards) = (65_535, Some(2));
    let error = start(config).await.unwrap_err();
    assert!(error.to_string().contains("65535"), "{error}");
    assert!(error.remedy().contains("SLUICE_RTC_PORT"), "{}", error.remedy());
    server.stop().await;
}

// S4-08
#[tokio::test]
async fn a_server_with_sessions_stops_within_5_seconds() {
    let server = Server::new().await;
    server.publish("a").await;
    server.watch("a").await;
    let started = std::time::Instant::now();
    server.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}
