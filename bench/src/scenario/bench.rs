//! What a scenario holds in its hands for one round at one point.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use dataplane::udp::system::ThreadCpuClock;

use super::{Point, Scenario, Value};
use crate::report::document::{Curve, Verdict};
use crate::report::progress::Progress;

/// The start of the hash of what was computed (FNV-1a, 64 bits).
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0000_0100_0000_01b3;

/// One round at one point.
pub(crate) struct Bench<'a> {
    scenario: &'static Scenario,
    point: &'a Point,
    progress: &'a Progress,
    generator_threads: usize,
    played: Played,
}

/// What came out of one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    /// Figures by name.
    pub(crate) figures: BTreeMap<String, f64>,
    /// How the generator itself fared.
    pub(crate) generator: BTreeMap<String, f64>,
    /// Distributions by name.
    pub(crate) curves: BTreeMap<String, Curve>,
    /// Whether the figures may be used.
    pub(crate) verdict: Verdict,
    /// Why not.
    pub(crate) reasons: Vec<String>,
    /// Of what was computed, where something was.
    pub(crate) hash: Option<u64>,
}

impl<'a> Bench<'a> {
    /// A fresh round.
    pub(crate) fn new(scenario: &'static Scenario, point: &'a Point, progress: &'a Progress) -> Self {
        Self { scenario, point, progress, generator_threads: 1, played: Played::default() }
    }

    /// Lets the generator receive on that many threads.
    pub(crate) fn with_generator_threads(self, generator_threads: usize) -> Self {
        Self { generator_threads, ..self }
    }

    /// Threads that the generator receives on.
    pub(crate) fn generator_threads(&self) -> usize {
        self.generator_threads
    }

    /// What came out of it.
    pub(crate) fn finish(self) -> Played {
        self.played
    }

    /// The value of a parameter that is a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        match self.point.get(name) {
            Some(Value::Number(number)) => *number,
            _ => panic!("{} declares no number {name}", self.scenario.name),
        }
    }

    /// The value of a parameter that is a word.
    pub(crate) fn word(&self, name: &str) -> &'a str {
        match self.point.get(name) {
            Some(Value::Word(word)) => word,
            _ => panic!("{} declares no word {name}", self.scenario.name),
        }
    }

    /// Says what is done now.
    pub(crate) fn step(&self, what: &str) {
        self.progress.step(what);
    }

    /// The CPU time that `work` takes on this thread. What it returns is folded into the hash: it should
    /// depend on all that was computed, so that nothing can be left out.
    pub(crate) fn measure(&mut self, work: impl FnOnce() -> u64) -> Duration {
        let clock = ThreadCpuClock::of_current_thread().expect("a thread has a CPU clock");
        let read = || Duration::from_nanos(clock.read_ns().expect("this thread lives"));
        let before = read();
        let computed = black_box(work());
        let elapsed = read().saturating_sub(before);
        self.played.hash = Some(fold(self.played.hash.unwrap_or(HASH_START), computed));
        elapsed
    }

    /// Gives a figure.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64) {
        assert!(self.scenario.figure(name).is_some(), "{} declares no figure {name}", self.scenario.name);
        assert!(value.is_finite(), "{name} of {} is {value}", self.scenario.name);
        self.played.figures.insert(name.to_owned(), value);
    }

    /// Gives a figure if it is known.
    pub(crate) fn figure_if_known(&mut self, name: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.figure(name, value);
        }
    }

    /// Says how the generator itself fared.
    pub(crate) fn generator(&mut self, name: &'static str, value: f64) {
        self.played.generator.insert(name.to_owned(), value);
    }

    /// Gives a distribution.
    pub(crate) fn curve(&mut self, name: &'static str, curve: Curve) {
        self.played.curves.insert(name.to_owned(), curve);
    }

    /// The generator or the machine was at fault: the figures must not be used.
    pub(crate) fn invalid(&mut self, reason: impl Into<String>) {
        self.played.verdict = Verdict::Invalid;
        self.played.reasons.push(reason.into());
    }

    /// The server was beyond its limit: the figures are true and do not describe a working service.
    pub(crate) fn over(&mut self, reason: impl Into<String>) {
        if self.played.verdict == Verdict::Ok {
            self.played.verdict = Verdict::Over;
        }
        self.played.reasons.push(reason.into());
    }
}

/// Folds eight bytes into a hash (FNV-1a).
pub(crate) fn fold(hash: u64, value: u64) -> u64 {
    value.to_le_bytes().iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(HASH_PRIME))
}
