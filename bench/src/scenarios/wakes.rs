//! How fast a shard that sleeps is awake, and what one costs that has nothing to do.

use std::time::Duration;

use crate::copier::{Contender, Stage, pin};
use crate::failure::Failure;
use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "wakes",
    question: "How fast does a sleeping shard wake, and what does an idle one cost?",
    parameters: &[
        Parameter {
            name: "backend",
            help: "What the shard waits with",
            sizes: Sizes::Words {
                smoke: &["mmsg", "uring"],
                full: &["mmsg", "uring"],
                allowed: &["mmsg", "uring"],
            },
        },
        Parameter {
            name: "pings",
            help: "Round trips",
            sizes: Sizes::Numbers { smoke: &[5], full: &[500], max: 1_000_000 },
        },
        Parameter {
            name: "watch_ms",
            help: "How long an idle shard is watched, ms",
            sizes: Sizes::Numbers { smoke: &[50], full: &[2000], max: 600_000 },
        },
    ],
    figures: &[&[
        wake("datagram_p50", "round trip of a datagram to a shard that sleeps, median"),
        wake("datagram_p99", "the same, 99th percentile"),
        wake("command_p50", "from putting a command into the mailbox until its reply is seen, median"),
        wake("command_p99", "the same, 99th percentile"),
        idle("idle", "CPU time per second of a shard without work"),
        idle("ticking", "the same, woken by a timer every 5 ms"),
    ]],
    charts: &[],
    work: Work::Local(play),
};

const fn wake(name: &'static str, meaning: &'static str) -> Figure {
    Figure { name, unit: "us", better: Better::Lower, digits: Some(1), meaning }
}

const fn idle(name: &'static str, meaning: &'static str) -> Figure {
    Figure { name, unit: "us/s", better: Better::Lower, digits: Some(0), meaning }
}

fn play(bench: &mut Bench) -> Result<(), Failure> {
    let contender = if bench.word("backend") == "mmsg" { Contender::Mmsg } else { Contender::Uring };
    let (pings, watch) = (bench.number("pings"), Duration::from_millis(bench.number("watch_ms")));
    let cpu = pin()?;
    let mut stage = match Stage::start(contender, cpu) {
        Ok(stage) => stage,
        Err(refusal) => {
            bench.invalid(refusal.to_string());
            return Ok(());
        }
    };
    let (mut by_datagram, mut by_command) = (Vec::new(), Vec::new());
    for _ in 0..pings {
        by_datagram.push(stage.wake_by_datagram()?);
        by_command.push(stage.wake_by_command()?);
    }
    for (times, p50, p99) in
        [(&mut by_datagram, "datagram_p50", "datagram_p99"), (&mut by_command, "command_p50", "command_p99")]
    {
        times.sort_unstable();
        bench.figure(p50, microseconds(times[times.len() / 2]));
        bench.figure(p99, microseconds(times[times.len() * 99 / 100]));
    }
    for (name, has_timer) in [("idle", false), ("ticking", true)] {
        let spent = stage.idle(has_timer, watch)?;
        bench.figure(name, microseconds(spent) / watch.as_secs_f64());
    }
    Ok(())
}

fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
