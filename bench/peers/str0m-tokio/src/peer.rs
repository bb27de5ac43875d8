//! One peer: its `Rtc`, its socket, and the task that drives both.

use std::error::Error;
use std::future::pending;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use str0m::format::CodecSpec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, SeqNo, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::sleep_until;

use crate::room::{MediaPacket, Room};

/// Larger than any datagram that WebRTC sends.
const DATAGRAM_SIZE_BYTES_MAX: usize = 2000;
/// Packets written to one subscriber before it is drained.
const WRITES_PER_DRAIN_MAX: usize = 64;

type AnyError = Box<dyn Error + Send + Sync>;

/// Which way the media of a peer flows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// WHIP.
    Publisher,
    /// WHEP.
    Subscriber,
}

/// One peer, owned by its task.
pub(crate) struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    room: Arc<Room>,
    role: Role,
    /// The packets of the room; `None` for a publisher.
    packets: Option<Receiver<Arc<MediaPacket>>>,
    /// The accepted media sections.
    sections: Vec<(Mid, MediaKind)>,
    /// Where the numbers of each outgoing stream stand.
    numbering: [Numbering; 2],
}

/// Makes the numbers of one outgoing stream continuous over a change of publisher, and keeps them small:
/// a late subscriber has no way to learn the rollover counter of an old stream.
#[derive(Clone, Copy, Default)]
struct Numbering {
    source: Option<Ssrc>,
    first_in: u64,
    first_out: u64,
    next_out: u64,
}

/// Why the task woke.
enum Wake {
    Datagram,
    Packet(Result<Arc<MediaPacket>, RecvError>),
    KeyframeWanted,
    Timeout,
}

impl Peer {
    /// Answers an offer on a fresh socket.
    pub(crate) async fn answer(
        offer: &str,
        ip: IpAddr,
        crypto: Arc<CryptoProvider>,
        certificate: DtlsCert,
        room: Arc<Room>,
        role: Role,
    ) -> Result<(Self, String), AnyError> {
        let socket = UdpSocket::bind((ip, 0)).await?;
        let local = socket.local_addr()?;
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(crypto)
            .set_dtls_cert(certificate)
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        let packets = (role == Role::Subscriber).then(|| room.packets.subscribe());
        let peer = Self {
            rtc,
            socket,
            local,
            room,
            role,
            packets,
            sections: Vec::new(),
            numbering: Default::default(),
        };
        Ok((peer, answer.to_sdp_string()))
    }

    /// Drives the peer until it has gone.
    pub(crate) async fn run(mut self, started: Instant) -> Result<(), AnyError> {
        self.rtc.handle_input(Input::Timeout(started))?;
        while let Some(deadline) = self.drain().await? {
            match self.wait(deadline).await? {
                Wake::Datagram => self.receive().await?,
                Wake::Packet(packet) => self.forward(packet)?,
                Wake::KeyframeWanted => self.request_keyframe(),
                Wake::Timeout => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
        }
        Ok(())
    }

    async fn wait(&mut self, deadline: Instant) -> Result<Wake, AnyError> {
        let packet = async {
            match &mut self.packets {
                Some(packets) => packets.recv().await,
                None => pending().await,
            }
        };
        let keyframe_wanted = async {
            match self.role {
                Role::Publisher => self.room.keyframe_wanted.notified().await,
                Role::Subscriber => pending().await,
            }
        };
        tokio::select! {
            ready = self.socket.readable() => { ready?; Ok(Wake::Datagram) }
            packet = packet => Ok(Wake::Packet(packet)),
            () = keyframe_wanted => Ok(Wake::KeyframeWanted),
            () = sleep_until(deadline.into()) => Ok(Wake::Timeout),
        }
    }

    /// Gives every datagram that waits on the socket to the `Rtc`, and drains it after each.
    async fn receive(&mut self) -> Result<(), AnyError> {
        let mut buffer = [0; DATAGRAM_SIZE_BYTES_MAX];
        loop {
            let (len, source) = match self.socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // An ICMP error of an earlier send; the next datagram may be fine.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, &buffer[..len]) else {
                continue;
            };
            self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
            if self.drain().await?.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes a packet of the room, and those that wait behind it, to this subscriber.
    fn forward(&mut self, first: Result<Arc<MediaPacket>, RecvError>) -> Result<(), AnyError> {
        let now = Instant::now();
        match first {
            Ok(packet) => self.write(&packet, now),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => self.rtc.disconnect(),
        }
        for _ in 1..WRITES_PER_DRAIN_MAX {
            let Some(packets) = &mut self.packets else { break };
            match packets.try_recv() {
                Ok(packet) => self.write(&packet, now),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    fn write(&mut self, packet: &MediaPacket, now: Instant) {
        if !self.rtc.is_connected() {
            return;
        }
        let kind = packet.spec.codec.kind();
        let Some(mid) = self.section(kind) else { return };
        let Some(payload_type) = self.payload_type(mid, packet.spec) else { return };
        let numbering = &mut self.numbering[usize::from(kind == MediaKind::Audio)];
        let Some(sequence_number) = numbering.next(packet.ssrc, packet.sequence_number) else { return };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else { return };
        stream.write_rtp(
            RtpWrite::new(payload_type, sequence_number, packet.timestamp, now, Arc::clone(&packet.payload))
                .marker(packet.marker)
                .nackable(kind == MediaKind::Video)
                .ext_vals(packet.extensions.clone()),
        );
    }

    /// Sends what wants to leave and handles events. `None` when the peer has gone, else the next deadline.
    async fn drain(&mut self) -> Result<Option<Instant>, AnyError> {
        while self.rtc.is_alive() {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(Some(deadline)),
                Output::Transmit(transmit) => {
                    send(&self.socket, &transmit.contents, transmit.destination).await?;
                }
                Output::Event(event) => self.handle_event(event),
            }
        }
        Ok(None)
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected if self.packets.is_some() => self.room.keyframe_wanted.notify_one(),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.rtc.disconnect(),
            Event::MediaAdded(media) if media.direction != Direction::Inactive => {
                self.sections.push((media.mid, media.kind));
            }
            Event::KeyframeRequest(_) => self.room.keyframe_wanted.notify_one(),
            Event::RtpPacket(packet) => self.publish(packet),
            _ => {}
        }
    }

    /// Hands a packet of the publisher to the room. An error only says that nobody watches.
    fn publish(&mut self, packet: RtpPacket) {
        let payload_type = packet.header.payload_type;
        let Some(spec) =
            self.rtc.codec_config().find(|params| params.pt() == payload_type).map(|params| params.spec())
        else {
            return;
        };
        let extensions = ExtensionValues {
            audio_level: packet.header.ext_vals.audio_level,
            voice_activity: packet.header.ext_vals.voice_activity,
            video_orientation: packet.header.ext_vals.video_orientation,
            ..Default::default()
        };
        let _ = self.room.packets.send(Arc::new(MediaPacket {
            ssrc: packet.header.ssrc,
            spec,
            sequence_number: packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            extensions,
            payload: packet.payload,
        }));
    }

    fn request_keyframe(&mut self) {
        let Some(mid) = self.section(MediaKind::Video) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    fn section(&self, kind: MediaKind) -> Option<Mid> {
        self.sections.iter().find(|section| section.1 == kind).map(|section| section.0)
    }

    fn payload_type(&self, mid: Mid, spec: CodecSpec) -> Option<Pt> {
        let negotiated = self.rtc.media(mid)?.remote_pts();
        let is_usable = |pt: Pt| negotiated.contains(&pt);
        let config = self.rtc.codec_config();
        config
            .find(|params| params.spec() == spec && is_usable(params.pt()))
            .or_else(|| config.find(|params| params.spec().codec == spec.codec && is_usable(params.pt())))
            .map(|params| params.pt())
    }
}

impl Numbering {
    /// The number to send for packet `incoming` of `source`; `None` if it is older than the first one sent.
    fn next(&mut self, source: Ssrc, incoming: SeqNo) -> Option<SeqNo> {
        if self.source != Some(source) {
            *self = Self {
                source: Some(source),
                first_in: *incoming,
                first_out: self.next_out,
                next_out: self.next_out,
            };
        }
        let out = self.first_out + incoming.checked_sub(self.first_in)?;
        self.next_out = self.next_out.max(out + 1);
        Some(out.into())
    }
}

/// Waits only when the socket is full. What the network refuses is lost, as it would be on the way.
async fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> Result<(), AnyError> {
    match socket.try_send_to(datagram, to) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            socket.send_to(datagram, to).await?;
        }
        Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error.into()),
        _ => {}
    }
    Ok(())
}
