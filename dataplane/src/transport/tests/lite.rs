//! ICE-lite and the replayed world: no str0m peer is needed to see them at work.

use is::stun::{StunMessage, TransId};

use super::*;
use crate::limits::PATHS_PER_TRANSPORT_MAX;

fn request(ufrag: &str, password: &str, is_nominating: bool) -> Vec<u8> {
    let key = hmac_key(password);
    let username = format!("{ufrag}:peer");
    let mut bytes = vec![0; 256];
    let len = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, is_nominating)
        .to_bytes(Some(password.as_bytes()), &mut bytes, |_, parts| stun::sign(&key, parts))
        .unwrap();
    bytes.truncate(len);
    bytes
}

fn hmac_key(password: &str) -> aws_lc_rs::hmac::Key {
    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

fn replay(now: Instant) -> Transport {
    Transport::replay(Description::default(), "ufrag", "password", now)
}

#[test]
fn forged_stun_changes_nothing() {
    let now = Instant::now();
    let mut transport = replay(now);
    let genuine = request("ufrag", "password", true);
    let mut check = |bytes: &[u8], reason| {
        assert_eq!(transport.handle_stun(path(CLIENT), bytes, now), Err(reason));
        assert!(transport.paths().is_empty() && transport.nominated().is_none() && !transport.is_connected());
        assert!(transport.poll_transmit().is_none() && transport.poll_event().is_none());
    };
    check(&request("ufrag", "other password", true), DropReason::StunIntegrity);
    check(&request("other", "password", true), DropReason::UnknownUfrag);
    for len in 0..genuine.len() {
        check(&genuine[..len], DropReason::MalformedStun);
    }
    // All but the FINGERPRINT, which nobody needs where MESSAGE-INTEGRITY is.
    for at in 20..genuine.len() - 8 {
        let mut forged = genuine.clone();
        forged[at] ^= 0x41;
        assert!(transport.handle_stun(path(CLIENT), &forged, now).is_err(), "byte {at}");
        assert!(transport.paths().is_empty() && transport.poll_transmit().is_none());
    }
    assert_eq!(transport.handle_stun(path(CLIENT), &genuine, now).unwrap().added, Some(path(CLIENT)));
}

#[test]
fn a_request_is_answered_with_its_address_and_less_than_half_as_much_again() {
    let now = Instant::now();
    for remote in [CLIENT, "[2001:db8::1]:1000"] {
        let mut transport = replay(now);
        let bytes = request("ufrag", "password", true);
        transport.handle_stun(path(remote), &bytes, now).unwrap();
        let response = transport.poll_transmit().unwrap();
        assert_eq!(response.path, path(remote));
        assert!(response.bytes.len() * 2 <= bytes.len() * 3);
        let message = StunMessage::parse(&response.bytes).unwrap();
        assert!(message.is_successful_binding_response());
        assert_eq!(message.trans_id(), StunMessage::parse(&bytes).unwrap().trans_id());
        assert_eq!(message.mapped_address(), Some(address(remote)));
        let key = hmac_key("password");
        assert!(message.verify(b"password", |_, parts| stun::sign(&key, parts)));
    }
}

#[test]
fn a_request_without_priority_is_taken_as_ffmpeg_sends_it() {
    let now = Instant::now();
    let mut transport = replay(now);
    // USERNAME "ufrag:ffmpegs!", USE-CANDIDATE, MESSAGE-INTEGRITY.
    let mut bytes = vec![0, 1, 0, 48, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend([7; 12]);
    bytes.extend([0, 6, 0, 13]);
    bytes.extend(b"ufrag:ffmpegs\0\0\0");
    bytes.extend([0, 0x25, 0, 0]);
    let tag = stun::sign(&hmac_key("password"), &[&bytes]);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(tag);
    assert_eq!(transport.handle_stun(path(CLIENT), &bytes, now).unwrap().added, Some(path(CLIENT)));
    assert_eq!(transport.nominated(), Some(path(CLIENT)));
}

#[test]
fn paths_are_bounded_and_the_nominated_one_stays() {
    let mut now = Instant::now();
    let mut transport = replay(now);
    let mut send = |port: usize, is_nominating| {
        now += STEP;
        let bytes = request("ufrag", "password", is_nominating);
        let change = transport.handle_stun(path(&format!("198.51.100.1:{port}")), &bytes, now).unwrap();
        (change, transport.nominated().unwrap().remote.port(), transport.paths().len())
    };
    assert_eq!(send(1, false).1, 1, "before any nomination, the first path");
    assert_eq!(send(2, true).1, 2);
    for port in 3..=PATHS_PER_TRANSPORT_MAX {
        assert_eq!(send(port, false).0.removed, None);
    }
    let (change, nominated, count) = send(100, false);
    assert_eq!(change.removed, Some(path("198.51.100.1:1")));
    assert_eq!((nominated, count), (2, PATHS_PER_TRANSPORT_MAX));
    let (change, nominated, _) = send(101, true);
    assert_eq!(change.removed, Some(path("198.51.100.1:3")), "2 was still nominated");
    assert_eq!(nominated, 101);
    let known = PathChange { added: Some(path("198.51.100.1:2")), removed: None };
    assert_eq!(send(2, true), (known, 2, PATHS_PER_TRANSPORT_MAX));
}

#[test]
fn a_replayed_world_connects_by_stun_and_copies_payloads() {
    let now = Instant::now();
    let mut transport = replay(now);
    transport.handle_stun(path(CLIENT), &request("ufrag", "password", true), now).unwrap();
    assert_eq!(transport.poll_event(), Some(TransportEvent::Connected));
    let packet = [&rtp_like()[..12], b"payload"].concat();
    let mut plain = [0; 100];
    let opened = transport.open_rtp(&packet, &header(&packet), &mut plain, now).unwrap();
    assert_eq!((opened.index, &plain[..opened.payload_len]), (0, &b"payload"[..]));
    let again = transport.open_rtp(&packet, &header(&packet), &mut plain, now);
    assert_eq!(again, Err(DropReason::Replayed));
    let mut sealed = packet.clone();
    assert_eq!(transport.seal_rtp(&mut sealed, 12, 7, Ssrc(1), 5), packet.len());
    assert_eq!(sealed, packet);
    let mut report = [0x80, 201, 0, 1, 1, 2, 3, 4];
    assert_eq!(transport.seal_rtcp(&mut report, 8), 8);
    assert_eq!(transport.open_rtcp(&report, &mut plain, now), Ok(8));
    assert_eq!(plain[..8], report);
}
