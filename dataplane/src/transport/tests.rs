#![allow(clippy::unwrap_used)]

mod lite;

use std::net::SocketAddr;

use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::Direction;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::negotiate::{AnswerSettings, Answered, Negotiator, PeerRole};
use super::*;
use crate::id::{PayloadType, ShardId};
use crate::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_RETRY_AFTER};

const STEP: Duration = Duration::from_millis(5);
const CLIENT: &str = "198.51.100.1:1000";
const SERVER: &str = "203.0.113.7:7003";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn path(remote: &str) -> Path {
    Path { local: address(SERVER), remote: address(remote) }
}

/// A datagram on its way between client and server.
type Wire = Vec<u8>;

/// A str0m peer and our transport, joined in memory.
struct Pair {
    client: Rtc,
    mid: str0m::media::Mid,
    server: Box<Transport>,
    now: Instant,
    timeout: Instant,
    client_events: Vec<Event>,
    server_events: Vec<TransportEvent>,
    to_client: Vec<Wire>,
    /// SRTP and SRTCP of the client.
    media: Vec<Wire>,
    /// Every STUN and DTLS datagram of the client.
    sent: Vec<Wire>,
}

impl Pair {
    fn publisher() -> Self {
        Self::new(Direction::SendOnly, |offer| offer)
    }

    fn new(direction: Direction, edit: impl Fn(String) -> String) -> Self {
        let now = Instant::now();
        let mut client = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_vp8(true).build(now);
        client.add_local_candidate(Candidate::host(address(CLIENT), "udp").unwrap());
        let mut api = client.sdp_api();
        let mid = api.add_media(str0m::media::MediaKind::Video, direction, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        let role = if direction == Direction::SendOnly { PeerRole::Publisher } else { PeerRole::Subscriber };
        let settings = AnswerSettings { role, shard: ShardId(3), candidates: &[address(SERVER)] };
        let offer: SdpOffer = offer;
        let offer = edit(offer.to_sdp_string());
        let Answered { sdp, transport } =
            Negotiator::new(now).unwrap().answer(&offer, &settings, now).unwrap();
        client.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp).unwrap()).unwrap();
        Self {
            client,
            mid,
            server: transport,
            now,
            timeout: now,
            client_events: Vec::new(),
            server_events: Vec::new(),
            to_client: Vec::new(),
            media: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// What the client wants to send.
    fn drain_client(&mut self) -> Vec<Wire> {
        let mut wires = Vec::new();
        loop {
            match self.client.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return wires;
                }
                Output::Transmit(transmit) => wires.push(transmit.contents.to_vec()),
                Output::Event(event) => self.client_events.push(event),
            }
        }
    }

    fn drain_server(&mut self) {
        while let Some(transmit) = self.server.poll_transmit() {
            assert_eq!(transmit.path.local, address(SERVER));
            assert!(!(128..=191).contains(&transmit.bytes[0]), "no SRTP of str0m leaves");
            if transmit.path.remote == address(CLIENT) {
                self.to_client.push(transmit.bytes);
            }
        }
        while let Some(event) = self.server.poll_event() {
            self.server_events.push(event);
        }
    }

    fn deliver_to_server(&mut self, wire: &[u8]) -> Result<(), DropReason> {
        let result = match wire[0] {
            0..=3 => self.server.handle_stun(path(CLIENT), wire, self.now).map(|_| ()),
            20..=63 => self.server.handle_dtls(path(CLIENT), wire, self.now),
            _ => {
                self.media.push(wire.to_vec());
                Ok(())
            }
        };
        self.drain_server();
        result
    }

    fn deliver_to_client(&mut self, wire: &[u8]) {
        let datagram = Receive::new(Protocol::Udp, address(SERVER), address(CLIENT), wire).unwrap();
        self.client.handle_input(Input::Receive(self.now, datagram)).unwrap();
    }

    /// One step of time; `alter` sees each STUN and DTLS datagram of the client and says what arrives.
    fn step_altered(&mut self, alter: &mut impl FnMut(&mut Pair, Wire) -> Vec<Wire>) {
        self.now += STEP;
        self.client.handle_input(Input::Timeout(self.now)).unwrap();
        self.server.expire(self.now);
        self.drain_server();
        for wire in self.drain_client() {
            if !(128..=191).contains(&wire[0]) {
                self.sent.push(wire.clone());
            }
            for wire in alter(self, wire) {
                let _ = self.deliver_to_server(&wire);
            }
        }
        for wire in std::mem::take(&mut self.to_client) {
            self.deliver_to_client(&wire);
        }
    }

    fn step(&mut self) {
        self.step_altered(&mut |_, wire| vec![wire]);
    }

    fn run_altered(&mut self, time: Duration, mut alter: impl FnMut(&mut Pair, Wire) -> Vec<Wire>) {
        let end = self.now + time;
        while self.now < end && !(self.server.is_connected() && self.client.is_connected()) {
            self.step_altered(&mut alter);
        }
    }

    #[track_caller]
    fn connect(mut self) -> Self {
        self.run_altered(Duration::from_secs(5), |_, wire| vec![wire]);
        self.check_connected();
        self
    }

    #[track_caller]
    fn check_connected(&self) {
        assert!(self.server.is_connected() && self.client.is_connected());
        assert_eq!(self.server_events, [TransportEvent::Connected]);
        assert_eq!(self.server.srtp_profile(), Some("SRTP_AEAD_AES_256_GCM"));
        assert_eq!(self.server.nominated(), Some(path(CLIENT)));
    }

    /// Lets the client send one packet and gives back what the server opens.
    fn publish(&mut self, sequence_number: u64, payload: &[u8]) -> Result<(u64, Vec<u8>), DropReason> {
        self.media.clear();
        let format = self.server.description().sections[0].formats[0];
        let pt = format.payload_type.0.into();
        let write = RtpWrite::new(pt, sequence_number.into(), 90, self.now, payload.to_vec());
        self.client.direct_api().stream_tx_by_mid(self.mid, None).unwrap().write_rtp(write);
        self.step();
        let packet = self.media.iter().find(|wire| wire[1] & 0x7f == format.payload_type.0).unwrap().clone();
        let mut opened = vec![0; 1500];
        let result = self.server.open_rtp(&packet, &header(&packet), &mut opened, self.now)?;
        opened.truncate(result.payload_len);
        Ok((result.index, opened))
    }
}

/// What the engine would have parsed.
fn header(packet: &[u8]) -> RtpHeader {
    let mut len = 12 + 4 * usize::from(packet[0] & 15);
    if packet[0] & 0x10 != 0 {
        len += 4 + 4 * usize::from(u16::from_be_bytes([packet[len + 2], packet[len + 3]]));
    }
    RtpHeader {
        marker: packet[1] & 0x80 != 0,
        has_padding: packet[0] & 0x20 != 0,
        payload_type: PayloadType(packet[1] & 0x7f),
        sequence_number: u16::from_be_bytes([packet[2], packet[3]]),
        timestamp: 0,
        ssrc: Ssrc(u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]])),
        extension: None,
        len,
    }
}

/// Walks the records of a DTLS datagram: calls `edit` with each.
fn edit_records(wire: &mut [u8], mut edit: impl FnMut(&mut [u8])) {
    let mut at = 0;
    while at + 13 <= wire.len() {
        let len = 13 + usize::from(u16::from_be_bytes([wire[at + 11], wire[at + 12]]));
        edit(&mut wire[at..at + len]);
        at += len;
    }
}

fn is_client_hello(wire: &[u8]) -> bool {
    wire[0] == 22 && wire.get(13) == Some(&1)
}

#[test]
fn a_publisher_connects_and_its_media_opens() {
    let mut pair = Pair::publisher().connect();
    assert_eq!(pair.publish(7, b"first"), Ok((7, b"first".to_vec())));
    assert_eq!(pair.publish(8, b"second"), Ok((8, b"second".to_vec())));
    for _ in 0..400 {
        pair.step();
        for packet in std::mem::take(&mut pair.media) {
            if (64..96).contains(&(packet[1] & 0x7f)) {
                let mut plain = [0; 1500];
                let len = pair.server.open_rtcp(&packet, &mut plain, pair.now).unwrap();
                assert!(len >= 8 && plain[0] >> 6 == 2);
                assert_eq!(pair.server.open_rtcp(&packet, &mut plain, pair.now), Err(DropReason::Replayed));
                return;
            }
        }
    }
    panic!("no RTCP came");
}

#[test]
fn a_subscriber_connects_and_gets_what_is_sealed() {
    let mut pair = Pair::new(Direction::RecvOnly, |offer| offer).connect();
    let section = pair.server.description().sections[0].clone();
    let description::SectionRole::Egress { ssrc, .. } = section.role else { panic!() };
    let mut packet = [0; 200];
    packet[..4].copy_from_slice(&[0x80, section.formats[0].payload_type.0, 0, 9]);
    packet[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
    let mut copied = packet;
    packet[12..20].copy_from_slice(b"in place");
    let len = pair.server.seal_rtp(&mut packet, 12, 8, ssrc, 9);
    assert_eq!(len, 12 + 8 + 16);
    pair.deliver_to_client(&packet[..len]);
    pair.drain_client();
    copied[3] = 10;
    let len = pair.server.seal_rtp_from(&mut copied, 12, b"elsewhere", ssrc, 10);
    pair.deliver_to_client(&copied[..len]);
    pair.drain_client();
    let got: Vec<_> = pair
        .client_events
        .iter()
        .filter_map(|event| match event {
            Event::RtpPacket(packet) => Some((packet.header.sequence_number, packet.payload.to_vec())),
            _ => None,
        })
        .collect();
    assert_eq!(got, [(9, b"in place".to_vec()), (10, b"elsewhere".to_vec())]);
}

#[test]
fn an_offer_that_wants_to_be_the_server_is_called_by_us() {
    let passive = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    let mut pair = Pair::new(Direction::SendOnly, passive).connect();
    assert!(!pair.sent.iter().any(|wire| is_client_hello(wire)));
    assert_eq!(pair.publish(7, b"media"), Ok((7, b"media".to_vec())));
    let hello = [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 12, 1][..], &[0; 11]].concat();
    assert_eq!(pair.deliver_to_server(&hello), Err(DropReason::UnexpectedClientHello));
}

/// FFmpeg takes the first one as a sign to begin, and then waits for one to read.
#[test]
fn a_peer_that_loses_our_first_client_hello_soon_gets_another() {
    let passive = |offer: String| offer.replace("a=setup:actpass", "a=setup:passive");
    let mut pair = Pair::new(Direction::SendOnly, passive);
    let (started, mut lost) = (pair.now, 0);
    pair.run_altered(Duration::from_secs(5), |pair, wire| {
        let _ = pair.deliver_to_server(&wire);
        if lost == 0 {
            lost = pair.to_client.extract_if(.., |wire| is_client_hello(wire)).count();
        }
        Vec::new()
    });
    assert_eq!(lost, 1);
    pair.check_connected();
    let took = pair.now - started;
    assert!(took > HANDSHAKE_RETRY_AFTER / 2 && took < HANDSHAKE_RETRY_AFTER * 2, "{took:?}");
}

#[test]
fn a_client_hello_in_two_fragments_connects() {
    let mut pair = Pair::publisher();
    let mut fragmented = 0;
    pair.run_altered(Duration::from_secs(5), |_, mut wire| {
        if wire[0] < 20 || wire[0] > 63 {
            return vec![wire];
        }
        if !is_client_hello(&wire) {
            // The second fragment has taken a record number.
            edit_records(&mut wire, |record| {
                if record[3..5] == [0, 0] {
                    record[10] += 1;
                }
            });
            return vec![wire];
        }
        fragmented += 1;
        let (head, body) = wire.split_at(25);
        let fragment = |from: usize, to: usize, record: u8| {
            let mut bytes = head.to_vec();
            bytes[10] += record;
            bytes[11..13].copy_from_slice(&((to - from + 12) as u16).to_be_bytes());
            bytes[20..22].copy_from_slice(&(from as u16).to_be_bytes());
            bytes[23..25].copy_from_slice(&((to - from) as u16).to_be_bytes());
            bytes.extend(&body[from..to]);
            bytes
        };
        vec![fragment(0, 60, 0), fragment(60, body.len(), 1)]
    });
    assert!(fragmented > 0);
    pair.check_connected();
}

#[test]
fn a_wrong_fingerprint_never_connects_and_its_media_is_refused() {
    let wrong = |offer: String| {
        let at = offer.find("sha-256 ").unwrap() + 8;
        let digit = if &offer[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &offer[..at], &offer[at + 1..])
    };
    let mut pair = Pair::new(Direction::SendOnly, wrong);
    for _ in 0..1_000 {
        pair.step();
        assert!(!pair.server.is_connected());
    }
    assert_eq!(pair.server_events, [TransportEvent::Closed(CloseReason::HandshakeFailed)]);
    let mut packet = [0x80; 100];
    let mut plain = [0; 100];
    let header = header(&rtp_like());
    assert_eq!(pair.server.open_rtp(&packet, &header, &mut plain, pair.now), Err(DropReason::NotConnected));
    assert_eq!(pair.server.open_rtcp(&packet, &mut plain, pair.now), Err(DropReason::NotConnected));
    assert_eq!(pair.server.seal_rtp(&mut packet, 12, 50, Ssrc(1), 1), 0);
    assert_eq!(pair.server.seal_rtcp(&mut packet, 50), 0);
}

fn rtp_like() -> Vec<u8> {
    [&[0x80, 96][..], &[0; 98]].concat()
}

#[test]
fn a_stranger_reaches_neither_the_handshake_nor_the_media() {
    let mut pair = Pair::publisher();
    let mut attacks = 0;
    pair.run_altered(Duration::from_secs(5), |pair, wire| {
        if is_client_hello(&wire) {
            let mut forged = wire.clone();
            forged[40] ^= 0xff;
            let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
            for attack in [&forged[..], &alert[..]] {
                let result = pair.server.handle_dtls(path("192.0.2.66:666"), attack, pair.now);
                assert_eq!(result, Err(DropReason::UnknownAddress));
                assert!(pair.server.poll_transmit().is_none(), "a stranger gets no reply");
                attacks += 1;
            }
        }
        vec![wire]
    });
    assert!(attacks > 0);
    pair.check_connected();
}

#[test]
fn a_forger_of_the_peers_address_cannot_stop_a_handshake_that_has_begun() {
    let mut pair = Pair::publisher();
    let mut refused = Vec::new();
    pair.run_altered(Duration::from_secs(5), |pair, wire| {
        if (20..=63).contains(&wire[0]) {
            pair.deliver_to_server(&wire).unwrap();
            let mut hello = pair.sent.iter().find(|wire| is_client_hello(wire)).unwrap().clone();
            hello[40] ^= 0xff;
            let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
            for attack in [&hello[..], &alert[..], &[22, 254, 253, 0][..], &[22; 60][..]] {
                refused.extend(pair.deliver_to_server(attack).err());
            }
            return Vec::new();
        }
        vec![wire]
    });
    assert!(
        refused.contains(&DropReason::UnexpectedClientHello) && refused.contains(&DropReason::DtlsRefused)
    );
    assert_eq!(refused.len() % 4, 0, "every attack was refused");
    pair.check_connected();
    for attack in pair.sent.clone().into_iter().filter(|wire| is_client_hello(wire)) {
        let mut attack = attack;
        attack[40] ^= 0xff;
        assert_eq!(pair.deliver_to_server(&attack), Err(DropReason::UnexpectedClientHello));
    }
    assert!(pair.publish(7, b"still here").is_ok());
}

#[test]
fn a_handshake_has_a_size() {
    let mut pair = Pair::publisher();
    let mut first = None;
    pair.run_altered(Duration::from_secs(5), |_, wire| {
        if is_client_hello(&wire) {
            first = Some(wire);
            return Vec::new();
        }
        vec![wire]
    });
    let hello = first.unwrap();
    let mut results = (0..HANDSHAKE_BYTES_MAX / hello.len() + 1).map(|_| pair.deliver_to_server(&hello));
    assert_eq!(results.by_ref().last(), Some(Err(DropReason::HandshakeTooLong)));
}

#[test]
fn bad_srtp_is_counted_and_closes_nothing() {
    let mut pair = Pair::publisher().connect();
    let forged = rtp_like();
    let mut plain = [0; 1500];
    for _ in 0..1_000 {
        let result = pair.server.open_rtp(&forged, &header(&forged), &mut plain, pair.now);
        assert_eq!(result, Err(DropReason::AuthenticationFailed));
    }
    assert!(pair.publish(7, b"still here").is_ok());
}

#[test]
fn a_peer_that_moves_is_followed() {
    let mut pair = Pair::publisher().connect();
    let moved = path("198.51.100.9:9000");
    let last = pair.sent.iter().rfind(|wire| wire[0] == 0).unwrap().clone();
    pair.server.handle_stun(moved, &last, pair.now).unwrap();
    assert_eq!(pair.server.nominated(), Some(moved));
    pair.server.close(pair.now);
    let last = std::iter::from_fn(|| pair.server.poll_transmit()).last().unwrap();
    assert_eq!((last.path, last.bytes[0]), (moved, 21), "close_notify goes to the new address");
}

#[test]
fn a_peer_that_never_comes_is_let_go() {
    let mut pair = Pair::publisher();
    let start = pair.now;
    let mut wakeups = 0;
    while pair.server_events.is_empty() {
        pair.server.expire(pair.server.next_deadline());
        pair.drain_server();
        wakeups += 1;
        assert!(wakeups < 100, "it wakes too often");
    }
    assert_eq!(pair.server_events, [TransportEvent::Closed(CloseReason::ConnectTimedOut)]);
    assert!(pair.server.next_deadline() > start + CONNECT_TIMEOUT);
}

#[test]
fn consent_ends_thirty_seconds_after_the_last_authenticated_packet() {
    let mut pair = Pair::publisher().connect();
    pair.step();
    pair.now += Duration::from_secs(20);
    let heard_at = pair.now + STEP;
    // The client's own timers have run meanwhile, so its media is what keeps the consent.
    let (mut plain, before) = ([0; 1500], pair.server.next_deadline());
    assert!(before <= pair.now + CONSENT_TIMEOUT);
    assert!(pair.publish(7, b"media").is_ok());
    assert!(pair.server.open_rtp(&rtp_like(), &header(&rtp_like()), &mut plain, heard_at + STEP).is_err());
    let mut wakeups = 0;
    while pair.server.is_connected() {
        let now = pair.server.next_deadline();
        pair.server.expire(now);
        pair.now = now;
        wakeups += 1;
        assert!(wakeups < 60, "it wakes too often");
    }
    assert_eq!(pair.now, heard_at + CONSENT_TIMEOUT);
    pair.drain_server();
    assert_eq!(pair.server_events.last(), Some(&TransportEvent::Closed(CloseReason::ConsentExpired)));
    assert!(pair.to_client.is_empty(), "nothing is sent without consent");
}

#[test]
fn either_side_can_say_goodbye() {
    let mut pair = Pair::publisher().connect();
    pair.server.close(pair.now);
    pair.drain_server();
    assert_eq!(pair.server_events.last(), Some(&TransportEvent::Closed(CloseReason::Requested)));
    assert!(!pair.server.is_connected());
    pair.step();
    pair.step();
    assert!(pair.client_events.iter().any(|event| matches!(event, Event::Closed)));

    let mut pair = Pair::publisher().connect();
    pair.client.close().unwrap();
    pair.step();
    pair.step();
    assert_eq!(pair.server_events.last(), Some(&TransportEvent::Closed(CloseReason::PeerLeft)));
    assert_eq!(pair.server_events.len(), 2, "it is over once");
}

/// `cargo test -p dataplane memory -- --ignored --nocapture`: resident bytes of a connected, idle transport.
#[test]
#[ignore = "a measurement"]
fn memory_of_an_idle_transport() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    let connect = || Pair::new(Direction::RecvOnly, |offer| offer).connect().server;
    let mut kept: Vec<Box<Transport>> = (0..50).map(|_| connect()).collect();
    let before = resident();
    kept.extend((0..500).map(|_| connect()));
    println!("{:.1} KB each, {} bytes inline", (resident() - before) / 500.0, size_of::<Transport>());
}
