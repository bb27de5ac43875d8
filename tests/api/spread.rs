//! A room over several shards, as clients and operators see it (D7).

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use controlplane::limits::ROOM_SHARD_ADVANCE;
use dataplane::transport::negotiate::PeerRole;
use serde_json::{Value, json};

use crate::live::{Live, run_until};
use crate::server::Server;

/// So many that a room with two shards needs the second.
const VIEWERS: usize = ROOM_SHARD_ADVANCE + 3;

async fn room(server: &Server) -> Value {
    let page = server.send("GET", "/api/rooms/a").await.text().await.unwrap();
    serde_json::from_str(&page).unwrap()
}

async fn fill(server: &Server) -> Vec<Live> {
    let mut lives = vec![Live::join(server, PeerRole::Publisher, "a").await];
    for _ in 0..VIEWERS {
        lives.push(Live::join(server, PeerRole::Subscriber, "a").await);
    }
    lives
}

fn transports(server: &Server) -> Vec<u64> {
    server.running.shards.iter().map(|shard| shard.counters().transports.load(Relaxed)).collect()
}

#[tokio::test]
async fn viewers_are_spread_over_the_shards_and_all_of_them_see_the_publisher() {
    let server = Server::with(|config| config.shards = Some(2)).await;
    let mut lives = fill(&server).await;
    assert!(transports(&server).iter().all(|count| *count > 0), "{:?}", transports(&server));
    let mut all: Vec<&mut Live> = lives.iter_mut().collect();
    run_until(&mut all, |lives| lives[1..].iter().all(|live| live.client().received.len() > 30)).await;
    let seen = room(&server).await;
    assert_eq!(seen["shards"], json!([0, 1]));
    assert_eq!(seen["tracks"][0]["subscriptions"], VIEWERS, "those on every shard");

    let metrics = server.send("GET", "/metrics").await.text().await.unwrap();
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).trim().parse().unwrap()
    };
    assert!(value("sluice_hops_sent_total{shard=\"0\"}") > 30);
    assert!(value("sluice_hops_received_total{shard=\"1\"}") > 30);
    assert!(value("sluice_hop_wakes_total{shard=\"0\"}") > 0);
    assert_eq!(value("sluice_packets_dropped_total{shard=\"0\",reason=\"mesh_full\"}"), 0);

    for live in &lives[1..] {
        assert_eq!(server.send("DELETE", &live.session).await.status(), 200);
    }
    let end = Instant::now() + Duration::from_secs(5);
    while room(&server).await["shards"] != json!([0]) {
        assert!(Instant::now() < end, "the second shard still has the room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_room_that_is_not_to_be_spread_stays_on_one_shard() {
    let server = Server::with(|config| {
        config.shards = Some(2);
        config.room_spread = false;
    })
    .await;
    let lives = fill(&server).await;
    assert_eq!(transports(&server), [lives.len() as u64, 0]);
    assert_eq!(room(&server).await["shards"], json!([0]));
    server.stop().await;
}

// P3
#[tokio::test]
async fn viewers_on_other_shards_are_told_when_the_shard_of_their_room_has_ended() {
    let server = Server::with(|config| config.shards = Some(2)).await;
    let mut lives = fill(&server).await;
    server.running.shards.iter().next().unwrap().stop();
    let mut far: Vec<&mut Live> = lives.iter_mut().skip(1).collect();
    run_until(&mut far, |lives| lives.iter().any(|live| !live.client().is_alive())).await;
    assert_eq!(server.send("GET", "/api/rooms/a").await.status(), 404);
    server.stop().await;
}
