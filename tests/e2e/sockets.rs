//! Promises that need a kernel.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dataplane::command::{CloseReason, Command, Event};
use dataplane::engine::Engine;
use dataplane::id::TransportId;
use dataplane::shard::backend::{BackendKind, IoChoice, IoSettings};
use dataplane::shard::{ShardConfig, ShardHandle};
use dataplane::transport::negotiate::PeerRole;
use harness::sockets::Stage;

use crate::counting;

/// Makes a test of each promise for each backend. Where the kernel allows no io_uring, it says so aloud.
macro_rules! on_both_backends {
    ($($promise:ident,)*) => {
        mod mmsg {
            $(#[test] fn $promise() { super::$promise(dataplane::shard::backend::IoChoice::Mmsg); })*
        }
        mod uring {
            $(#[test] fn $promise() {
                match dataplane::shard::backend::probe_uring() {
                    Ok(()) => super::$promise(dataplane::shard::backend::IoChoice::Uring),
                    Err(refusal) => $crate::sockets::skip(&refusal.to_string()),
                }
            })*
        }
    };
}
pub(crate) use on_both_backends;

on_both_backends! {
    media_with_loss_nacks_and_rtcp_adds_no_allocation,
    media_flows_over_ipv6,
    loss_is_recovered_and_latency_is_measured,
    everyone_is_told_when_the_shard_closes_all,
}

/// Not captured, so that it is seen in a run that passes.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, and not tested here: {why}");
}

/// A shard on `ip` and on this backend, as the server starts it.
fn stage(ip: impl Into<IpAddr>, io: IoChoice) -> Stage {
    stage_with(ip, io, |config| ShardHandle::start(config, Arc::new(|| {})))
}

fn stage_with(
    ip: impl Into<IpAddr>,
    io: IoChoice,
    start: impl FnOnce(ShardConfig) -> std::io::Result<ShardHandle>,
) -> Stage {
    let io_settings = IoSettings { choice: io, has_zero_copy: false };
    let stage = Stage::new(ip.into(), |config| start(ShardConfig { io: io_settings, ..config }));
    let kind = if io == IoChoice::Mmsg { BackendKind::Mmsg } else { BackendKind::Uring };
    assert_eq!(stage.shard.backend().kind, kind);
    stage
}

const SUBSCRIBERS: usize = 8;
const WINDOW: Duration = Duration::from_secs(4);

fn media_with_loss_nacks_and_rtcp_adds_no_allocation(io: IoChoice) {
    let mut stage = stage_with(Ipv4Addr::LOCALHOST, io, |config| {
        ShardHandle::start_with(config, Arc::new(|| {}), |config, counters| {
            counting::count_this_thread();
            Engine::new(config, counters)
        })
    });
    let publisher = stage.join(PeerRole::Publisher);
    for _ in 0..SUBSCRIBERS {
        stage.join(PeerRole::Subscriber);
    }
    for client in &mut stage.clients {
        client.loss = 0.05;
    }
    // Every buffer grows to what it needs.
    stage.publish(publisher, 60, WINDOW);

    let before = counting::allocations();
    stage.rest(WINDOW);
    let at_rest = counting::allocations() - before;

    let counters = stage.shard.counters();
    let (sent, repeated) =
        (counters.packets_forwarded_total.load(Relaxed), counters.packets_retransmitted_total.load(Relaxed));
    let before = counting::allocations();
    stage.publish(publisher, 60, WINDOW);
    let under_media = counting::allocations() - before;
    let counters = stage.shard.counters();
    let forwarded = counters.packets_forwarded_total.load(Relaxed) - sent;
    let repeated = counters.packets_retransmitted_total.load(Relaxed) - repeated;

    println!(
        "{at_rest} allocations at rest, {under_media} while {forwarded} packets were forwarded and {repeated} repeated"
    );
    assert!(forwarded > 2_000 && repeated > 50, "{forwarded} forwarded, {repeated} repeated");
    // What remains is ICE: its requests come when the peers' timers say, not with packets.
    let per_packet = under_media.saturating_sub(at_rest) as f64 / forwarded as f64;
    assert!(per_packet < 0.01, "{per_packet} allocations per forwarded packet");
}

fn media_flows_over_ipv6(io: IoChoice) {
    let mut stage = stage(Ipv6Addr::LOCALHOST, io);
    let publisher = stage.join(PeerRole::Publisher);
    let subscriber = stage.join(PeerRole::Subscriber);
    stage.publish(publisher, 60, Duration::from_secs(1));
    assert!(stage.clients[subscriber].client.received.len() > 100);
}

fn loss_is_recovered_and_latency_is_measured(io: IoChoice) {
    let mut stage = stage(Ipv4Addr::LOCALHOST, io);
    let publisher = stage.join(PeerRole::Publisher);
    let subscriber = stage.join(PeerRole::Subscriber);
    stage.publish(publisher, 60, Duration::from_millis(500));
    let first = stage.clients[publisher].client.next_counter();
    for client in &mut stage.clients {
        client.loss = 0.05;
    }
    stage.publish(publisher, 60, Duration::from_secs(3));
    let last = stage.clients[publisher].client.next_counter();
    for client in &mut stage.clients {
        client.loss = 0.0;
    }
    stage.publish(publisher, 60, Duration::from_secs(1));
    let got = stage.clients[subscriber].client.counters();
    let missing = (first..last).filter(|counter| got.binary_search(counter).is_err()).count();
    assert!(missing as f64 / f64::from(last - first) <= 0.005, "{missing} of {} are missing", last - first);

    let latency = stage.shard.latency();
    assert!(latency.len() > 400, "{} packets were measured", latency.len());
    assert!(latency.value_at_quantile(0.5) < 10_000_000, "half of the packets leave within 10 ms");
}

fn everyone_is_told_when_the_shard_closes_all(io: IoChoice) {
    let mut stage = stage(Ipv4Addr::LOCALHOST, io);
    let publisher = stage.join(PeerRole::Publisher);
    let subscriber = stage.join(PeerRole::Subscriber);
    stage.publish(publisher, 60, Duration::from_millis(300));
    stage.command(Command::CloseAll);
    let is_told = stage.run_until(Duration::from_secs(2), |stage| {
        !stage.clients[publisher].client.is_alive() && !stage.clients[subscriber].client.is_alive()
    });
    assert!(is_told);
    for index in [publisher, subscriber] {
        let id = TransportId(index as u64);
        assert!(stage.events.contains(&Event::TransportClosed { id, reason: CloseReason::Requested }));
    }
}
