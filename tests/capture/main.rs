//! Records what a real browser sends: a WHIP endpoint on loopback that takes one publisher, accepts everything
//! it offers, and writes its opened RTP packets as a capture of `harness::capture`.
//!
//!     cargo run -p tests --example capture -- --out tests/captures/NAME.rtpdump
//!
//! It prints the address to POST an offer to, answers it, and ends when enough has arrived. Unlike the server
//! it takes every codec and every extension, so that what Sluice does not know yet can be recorded too.
//! Receiver reports are never sent: a browser then repeats MID and RID in every packet, and a capture can be
//! read from any place on.

#![allow(clippy::unwrap_used)]

mod answer;
mod recorder;

use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use clap::Parser;
use futures_channel::oneshot;
use harness::capture::Capture;
use recorder::{Plan, Recorder};

/// Records the RTP of one browser.
#[derive(Debug, Parser)]
struct Arguments {
    /// File to write; the offer is written beside it as .sdp.
    #[arg(long, value_name = "FILE.rtpdump")]
    out: PathBuf,
    /// Take media at this address. Firefox reaches no loopback address.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Record so many packets at most.
    #[arg(long, default_value_t = 80)]
    packets: usize,
    /// Record so many bytes at most.
    #[arg(long, default_value_t = 120_000)]
    bytes: usize,
    /// Media that passes before recording begins, in milliseconds. A keyframe is then asked for.
    #[arg(long, default_value_t = 0)]
    warm_up_ms: u64,
    /// Give up after so many milliseconds.
    #[arg(long, default_value_t = 30_000)]
    limit_ms: u64,
}

/// An offer, and where its answer goes.
struct Posted {
    offer: String,
    answer: oneshot::Sender<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/whip", listener.local_addr().unwrap());
    let (posted, offers) = channel();
    let routes = axum::Router::new()
        .route("/", get(|| async { Html("<!doctype html><title>capture</title>") }))
        .route("/whip", post(publish))
        .with_state(posted);
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let out = arguments.out.clone();
    match tokio::task::spawn_blocking(move || record(&offers, &arguments)).await.unwrap() {
        Ok(capture) => {
            capture.write(&out).unwrap();
            println!("{} packets in {}", capture.packets.len(), out.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("nothing written: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn publish(State(posted): State<Sender<Posted>>, offer: String) -> Response {
    let (answer, answered) = oneshot::channel();
    let _ = posted.send(Posted { offer, answer });
    match answered.await {
        Ok(answer) => {
            let headers = [(header::CONTENT_TYPE, "application/sdp"), (header::LOCATION, "/whip/session")];
            (StatusCode::CREATED, headers, answer).into_response()
        }
        Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, "the offer cannot be answered").into_response(),
    }
}

/// Takes the first offer and records its media.
fn record(offers: &Receiver<Posted>, arguments: &Arguments) -> Result<Capture, String> {
    let limit = Duration::from_millis(arguments.limit_ms);
    let posted = offers.recv_timeout(limit).map_err(|_| "nobody posted an offer")?;
    let socket = UdpSocket::bind((arguments.listen, 0)).unwrap();
    let local = socket.local_addr().unwrap();
    let accepted = answer::accept(&posted.offer, local, Instant::now())?;
    let _ = posted.answer.send(accepted.answer);
    let plan = Plan {
        packets_max: arguments.packets,
        bytes_max: arguments.bytes,
        warm_up: Duration::from_millis(arguments.warm_up_ms),
        limit,
        transport_cc: accepted.transport_cc,
    };
    let packets = Recorder::new(socket, accepted.transport, plan).run()?;
    Ok(Capture { name: String::new(), packets, offer: answer::tidied(&posted.offer) })
}
