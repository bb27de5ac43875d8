//! Sealing and opening one packet of media, for each SRTP profile.
//!
//! Sealing reads the payload from elsewhere, as the forwarder does. Packets are of the size that video has.
#![forbid(unsafe_code)]

use dataplane::id::{PayloadType, Ssrc};
use dataplane::transport::srtp::{SrtpKeys, SrtpProfile};
use dataplane::wire::rtp::write_header;

use crate::scenario::{Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "srtp",
    question: "What do sealing and opening a packet cost, by SRTP profile?",
    parameters: &[
        Parameter {
            name: "profile",
            help: "SRTP protection profile",
            sizes: Sizes::Words { smoke: PROFILES, full: PROFILES, allowed: PROFILES },
        },
        Parameter {
            name: "bytes",
            help: "Bytes of one payload",
            sizes: Sizes::Numbers { smoke: &[100], full: &[100, 1100], max: 1400 },
        },
        Parameter {
            name: "packets",
            help: "Packets that are sealed, then opened",
            sizes: Sizes::Numbers { smoke: &[64], full: &[400_000], max: 100_000_000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "seal",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "CPU time of encrypting and signing one packet",
        },
        Figure {
            name: "open",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "of verifying and decrypting it, replay window included",
        },
    ]],
    charts: &[
        Chart {
            title: "Sealing a packet",
            shape: ChartShape::Bars { figures: &["seal"], whole: "seal", by: "profile" },
        },
        Chart {
            title: "Opening a packet",
            shape: ChartShape::Bars { figures: &["open"], whole: "open", by: "profile" },
        },
    ],
    work: Work::Pure(play),
};

const PROFILES: &[&str] = &["aes-128-gcm", "aes-256-gcm", "aes-128-cm-sha1-80"];
const SSRC: Ssrc = Ssrc(0x5eed);
/// Sealed packets that are kept at a time, so that memory stays small.
const CHUNK_LEN: u64 = 64;
const PACKET_BYTES_MAX: usize = 1500;

fn play(bench: &mut Bench) {
    let profile = match bench.word("profile") {
        "aes-256-gcm" => SrtpProfile::AeadAes256Gcm,
        "aes-128-cm-sha1-80" => SrtpProfile::Aes128CmHmacSha1_80,
        _ => SrtpProfile::AeadAes128Gcm,
    };
    let payload: Vec<u8> = (0..bench.number("bytes")).map(|at| at as u8).collect();
    let packets = bench.number("packets");
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let keys = |is_client| SrtpKeys::derive(profile, &material, is_client).expect("the length fits");
    let (ours, mut theirs) = (keys(true), keys(false));
    let mut sealed = vec![[0u8; PACKET_BYTES_MAX]; CHUNK_LEN as usize];
    let mut lens = vec![(0, 0); CHUNK_LEN as usize];
    let mut plain = [0; PACKET_BYTES_MAX];
    let (mut sealing, mut opening) = (std::time::Duration::ZERO, std::time::Duration::ZERO);

    for first in (0..packets).step_by(CHUNK_LEN as usize) {
        let chunk = first..packets.min(first + CHUNK_LEN);
        sealing += bench.measure(|| {
            for (index, (packet, len)) in chunk.clone().zip(sealed.iter_mut().zip(&mut lens)) {
                let header_len = write_header(packet, false, PayloadType(96), index as u16, 0, SSRC);
                *len = (header_len, ours.sealer.seal_rtp_from(packet, header_len, &payload, SSRC, index));
            }
            fold(u64::from(sealed[0][20]), u64::from(sealed[0][lens[0].1 - 1]))
        });
        opening += bench.measure(|| {
            let mut computed = 0;
            for (index, (packet, (header_len, len))) in chunk.zip(sealed.iter().zip(&lens)) {
                let opened =
                    theirs.opener.open_rtp(&packet[..*len], *header_len, SSRC, index as u16, &mut plain);
                let opened = opened.expect("what was sealed opens");
                computed = fold(computed, opened.index + u64::from(plain[opened.payload_len - 1]));
            }
            computed
        });
    }
    bench.figure("seal", sealing.as_nanos() as f64 / packets as f64);
    bench.figure("open", opening.as_nanos() as f64 / packets as f64);
}
