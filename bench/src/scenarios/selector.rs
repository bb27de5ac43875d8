//! One published camera in three sizes, many subscriptions, each at a layer of its own: the selector alone.
//!
//! No sockets and no crypto, so that a change in this number is a change in the selector. The packets are those
//! of the recipe `simulcast`; they are read once and offered to every subscription, as the router does.
#![forbid(unsafe_code)]

use std::time::Instant;

use dataplane::media::format::Codec;
use dataplane::media::packet::Source as PacketSource;
use dataplane::media::picture::{Picture, PictureReader};
use dataplane::media::selector::{LayerSelector, PacketMeta, Pick, Target};
use dataplane::wire::layer::Layer;

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};
use crate::traffic::{PAYLOAD_LEN_MAX, Planned, RIDS, Recipe, Source};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "selector",
    question: "What does one forwarding decision cost when a packet meets every subscription?",
    parameters: &[
        Parameter {
            name: "subscriptions",
            help: "Subscriptions, spread over all encodings and temporal layers",
            sizes: Sizes::Numbers { smoke: &[4, 9], full: &[500], max: 100_000 },
        },
        Parameter {
            name: "packets",
            help: "Packets of all encodings together",
            sizes: Sizes::Numbers { smoke: &[500], full: &[20_000], max: 10_000_000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "decision",
            unit: "ns",
            better: Better::Lower,
            digits: Some(1),
            meaning: "CPU time of one decision about one packet for one subscription",
        },
        Figure {
            name: "forwarded",
            unit: "%",
            better: Better::Neither,
            digits: Some(1),
            meaning: "Decisions to forward",
        },
    ]],
    charts: &[],
    work: Work::Pure(play),
};

const SEED: u64 = 1;
const TEMPORAL_LAYERS: u64 = 3;

/// A packet, as the router has it.
struct Offered {
    planned: Planned,
    picture: Picture,
}

fn play(bench: &mut Bench) {
    let (subscriptions, packets) = (bench.number("subscriptions"), bench.number("packets"));
    let offered = read(packets);
    let mut selectors: Vec<LayerSelector> = (0..subscriptions).map(subscribe).collect();
    let (now, mut forwarded) = (Instant::now(), 0u64);
    let elapsed = bench.measure(|| {
        let mut computed = 0;
        for Offered { planned, picture } in &offered {
            let packet = PacketMeta {
                source: PacketSource { encoding: planned.encoding, epoch: 0 },
                index: planned.sequence,
                timestamp: planned.timestamp,
                picture,
                structure: None,
                is_way_in: picture.is_entry,
                tells_layers: true,
            };
            let before = forwarded;
            for selector in &mut selectors {
                forwarded += u64::from(!matches!(selector.select(&packet, now), Pick::Drop(_)));
            }
            computed = fold(computed, forwarded - before);
        }
        computed
    });
    let decisions = (subscriptions * packets) as f64;
    bench.figure("decision", elapsed.as_nanos() as f64 / decisions);
    bench.figure("forwarded", 100.0 * forwarded as f64 / decisions);
}

fn subscribe(number: u64) -> LayerSelector {
    let mut selector = LayerSelector::default();
    let temporal = (number / RIDS.len() as u64 % TEMPORAL_LAYERS) as u8;
    let encoding = (number % RIDS.len() as u64) as u8;
    selector.set_target(Some(Target { encoding, layer: Layer { spatial: u8::MAX, temporal } }));
    selector
}

/// The packets of a camera in three sizes, with what their payloads say.
fn read(packets: u64) -> Vec<Offered> {
    let mut source = Source::new(&Recipe::simulcast(), SEED);
    let mut readers = RIDS.map(|_| PictureReader::default());
    let mut payload = [0; PAYLOAD_LEN_MAX];
    let next = |_| {
        let planned = source.next();
        let len = source.write(&planned, planned.record(0, 0, 0), &mut payload);
        let reader = &mut readers[usize::from(planned.encoding)];
        Offered { planned, picture: reader.read(Codec::Vp8, &payload[..len], None) }
    };
    (0..packets).map(next).collect()
}
