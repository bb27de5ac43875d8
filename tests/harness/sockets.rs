//! A real shard on real loopback sockets, with str0m clients on theirs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dataplane::command::{Binding, Command, Event, Reply};
use dataplane::id::{ShardId, TrackId, TransportId};
use dataplane::media::format::MediaKind;
use dataplane::shard::backend::IoSettings;
use dataplane::shard::{ShardConfig, ShardHandle, ShardMesh};
use dataplane::transport::negotiate::{Negotiator, PeerRole};
use dataplane::udp::system::EventFd;

use crate::random::Random;
use crate::sealed::SealedClient;
use crate::world::Client;

const PAUSE: Duration = Duration::from_millis(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A client behind a real socket that loses some media both ways.
pub struct SocketClient {
    /// The client.
    pub client: SealedClient,
    /// Share of media datagrams that are lost, in each direction.
    pub loss: f64,
    socket: UdpSocket,
    server: SocketAddr,
    random: Random,
}

/// A shard and its clients, and perhaps shards that mirror its track.
pub struct Stage {
    /// The shard that feeds the track.
    pub shard: ShardHandle,
    /// The others.
    pub mirrors: Vec<ShardHandle>,
    /// Its clients, in the order in which they joined.
    pub clients: Vec<SocketClient>,
    /// What the shard told.
    pub events: Vec<Event>,
    negotiator: Negotiator,
    ip: IpAddr,
    video: TrackId,
}

impl Stage {
    /// A shard on a free port of `ip`. `start` may make its engine itself.
    pub fn new(ip: IpAddr, start: impl FnOnce(ShardConfig) -> std::io::Result<ShardHandle>) -> Self {
        let config = ShardConfig {
            id: ShardId(0),
            listen: vec![ip],
            port: 0,
            cpu: None,
            seed: 42,
            io: IoSettings::default(),
            mesh: None,
        };
        let shard = start(config).expect("a loopback port is free");
        Self::with_shards(ip, shard, Vec::new())
    }

    /// A shard and as many that mirror its track, on free ports of `ip`. `start` may make their engines itself.
    pub fn meshed(
        ip: IpAddr,
        mirrors: u16,
        start: impl Fn(ShardConfig) -> std::io::Result<ShardHandle>,
    ) -> Self {
        let wakes = (0..=mirrors).map(|_| EventFd::new().unwrap()).collect();
        let mesh = Arc::new(ShardMesh::new(wakes));
        let start = |id| {
            start(ShardConfig {
                id: ShardId(id),
                listen: vec![ip],
                port: 0,
                cpu: None,
                seed: 42,
                io: IoSettings::default(),
                mesh: Some(Arc::clone(&mesh)),
            })
            .expect("a loopback port is free")
        };
        Self::with_shards(ip, start(0), (1..=mirrors).map(start).collect())
    }

    fn with_shards(ip: IpAddr, shard: ShardHandle, mirrors: Vec<ShardHandle>) -> Self {
        let negotiator = Negotiator::new(Instant::now()).unwrap();
        let (video, kind) = (TrackId(1), MediaKind::Video);
        let (clients, events) = (Vec::new(), Vec::new());
        let mut stage = Self { shard, mirrors, clients, events, negotiator, ip, video };
        stage.command(Command::AddTrack { track: video, kind });
        for mirror in &stage.mirrors {
            call(mirror, Command::MirrorTrack { track: video, kind, home: stage.shard.id() });
        }
        stage
    }

    /// A shard on 127.0.0.1 as the server starts it.
    pub fn on_loopback() -> Self {
        Self::new(Ipv4Addr::LOCALHOST.into(), |config| ShardHandle::start(config, Arc::new(|| {})))
    }

    /// Tells the shard something, and waits for the answer.
    pub fn command(&mut self, command: Command) -> Reply {
        call(&self.shard, command)
    }

    /// Brings in a client and waits until it is connected.
    pub fn join(&mut self, role: PeerRole) -> usize {
        let shard = self.shard.clone();
        self.join_on(&shard, role)
    }

    /// The same on this shard.
    pub fn join_on(&mut self, shard: &ShardHandle, role: PeerRole) -> usize {
        let index = self.clients.len();
        let socket = UdpSocket::bind((self.ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let server = shard.local_addresses()[0];
        let address = socket.local_addr().unwrap();
        let now = Instant::now();
        let (client, transport) =
            SealedClient::connect(&self.negotiator, role, address, server, now, |offer| offer);
        let mid = transport.description().sections[0].mid;
        let bindings = vec![Binding { mid, track: self.video }];
        let id = TransportId(index as u64);
        let reply = call(shard, Command::AddTransport { id, transport, bindings });
        assert!(matches!(reply, Reply::Done), "{reply:?}");
        self.clients.push(SocketClient::new(client, socket, server, index as u64));
        let is_connected =
            self.run_until(Duration::from_secs(5), |stage| stage.clients[index].client.is_connected);
        assert!(is_connected, "client {index} did not connect");
        index
    }

    /// Lets everybody work for a while; `publisher` sends `frames_per_second` frames.
    pub fn publish(&mut self, publisher: usize, frames_per_second: u32, duration: Duration) {
        let end = Instant::now() + duration;
        let mut next_frame = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= next_frame {
                self.clients[publisher].client.send_frame(Instant::now());
                next_frame += Duration::from_secs(1) / frames_per_second;
            }
            self.work();
        }
    }

    /// Lets everybody work for a while without media.
    pub fn rest(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// Lets everybody work until `is_done`, for at most `limit`.
    pub fn run_until(&mut self, limit: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        while !is_done(self) {
            if Instant::now() >= end {
                return false;
            }
            self.work();
        }
        true
    }

    fn work(&mut self) {
        for client in &mut self.clients {
            client.work();
        }
        for shard in [&self.shard].into_iter().chain(&self.mirrors) {
            self.events.extend(std::iter::from_fn(|| shard.poll_event()));
        }
        thread::sleep(PAUSE);
    }
}

fn call(shard: &ShardHandle, command: Command) -> Reply {
    let mut answer = shard.try_call(command).unwrap();
    let end = Instant::now() + ANSWER_LIMIT;
    loop {
        if let Some(reply) = answer.try_recv().unwrap() {
            return reply;
        }
        assert!(Instant::now() < end, "the shard does not answer");
        thread::sleep(PAUSE);
    }
}

impl SocketClient {
    /// A client behind `socket`, which must not block, that talks to `server`. Nothing is lost at first.
    pub fn new(client: SealedClient, socket: UdpSocket, server: SocketAddr, seed: u64) -> Self {
        Self { client, loss: 0.0, socket, server, random: Random(seed) }
    }

    /// Does what is due now. Never waits.
    pub fn work(&mut self) {
        let mut datagram = [0; 2048];
        while let Ok((len, source)) = self.socket.recv_from(&mut datagram) {
            if !self.is_lost(&datagram[..len]) {
                self.client.receive(source, &datagram[..len], Instant::now());
            }
        }
        let now = Instant::now();
        if self.client.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.client.expire(now);
        }
        while let Some(bytes) = self.client.poll_transmit() {
            if !self.is_lost(&bytes) {
                self.socket.send_to(&bytes, self.server).unwrap();
            }
        }
    }

    /// Media is lost now and then; what keeps the session alive is not.
    fn is_lost(&mut self, bytes: &[u8]) -> bool {
        let is_media = bytes.first().is_some_and(|byte| (128..192).contains(byte));
        is_media && self.random.chance(self.loss)
    }
}
