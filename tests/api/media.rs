//! What the API does to sessions through which media flows.

use std::time::{Duration, Instant};

use controlplane::config::SecondPublisher;
use dataplane::transport::negotiate::PeerRole::{Publisher, Subscriber};

use crate::live::{Live, run_until, run_until_codec};
use crate::offer::Offer;
use crate::server::{Server, problem};

// S4-08
#[tokio::test]
async fn a_shutdown_says_goodbye_to_everyone_within_5_seconds() {
    let server = Server::new().await;
    let mut publisher = Live::join(&server, Publisher, "a").await;
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    run_until(&mut [&mut publisher, &mut viewer], |lives| lives[1].has_received_from(0)).await;
    let started = Instant::now();
    let mut lives = [&mut publisher, &mut viewer];
    let told = run_until(&mut lives, |lives| lives.iter().all(|live| !live.client().is_alive()));
    tokio::join!(server.stop(), told);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_viewer_without_the_codec_of_the_publisher_gets_422_that_names_it() {
    let server = Server::new().await;
    let mut publisher = Live::join(&server, Publisher, "a").await;
    run_until_codec(&server, &mut [&mut publisher], "a", "VP8").await;
    let offer = Offer { video_codecs: vec!["H264"], ..Offer::subscriber() };
    let body = problem(server.post("/whep/a", offer.to_sdp()).await, 422, "codec_not_supported").await;
    assert_eq!((&body["codec"], &body["kind"]), (&"VP8".into(), &"video".into()));
    assert_eq!(body["offered"], serde_json::json!(["H264"]));
    assert!(body["detail"].as_str().unwrap().contains("VP8"), "{body}");
    // It left nothing behind.
    let page = server.send("GET", "/api/rooms/a").await.text().await.unwrap();
    assert!(page.contains("\"subscribers\":0"), "{page}");
    server.stop().await;
}

// C11
#[tokio::test]
async fn a_rejected_second_publisher_does_not_disturb_the_first() {
    let server = Server::new().await;
    let mut publisher = Live::join(&server, Publisher, "a").await;
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    let second = server.post("/whip/a", Offer::publisher().to_sdp()).await;
    problem(second, 409, "publisher_present").await;
    let sent = publisher.client().next_counter();
    run_until(&mut [&mut publisher, &mut viewer], |lives| lives[1].has_received_from(sent)).await;
    server.stop().await;
}

// C11
#[tokio::test]
async fn a_takeover_ends_the_first_publisher_and_the_viewer_sees_the_second() {
    let server = Server::with(|config| config.second_publisher = SecondPublisher::Takeover).await;
    let mut first = Live::join(&server, Publisher, "a").await;
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    run_until(&mut [&mut first, &mut viewer], |lives| lives[1].has_received_from(0)).await;
    let mut second = Live::join(&server, Publisher, "a").await;
    second.count_from(1_000_000);
    run_until(&mut [&mut first, &mut second, &mut viewer], |lives| {
        !lives[0].client().is_alive() && lives[2].has_received_from(1_000_000)
    })
    .await;
    problem(server.send("GET", &first.session).await, 404, "session_not_found").await;
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_keeps_its_session_over_a_restart_of_the_publisher() {
    let server = Server::new().await;
    // The viewer comes first: the policy is to let it wait.
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    let mut first = Live::join(&server, Publisher, "a").await;
    run_until(&mut [&mut first, &mut viewer], |lives| lives[1].has_received_from(0)).await;
    assert_eq!(server.send("DELETE", &first.session).await.status(), 200);
    run_until(&mut [&mut first, &mut viewer], |lives| !lives[0].client().is_alive()).await;
    let mut second = Live::join(&server, Publisher, "a").await;
    second.count_from(1_000_000);
    run_until(&mut [&mut second, &mut viewer], |lives| lives[1].has_received_from(1_000_000)).await;
    assert_eq!(server.send("GET", &viewer.session).await.status(), 200);
    server.stop().await;
}
