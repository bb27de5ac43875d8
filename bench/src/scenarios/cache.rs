//! The packet cache of a track: what keeping a packet and finding it again cost.
//!
//! Every forwarded packet is kept once and found once per subscriber.
#![forbid(unsafe_code)]

use dataplane::limits::VIDEO_CACHE_LEN;
use dataplane::media::packet::{Packet, Source};
use dataplane::media::packet_cache::{CacheKey, PacketCache};

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "cache",
    question: "What does it cost to keep a packet, and to find it for a subscriber?",
    parameters: &[
        Parameter {
            name: "packets",
            help: "Packets that are kept",
            sizes: Sizes::Numbers { smoke: &[64], full: &[400_000], max: 100_000_000 },
        },
        Parameter {
            name: "subscribers",
            help: "How often each is found",
            sizes: Sizes::Numbers { smoke: &[3], full: &[50], max: 5000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "keep",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "CPU time of writing 1100 bytes into the vacant slot and keeping the packet",
        },
        Figure {
            name: "find",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "of finding a packet and its payload by its key",
        },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

const PAYLOAD_LEN: usize = 1100;

fn play(bench: &mut Bench) {
    let (packets, subscribers) = (bench.number("packets"), bench.number("subscribers"));
    let mut cache = PacketCache::new(VIDEO_CACHE_LEN);
    let payload = [7; PAYLOAD_LEN];
    let mut keys: Vec<CacheKey> = Vec::with_capacity(packets as usize);

    let keeping = bench.measure(|| {
        for index in 0..packets {
            cache.vacant_payload()[..PAYLOAD_LEN].copy_from_slice(&payload);
            keys.push(cache.commit(packet(index)));
        }
        keys.len() as u64
    });
    // Subscribers ask for what came just now.
    let newest = &keys[keys.len().saturating_sub(VIDEO_CACHE_LEN / 2)..];
    let finding = bench.measure(|| {
        let mut computed = 0;
        for number in 0..packets {
            let key = newest[number as usize % newest.len()];
            for _ in 0..subscribers {
                let found = cache.get(std::hint::black_box(key)).expect("it is among the newest");
                computed = fold(computed, found.0.index + u64::from(found.1[PAYLOAD_LEN - 1]));
            }
        }
        computed
    });
    bench.figure("keep", keeping.as_nanos() as f64 / packets as f64);
    bench.figure("find", finding.as_nanos() as f64 / (packets * subscribers) as f64);
}

fn packet(index: u64) -> Packet {
    Packet {
        source: Source { encoding: 0, epoch: 1 },
        index,
        timestamp: index as u32,
        marker: false,
        payload_len: PAYLOAD_LEN as u16,
        picture: Default::default(),
        carried: Default::default(),
        dependency_len: 0,
        is_recovered: false,
        received_at: None,
    }
}
