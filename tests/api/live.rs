//! Real clients over the API: str0m behind sockets, with ICE, DTLS, SRTP and media.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dataplane::transport::negotiate::PeerRole;
use harness::sealed::{Offering, SealedClient};
use harness::sockets::SocketClient;

use crate::server::{Server, header};

const PAUSE: Duration = Duration::from_millis(1);
const FRAME_INTERVAL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// A session with its client.
pub struct Live {
    pub session: String,
    peer: SocketClient,
    role: PeerRole,
    next_frame: Instant,
}

impl Live {
    /// Publishes to `room` or watches it, and is connected.
    pub async fn join(server: &Server, role: PeerRole, room: &str) -> Self {
        let mut live = Self::start(server, role, room).await;
        run_until(&mut [&mut live], |lives| lives[0].client().is_connected).await;
        live
    }

    async fn start(server: &Server, role: PeerRole, room: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let offering = Offering::new(role, socket.local_addr().unwrap(), Instant::now());
        let path = match role {
            PeerRole::Publisher => format!("/whip/{room}"),
            PeerRole::Subscriber => format!("/whep/{room}"),
        };
        let response = server.post(&path, offering.sdp.clone()).await;
        assert_eq!(response.status(), 201);
        let session = header(&response, "location").to_owned();
        let answer = response.text().await.unwrap();
        let client = offering.accept(&answer, Instant::now());
        let peer = SocketClient::new(client, socket, candidate(&answer), 1);
        Self { session, peer, role, next_frame: Instant::now() }
    }

    /// What the client knows.
    pub fn client(&self) -> &SealedClient {
        &self.peer.client
    }

    /// To tell this publisher's packets from those of another.
    pub fn count_from(&mut self, counter: u32) {
        self.peer.client.count_from(counter);
    }

    /// Whether a packet that was counted from `counter` on has arrived.
    pub fn has_received_from(&self, counter: u32) -> bool {
        self.client().counters().last().is_some_and(|last| *last >= counter)
    }

    fn work(&mut self) {
        let is_publishing = self.role == PeerRole::Publisher && self.client().is_connected;
        if is_publishing && self.client().is_alive() && Instant::now() >= self.next_frame {
            self.peer.client.send_frame(Instant::now());
            self.next_frame = Instant::now() + FRAME_INTERVAL;
        }
        self.peer.work();
    }
}

/// The first candidate of an answer.
fn candidate(answer: &str) -> SocketAddr {
    let line = answer.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    format!("{}:{}", fields[4], fields[5]).parse().unwrap()
}

/// Lets everybody work, publishers send, until `is_done`.
pub async fn run_until(lives: &mut [&mut Live], is_done: impl Fn(&[&mut Live]) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_done(lives) {
        assert!(Instant::now() < end, "it did not happen within {PATIENCE:?}");
        lives.iter_mut().for_each(|live| live.work());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets everybody work until a room shows its first track with `codec`.
pub async fn run_until_codec(server: &Server, lives: &mut [&mut Live], room: &str, codec: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let page = server.send("GET", &format!("/api/rooms/{room}")).await.text().await.unwrap();
        let room: serde_json::Value = serde_json::from_str(&page).unwrap();
        if room["tracks"][0]["codec"] == codec {
            return;
        }
        assert!(Instant::now() < end, "{page}");
        lives.iter_mut().for_each(|live| live.work());
        tokio::time::sleep(PAUSE).await;
    }
}
