#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::REPLAY_WINDOW_LEN;

const SSRC: Ssrc = Ssrc(0x5501_a0b2);
const GALLIA: &str = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e697320646976697361\
                      20696e207061727465732074726573";
const SENDER_REPORT: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                             deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const SALT: &[u8; 12] = b"Quid pro quo";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn session(cipher: impl Fn() -> Cipher) -> (Sealer, Opener) {
    let streams = || Streams { rtp: cipher(), rtcp: cipher() };
    (Sealer { ciphers: streams(), rtcp_index: 0 }, Opener::new(streams()))
}

fn gcm(key_len: u8) -> (Sealer, Opener) {
    let key: Vec<u8> = (0..key_len).collect();
    session(|| Cipher::gcm(&key, *SALT).unwrap())
}

/// Two ends of one association.
fn pair(profile: SrtpProfile) -> (SrtpKeys, SrtpKeys) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let keys = |is_client| SrtpKeys::derive(profile, &material, is_client).unwrap();
    (keys(true), keys(false))
}

fn rtp(ssrc: Ssrc, sequence_number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(ssrc.0.to_be_bytes());
    packet.extend((0..100u8).map(|byte| byte ^ sequence_number as u8));
    packet
}

fn seal(sealer: &Sealer, ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mut packet = rtp(ssrc, index as u16);
    let plain_len = packet.len() - 12;
    packet.resize(packet.len() + sealer.rtp_growth(), 0);
    let len = sealer.seal_rtp(&mut packet, 12, plain_len, ssrc, index);
    assert_eq!(len, packet.len());
    packet
}

fn open(opener: &mut Opener, packet: &[u8]) -> Result<u64, DropReason> {
    let ssrc = Ssrc(read_u32(packet, 8));
    let sequence_number = u16::from_be_bytes([packet[2], packet[3]]);
    let mut payload = [0; 1500];
    let opened = opener.open_rtp(packet, 12, ssrc, sequence_number, &mut payload)?;
    assert_eq!(payload[..opened.payload_len], rtp(ssrc, sequence_number)[12..]);
    Ok(opened.index)
}

#[track_caller]
fn check_rtp_vector((sealer, mut opener): (Sealer, Opener), sealed: &str) {
    let plain = hex(GALLIA);
    let index = 0xf17b;
    let mut packet = plain.clone();
    packet.resize(plain.len() + 16, 0);
    assert_eq!(sealer.seal_rtp(&mut packet, 12, plain.len() - 12, SSRC, index), packet.len());
    assert_eq!(packet, hex(sealed));

    let mut from_elsewhere = [&plain[..12], &[0; 64]].concat();
    let len = sealer.seal_rtp_from(&mut from_elsewhere, 12, &plain[12..], SSRC, index);
    assert_eq!(from_elsewhere[..len], packet);

    let mut payload = vec![0; plain.len() - 12];
    let opened = opener.open_rtp(&packet, 12, SSRC, 0xf17b, &mut payload).unwrap();
    assert_eq!(opened, Opened { index, payload_len: plain.len() - 12 });
    assert_eq!(payload, plain[12..]);
}

#[test]
fn aes_128_gcm_seals_and_opens_as_rfc_7714_section_16_1_says() {
    check_rtp_vector(
        gcm(16),
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
         51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    );
}

#[test]
fn aes_256_gcm_seals_and_opens_as_rfc_7714_section_16_2_says() {
    check_rtp_vector(
        gcm(32),
        "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02\
         76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
}

#[test]
fn srtcp_is_sealed_and_opened_as_rfc_7714_section_17_1_says() {
    let sealed = hex("81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
         4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4");
    let (mut sealer, mut opener) = gcm(16);
    sealer.rtcp_index = 0x5d4;
    let plain = hex(SENDER_REPORT);
    let mut packet = plain.clone();
    packet.resize(plain.len() + sealer.rtcp_growth(), 0);
    assert_eq!(sealer.seal_rtcp(&mut packet, plain.len()), sealed.len());
    assert_eq!(packet, sealed);

    let mut opened = [0; 200];
    assert_eq!(opener.open_rtcp(&sealed, &mut opened), Ok(plain.len()));
    assert_eq!(opened[..plain.len()], plain);
    assert_eq!(opener.open_rtcp(&sealed, &mut opened), Err(DropReason::Replayed));
}

#[test]
fn rtcp_that_is_only_authenticated_is_refused() {
    let tagged = [hex(SENDER_REPORT), hex("841dd9683dd78ec92ae58790125f62b3000005d4")].concat();
    assert_eq!(gcm(16).1.open_rtcp(&tagged, &mut [0; 200]), Err(DropReason::AuthenticationFailed));
}

#[test]
fn session_keys_are_derived_as_rfc_3711_appendix_b_3_says() {
    let key = hex("e1f97a0d3e018be0d64fa32c06de4139");
    let salt = hex("0ec675ad498afeebb6960b3aabe6");
    let derive = |label, len| {
        let mut out = vec![0xff; len];
        kdf::derive(&key, &salt, label, &mut out).unwrap();
        out
    };
    assert_eq!(derive(0, 16), hex("c61e7a93744f39ee10734afe3ff7a087"));
    assert_eq!(derive(2, 14), hex("30cbbc08863d8c85d49db34a9ae1"));
    assert_eq!(derive(1, 20), hex("cebe321f6ff7716b6fd4ab49af256a156d38baa4"));
}

#[test]
fn counter_mode_makes_the_key_stream_of_rfc_3711_appendix_b_2() {
    let salt: [u8; 14] = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
    let cipher = || Cipher::counter_mode(&hex("2b7e151628aed2a6abf7158809cf4f3c"), salt, &[0; 20]).unwrap();
    let (sealer, _) = session(cipher);
    let mut packet = [0; 12 + 48 + 10];
    assert_eq!(sealer.seal_rtp(&mut packet, 12, 48, Ssrc(0), 0), packet.len());
    assert_eq!(
        packet[12..60],
        hex(
            "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0"
        )
    );
}

#[test]
fn each_profile_carries_rtp_and_rtcp_both_ways() {
    for profile in SrtpProfile::ALL {
        let (mut client, mut server) = pair(profile);
        assert_eq!(open(&mut server.opener, &seal(&client.sealer, SSRC, 7)), Ok(7), "{profile:?}");
        assert_eq!(open(&mut client.opener, &seal(&server.sealer, SSRC, 7)), Ok(7), "{profile:?}");
        let echoed = seal(&client.sealer, SSRC, 8);
        assert_eq!(open(&mut client.opener, &echoed), Err(DropReason::AuthenticationFailed), "{profile:?}");

        let report = hex(SENDER_REPORT);
        for _ in 0..2 {
            let mut packet = report.clone();
            packet.resize(report.len() + client.sealer.rtcp_growth(), 0);
            let len = client.sealer.seal_rtcp(&mut packet, report.len());
            let mut plain = [0; 200];
            assert_eq!(server.opener.open_rtcp(&packet[..len], &mut plain), Ok(report.len()), "{profile:?}");
            assert_eq!(plain[..report.len()], report);
            assert_eq!(server.opener.open_rtcp(&packet[..len], &mut plain), Err(DropReason::Replayed));
        }
    }
}

#[test]
fn the_rollover_counter_survives_loss_reordering_and_two_wraps() {
    for profile in SrtpProfile::ALL {
        let (client, mut server) = pair(profile);
        let mut check = |index: u64, expected: Result<u64, DropReason>| {
            assert_eq!(
                open(&mut server.opener, &seal(&client.sealer, SSRC, index)),
                expected,
                "{profile:?} {index}"
            );
        };
        for index in [65_530, 65_533, 65_537, 65_535, 65_534, 65_536, 65_540] {
            check(index, Ok(index));
        }
        check(65_535, Err(DropReason::Replayed));
        // A late packet from before the wrap does not set the counter back.
        check(65_532, Ok(65_532));
        check(65_541, Ok(65_541));
        // 30,000 lost packets at a time are still less than half of the number space.
        for index in [95_000, 125_000, 131_071, 131_073, 131_070, 131_072, 160_000, 190_000, 196_700] {
            check(index, Ok(index));
        }
        check(196_700 - REPLAY_WINDOW_LEN as u64, Err(DropReason::Replayed));
    }
}

#[test]
fn a_forged_packet_moves_nothing() {
    for profile in SrtpProfile::ALL {
        let (client, mut server) = pair(profile);
        assert_eq!(open(&mut server.opener, &seal(&client.sealer, SSRC, 100)), Ok(100));
        for index in [101, 20_000, 32_000] {
            let mut forged = seal(&client.sealer, SSRC, index);
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(open(&mut server.opener, &forged), Err(DropReason::AuthenticationFailed));
        }
        assert_eq!(open(&mut server.opener, &seal(&client.sealer, SSRC, 101)), Ok(101));
        assert_eq!(open(&mut server.opener, &seal(&client.sealer, SSRC, 99)), Ok(99));
    }
}

#[test]
fn every_bit_of_a_packet_is_authenticated() {
    for profile in SrtpProfile::ALL {
        let (client, mut server) = pair(profile);
        let sealed = seal(&client.sealer, SSRC, 100);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&mut server.opener, &forged), Err(DropReason::AuthenticationFailed), "bit {bit}");
        }
    }
}

#[test]
fn only_authenticated_sources_get_a_context_and_their_number_is_bounded() {
    let (client, mut server) = pair(SrtpProfile::AeadAes128Gcm);
    for ssrc in 0..1_000 {
        let mut forged = seal(&client.sealer, Ssrc(ssrc), 1);
        forged[20] ^= 1;
        assert_eq!(open(&mut server.opener, &forged), Err(DropReason::AuthenticationFailed));
    }
    let end = INGRESS_SSRCS_PER_TRANSPORT_MAX as u32;
    for ssrc in 0..end {
        assert_eq!(open(&mut server.opener, &seal(&client.sealer, Ssrc(ssrc), 1)), Ok(1));
    }
    assert_eq!(open(&mut server.opener, &seal(&client.sealer, Ssrc(end), 1)), Err(DropReason::TooManySsrcs));
    assert_eq!(open(&mut server.opener, &seal(&client.sealer, Ssrc(end - 1), 2)), Ok(2));
}

#[test]
fn packets_of_any_length_are_refused_without_a_panic() {
    for profile in SrtpProfile::ALL {
        let (client, mut server) = pair(profile);
        let sealed = seal(&client.sealer, SSRC, 1);
        let mut payload = [0; 1500];
        for len in 0..sealed.len() {
            assert!(server.opener.open_rtp(&sealed[..len], 12, SSRC, 1, &mut payload).is_err());
            assert!(server.opener.open_rtcp(&sealed[..len], &mut payload).is_err());
        }
        assert_eq!(
            server.opener.open_rtp(&sealed, 12, SSRC, 1, &mut payload[..50]),
            Err(DropReason::BadSize),
            "a small buffer is an error, not a panic"
        );
        assert!(server.opener.open_rtp(&sealed, usize::MAX, SSRC, 1, &mut payload).is_err());
    }
}

#[test]
fn a_key_that_has_sealed_all_its_srtcp_seals_no_more() {
    let (mut client, _) = pair(SrtpProfile::AeadAes128Gcm);
    client.sealer.rtcp_index = RTCP_INDEX_END - 1;
    let mut packet = [0; 100];
    assert_ne!(client.sealer.seal_rtcp(&mut packet, 32), 0);
    assert_eq!(client.sealer.seal_rtcp(&mut packet, 32), 0);
}

#[test]
fn keying_material_of_another_length_is_refused() {
    for profile in SrtpProfile::ALL {
        let material = vec![0; profile.keying_material_len() + 1];
        assert!(SrtpKeys::derive(profile, &material, true).is_none());
        assert!(SrtpKeys::derive(profile, &material[2..], true).is_none());
    }
}

/// `cargo test --release -p dataplane seal_cost -- --ignored --nocapture`: copy and seal in place against
/// sealing from the cache's slot into the send slab, 1100 bytes of payload.
#[test]
#[ignore = "a measurement"]
fn seal_cost() {
    const PACKETS: u64 = 200_000;
    const SLOTS: usize = 64;
    for profile in SrtpProfile::ALL {
        let (client, _) = pair(profile);
        let source = vec![[7u8; 1100]; SLOTS];
        let mut slab = vec![[0u8; 1628]; SLOTS];
        let mut best = [f64::MAX; 2];
        for round in 0..10u64 {
            for (way, best) in best.iter_mut().enumerate() {
                let start = std::time::Instant::now();
                for packet in 0..PACKETS {
                    let (plain, out) = (&source[packet as usize % SLOTS], &mut slab[packet as usize % SLOTS]);
                    let index = (round * 2 + way as u64) * PACKETS + packet;
                    if way == 0 {
                        out[20..1120].copy_from_slice(plain);
                        client.sealer.seal_rtp(out, 20, 1100, SSRC, index);
                    } else {
                        client.sealer.seal_rtp_from(out, 20, plain, SSRC, index);
                    }
                }
                *best = best.min(start.elapsed().as_nanos() as f64 / PACKETS as f64);
            }
        }
        println!("{}: copy + in place {:.0} ns, out of place {:.0} ns", profile.name(), best[0], best[1]);
    }
}
