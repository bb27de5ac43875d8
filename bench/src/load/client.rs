//! One WebRTC client: a full (not lite) ICE agent, DTLS, and SRTP.
//!
//! It answers for what a browser would do on its own: connectivity checks, transport feedback every
//! 50 ms, receiver reports every second.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::config::DtlsCert;
use str0m::crypto::CryptoProvider;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::socket::{self, Datagram, Receiver};
use crate::failure::{Failure, OrFail};

/// Time between two receiver reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

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
        let crypto = Arc::new(str0m_aws_lc_rs::default_provider());
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| Failure::new("no DTLS certificate could be made", ""))?;
        Ok(Self { crypto, certificate, ip })
    }
}

/// What a client tells its owner.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// The payload of an RTP packet that was opened, and when the kernel received it, ns since 1970.
    Payload { bytes: &'a [u8], received_ns: u64 },
    /// The server wants a keyframe.
    KeyframeWanted,
}

/// One client.
pub(crate) struct Client {
    rtc: Rtc,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    deadline: Instant,
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
        let remedy = "raise the limit of open files (ulimit -n) or take fewer subscribers";
        let socket = socket::bind(toolkit.ip).or_fail("no socket for a client", remedy)?;
        let local = socket.local_addr().or_fail("no socket for a client", remedy)?;
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::clone(&toolkit.crypto))
            .set_dtls_cert(toolkit.certificate.clone())
            .set_rtp_mode(true)
            .set_rtcp_report_interval_video(REPORT_INTERVAL)
            .clear_codecs()
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").or_fail("no candidate for a client", "")?);
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = change.apply().expect("a section was added");
        let socket = Arc::new(socket);
        let client = Self { rtc, socket, local, mid, pending: Some(pending), deadline: now, rtcp_sent: 0 };
        Ok((client, offer.to_sdp_string()))
    }

    /// Takes the answer to the offer.
    pub(crate) fn accept(&mut self, answer: &str) -> Result<(), Failure> {
        let remedy = "the server's answer is at fault, or it speaks no VP8; look at its log";
        let answer = SdpAnswer::from_sdp_string(answer).or_fail("the SDP answer", remedy)?;
        let pending = self.pending.take().expect("an offer is answered once");
        self.rtc.sdp_api().accept_answer(pending, answer).or_fail("the SDP answer", remedy)
    }

    /// Whether ICE and DTLS are done.
    pub(crate) fn is_connected(&self) -> bool {
        self.rtc.is_connected()
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
        self.deadline
    }

    /// Handles every datagram that waits on the socket; what the socket has dropped so far, if known.
    pub(crate) fn receive(
        &mut self,
        receiver: &mut Receiver,
        now: Instant,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<Option<u32>, Failure> {
        let socket = Arc::clone(&self.socket);
        receiver
            .receive(&socket, |datagram| self.handle(datagram, now, tell))
            .or_fail("receiving from the server", "")
    }

    fn handle(&mut self, datagram: Datagram<'_>, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let received = Receive::new(Protocol::Udp, datagram.source, self.local, datagram.bytes);
        if let Ok(received) = received
            && self.rtc.handle_input(Input::Receive(now, received)).is_ok()
        {
            self.drain(datagram.received_ns, tell);
        }
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self, now: Instant, tell: &mut impl FnMut(Told<'_>)) {
        if self.rtc.handle_input(Input::Timeout(now)).is_ok() {
            self.drain(0, tell);
        }
    }

    /// Seals and sends one RTP packet.
    pub(crate) fn send(
        &mut self,
        sequence: u64,
        timestamp: u32,
        is_marked: bool,
        payload: &[u8],
        now: Instant,
    ) {
        let payload_type = self.rtc.media(self.mid).and_then(|media| media.remote_pts().first().copied());
        let mut api = self.rtc.direct_api();
        let Some((stream, payload_type)) = api.stream_tx_by_mid(self.mid, None).zip(payload_type) else {
            return;
        };
        stream.write_rtp(
            RtpWrite::new(payload_type, (sequence + 1).into(), timestamp, now, payload)
                .marker(is_marked)
                .nackable(true),
        );
        self.expire(now, &mut |_| {});
    }

    fn drain(&mut self, received_ns: u64, tell: &mut impl FnMut(Told<'_>)) {
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Output::Transmit(transmit) => {
                    let bytes: &[u8] = &transmit.contents;
                    self.rtcp_sent += u64::from(is_rtcp(bytes));
                    // What cannot be sent is lost, as it could be on any network.
                    let _ = self.socket.send_to(bytes, transmit.destination);
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    tell(Told::Payload { bytes: &packet.payload, received_ns });
                }
                Output::Event(Event::KeyframeRequest(_)) => tell(Told::KeyframeWanted),
                Output::Event(_) => {}
            }
        }
    }
}

/// Whether a datagram is SRTCP (RFC 5761, section 4).
fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, second, ..] if (64..=95).contains(&(second & 0x7f)))
}
