//! What the server tells about itself: rooms, sessions, metrics, pages.

use serde_json::Value;

use crate::server::{Server, header, problem};

async fn json(server: &Server, path: &str) -> Value {
    let response = server.send("GET", path).await;
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

// S4-02
#[tokio::test]
async fn rooms_are_listed_with_their_publisher_their_tracks_and_their_viewers() {
    let server = Server::new().await;
    assert_eq!(json(&server, "/api/rooms").await["rooms"], serde_json::json!([]));
    server.watch("b").await;
    let publisher = server.publish("a").await;
    server.watch("a").await;
    let rooms = json(&server, "/api/rooms").await["rooms"].clone();
    assert_eq!((&rooms[0]["name"], &rooms[1]["name"]), (&"a".into(), &"b".into()));
    assert_eq!(rooms[0]["publisher"]["connected"], false);
    assert_eq!(rooms[1]["publisher"], Value::Null);
    assert_eq!(rooms[0]["subscribers"], 1);
    let kinds: Vec<_> = rooms[0]["tracks"].as_array().unwrap().iter().map(|track| &track["kind"]).collect();
    assert_eq!(kinds, ["audio", "video"]);
    assert_eq!(rooms[0]["shard"], 0);

    server.send("DELETE", &publisher).await;
    let room = json(&server, "/api/rooms/a").await;
    assert_eq!((&room["publisher"], &room["subscribers"]), (&Value::Null, &1.into()));
    problem(server.send("GET", "/api/rooms/nobody").await, 404, "room_not_found").await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_shown_to_whoever_knows_its_id() {
    let server = Server::new().await;
    let viewer = server.watch("a").await;
    let id = viewer.rsplit('/').next().unwrap();
    let session = json(&server, &format!("/api/sessions/{id}")).await;
    assert_eq!((&session["role"], &session["state"]), (&"subscriber".into(), &"connecting".into()));
    assert_eq!(session["room"], "a");
    assert!(session.get("problem").is_none());
    assert_eq!(session["estimate"]["cause"], "start");
    assert!(session["estimate"]["bitrate_bps"].as_u64().is_some_and(|bps| bps > 0));
    let publisher = server.publish("b").await;
    let id = publisher.rsplit('/').next().unwrap();
    let session = json(&server, &format!("/api/sessions/{id}")).await;
    assert!(session.get("estimate").is_none(), "nothing is sent to a publisher");
    let unknown = format!("/api/sessions/{}", "0".repeat(32));
    problem(server.send("GET", &unknown).await, 404, "session_not_found").await;
    server.stop().await;
}

#[tokio::test]
async fn an_empty_room_is_forgotten() {
    let server = Server::with(|config| config.room_linger_seconds = 0).await;
    let session = server.publish("a").await;
    server.send("DELETE", &session).await;
    let mut tries = 0;
    while server.send("GET", "/api/rooms/a").await.status() != 404 {
        tries += 1;
        assert!(tries < 100, "the room is still there");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.stop().await;
}

// S4-07
#[tokio::test]
async fn metrics_show_shards_drops_sessions_and_requests_without_names() {
    let server = Server::new().await;
    let session = server.publish("secret-room").await;
    server.send("DELETE", &session).await;
    let response = server.send("GET", "/metrics").await;
    assert!(header(&response, "content-type").starts_with("application/openmetrics-text"));
    let page = response.text().await.unwrap();
    for line in [
        "sluice_sessions_opened_total{role=\"publisher\"} 1",
        "sluice_sessions_closed_total{reason=\"requested\"} 1",
        "sluice_http_requests_total{route=\"/whip/{room}\",method=\"POST\",status=\"201\"} 1",
        "sluice_rooms 1",
        "sluice_publishers 0",
        "sluice_packets_forwarded_total{shard=\"0\"} 0",
        "sluice_packets_dropped_total{shard=\"0\",reason=\"unknown_address\"} 0",
        "sluice_forward_latency_seconds_count{shard=\"0\"} 0",
        "sluice_received_bytes_total{shard=\"0\"} 0",
        "sluice_receive_errors_total{shard=\"0\"} 0",
        "sluice_forward_latency_quantile_seconds{shard=\"0\",q=\"0.5\"}",
        "sluice_train_length_mean{shard=\"0\"}",
        "sluice_backend_info{shard=\"0\",backend=\"",
        "sluice_shard_cpu_seconds_total{shard=\"0\"}",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("secret-room"), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn the_pages_are_served_and_nothing_else_is_below_assets() {
    let server = Server::new().await;
    for path in ["/", "/publish/a", "/watch/a", "/status"] {
        let response = server.send("GET", path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(header(&response, "content-type").starts_with("text/html"));
        // H17
        let policy = header(&response, "content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "cross-origin-opener-policy"), "same-origin");
        assert!(header(&response, "permissions-policy").contains("camera=(self)"));
    }
    let script = server.send("GET", "/assets/whep.js").await;
    assert!(header(&script, "content-type").starts_with("text/javascript"));
    // H11
    for path in ["/assets/..%2f..%2fCargo.toml", "/assets/nothing.js", "/assets/layout.html", "/nothing"] {
        problem(server.send("GET", path).await, 404, "not_found").await;
    }
    problem(server.send("GET", "/watch/a%20b").await, 400, "invalid_room_name").await;
    problem(server.send("DELETE", "/whip/a").await, 405, "method_not_allowed").await;
    server.stop().await;
}
