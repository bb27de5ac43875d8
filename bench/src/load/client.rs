//! One WebRTC client: a full (not lite) ICE agent and DTLS by str0m, everything else by [`Session`].
//!
//! str0m never sees SRTP and never sends any: two senders under one key would use a nonce twice.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::id::{PayloadType, Ssrc};
use dataplane::time::NtpTime;
use dataplane::transport::dtls::{self, Slot};
use dataplane::wire::classify::{Protocol as Kind, classify};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::Extension;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::session::{DATAGRAM_SIZE_BYTES_MAX, Session, Terms, Told};
use super::socket::{self, Datagram, Receiver};
use super::wall_ns;
use crate::failure::{Failure, OrFail};

/// What all clients share: making a certificate for each would only heat the room.
#[derive(Clone, Debug)]
pub(crate) struct Toolkit {
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    /// Where the sockets bind.
    ip: IpAddr,
}

impl Toolkit {
    /// Prepares clients that talk to a server from `ip`.
    pub(crate) fn new(ip: IpAddr) -> Result<Self, Failure> {
        let crypto = dtls::crypto_provider().or_fail("DTLS could not be configured", "")?;
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| Failure::new("no DTLS certificate could be made", ""))?;
        Ok(Self { crypto, certificate, ip })
    }
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
    /// `None` until the section of an offer of theirs is known.
    mid: Option<Mid>,
    pending: Option<SdpPendingOffer>,
    deadline: Instant,
    session: Option<Session>,
    /// RTCP datagrams sent so far.
    pub(crate) rtcp_sent: u64,
}

impl Client {
    /// Makes a client and its offer of one VP8 section.
    pub(crate) fn offer(
        toolkit: &Toolkit,
        direction: Direction,
        now: Instant,
    ) -> Result<(Self, String), Failure> {
        let mut client = Self::new(toolkit, now)?;
        let mut change = client.rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = change.apply().expect("a section was added");
        client.mid = Some(mid);
        client.pending = Some(pending);
        Ok((client, offer.to_sdp_string()))
    }

    /// Makes a client that takes an offer of the server, and its answer.
    pub(crate) fn answer(toolkit: &Toolkit, offer: &str, now: Instant) -> Result<(Self, String), Failure> {
        let remedy = "the server's offer is at fault; look at its log";
        let offer = SdpOffer::from_sdp_string(offer).or_fail("the SDP offer", remedy)?;
        let mut client = Self::new(toolkit, now)?;
        let answer = client.rtc.sdp_api().accept_offer(offer).or_fail("the SDP offer", remedy)?;
        client.drain(now);
        Ok((client, answer.to_sdp_string()))
    }

    fn new(toolkit: &Toolkit, now: Instant) -> Result<Self, Failure> {
        let remedy = "raise the limit of open files (ulimit -n) or take fewer subscribers";
        let bound = socket::bind(toolkit.ip).and_then(|socket| socket.local_addr().map(|at| (socket, at)));
        let (socket, local) =
            bound.or_fail("no socket for a client", remedy).map_err(Failure::of_generator)?;
        let config = RtcConfig::new()
            .set_crypto_provider(Arc::clone(&toolkit.crypto))
            .set_dtls_cert(toolkit.certificate.clone())
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_vp8(true);
        let (mut rtc, slot) = dtls::capturing(|| config.build(now));
        rtc.add_local_candidate(Candidate::host(local, "udp").or_fail("no candidate for a client", "")?);
        Ok(Self {
            rtc: Box::new(rtc),
            slot,
            socket: Arc::new(socket),
            local,
            remote: local,
            mid: None,
            pending: None,
            deadline: now,
            session: None,
            rtcp_sent: 0,
        })
    }

    /// Takes the answer to the offer.
    pub(crate) fn accept(&mut self, answer: &str) -> Result<(), Failure> {
        let remedy = "the server's answer is at fault, or it speaks no VP8; look at its log";
        let answer = SdpAnswer::from_sdp_string(answer).or_fail("the SDP answer", remedy)?;
        let pending = self.pending.take().expect("an offer is answered once");
        self.rtc.sdp_api().accept_answer(pending, answer).or_fail("the SDP answer", remedy)
    }

    /// Whether ICE and DTLS are done and there are keys.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some() && self.rtc.is_connected()
    }

    /// Whether the connection has not failed.
    pub(crate) fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    /// Its socket, for waiting on it.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// When [`Client::expire`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        let session = self.session.as_ref().map(Session::deadline);
        session.map_or(self.deadline, |deadline| deadline.min(self.deadline))
    }

    /// Handles every datagram that waits on the socket; what the socket has dropped so far, if known.
    pub(crate) fn receive(
        &mut self,
        receiver: &mut Receiver,
        now: Instant,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<Option<u32>, Failure> {
        let socket = Arc::clone(&self.socket);
        let received = receiver.receive(&socket, |datagram| self.handle(datagram, now, tell));
        received.or_fail("receiving from the server", "")
    }

    fn handle(&mut self, datagram: Datagram<'_>, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let bytes = datagram.bytes;
        match (classify(bytes), &mut self.session) {
            (Ok(Kind::Rtp), Some(session)) => session.handle_rtp(bytes, datagram.received_ns, tell),
            (Ok(Kind::Rtcp), Some(session)) => session.handle_rtcp(bytes, now, tell),
            (Ok(Kind::Stun | Kind::Dtls), _) => {
                let received = Receive::new(Protocol::Udp, datagram.source, self.local, bytes);
                if let Ok(received) = received
                    && self.rtc.handle_input(Input::Receive(now, received)).is_ok()
                {
                    self.drain(now);
                }
            }
            // Media that overtook the end of the handshake, or nothing of WebRTC.
            _ => {}
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.deadline <= now && self.rtc.handle_input(Input::Timeout(now)).is_ok() {
            self.drain(now);
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

    /// Seals and sends one media packet. `index` counts up from one call to the next.
    pub(crate) fn send(&mut self, index: u64, timestamp: u32, is_marked: bool, payload: &[u8]) {
        let session = self.session.as_mut().expect("media is sent after connecting");
        let mut out = [0; DATAGRAM_SIZE_BYTES_MAX];
        let len = session.seal(&mut out, index, timestamp, is_marked, payload);
        send(&self.socket, &out[..len], self.remote);
    }

    fn drain(&mut self, now: Instant) {
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
                    _ => {}
                },
                Output::Event(Event::MediaAdded(media)) => {
                    self.mid.get_or_insert(media.mid);
                }
                Output::Event(_) => {}
            }
        }
        if self.session.is_none() {
            self.start_session(now);
        }
    }

    /// Takes the keys, if the handshake has brought them to light.
    fn start_session(&mut self, now: Instant) {
        let Some(mid) = self.mid else { return };
        let Some((_, keys)) = dtls::lock(&self.slot).keys.take() else { return };
        let sent_ssrc = self.rtc.direct_api().stream_tx_by_mid(mid, None).map(|stream| *stream.ssrc());
        // A receiver's SSRC needs only to differ from others at its own end.
        let ssrc = Ssrc(sent_ssrc.unwrap_or(u32::from(self.local.port())));
        let Some(media) = self.rtc.media(mid) else { return };
        let Some(&payload_type) = media.remote_pts().first() else { return };
        let extensions = media.remote_extmap();
        let mid = extensions.id_of(Extension::RtpMid).map(|id| (id, mid.to_string()));
        let terms = Terms {
            payload_type: PayloadType(*payload_type),
            transport_cc_id: extensions.id_of(Extension::TransportSequenceNumber),
            mid,
            ssrc,
        };
        self.session = Some(Session::new(keys, terms, now));
    }
}

/// What cannot be sent is lost, as it could be on any network.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    let _ = socket.send_to(datagram, to);
}
