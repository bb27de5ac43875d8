//! What clients and operators see of a shard that hangs or has ended.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use controlplane::limits::STALL_REPORTED_WITHIN;
use dataplane::command::{Command, Envelope, Event};
use dataplane::engine::{Engine, Hop, Outlets};
use dataplane::id::{ShardId, TransportId};
use dataplane::limits::MAILBOX_LEN_MAX;
use dataplane::shard::turn::Turn;
use dataplane::shard::{ShardConfig, ShardHandle, Wake};
use dataplane::transport::path::{Datagram, Egress};

use crate::offer::Offer;
use crate::server::{Server, problem};

/// Asking for this transport makes the thread of the shard hang until [`IS_RELEASED`].
const HANG: TransportId = TransportId(u64::MAX - 1);
/// A test that fails ends all the same.
const HANG_MAX: Duration = Duration::from_secs(8);
static IS_RELEASED: AtomicBool = AtomicBool::new(false);

/// Asking for this transport makes the thread of the shard hang for [`NAP`].
const DOZE: TransportId = TransportId(u64::MAX - 2);
/// Ends long after its report is due, and before probes would report it.
const NAP: Duration = Duration::from_millis(900);

/// An engine that can be made to hang.
struct Hanging(Engine);

impl Turn for Hanging {
    fn apply(&mut self, envelope: Envelope, now: Instant) {
        if matches!(envelope.command, Command::DescribeTransport { id: HANG }) {
            let end = Instant::now() + HANG_MAX;
            while !IS_RELEASED.load(SeqCst) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if matches!(envelope.command, Command::DescribeTransport { id: DOZE }) {
            std::thread::sleep(NAP);
        }
        self.0.apply(envelope, now);
    }

    fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        self.0.receive(datagram, now);
    }

    fn receive_hop(&mut self, from: ShardId, hop: &Hop, now: Instant) {
        self.0.receive_hop(from, hop, now);
    }

    fn poll_hops(&mut self, outlets: &mut impl Outlets, now: Instant) {
        self.0.poll_hops(outlets, now);
    }

    fn expire(&mut self, now: Instant) {
        self.0.expire(now);
    }

    fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        self.0.transmit(egress, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.0.poll_event()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }
}

fn start_hanging(config: ShardConfig, wake: Wake) -> io::Result<ShardHandle> {
    ShardHandle::start_with(config, wake, |config, counters| Hanging(Engine::new(config, counters)))
}

async fn settle(server: &Server, path: &str, status: u16) -> String {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let response = server.send("GET", path).await;
        let found = response.status();
        let page = response.text().await.unwrap();
        if found == status {
            return page;
        }
        assert!(Instant::now() < end, "{path} is still {found}: {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// P3
#[tokio::test]
async fn a_shard_that_hangs_is_named_and_a_full_mailbox_is_503_until_it_goes_on() {
    let server = Server::with_shards(|_| {}, start_hanging).await;
    let shard = server.running.shards.iter().next().unwrap().clone();
    let hanging = shard.try_call(Command::DescribeTransport { id: HANG }).unwrap();
    let page = settle(&server, "/readyz", 503).await;
    assert!(page.contains("shards that hang: 0"), "{page}");
    let lines = ["sluice_shard_stalls_total{shard=\"0\"} 1", "sluice_shard_up{shard=\"0\"} 1"];
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let metrics = server.send("GET", "/metrics").await.text().await.unwrap();
        if lines.iter().all(|line| metrics.contains(line)) {
            break;
        }
        assert!(Instant::now() < end, "{lines:?} are not in\n{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let late = server.post("/whip/a", Offer::publisher().to_sdp()).await;
    problem(late, 504, "shard_timeout").await;

    let mut waiting = Vec::with_capacity(MAILBOX_LEN_MAX);
    while let Ok(reply) = shard.try_call(Command::DescribeTransport { id: TransportId(0) }) {
        waiting.push(reply);
    }
    let refused = server.post("/whip/b", Offer::publisher().to_sdp()).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503, "overloaded").await;
    assert_eq!(server.send("GET", "/healthz").await.status(), 200);

    IS_RELEASED.store(true, SeqCst);
    hanging.await.unwrap();
    settle(&server, "/readyz", 200).await;
    server.publish("b").await;
    server.stop().await;
}

// P3. Whether the watch itself gets CPU in time is up to the machine, so the best of three counts; that
// each of them is reported, once, is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_reported_within_250_ms_of_its_beginning() {
    let server = Server::with_shards(|_| {}, start_hanging).await;
    let shard = server.running.shards.iter().next().unwrap().clone();
    let stalls = || server.running.shards.stall_counts().next().unwrap();
    let mut best = Duration::MAX;
    for nap in 1..=3 {
        let began = Instant::now();
        let napping = shard.try_call(Command::DescribeTransport { id: DOZE }).unwrap();
        while stalls() < nap && began.elapsed() < NAP {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(stalls(), nap);
        best = best.min(began.elapsed());
        assert_eq!(server.send("GET", "/readyz").await.status(), 503);
        napping.await.unwrap();
        settle(&server, "/readyz", 200).await;
    }
    assert!(best <= STALL_REPORTED_WITHIN, "reported after {best:?}");
    server.stop().await;
}

// P3
#[tokio::test]
async fn the_sessions_of_a_shard_that_has_ended_are_closed_and_its_rooms_move() {
    let server = Server::with(|config| config.shards = Some(2)).await;
    let lost = server.publish("a").await;
    server.running.shards.iter().next().unwrap().stop();
    let page = settle(&server, "/readyz", 503).await;
    assert!(page.contains("shards that have ended: 0"), "{page}");
    settle(&server, &lost, 404).await;
    let metrics = server.send("GET", "/metrics").await.text().await.unwrap();
    for line in [
        "sluice_shard_up{shard=\"0\"} 0",
        "sluice_shard_up{shard=\"1\"} 1",
        "sluice_sessions_closed_total{reason=\"shard_ended\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    server.publish("a").await;
    let room = server.send("GET", "/api/rooms/a").await.text().await.unwrap();
    assert!(room.contains("\"shard\":1"), "{room}");
    assert_eq!(server.send("GET", "/healthz").await.status(), 200);
    server.stop().await;
}

// P3
#[tokio::test]
async fn without_any_shard_nothing_is_taken_and_the_process_is_not_healthy() {
    let server = Server::new().await;
    server.running.shards.iter().next().unwrap().stop();
    let response = server.post("/whip/a", Offer::publisher().to_sdp()).await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503, "shard_down").await;
    problem(server.send("GET", "/healthz").await, 503, "shard_down").await;
    server.stop().await;
}
