//! What strangers send changes nothing (docs/SECURITY.md T1 to T4).

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::counters::DropReason;
use dataplane::transport::negotiate::PeerRole;
use harness::world::client_address;

use crate::sealed::Room;

/// A DTLS 1.2 record with a ClientHello that offers a NULL cipher (T1).
fn client_hello() -> Vec<u8> {
    let body = [&[0xfe, 0xfd][..], &[0x42; 32], &[0, 0, 0, 2, 0x00, 0x3b, 1, 0]].concat();
    let len = body.len() as u8;
    let handshake = [&[1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len][..], &body].concat();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, handshake.len() as u8][..], &handshake].concat()
}

/// A fatal alert in the clear.
fn fatal_alert() -> Vec<u8> {
    vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40]
}

fn rtp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0x12, 0x34, 0, 0, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.resize(200, 0x77);
    packet
}

fn rtcp_bye(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 203, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0; 24]);
    packet
}

fn stranger() -> SocketAddr {
    "10.66.6.6:6666".parse().unwrap()
}

#[test]
fn hellos_and_alerts_of_strangers_do_not_disturb_a_handshake() {
    let mut room = Room::new(20);
    let joining = room.try_join(PeerRole::Publisher, |offer| offer).unwrap();
    let start = room.world.now;
    while !room.world.clients[joining].is_connected {
        room.world.inject(stranger(), &client_hello());
        room.world.inject(stranger(), &fatal_alert());
        room.world.run_for(Duration::from_millis(5));
        assert!(room.world.now < start + Duration::from_secs(2), "the handshake was disturbed");
    }
    assert!(room.world.dropped(DropReason::UnknownAddress) > 0);
}

#[test]
fn media_of_strangers_changes_nothing() {
    let mut room = Room::new(21);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    for ssrc in 0..200 {
        room.world.inject(stranger(), &rtp(ssrc));
        room.world.inject(stranger(), &rtcp_bye(ssrc));
    }
    room.publish(publisher, Duration::from_secs(1));
    assert_eq!(room.world.dropped(DropReason::UnknownAddress), 400);
    assert!(room.world.clients[subscriber].received.len() > 60);
}

#[test]
fn forged_media_from_the_right_address_is_counted_and_the_call_goes_on() {
    let mut room = Room::new(22);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    room.publish(publisher, Duration::from_millis(500));
    for ssrc in 0..1_000 {
        room.world.inject(client_address(publisher), &rtp(ssrc));
        room.world.inject(client_address(publisher), &rtcp_bye(ssrc));
    }
    let before = room.world.clients[subscriber].received.len();
    room.publish(publisher, Duration::from_secs(1));
    let forged = room.world.dropped(DropReason::AuthenticationFailed);
    let limited = room.world.dropped(DropReason::TooMuchRtcp);
    assert_eq!(forged + limited, 2_000);
    assert_eq!(room.world.dropped(DropReason::TooManySsrcs), 0, "no context was made for them");
    let lost_none =
        room.world.clients[subscriber].received.windows(2).all(|p| p[1].number == p[0].number + 1);
    assert!(lost_none && room.world.clients[subscriber].received.len() > before + 60);
}

#[test]
fn a_binding_request_that_is_not_signed_moves_nobody() {
    let mut room = Room::new(23);
    let publisher = room.join(PeerRole::Publisher);
    let subscriber = room.join(PeerRole::Subscriber);
    let forged = [&[0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12]].concat();
    for _ in 0..50 {
        room.world.inject(stranger(), &forged);
    }
    room.publish(publisher, Duration::from_secs(1));
    assert_eq!(room.world.dropped(DropReason::MalformedStun), 50);
    assert!(room.world.clients[subscriber].received.len() > 60);
}
