//! A minimal WHIP/WHEP SFU on str0m's RTP mode and tokio: the honest Rust baseline of the bench suite.
//!
//! It is what a good engineer would write in a day: one tokio task and one UDP socket per peer, one
//! broadcast of reference-counted packets per room, several writes per drain, and str0m's own ICE,
//! DTLS, SRTP, NACK, RTX and RTCP. It has no bandwidth estimation, no simulcast and no limits, and is
//! tuned no further than that. It is a yardstick and must never serve the public.

mod peer;
mod room;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use peer::{Peer, Role};
use room::Room;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
str0m-tokio: a minimal WHIP/WHEP SFU on str0m's RTP mode and tokio, to compare others with.

Usage: str0m-tokio [--http ADDRESS:PORT] [--ip ADDRESS]

  --http ADDRESS:PORT  where HTTP is served [default: 127.0.0.1:8090]
  --ip ADDRESS         the address that media sockets bind and that stands in candidates
                       [default: 127.0.0.1]

Routes: POST /whip/{room}, POST /whep/{room}, DELETE /session/{id}";

/// What every request shares.
struct Server {
    ip: IpAddr,
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    sessions: Mutex<HashMap<u64, AbortHandle>>,
    next_session: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some((http, ip)) = parse_arguments()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let crypto = Arc::new(str0m_aws_lc_rs::default_provider());
    let certificate =
        crypto.dtls_provider.generate_certificate().ok_or("no DTLS certificate could be made")?;
    let server = Arc::new(Server {
        ip,
        crypto,
        certificate,
        rooms: Mutex::default(),
        sessions: Mutex::default(),
        next_session: AtomicU64::new(1),
    });
    let routes = Router::new()
        .route("/whip/{room}", post(publish))
        .route("/whep/{room}", post(watch))
        .route("/session/{id}", delete(end))
        .with_state(server);
    let listener = TcpListener::bind(http).await?;
    println!("str0m-tokio: http://{}", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}

/// `None` asks for the usage.
fn parse_arguments() -> Result<Option<(SocketAddr, IpAddr)>, Box<dyn std::error::Error>> {
    let mut http = SocketAddr::from(([127, 0, 0, 1], 8090));
    let mut ip = IpAddr::from([127, 0, 0, 1]);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value; see --help"));
        match name.as_str() {
            "--http" => http = value()?.parse()?,
            "--ip" => ip = value()?.parse()?,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {name}; see --help").into()),
        }
    }
    Ok(Some((http, ip)))
}

async fn publish(state: State<Arc<Server>>, room: Path<String>, offer: String) -> Response {
    start(&state, &room, &offer, Role::Publisher).await
}

async fn watch(state: State<Arc<Server>>, room: Path<String>, offer: String) -> Response {
    start(&state, &room, &offer, Role::Subscriber).await
}

async fn end(State(server): State<Arc<Server>>, Path(id): Path<u64>) -> StatusCode {
    match lock(&server.sessions).remove(&id) {
        Some(task) => {
            task.abort();
            StatusCode::OK
        }
        None => StatusCode::NOT_FOUND,
    }
}

/// Answers the offer and starts the task of the peer.
async fn start(server: &Arc<Server>, room: &str, offer: &str, role: Role) -> Response {
    let room = Arc::clone(lock(&server.rooms).entry(room.to_owned()).or_default());
    let made =
        Peer::answer(offer, server.ip, Arc::clone(&server.crypto), server.certificate.clone(), room, role)
            .await;
    let (peer, answer) = match made {
        Ok(made) => made,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let id = server.next_session.fetch_add(1, Ordering::Relaxed);
    let owner = Arc::clone(server);
    // The lock is held over the spawn, so that a peer that ends at once finds its own entry.
    let mut sessions = lock(&server.sessions);
    let task = tokio::spawn(async move {
        if let Err(error) = peer.run(Instant::now()).await {
            eprintln!("session {id} ended: {error}");
        }
        lock(&owner.sessions).remove(&id);
    });
    sessions.insert(id, task.abort_handle());
    drop(sessions);

    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/sdp"));
    if let Ok(location) = format!("/session/{id}").parse() {
        headers.insert(header::LOCATION, location);
    }
    (StatusCode::CREATED, headers, answer).into_response()
}

/// A panic while a lock is held leaves only a map of handles behind, which is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
