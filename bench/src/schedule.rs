//! Plays a scenario: which point, which target and which round comes when, and what becomes of a failure.
//!
//! Targets are played in turns, each time in a fresh process, and their order is reversed every round, so
//! that a slow drift of the machine hits all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::failure::Failure;
use crate::floor;
use crate::impair::World;
use crate::measure::machine::load_average;
use crate::report::document::{Document, Round, Verdict};
use crate::report::progress::Progress;
use crate::report::table;
use crate::scenario::{Bench, Played, Point, Scenario, Size, Value, Work, name_of};
use crate::targets::{Server, Starter, Target};

/// Packets that the floor is measured with where no scenario asks for it.
const FLOOR_PACKETS: u64 = 50_000;
/// What the target of a scenario without a server is called.
const IN_PROCESS: &str = "in-process";

/// What is to be played.
pub(crate) struct Order {
    /// Which scenario.
    pub(crate) scenario: &'static Scenario,
    /// How much of it.
    pub(crate) size: Size,
    /// Values that override the size.
    pub(crate) chosen: BTreeMap<String, Vec<Value>>,
    /// Servers, in the order in which they were named. Empty for a scenario without one.
    pub(crate) targets: Vec<Target>,
    /// How often each point is played with each target.
    pub(crate) rounds: u32,
    /// Threads that the generator receives on.
    pub(crate) generator_threads: usize,
}

/// One thing to play.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    point: Point,
    round: u32,
    /// Index of the target.
    target: usize,
}

/// Plays rounds one by one.
pub(crate) struct Player<'a> {
    scenario: &'static Scenario,
    starter: &'a Starter,
    progress: Progress,
    generator_threads: usize,
    /// Targets that have worked at least once: from then on a failure is theirs and not of the set-up.
    proven: BTreeSet<String>,
    is_tolerant: bool,
}

/// Plays all of it. With a failure the document holds what was played before.
pub(crate) fn play(order: &Order, starter: &Starter) -> (Document, Result<(), Failure>) {
    let points = order.scenario.points(order.size, &order.chosen);
    let parameters = values_of(&points);
    let mut document = Document::begin(order.scenario, order.size, order.rounds, parameters);
    if !order.scenario.needs_server() && order.scenario.has_times() && order.size == Size::Full {
        match floor::usual_ns(FLOOR_PACKETS) {
            Ok(floor_ns) => document.floor_ns = Some(floor_ns),
            Err(failure) => return (document, Err(failure)),
        }
    }
    let turns = turns(&points, order.rounds, order.targets.len().max(1));
    let mut player = Player::new(order, starter, turns.len());
    for turn in turns {
        let target = order.targets.get(turn.target);
        match player.play(target, &turn.point, turn.round) {
            Ok(round) => document.add(&name_of_target(target), &turn.point, round),
            Err(failure) => return (document, Err(failure)),
        }
    }
    (document, Ok(()))
}

/// What the results of `target` are filed under.
pub(crate) fn name_of_target(target: Option<&Target>) -> String {
    target.map_or_else(|| IN_PROCESS.to_owned(), ToString::to_string)
}

/// The values that each parameter takes.
pub(crate) fn values_of(points: &[Point]) -> BTreeMap<String, Vec<Value>> {
    let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, value) in points.iter().flatten() {
        let known = values.entry(name.clone()).or_default();
        if !known.contains(value) {
            known.push(value.clone());
        }
    }
    values
}

fn turns(points: &[Point], rounds: u32, targets: usize) -> Vec<Turn> {
    let mut turns = Vec::new();
    for point in points {
        for round in 1..=rounds {
            let mut order: Vec<usize> = (0..targets).collect();
            if round % 2 == 0 {
                order.reverse();
            }
            turns.extend(order.into_iter().map(|target| Turn { point: point.clone(), round, target }));
        }
    }
    turns
}

impl<'a> Player<'a> {
    /// Nothing has been played; `rounds` are expected.
    pub(crate) fn new(order: &Order, starter: &'a Starter, rounds: usize) -> Self {
        Self {
            scenario: order.scenario,
            generator_threads: order.generator_threads,
            starter,
            progress: Progress::new(rounds),
            proven: BTreeSet::new(),
            is_tolerant: false,
        }
    }

    /// Whether failures are verdicts from the beginning: all targets have worked before.
    pub(crate) fn tolerate_failures(&mut self, is_tolerant: bool) {
        self.is_tolerant = is_tolerant;
    }

    /// Plays one round.
    ///
    /// # Errors
    ///
    /// If the scenario failed with a target that has never worked: then the set-up is wrong. Later failures
    /// are verdicts.
    pub(crate) fn play(
        &mut self,
        target: Option<&Target>,
        point: &Point,
        round: u32,
    ) -> Result<Round, Failure> {
        let load_average = load_average();
        let name = name_of_target(target);
        self.progress.begin(&format!("{}, {}, {name}, round {round}", self.scenario.name, name_of(point)));
        let started = Instant::now();
        let bench = Bench::new(self.scenario, point, &self.progress);
        let mut bench = bench.with_generator_threads(self.generator_threads);
        let outcome = play_once(self.scenario, &mut bench, target, point, self.starter);
        let mut played = bench.finish();
        match outcome {
            Ok(()) => {
                self.proven.insert(name);
            }
            Err(failure) if self.is_tolerant || self.proven.contains(&name) => blame(&mut played, &failure),
            Err(failure) => {
                self.progress.end("failed");
                return Err(failure);
            }
        }
        let round = record(played, round, load_average);
        self.progress.end(&table::line(self.scenario, &round, started.elapsed()));
        Ok(round)
    }
}

fn play_once(
    scenario: &Scenario,
    bench: &mut Bench,
    target: Option<&Target>,
    point: &Point,
    starter: &Starter,
) -> Result<(), Failure> {
    match (&scenario.work, target) {
        (Work::Pure(play), _) => {
            play(bench);
            Ok(())
        }
        (Work::Local(play), _) => play(bench),
        (Work::Server { play, settings, .. }, Some(target)) => {
            bench.step("starting");
            let server = starter.start(&target.with_settings(settings(point)))?;
            attempt(target, &server, || play(bench, &server))
        }
        (Work::Linked { play, .. }, Some(target)) => {
            bench.step("starting");
            let world = World::make()?;
            world.enter(|| {
                let server = starter.start_at(target, world.address().into())?;
                attempt(target, &server, || play(bench, &server, &world))
            })?
        }
        (Work::Server { .. } | Work::Linked { .. }, None) => {
            Err(Failure::new("there is no target", "name one by --target, such as --target sluice"))
        }
    }
}

/// Adds the end of the server's log to a failure.
fn attempt(
    target: &Target,
    server: &Server,
    play: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    play().map_err(|failure| match server.log_end() {
        log if log.is_empty() => failure,
        log => failure.and(&format!("the log of {target} ends:\n{log}")),
    })
}

/// A round that broke off has no figures, only a reason.
fn blame(played: &mut Played, failure: &Failure) {
    played.figures.clear();
    played.curves.clear();
    played.verdict = if failure.is_of_generator() { Verdict::Invalid } else { Verdict::Over };
    played.reasons.push(failure.what().to_owned());
}

fn record(played: Played, round: u32, load_average: f64) -> Round {
    let Played { figures, generator, curves, verdict, reasons, hash } = played;
    Round {
        round,
        verdict,
        reasons,
        figures,
        generator,
        curves,
        load_average,
        hash: hash.map(|hash| format!("{hash:016x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u64) -> Point {
        Point::from([("n".to_owned(), Value::Number(n))])
    }

    #[test]
    fn targets_take_turns_and_their_order_is_reversed_every_round() {
        let turns = turns(&[point(50), point(200)], 3, 2);
        let seen: Vec<String> = turns
            .iter()
            .map(|turn| format!("{}/{}/{}", turn.point["n"], turn.round, ["a", "b"][turn.target]))
            .collect();
        let of = |n| [format!("{n}/1/a"), format!("{n}/1/b"), format!("{n}/2/b"), format!("{n}/2/a")];
        assert_eq!(seen[..4], of(50));
        assert_eq!(seen[6..10], of(200));
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_round_that_broke_off_keeps_its_reason_and_no_figure() {
        let mut played = Played::default();
        played.figures.insert("cpu".to_owned(), 1.0);
        blame(&mut played, &Failure::new("only 3 of 9 connected", ""));
        assert_eq!((played.verdict, played.figures.len()), (Verdict::Over, 0));
        assert_eq!(played.reasons, ["only 3 of 9 connected"]);
        blame(&mut played, &Failure::new("no socket", "").of_generator());
        assert_eq!(played.verdict, Verdict::Invalid);
    }
}
