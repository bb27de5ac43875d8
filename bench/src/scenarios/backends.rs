//! The two ways to move datagrams, side by side: what each costs per packet.
//!
//! Shards without an engine copy what comes in to 100 receivers on loopback, without SRTP. All run in this
//! process, one at a time and on the same CPU, and are measured in turns within a round.

use std::time::Duration;

use crate::copier::{Contender, PACKETS_PER_KICK, Stage, pin};
use crate::failure::Failure;
use crate::scenario::{Bench, Better, Chart, ChartShape, Figure, Parameter, Scenario, Sizes, Work};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "backends",
    question: "What does a packet cost with io_uring, and what with mmsg, at which length of trains?",
    parameters: &[
        Parameter {
            name: "train",
            help: "Packets to one receiver in a row, which leave in one send (GSO); 1 is without",
            sizes: Sizes::Numbers { smoke: &[4], full: &[1, 4, 8, 16, 48], max: PACKETS_PER_KICK as u64 },
        },
        Parameter {
            name: "kicks",
            help: "How often 100 receivers get up to 48 packets each",
            sizes: Sizes::Numbers { smoke: &[2], full: &[24], max: 100_000 },
        },
    ],
    figures: &[&[
        cost("mmsg", "CPU time of a shard's thread per packet with epoll, recvmmsg and sendmmsg"),
        cost("uring", "the same with io_uring"),
        cost("uring_zero_copy", "the same with io_uring and zero-copy sends of trains from 32 packets"),
        Figure {
            name: "ratio",
            unit: "",
            better: Better::Neither,
            digits: Some(3),
            meaning: "uring / mmsg, of the same round",
        },
        Figure {
            name: "zero_copy_sends",
            unit: "",
            better: Better::Neither,
            digits: None,
            meaning: "sends that were to go without a copy",
        },
        Figure {
            name: "zero_copy_copied",
            unit: "",
            better: Better::Neither,
            digits: None,
            meaning: "of which the kernel copied so many all the same, as it always does on loopback",
        },
    ]],
    charts: &[Chart {
        title: "CPU time per packet: io_uring / mmsg",
        shape: ChartShape::Lines { figure: "ratio", over: "train" },
    }],
    work: Work::Local(play),
};

/// A round goes this often to each backend and back.
const ALTERNATIONS: u64 = 4;

const fn cost(name: &'static str, meaning: &'static str) -> Figure {
    Figure { name, unit: "ns", better: Better::Lower, digits: Some(0), meaning }
}

fn play(bench: &mut Bench) -> Result<(), Failure> {
    let (train, kicks) = (bench.number("train") as usize, bench.number("kicks"));
    let cpu = pin()?;
    let mut stages = Vec::new();
    for contender in [Contender::Mmsg, Contender::Uring, Contender::UringZeroCopy] {
        match Stage::start(contender, cpu) {
            Ok(stage) => stages.push((contender, stage, Duration::ZERO, 0)),
            Err(refusal) => bench.invalid(refusal.to_string()),
        }
    }
    for turn in 0..ALTERNATIONS {
        for (_, stage, spent, packets) in &mut stages {
            let (took, sent) = stage.cost(train, kicks.div_ceil(ALTERNATIONS) as usize)?;
            *spent += took;
            *packets += sent;
        }
        bench.step(&format!("turn {} of {ALTERNATIONS}", turn + 1));
        stages.reverse();
    }
    let mut costs = [None; 2];
    for (contender, stage, spent, packets) in &stages {
        let cost = spent.as_nanos() as f64 / *packets as f64;
        bench.figure(contender.name(), cost);
        match contender {
            Contender::Mmsg => costs[0] = Some(cost),
            Contender::Uring => costs[1] = Some(cost),
            Contender::UringZeroCopy => {
                let (sends, copied) = stage.zero_copy_sends();
                bench.figure("zero_copy_sends", sends as f64);
                bench.figure("zero_copy_copied", copied as f64);
            }
        }
    }
    if let [Some(mmsg), Some(uring)] = costs {
        bench.figure("ratio", uring / mmsg);
    }
    Ok(())
}
