//! What this machine can do at all: sealing, sending and both, through the send path of Sluice.
//!
//! Every other cost is read against it. Nothing is received, routed, remembered or fed back here; the CPU
//! time of the sending thread is counted.

use crate::failure::Failure;
use crate::floor::{Floor, Part};
use crate::link;
use crate::scenario::{Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "limit",
    question: "What is the least that a forwarded packet can cost on this machine?",
    parameters: &[
        Parameter {
            name: "link",
            help: "loopback; veth: a virtual cable; card: a device that takes trains whole and drops them (the latter two need root)",
            sizes: Sizes::Words { smoke: &["loopback"], full: &["loopback"], allowed: link::NAMES },
        },
        Parameter {
            name: "train",
            help: "Packets to one subscriber in a row, which leave in one send (GSO); 1 is without",
            sizes: Sizes::Numbers { smoke: &[1, 4], full: &[1, 3, 4, 8, 16], max: 50 },
        },
        Parameter {
            name: "subscribers",
            help: "Subscribers with a key and an address each",
            sizes: Sizes::Numbers { smoke: &[4], full: &[100], max: 5000 },
        },
        Parameter {
            name: "packets",
            help: "Packets that are measured",
            sizes: Sizes::Numbers { smoke: &[32], full: &[100_000], max: 100_000_000 },
        },
    ],
    figures: &[&[
        Figure {
            name: "both",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "CPU time of sealing and sending one packet of 1100 bytes",
        },
        Figure {
            name: "seal",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "of sealing it alone (AES-128-GCM)",
        },
        Figure {
            name: "send",
            unit: "ns",
            better: Better::Lower,
            digits: Some(0),
            meaning: "of sending it alone",
        },
    ]],
    charts: &[
        Chart {
            title: "The floor: sealing and sending",
            shape: ChartShape::Lines { figure: "both", over: "train" },
        },
        Chart {
            title: "The floor: sealing, and sending alone (whisker: both at once)",
            shape: ChartShape::Bars { figures: &["seal", "send"], whole: "both", by: "train" },
        },
    ],
    work: Work::Local(play),
};

fn play(bench: &mut Bench) -> Result<(), Failure> {
    let (link, train) = (bench.word("link"), bench.number("train"));
    let (subscribers, packets) = (bench.number("subscribers"), bench.number("packets"));
    bench.step(link);
    let [seal, send, both] = link::on(link, subscribers, |ends| {
        let mut floor = Floor::open(ends)?;
        let mut measure = |part| floor.measure(part, train, packets);
        Ok([measure(Part::Seal)?, measure(Part::Send)?, measure(Part::Both)?])
    })?;
    bench.figure("seal", seal);
    bench.figure("send", send);
    bench.figure("both", both);
    Ok(())
}
