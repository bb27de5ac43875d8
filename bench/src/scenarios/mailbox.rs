//! The bounded queue into a shard: what a command costs on its way in, and on its way out.
//!
//! The reader is awake, so no wake-up is needed; with `burst` 1 every command comes to an empty queue.
#![forbid(unsafe_code)]

use std::sync::Arc;

use dataplane::limits::MAILBOX_LEN_MAX;
use dataplane::shard::mailbox::Mailbox;
use dataplane::udp::system::EventFd;

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "mailbox",
    question: "What does it cost to hand a command to a shard that is awake?",
    parameters: &[
        Parameter {
            name: "burst",
            help: "Commands that are put in before they are taken out",
            sizes: Sizes::Numbers { smoke: &[1, 4], full: &[1, 64], max: MAILBOX_LEN_MAX as u64 },
        },
        Parameter {
            name: "commands",
            help: "Commands in all",
            sizes: Sizes::Numbers { smoke: &[64], full: &[5_000_000], max: 10_000_000_000 },
        },
    ],
    figures: &[&[Figure {
        name: "command",
        unit: "ns",
        better: Better::Lower,
        digits: Some(1),
        meaning: "CPU time of putting one command in and taking it out, on one thread",
    }]],
    charts: &[],
    work: Work::Pure(play),
};

fn play(bench: &mut Bench) {
    let (burst, commands) = (bench.number("burst"), bench.number("commands"));
    let wake = Arc::new(EventFd::new().expect("an eventfd can be opened"));
    let mailbox = Mailbox::new(MAILBOX_LEN_MAX, wake);
    let bursts = commands.div_ceil(burst);
    let elapsed = bench.measure(|| {
        let mut computed = 0;
        for first in 0..bursts {
            for item in 0..burst {
                mailbox.try_push(first + item).expect("there is room for a burst");
            }
            mailbox.drain(burst as usize, |item| computed = fold(computed, item));
        }
        computed
    });
    bench.figure("command", elapsed.as_nanos() as f64 / (bursts * burst) as f64);
}
