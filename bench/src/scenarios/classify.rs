//! Telling RTP, RTCP, STUN and DTLS apart: the first thing that happens to a datagram.
//!
//! The mix is that of a forwarder with subscribers: mostly media, some feedback, little of the rest.
#![forbid(unsafe_code)]

use dataplane::wire::classify::{Protocol, classify};

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "classify",
    question: "What does it cost to tell what a datagram is?",
    parameters: &[Parameter {
        name: "datagrams",
        help: "Datagrams that are looked at",
        sizes: Sizes::Numbers { smoke: &[256], full: &[50_000_000], max: 10_000_000_000 },
    }],
    figures: &[&[Figure {
        name: "classify",
        unit: "ns",
        better: Better::Lower,
        digits: Some(2),
        meaning: "CPU time per datagram",
    }]],
    charts: &[],
    work: Work::Pure(play),
};

/// First two bytes of a datagram, and how often it occurs among 64.
const MIX: [([u8; 2], usize); 5] =
    [([0x90, 96], 48), ([0x80, 206], 10), ([0x81, 201], 4), ([0, 1], 1), ([22, 254], 1)];

fn play(bench: &mut Bench) {
    let count = bench.number("datagrams");
    let mut datagrams: Vec<[u8; 64]> = Vec::new();
    for (head, times) in MIX {
        for _ in 0..times {
            let mut datagram = [0; 64];
            datagram[..2].copy_from_slice(&head);
            datagrams.push(datagram);
        }
    }
    // Shuffled by a stride that has no factor in common with the length.
    let order: Vec<usize> = (0..datagrams.len()).map(|at| at * 37 % datagrams.len()).collect();

    let elapsed = bench.measure(|| {
        let mut seen = [0u64; 5];
        for number in 0..count as usize {
            let datagram = &datagrams[order[number % order.len()]];
            let kind = match classify(std::hint::black_box(datagram)) {
                Ok(Protocol::Rtp) => 0,
                Ok(Protocol::Rtcp) => 1,
                Ok(Protocol::Stun) => 2,
                Ok(Protocol::Dtls) => 3,
                Err(_) => 4,
            };
            seen[kind] += 1;
        }
        seen.into_iter().fold(0, fold)
    });
    bench.figure("classify", elapsed.as_nanos() as f64 / count as f64);
}
