//! `GET /api/status` and the page that shows it.

use std::time::Duration;

use controlplane::config::{Auth, Secret};
use dataplane::counters::DropReason;
use dataplane::transport::negotiate::PeerRole::{Publisher, Subscriber};
use serde_json::Value;

use crate::live::{Live, run_until};
use crate::server::{Server, header, problem};

async fn status(server: &Server) -> Value {
    let response = server.send("GET", "/api/status").await;
    assert_eq!(response.status(), 200);
    assert!(header(&response, "content-type").starts_with("application/json"));
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

fn sum(list: &Value) -> u64 {
    list.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).sum()
}

#[tokio::test]
async fn the_status_of_an_idle_server_has_every_figure_and_nothing_counted() {
    let server = Server::with(|config| config.shards = Some(2)).await;
    let status = status(&server).await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["not_ready"], Value::Null);
    for gauge in ["rooms", "publishers", "subscribers"] {
        assert_eq!(status[gauge], 0, "{gauge}");
    }
    assert!(status["cpus"].as_u64().unwrap() > 0);
    assert!(status["uptime_seconds"].as_f64().unwrap() > 0.0);
    assert!(status["interfaces"].as_array().unwrap().iter().any(|one| one["is_loopback"] == true));
    let shards = status["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2);
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!((&shard["id"], &shard["state"]), (&index.into(), &"running".into()));
        assert!(!shard["backend"].as_str().unwrap().is_empty());
        assert!(shard["sockets"][0]["receive_buffer_bytes"].as_u64().unwrap() > 0);
        assert_eq!(shard["totals"]["packets_received"], 0);
        assert_eq!(shard["drops"].as_object().unwrap().len(), DropReason::ALL.len());
        assert_eq!(sum(&shard["latency_counts"]), 0);
        let buckets = status["latency_bounds_ns"].as_array().unwrap().len();
        assert_eq!(shard["latency_counts"].as_array().unwrap().len(), buckets);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_status_moves_while_media_flows_and_reading_it_changes_nothing() {
    let server = Server::new().await;
    let mut publisher = Live::join(&server, Publisher, "a").await;
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    let before = status(&server).await;
    run_until(&mut [&mut publisher, &mut viewer], |lives| lives[1].has_received_from(20)).await;
    let after = status(&server).await;
    let shard = &after["shards"][0];
    let grown = |name: &str| {
        let of = |status: &Value| status["shards"][0]["totals"][name].as_u64().unwrap();
        of(&after) - of(&before)
    };
    assert!(grown("packets_received") > 0);
    assert!(grown("packets_forwarded") > 0);
    assert!(grown("trains_sent") > 0);
    assert!(after["uptime_seconds"].as_f64() > before["uptime_seconds"].as_f64());
    assert_eq!((&after["publishers"], &after["subscribers"]), (&1.into(), &1.into()));
    assert_eq!((&shard["transports"], &after["rooms"]), (&2.into(), &1.into()));
    assert!(shard["cpu_ns_total"].as_u64().unwrap() > 0);

    // A second reader takes nothing away from the first. Reports may leave between the reads of one answer.
    let again = status(&server).await;
    for reading in [&after, &again] {
        let shard = &reading["shards"][0];
        let sent = shard["totals"]["packets_sent"].as_u64().unwrap();
        let lengths = shard["trains"].as_array().unwrap().iter().enumerate();
        let in_trains: u64 = lengths.map(|(length, sends)| length as u64 * sends.as_u64().unwrap()).sum();
        assert!(in_trains.abs_diff(sent) <= 8, "{in_trains} datagrams in trains, {sent} sent");
        assert!((20..=sent).contains(&sum(&shard["latency_counts"])), "{shard}");
    }
    assert!(sum(&again["shards"][0]["latency_counts"]) >= sum(&shard["latency_counts"]));
    server.stop().await;
}

// P3
#[tokio::test]
async fn a_shard_that_has_ended_shows_as_such() {
    let server = Server::with(|config| config.shards = Some(2)).await;
    server.running.shards.iter().next().unwrap().stop();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let status = status(&server).await;
    assert_eq!(status["shards"][0]["state"], "ended");
    assert_eq!(status["shards"][1]["state"], "running");
    assert!(status["not_ready"].as_str().unwrap().contains("ended: 0"));
    server.stop().await;
}

#[tokio::test]
async fn the_status_names_neither_rooms_nor_sessions() {
    let server = Server::new().await;
    let session = server.publish("secret-room").await;
    let page = server.send("GET", "/api/status").await.text().await.unwrap();
    let id = session.rsplit('/').next().unwrap();
    assert!(!page.contains("secret-room") && !page.contains(id), "{page}");
    server.stop().await;
}

// H9
#[tokio::test]
async fn other_web_sites_do_not_read_the_status() {
    let server = Server::new().await;
    let ask = |path: &str| server.request("GET", path).header("origin", "https://elsewhere.example").send();
    assert!(!ask("/api/status").await.unwrap().headers().contains_key("access-control-allow-origin"));
    assert!(ask("/api/rooms").await.unwrap().headers().contains_key("access-control-allow-origin"));
    server.stop().await;
}

// H14
#[tokio::test]
async fn off_loopback_the_status_is_for_those_with_the_token_or_on_the_machine() {
    let start = |auth: Auth| {
        Server::with(move |config| {
            config.http_listen = "0.0.0.0:0".parse().unwrap();
            config.metrics_listen = "127.0.0.1:0".parse().unwrap();
            config.auth = auth;
        })
    };
    let open = start(Auth::Open).await;
    let address = format!("http://127.0.0.1:{}", open.running.http.port());
    let refused = reqwest::get(format!("{address}/api/status")).await.unwrap();
    let body = problem(refused, 403, "status_private").await;
    assert!(body["detail"].as_str().unwrap().contains("SLUICE_METRICS_LISTEN"), "{body}");
    let local = format!("http://{}", open.running.metrics.unwrap());
    for path in ["/api/status", "/status", "/assets/status.js", "/"] {
        assert_eq!(reqwest::get(format!("{local}{path}")).await.unwrap().status(), 200, "{path}");
    }
    open.stop().await;

    let token = "0123456789abcdef";
    let guarded = start(Auth::Token(Secret::new(token))).await;
    let url = format!("http://127.0.0.1:{}/api/status", guarded.running.http.port());
    problem(reqwest::get(&url).await.unwrap(), 401, "unauthorized").await;
    let asked = reqwest::Client::new().get(&url).bearer_auth(token);
    assert_eq!(asked.send().await.unwrap().status(), 200);
    guarded.stop().await;
}
