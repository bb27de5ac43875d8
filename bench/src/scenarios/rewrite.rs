//! Rewriting the VP8 payload descriptor, which every forwarded packet of a browser's VP8 needs.
//!
//! A packet is parsed once and rewritten for each subscriber, so the two are told apart.
#![forbid(unsafe_code)]

use dataplane::wire::vp8::{Descriptor, REWRITE_GROWTH_BYTES_MAX, Rewrite, rewrite};

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "rewrite",
    question: "What does it cost to parse and to rewrite a VP8 payload descriptor?",
    parameters: &[
        Parameter {
            name: "packets",
            help: "Packets that are parsed",
            sizes: Sizes::Numbers { smoke: &[64], full: &[200_000], max: 100_000_000 },
        },
        Parameter {
            name: "subscribers",
            help: "How often each is rewritten",
            sizes: Sizes::Numbers { smoke: &[3], full: &[50], max: 5000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "parse",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "CPU time of parsing the descriptor of one packet",
        },
        Figure {
            name: "rewrite",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "of writing it with other numbers for one subscriber",
        },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

/// X; I, L, T and K, as libwebrtc sends it: 6 bytes of descriptor.
const DESCRIPTOR_LEN: usize = 6;

fn play(bench: &mut Bench) {
    let (packets, subscribers) = (bench.number("packets"), bench.number("subscribers"));
    let payloads: Vec<[u8; 32]> = (0..packets.min(1 << 16)).map(payload).collect();
    let at = |packet: u64| &payloads[packet as usize % payloads.len()];

    let parsing = bench.measure(|| {
        (0..packets).fold(0, |computed, packet| {
            let descriptor = Descriptor::parse(at(packet)).expect("it is well formed");
            let picture_id = descriptor.picture_id.map_or(0, |id| id.value);
            computed + u64::from(picture_id) + descriptor.len as u64
        })
    });
    let descriptor = Descriptor::parse(at(0)).expect("it is well formed");
    let rewriting = bench.measure(|| {
        let mut out = [0; DESCRIPTOR_LEN + REWRITE_GROWTH_BYTES_MAX];
        let mut computed = 0;
        for packet in 0..packets {
            for subscriber in 0..subscribers {
                let values = Rewrite {
                    picture_id: (packet + subscriber) as u16,
                    tl0_picture_index: packet as u8,
                    key_index: subscriber as u8,
                };
                let len = rewrite(at(packet), &descriptor, &values, &mut out);
                computed = fold(computed, len as u64 + u64::from(out[3]));
            }
        }
        computed
    });
    bench.figure("parse", parsing.as_nanos() as f64 / packets as f64);
    bench.figure("rewrite", rewriting.as_nanos() as f64 / (packets * subscribers) as f64);
}

fn payload(packet: u64) -> [u8; 32] {
    let mut payload = [0; 32];
    let [high, low] = (0x8000 | (packet / 8) as u16 & 0x7fff).to_be_bytes();
    let start = u8::from(packet.is_multiple_of(8)) << 4;
    let temporal = ((packet % 3) as u8) << 6;
    payload[..DESCRIPTOR_LEN].copy_from_slice(&[0x80 | start, 0xf0, high, low, packet as u8, temporal]);
    payload[DESCRIPTOR_LEN] = 0x11;
    payload
}
