//! The JSON file of a run: one schema for all scenarios, described in docs/BENCHMARKING.md.
//!
//! A file explains itself: it says what each figure is, which way is good and what is to be drawn, so that
//! `compare` and `report` need no knowledge of scenarios, not even of those that no longer exist.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::median;
use crate::failure::{Failure, OrFail};
use crate::measure::machine::{Machine, Tree};
use crate::scenario::{Better, ChartShape, Point, Scenario, Size, Value};

/// Raised when a field changes its meaning or goes. 1 knew only `fanout`.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// One file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// [`SCHEMA_VERSION`].
    pub(crate) schema: u32,
    /// Which scenario was run.
    pub(crate) scenario: String,
    /// What it answers.
    pub(crate) question: String,
    /// How much of it was played.
    pub(crate) size: Size,
    /// When the run began, seconds since 1970.
    pub(crate) started_unix: u64,
    /// Where.
    pub(crate) machine: Machine,
    /// From which source tree.
    pub(crate) tree: Tree,
    /// The values of each parameter.
    pub(crate) parameters: BTreeMap<String, Vec<Value>>,
    /// How often each point was played with each target.
    pub(crate) rounds: u32,
    /// What sealing and sending alone cost, in trains of 3, ns a packet: measured before a run that has no server,
    /// whose rounds measure it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) floor_ns: Option<f64>,
    /// What each figure is, in the order in which it is shown.
    pub(crate) figures: Vec<FigureKind>,
    /// What a report draws.
    pub(crate) charts: Vec<Plot>,
    /// What was measured.
    pub(crate) results: Vec<Measured>,
    /// What `find` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) search: Option<Search>,
}

/// What a figure is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FigureKind {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    /// Digits behind the point in a table; `null`: not shown in one.
    pub(crate) digits: Option<usize>,
    pub(crate) meaning: String,
}

/// A plot of the results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plot {
    pub(crate) title: String,
    #[serde(flatten)]
    pub(crate) shape: PlotShape,
}

/// See [`ChartShape`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "shape")]
pub(crate) enum PlotShape {
    Percentiles { curve: String },
    Shares { curve: String },
    Bars { figures: Vec<String>, whole: String, by: String },
    Lines { figure: String, over: String },
}

/// One target at one point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The server, or `in-process`.
    pub(crate) target: String,
    /// One value of each parameter.
    pub(crate) point: Point,
    /// Every round, as it was played.
    pub(crate) rounds: Vec<Round>,
    /// Each figure over the rounds that count: the valid ones, or all if none is.
    pub(crate) summary: BTreeMap<String, Summary>,
}

/// One round.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Counted from 1.
    pub(crate) round: u32,
    pub(crate) verdict: Verdict,
    /// Why the verdict is not OK.
    pub(crate) reasons: Vec<String>,
    pub(crate) figures: BTreeMap<String, f64>,
    /// How the generator itself fared.
    pub(crate) generator: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) curves: BTreeMap<String, Curve>,
    /// Processes that wanted to run in the minute before the round.
    pub(crate) load_average: f64,
    /// Of what was computed, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<String>,
}

/// Whether figures may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verdict {
    /// They may.
    #[default]
    Ok,
    /// The generator or the machine was at fault.
    Invalid,
    /// The server was beyond its limit.
    Over,
}

impl Verdict {
    /// As it stands in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "INVALID",
            Self::Over => "OVER",
        }
    }
}

/// A distribution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Curve {
    /// Of the second number of each point.
    pub(crate) unit: String,
    /// `[quantile, value]` with 0 <= quantile <= 1, or `[length, share]`.
    pub(crate) points: Vec<[f64; 2]>,
}

/// A figure over its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// How many rounds it stands on.
    pub(crate) rounds: usize,
}

/// What `find` found for one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(crate) target: String,
    /// The objective as it was given.
    pub(crate) objective: String,
    /// The parameter that was searched.
    pub(crate) over: String,
    /// Its largest value that held.
    pub(crate) largest: Option<u64>,
    /// Why the search ended there.
    pub(crate) ended: String,
    /// `[value, holds]` in the order in which they were tried; `null`: the generator was at its end.
    pub(crate) tried: Vec<(u64, Option<bool>)>,
}

impl Document {
    /// An empty document of a run that begins now.
    pub(crate) fn begin(
        scenario: &Scenario,
        size: Size,
        rounds: u32,
        parameters: BTreeMap<String, Vec<Value>>,
    ) -> Self {
        Self {
            schema: SCHEMA_VERSION,
            scenario: scenario.name.to_owned(),
            question: scenario.question.to_owned(),
            size,
            started_unix: crate::load::wall_ns() / 1_000_000_000,
            machine: Machine::read(),
            tree: Tree::read(),
            parameters,
            rounds,
            floor_ns: None,
            figures: scenario.figures().map(FigureKind::from).collect(),
            charts: scenario
                .charts
                .iter()
                .map(|chart| Plot { title: chart.title.to_owned(), shape: chart.shape.into() })
                .collect(),
            results: Vec::new(),
            search: None,
        }
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text =
            fs::read_to_string(path).or_fail(path.display(), "name a JSON file that `run` has written")?;
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let remedy = "name a JSON file that `run` or `find` has written";
        let head: Head = serde_json::from_str(&text).or_fail(path.display(), remedy)?;
        if head.schema != SCHEMA_VERSION {
            return Err(Failure::new(
                format!("{} has schema {}, this bench knows {SCHEMA_VERSION}", path.display(), head.schema),
                "run the scenario again, or use the bench of the commit that wrote the file",
            ));
        }
        serde_json::from_str(&text).or_fail(path.display(), remedy)
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).or_fail("the JSON", "")?;
        let remedy = "name a file that can be written by --out FILE";
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).or_fail(folder.display(), remedy)?;
        }
        fs::write(path, text + "\n").or_fail(path.display(), remedy)
    }

    /// The figure of that name.
    pub(crate) fn figure(&self, name: &str) -> Option<&FigureKind> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Adds a round to the target and point it belongs to.
    pub(crate) fn add(&mut self, target: &str, point: &Point, round: Round) {
        let same = |one: &&mut Measured| one.target == target && &one.point == point;
        let measured = match self.results.iter().position(|one| one.target == target && &one.point == point) {
            Some(at) => &mut self.results[at],
            None => {
                self.results.push(Measured {
                    target: target.to_owned(),
                    point: point.clone(),
                    rounds: Vec::new(),
                    summary: BTreeMap::new(),
                });
                self.results.iter_mut().find(same).expect("it was pushed")
            }
        };
        measured.rounds.push(round);
        measured.summarize();
    }
}

impl Measured {
    /// The rounds that count: the valid ones, or all of them if none is.
    pub(crate) fn counted(&self) -> Vec<&Round> {
        let valid: Vec<&Round> = self.rounds.iter().filter(|round| round.verdict == Verdict::Ok).collect();
        if valid.is_empty() { self.rounds.iter().collect() } else { valid }
    }

    /// OK if any round is; else what most rounds were, INVALID if it is a draw.
    pub(crate) fn verdict(&self) -> Verdict {
        let count = |verdict| self.rounds.iter().filter(|round| round.verdict == verdict).count();
        match (count(Verdict::Ok), count(Verdict::Invalid), count(Verdict::Over)) {
            (1.., _, _) => Verdict::Ok,
            (_, invalid, over) if over > invalid => Verdict::Over,
            (_, 0, 0) => Verdict::Ok,
            _ => Verdict::Invalid,
        }
    }

    fn summarize(&mut self) {
        let rounds = self.counted();
        let names: Vec<String> = rounds.iter().flat_map(|round| round.figures.keys().cloned()).collect();
        self.summary = names
            .into_iter()
            .filter_map(|name| {
                let values = rounds.iter().filter_map(|round| round.figures.get(&name).copied());
                Some((name.clone(), Summary::of(values)?))
            })
            .collect();
    }
}

impl Summary {
    /// `None` of nothing.
    pub(crate) fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        Some(Self {
            median: median(values.clone())?,
            min: values.clone().reduce(f64::min)?,
            max: values.clone().reduce(f64::max)?,
            rounds: values.count(),
        })
    }
}

impl From<&crate::scenario::Figure> for FigureKind {
    fn from(figure: &crate::scenario::Figure) -> Self {
        Self {
            name: figure.name.to_owned(),
            unit: figure.unit.to_owned(),
            better: figure.better,
            digits: figure.digits,
            meaning: figure.meaning.to_owned(),
        }
    }
}

impl From<ChartShape> for PlotShape {
    fn from(shape: ChartShape) -> Self {
        match shape {
            ChartShape::Percentiles { curve } => Self::Percentiles { curve: curve.to_owned() },
            ChartShape::Shares { curve } => Self::Shares { curve: curve.to_owned() },
            ChartShape::Bars { figures, whole, by } => Self::Bars {
                figures: figures.iter().map(|&figure| figure.to_owned()).collect(),
                whole: whole.to_owned(),
                by: by.to_owned(),
            },
            ChartShape::Lines { figure, over } => {
                Self::Lines { figure: figure.to_owned(), over: over.to_owned() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(verdict: Verdict, cpu: f64) -> Round {
        Round { verdict, figures: BTreeMap::from([("cpu".to_owned(), cpu)]), ..Round::default() }
    }

    fn measured(rounds: &[(Verdict, f64)]) -> Measured {
        let rounds = rounds.iter().map(|&(verdict, cpu)| round(verdict, cpu)).collect();
        let mut measured =
            Measured { target: "t".into(), point: Point::new(), rounds, summary: BTreeMap::new() };
        measured.summarize();
        measured
    }

    #[test]
    fn an_invalid_round_does_not_count_while_there_is_a_valid_one() {
        use Verdict::{Invalid, Ok, Over};
        let one = measured(&[(Ok, 3.0), (Invalid, 900.0), (Ok, 5.0), (Over, 800.0)]);
        assert_eq!(one.summary["cpu"], Summary { median: 4.0, min: 3.0, max: 5.0, rounds: 2 });
        assert_eq!(one.verdict(), Ok);
        assert_eq!(measured(&[(Invalid, 1.0), (Over, 2.0), (Over, 3.0)]).verdict(), Over);
        let all = measured(&[(Invalid, 1.0), (Over, 2.0)]);
        assert_eq!((all.verdict(), all.summary["cpu"].rounds), (Invalid, 2));
    }
}
