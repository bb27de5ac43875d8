//! One WebRTC client: a full (not lite) ICE agent and DTLS by str0m, everything else by [`Session`].
//!
//! str0m never sees SRTP and never sends any: two senders under one key would use a nonce twice. A *witness*
//! is the exception: a receiver whose media goes through str0m's SRTP alone, so that a mistake of ours
//! that both ends share cannot hide.

mod negotiate;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::id::Ssrc;
use dataplane::time::NtpTime;
use dataplane::transport::dtls::{self, Slot};
use dataplane::wire::classify::{Protocol as Kind, classify};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::session::{Arrival, DATAGRAM_SIZE_BYTES_MAX, EncodingTerms, Media, Session, Told};
use super::socket::{self, Datagram, Receiver};
use super::wall_ns;
use crate::failure::{Failure, OrFail};
use crate::impair::Group;
use crate::traffic::Codec;
use negotiate::Section;

/// What all clients share: making a certificate for each would only heat the room.
#[derive(Clone, Debug)]
pub(crate) struct Toolkit {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    /// Where the sockets bind.
    ip: IpAddr,
    /// Behind which link, if any.
    link: Option<Arc<Group>>,
}

/// What a client is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sends these tracks.
    Gives(Vec<Gift>),
    /// Receives this many tracks of each kind.
    Takes(Takes),
}

/// A track that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gift {
    /// How it is encoded.
    pub(crate) codec: Codec,
    /// The names of its encodings; empty if there is but one.
    pub(crate) rids: Vec<&'static str>,
}

/// Tracks that are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Takes {
    /// Video tracks.
    pub(crate) video: usize,
    /// Audio tracks.
    pub(crate) audio: usize,
    /// Whether the media is opened by str0m instead of by us.
    pub(crate) is_witness: bool,
}

/// One client.
pub(crate) struct Client {
    /// 10 KB, used for ICE only once media flows, so it shall not lie between what is used for each packet.
    rtc: Box<Rtc>,
    slot: Slot,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    /// Where DTLS goes to, and so SRTP.
    remote: SocketAddr,
    is_witness: bool,
    sections: Vec<Section>,
    /// Streams of what is sent again and what they repair, as the server's description says.
    repairs: Vec<(Ssrc, Ssrc)>,
    pending: Option<SdpPendingOffer>,
    deadline: Instant,
    session: Option<Session>,
    /// RTCP datagrams sent so far.
    pub(crate) rtcp_sent: u64,
}

impl Toolkit {
    /// Prepares clients that talk to a server from `ip`.
    pub(crate) fn new(ip: IpAddr) -> Result<Self, Failure> {
        let crypto = dtls::crypto_provider().or_fail("DTLS could not be configured", "")?;
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| Failure::new("no DTLS certificate could be made", ""))?;
        Ok(Self { crypto, certificate, ip, link: None })
    }

    /// The same for clients behind a link.
    pub(crate) fn behind(&self, link: &Arc<Group>) -> Self {
        Self { link: Some(Arc::clone(link)), ..self.clone() }
    }
}

impl Part {
    fn is_witness(&self) -> bool {
        matches!(self, Self::Takes(Takes { is_witness: true, .. }))
    }

    fn has(&self, codec: Codec) -> bool {
        match self {
            Self::Gives(gifts) => gifts.iter().any(|gift| gift.codec == codec),
            Self::Takes(takes) if codec.is_audio() => takes.audio > 0,
            Self::Takes(takes) => takes.video > 0,
        }
    }
}

impl Client {
    /// Makes a client and its offer.
    pub(crate) fn offer(toolkit: &Toolkit, part: &Part, now: Instant) -> Result<(Self, String), Failure> {
        let mut client = Self::new(toolkit, part, now)?;
        let mut change = client.rtc.sdp_api();
        let sections = negotiate::sections_of(part, &mut change);
        let (offer, pending) = change.apply().expect("a section was added");
        client.sections = sections;
        client.pending = Some(pending);
        Ok((client, offer.to_sdp_string()))
    }

    /// Makes a client that takes an offer of the server, and its answer.
    pub(crate) fn answer(
        toolkit: &Toolkit,
        part: &Part,
        offer: &str,
        now: Instant,
    ) -> Result<(Self, String), Failure> {
        let remedy = "the server's offer is at fault; look at its log";
        let mut client = Self::new(toolkit, part, now)?;
        client.repairs = negotiate::repairs_of(offer);
        let offer = SdpOffer::from_sdp_string(offer).or_fail("the SDP offer", remedy)?;
        let answer = client.rtc.sdp_api().accept_offer(offer).or_fail("the SDP offer", remedy)?;
        client.drain(now, 0, &mut |_| {});
        Ok((client, answer.to_sdp_string()))
    }

    fn new(toolkit: &Toolkit, part: &Part, now: Instant) -> Result<Self, Failure> {
        let remedy = "raise the limit of open files (ulimit -n) or take fewer clients";
        let bound = match &toolkit.link {
            Some(link) => link.enter(|| socket::bind(link.address().into()))?,
            None => socket::bind(toolkit.ip),
        };
        let bound = bound.and_then(|socket| socket.local_addr().map(|at| (socket, at)));
        let (socket, local) =
            bound.or_fail("no socket for a client", remedy).map_err(Failure::of_generator)?;
        let config = RtcConfig::new()
            .set_crypto_provider(Arc::clone(&toolkit.crypto))
            .set_dtls_cert(toolkit.certificate.clone())
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_vp8(part.has(Codec::Vp8))
            .enable_h264(part.has(Codec::H264))
            .enable_opus(part.has(Codec::Opus), false);
        let (mut rtc, slot) = dtls::capturing(|| config.build(now));
        rtc.add_local_candidate(Candidate::host(local, "udp").or_fail("no candidate for a client", "")?);
        Ok(Self {
            rtc: Box::new(rtc),
            slot,
            socket: Arc::new(socket),
            local,
            remote: local,
            is_witness: part.is_witness(),
            sections: Vec::new(),
            repairs: Vec::new(),
            pending: None,
            deadline: now,
            session: None,
            rtcp_sent: 0,
        })
    }

    /// Takes the answer to the offer.
    pub(crate) fn accept(&mut self, answer: &str) -> Result<(), Failure> {
        let remedy = "the server's answer is at fault, or it does not speak the codec; look at its log";
        self.repairs = negotiate::repairs_of(answer);
        let answer = SdpAnswer::from_sdp_string(answer).or_fail("the SDP answer", remedy)?;
        let pending = self.pending.take().expect("an offer is answered once");
        self.rtc.sdp_api().accept_answer(pending, answer).or_fail("the SDP answer", remedy)
    }

    /// Whether ICE and DTLS are done and there are keys.
    pub(crate) fn is_connected(&self) -> bool {
        (self.is_witness || self.session.is_some()) && self.rtc.is_connected()
    }

    /// Whether the connection has not failed.
    pub(crate) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// Its socket, for waiting on it.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// What is sent; empty before there are keys.
    pub(crate) fn encodings(&self) -> Vec<EncodingTerms> {
        self.session.iter().flat_map(Session::encodings).cloned().collect()
    }

    /// Packets that the numbers of what is received promise, and packets that came; not known of a witness.
    pub(crate) fn expected_and_received(&self) -> (u64, u64) {
        self.session.as_ref().map_or((0, 0), Session::expected_and_received)
    }

    /// When [`Client::expire`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        let session = self.session.as_ref().map(Session::deadline);
        session.map_or(self.deadline, |deadline| deadline.min(self.deadline))
    }

    /// Datagrams that its socket has dropped so far; 0 if the kernel does not say.
    pub(crate) fn drops(&self) -> u32 {
        socket::drops(&self.socket).unwrap_or(0)
    }

    /// Handles every datagram that waits on the socket.
    pub(crate) fn receive(
        &mut self,
        receiver: &mut Receiver,
        now: Instant,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(), Failure> {
        let socket = Arc::clone(&self.socket);
        let received = receiver.receive(&socket, |datagram| self.handle(datagram, now, tell));
        received.or_fail("receiving from the server", "")
    }

    fn handle(&mut self, datagram: Datagram<'_>, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let (bytes, received_ns) = (datagram.bytes, datagram.received_ns);
        match (classify(bytes), &mut self.session) {
            (Ok(Kind::Rtp), Some(session)) => session.handle_rtp(bytes, received_ns, now, tell),
            (Ok(Kind::Rtcp), Some(session)) => session.handle_rtcp(bytes, now, tell),
            // Media that overtook the end of the handshake, or nothing of WebRTC.
            (Ok(Kind::Rtp | Kind::Rtcp), None) if !self.is_witness => {}
            (Ok(_), _) => {
                let received = Receive::new(Protocol::Udp, datagram.source, self.local, bytes);
                if let Ok(received) = received
                    && self.rtc.handle_input(Input::Receive(now, received)).is_ok()
                {
                    self.drain(now, received_ns, tell);
                }
            }
            (Err(_), _) => {}
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        if self.deadline <= now && self.rtc.handle_input(Input::Timeout(now)).is_ok() {
            self.drain(now, wall_ns(), tell);
        }
        let Some(session) = &mut self.session else { return };
        if session.deadline() <= now {
            let ntp_now = NtpTime::from_unix(Duration::from_nanos(wall_ns()));
            let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
            while let Some(len) = session.poll_rtcp(&mut out, now, ntp_now) {
                send(&self.socket, &out[..len], self.remote);
                self.rtcp_sent += 1;
            }
        }
    }

    /// Asks the server for a keyframe of a stream.
    pub(crate) fn want_keyframe(&mut self, stream: Ssrc, now: Instant) {
        if let Some(session) = &mut self.session {
            session.want_keyframe(stream, now);
        } else if let Some(stream) = self.rtc.direct_api().stream_rx(&stream.0.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.deadline = now;
        }
    }

    /// Seals and sends one media packet of encoding `encoding`. Its index counts up from one call to the next.
    pub(crate) fn send(&mut self, encoding: usize, media: &Media<'_>) {
        let session = self.session.as_mut().expect("media is sent after connecting");
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let len = session.seal(&mut out, encoding, media);
        send(&self.socket, &out[..len], self.remote);
    }

    /// Sends a packet again that was asked for.
    pub(crate) fn send_again(&mut self, encoding: usize, media: &Media<'_>) {
        let session = self.session.as_mut().expect("media is sent after connecting");
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let len = session.seal_again(&mut out, encoding, media);
        send(&self.socket, &out[..len], self.remote);
    }

    fn drain(&mut self, now: Instant, received_ns: u64, tell: &mut impl FnMut(Told<'_>)) {
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    break;
                }
                Output::Transmit(transmit) => match classify(&transmit.contents) {
                    Ok(Kind::Stun) => send(&self.socket, &transmit.contents, transmit.destination),
                    Ok(Kind::Dtls) => {
                        self.remote = transmit.destination;
                        send(&self.socket, &transmit.contents, transmit.destination);
                    }
                    Ok(Kind::Rtp | Kind::Rtcp) if self.is_witness => {
                        self.rtcp_sent += 1;
                        send(&self.socket, &transmit.contents, transmit.destination);
                    }
                    _ => {}
                },
                Output::Event(Event::MediaAdded(media)) => {
                    self.sections.push(Section::theirs(media.mid));
                }
                Output::Event(Event::RtpPacket(packet)) => tell(Told::Payload(Arrival {
                    stream: Ssrc(*packet.header.ssrc),
                    received_ns,
                    is_repair: false,
                    payload: &packet.payload,
                })),
                Output::Event(_) => {}
            }
        }
        if self.session.is_none() && !self.is_witness {
            self.start_session(now);
        }
    }

    /// Takes the keys, if the handshake has brought them to light.
    fn start_session(&mut self, now: Instant) {
        let Some((_, keys)) = dtls::lock(&self.slot).keys.take() else { return };
        // A receiver's SSRC needs only to differ from others at its own end.
        let own = Ssrc(u32::from(self.local.port()));
        let terms = negotiate::terms_of(&mut self.rtc, &self.sections, own, self.repairs.clone());
        self.session = Some(Session::new(keys, terms, now));
    }
}

/// What cannot be sent is lost, as it could be on any network.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    let _ = socket.send_to(datagram, to);
}
