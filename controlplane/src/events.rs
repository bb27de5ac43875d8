//! Carries what shards say to the service, watches that they run, and keeps the house: empty rooms,
//! forgotten rate buckets, shards that do not answer.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use dataplane::shard::Wake;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::api::rate::RateLimit;
use crate::limits::{HOUSEKEEPING_INTERVAL, WATCH_INTERVAL};
use crate::metrics::Metrics;
use crate::service::Service;
use crate::systemd::Manager;
use crate::tls::{Certificate, Reloading, TlsError};

/// What a shard calls when an event waits, and what the pump waits for.
pub fn doorbell() -> (Wake, Arc<Notify>) {
    let bell = Arc::new(Notify::new());
    let ring = Arc::clone(&bell);
    (Arc::new(move || ring.notify_one()), bell)
}

/// Runs until it is aborted.
pub async fn pump(service: Arc<Service>, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        for shard in service.shards().iter() {
            while let Some(event) = shard.poll_event() {
                service.handle_event(&event);
            }
        }
        // A thread that ends rings too.
        service.look_at_shards();
    }
}

/// Runs until it is aborted. Apart from the house, whose probes wait for shards.
pub async fn watch(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        service.look_at_shards();
    }
}

/// Takes changed certificates into use. Runs until it is aborted.
pub async fn keep_certificate(reloading: Arc<Reloading>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let files = Arc::clone(&reloading);
        if let Ok(Some(outcome)) = tokio::task::spawn_blocking(move || files.reload_if_changed()).await {
            say_reload(&outcome, &metrics);
        }
    }
}

/// Tells the service manager, as often as it wants, that the process does its work: that this runtime
/// answers and a shard runs. Runs until it is aborted; ends at once if nobody wants to know.
pub async fn feed_watchdog(service: Arc<Service>, manager: Arc<Manager>) {
    let Some(interval) = manager.watchdog_interval() else { return };
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        if service.is_alive() {
            manager.alive();
        }
    }
}

/// Says what came of reading a certificate again.
pub fn say_reload(outcome: &Result<Certificate, TlsError>, metrics: &Metrics) {
    match outcome {
        Ok(certificate) => {
            metrics.certificate_ends(certificate.not_after);
            tracing::info!(sha256 = certificate.fingerprint, "a new certificate is in use");
        }
        Err(error) => {
            let remedy = error.remedy();
            tracing::error!(remedy, "the new certificate cannot be used, the old one stays in use: {error}");
        }
    }
}

/// Runs until it is aborted.
pub async fn keep_house(service: Arc<Service>, rate: Arc<RateLimit>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dropped: Vec<u64> = vec![0; service.shards().count()];
    loop {
        ticks.tick().await;
        service.expire(Instant::now());
        rate.forget_idle();
        service.shards().probe().await;
        let counts: Vec<_> = service
            .shards()
            .iter()
            .map(|shard| (shard.id(), shard.counters().events_dropped_total.load(Relaxed)))
            .collect();
        for (before, (shard, now)) in dropped.iter_mut().zip(counts) {
            if std::mem::replace(before, now) != now {
                tracing::warn!(shard = shard.0, "events were dropped; reading the state again");
                service.reread(shard).await;
            }
        }
    }
}
