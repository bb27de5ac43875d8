//! The socket of one publisher: lets it connect, gives it transport-wide feedback so that it sends as much as
//! it wants to, and keeps what it sends.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dataplane::congestion::twcc_log::TwccLog;
use dataplane::id::Ssrc;
use dataplane::limits::DATAGRAM_SIZE_BYTES_MAX;
use dataplane::transport::Transport;
use dataplane::transport::path::Path;
use dataplane::wire::classify::{Protocol, classify};
use dataplane::wire::extension::Elements;
use dataplane::wire::rtcp::RtcpWriter;
use dataplane::wire::rtp::RtpHeader;
use harness::capture::CapturedPacket;

const PAUSE: Duration = Duration::from_millis(2);
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(400);
/// Keyframes are asked for so often, then recording goes on with what there is.
const KEYFRAME_REQUESTS: usize = 3;
/// Our side of every RTCP packet.
const SENDER: Ssrc = Ssrc(1);

/// How much to record, and when.
pub(crate) struct Plan {
    pub(crate) packets_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) warm_up: Duration,
    pub(crate) limit: Duration,
    pub(crate) transport_cc: Option<u8>,
}

/// One publisher.
pub(crate) struct Recorder {
    socket: UdpSocket,
    local: SocketAddr,
    transport: Box<Transport>,
    plan: Plan,
    twcc_log: TwccLog,
    ssrcs: BTreeSet<Ssrc>,
    media_since: Option<Instant>,
    recording_since: Option<Instant>,
    keyframe_requests: usize,
    packets: Vec<CapturedPacket>,
}

impl Recorder {
    pub(crate) fn new(socket: UdpSocket, transport: Box<Transport>, plan: Plan) -> Self {
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        Self {
            local: socket.local_addr().unwrap(),
            socket,
            transport,
            plan,
            twcc_log: TwccLog::default(),
            ssrcs: BTreeSet::new(),
            media_since: None,
            recording_since: None,
            keyframe_requests: 0,
            packets: Vec::new(),
        }
    }

    /// Records until enough has arrived, and says goodbye.
    pub(crate) fn run(mut self) -> Result<Vec<CapturedPacket>, String> {
        let end = Instant::now() + self.plan.limit;
        let mut datagram = [0; DATAGRAM_SIZE_BYTES_MAX];
        while !self.is_done() {
            if Instant::now() >= end {
                return Err(format!(
                    "only {} packets before the limit; connected: {}",
                    self.packets.len(),
                    self.transport.is_connected()
                ));
            }
            if let Ok((len, remote)) = self.socket.recv_from(&mut datagram) {
                self.receive(remote, &datagram[..len], Instant::now());
            }
            self.transport.expire(Instant::now());
            self.send(Instant::now());
        }
        self.transport.close(Instant::now());
        self.send(Instant::now());
        Ok(self.packets)
    }

    fn is_done(&self) -> bool {
        let bytes: usize = self.packets.iter().map(|packet| packet.bytes.len()).sum();
        self.packets.len() >= self.plan.packets_max || bytes >= self.plan.bytes_max
    }

    fn receive(&mut self, remote: SocketAddr, bytes: &[u8], now: Instant) {
        let path = Path { local: self.local, remote };
        let refused = match classify(bytes) {
            Ok(Protocol::Stun) => self.transport.handle_stun(path, bytes, now).err(),
            Ok(Protocol::Dtls) => self.transport.handle_dtls(path, bytes, now).err(),
            Ok(Protocol::Rtp) => {
                self.receive_rtp(bytes, now);
                None
            }
            _ => None,
        };
        if let Some(reason) = refused {
            eprintln!("refused: {reason:?}");
        }
    }

    fn receive_rtp(&mut self, bytes: &[u8], now: Instant) {
        let Ok(header) = RtpHeader::parse(bytes) else { return };
        let mut payload = [0; DATAGRAM_SIZE_BYTES_MAX];
        let Ok(opened) = self.transport.open_rtp(bytes, &header, &mut payload, now) else { return };
        if let (Some(id), Some((profile, elements))) = (self.plan.transport_cc, &header.extension) {
            let number = Elements::new(*profile, &bytes[elements.clone()]).find(|element| element.0 == id);
            if let Some((_, &[high, low])) = number {
                self.twcc_log.note(u16::from_be_bytes([high, low]), header.ssrc, now);
            }
        }
        self.ssrcs.insert(header.ssrc);
        let media_since = *self.media_since.get_or_insert(now);
        if now < media_since + self.plan.warm_up || self.is_done() {
            return;
        }
        let recording_since = *self.recording_since.get_or_insert(now);
        let mut plain = bytes[..header.len].to_vec();
        plain.extend(&payload[..opened.payload_len]);
        self.packets.push(CapturedPacket { at: now - recording_since, bytes: plain });
    }

    fn send(&mut self, now: Instant) {
        while let Some(transmit) = self.transport.poll_transmit() {
            let _ = self.socket.send_to(&transmit.bytes, transmit.path.remote);
        }
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let mut writer = RtcpWriter::new(&mut out[..1200]);
        if self.twcc_log.due_at().is_some_and(|due| due <= now) {
            self.twcc_log.write_feedback(SENDER, &mut writer, now);
        }
        if self.wants_keyframe(now) {
            self.keyframe_requests += 1;
            for ssrc in &self.ssrcs {
                writer.pli(SENDER, *ssrc);
            }
        }
        let len = writer.len();
        if let (Some(path), true) = (self.transport.nominated(), len > 0) {
            let len = self.transport.seal_rtcp(&mut out, len);
            let _ = self.socket.send_to(&out[..len], path.remote);
        }
    }

    /// After a warm-up a keyframe is needed; without one the first packet is that of a keyframe.
    fn wants_keyframe(&self, now: Instant) -> bool {
        let Some(since) = self.recording_since else { return false };
        !self.plan.warm_up.is_zero()
            && self.keyframe_requests < KEYFRAME_REQUESTS
            && now >= since + KEYFRAME_INTERVAL * self.keyframe_requests as u32
    }
}
