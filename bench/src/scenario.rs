//! What a scenario is, and what it is handed while it plays.
//!
//! A scenario declares its parameters in two sizes and every figure that it may give. It asks its [`Bench`]
//! for the values of the day and hands back figures; rounds, targets, tables and files are not its
//! business.
//!
//! # Invariants
//!
//! - A figure that was not declared is a mistake of the scenario, and the first smoke run shows it.
//! - A [`Work::Pure`] scenario computes the same hash whenever it is played with the same values.
#![forbid(unsafe_code)]

mod bench;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::impair::World;
use crate::targets::Server;
pub(crate) use bench::{Bench, Played, fold};

/// One question, and how it is answered.
pub(crate) struct Scenario {
    /// What it is run by.
    pub(crate) name: &'static str,
    /// What its figures answer.
    pub(crate) question: &'static str,
    /// What may be set; several values of one parameter are played one after another.
    pub(crate) parameters: &'static [Parameter],
    /// Everything it may measure, in groups that scenarios share.
    pub(crate) figures: &'static [&'static [Figure]],
    /// What of it is drawn in a report.
    pub(crate) charts: &'static [Chart],
    /// How it is played.
    pub(crate) work: Work,
}

/// How a scenario is played.
pub(crate) enum Work {
    /// Without sockets, servers and chance.
    Pure(fn(&mut Bench)),
    /// With sockets of its own.
    Local(fn(&mut Bench) -> Result<(), Failure>),
    /// Against a server. `find` may search the largest value of the parameter `scale`.
    Server { play: fn(&mut Bench, &Server) -> Result<(), Failure>, scale: &'static str, settings: Settings },
    /// The same, in a network of its own, where clients may be put behind bad links.
    Linked { play: fn(&mut Bench, &Server, &World) -> Result<(), Failure>, scale: &'static str },
}

/// With which settings a Sluice is started for a point. What the target itself says comes after them.
pub(crate) type Settings = fn(&Point) -> Vec<(String, String)>;

/// The settings of a scenario that needs none.
pub(crate) fn usual_settings(_: &Point) -> Vec<(String, String)> {
    Vec::new()
}

/// Something that may be set.
pub(crate) struct Parameter {
    /// Its name on the command line, after `--`.
    pub(crate) name: &'static str,
    /// What it is, with its unit.
    pub(crate) help: &'static str,
    /// What it is set to if nobody says anything.
    pub(crate) sizes: Sizes,
}

/// The parameter that says how long is measured.
pub(crate) const fn seconds(smoke: &'static [u64], full: &'static [u64]) -> Parameter {
    let sizes = Sizes::Numbers { smoke, full, max: 3600 };
    Parameter { name: "seconds", help: "Length of the measured window, s", sizes }
}

/// The values of a parameter at smoke and at full size.
pub(crate) enum Sizes {
    /// Numbers from 1 to `max`.
    Numbers { smoke: &'static [u64], full: &'static [u64], max: u64 },
    /// Some of the `allowed` words.
    Words { smoke: &'static [&'static str], full: &'static [&'static str], allowed: &'static [&'static str] },
}

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Size {
    /// As little as shows that it works. Its figures mean nothing.
    Smoke,
    /// As much as makes its figures steady.
    Full,
}

/// One value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Value {
    /// A number.
    Number(u64),
    /// A word.
    Word(String),
}

/// One value of every parameter.
pub(crate) type Point = BTreeMap<String, Value>;

/// Something that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// What it is called in the JSON, in tables and in objectives.
    pub(crate) name: &'static str,
    /// Its unit; empty for a count.
    pub(crate) unit: &'static str,
    /// Which way is good.
    pub(crate) better: Better,
    /// Digits behind the point in a table; `None`: it stands in the JSON only.
    pub(crate) digits: Option<usize>,
    /// What it is, in a sentence.
    pub(crate) meaning: &'static str,
}

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Less is good.
    Lower,
    /// More is good.
    Higher,
    /// It explains others and is neither good nor bad.
    Neither,
}

/// A plot that a report draws of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chart {
    /// What stands above it.
    pub(crate) title: &'static str,
    /// How it is drawn.
    pub(crate) shape: ChartShape,
}

/// How a plot is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChartShape {
    /// A curve over percentiles, one plot per point, one line per target.
    Percentiles { curve: &'static str },
    /// Shares of a whole by length, one plot per point.
    Shares { curve: &'static str },
    /// Bars of one figure per target, or of several stacked; one group per value of the parameter `by`. Where
    /// a part is not known, the `whole` is drawn.
    Bars { figures: &'static [&'static str], whole: &'static str, by: &'static str },
    /// One line per target over the numbers of a parameter.
    Lines { figure: &'static str, over: &'static str },
}

impl Scenario {
    /// The parameter of that name.
    #[cfg(test)]
    pub(crate) fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Everything it may measure.
    pub(crate) fn figures(&self) -> impl Iterator<Item = &'static Figure> {
        self.figures.iter().flat_map(|group| group.iter())
    }

    /// The figure of that name.
    pub(crate) fn figure(&self, name: &str) -> Option<&'static Figure> {
        self.figures().find(|figure| figure.name == name)
    }

    /// Whether any of its figures is a time that a step takes.
    pub(crate) fn has_times(&self) -> bool {
        self.figures().any(|figure| figure.unit == "ns")
    }

    /// Whether it needs a server.
    pub(crate) fn needs_server(&self) -> bool {
        matches!(self.work, Work::Server { .. } | Work::Linked { .. })
    }

    /// The parameter that `find` searches.
    pub(crate) fn scale(&self) -> Option<&'static str> {
        match self.work {
            Work::Server { scale, .. } | Work::Linked { scale, .. } => Some(scale),
            Work::Pure(_) | Work::Local(_) => None,
        }
    }

    /// Every combination of values, the first parameter changing slowest. `chosen` overrides the sizes.
    pub(crate) fn points(&self, size: Size, chosen: &BTreeMap<String, Vec<Value>>) -> Vec<Point> {
        let mut points = vec![Point::new()];
        for parameter in self.parameters {
            let values = chosen.get(parameter.name).cloned().unwrap_or_else(|| parameter.sizes.values(size));
            points = points
                .iter()
                .flat_map(|point| {
                    values.iter().map(|value| {
                        let mut point = point.clone();
                        point.insert(parameter.name.to_owned(), value.clone());
                        point
                    })
                })
                .collect();
        }
        points
    }
}

impl Sizes {
    /// The values that are played at `size`.
    pub(crate) fn values(&self, size: Size) -> Vec<Value> {
        match (self, size) {
            (Self::Numbers { smoke, .. }, Size::Smoke) => numbers(smoke),
            (Self::Numbers { full, .. }, Size::Full) => numbers(full),
            (Self::Words { smoke, .. }, Size::Smoke) => words(smoke),
            (Self::Words { full, .. }, Size::Full) => words(full),
        }
    }

    /// Reads one value from the command line.
    ///
    /// # Errors
    ///
    /// What is allowed, if it is not.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Numbers { max, .. } => match text.parse() {
                Ok(number) if (1..=*max).contains(&number) => Ok(Value::Number(number)),
                _ => Err(format!("{text:?} is not a number from 1 to {max}")),
            },
            Self::Words { allowed, .. } if allowed.contains(&text) => Ok(Value::Word(text.to_owned())),
            Self::Words { allowed, .. } => {
                Err(format!("{text:?} is not known; allowed are {}", allowed.join(", ")))
            }
        }
    }
}

fn numbers(values: &[u64]) -> Vec<Value> {
    values.iter().copied().map(Value::Number).collect()
}

fn words(values: &[&str]) -> Vec<Value> {
    values.iter().map(|&word| Value::Word(word.to_owned())).collect()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Word(word) => write!(f, "{word}"),
        }
    }
}

/// `subscribers 50, seconds 6`.
pub(crate) fn name_of(point: &Point) -> String {
    let parts: Vec<String> = point.iter().map(|(name, value)| format!("{name} {value}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCENARIO: Scenario = Scenario {
        name: "x",
        question: "?",
        parameters: &[
            Parameter { name: "n", help: "", sizes: Sizes::Numbers { smoke: &[1], full: &[2, 3], max: 9 } },
            Parameter {
                name: "link",
                help: "",
                sizes: Sizes::Words { smoke: &["a"], full: &["a", "b"], allowed: &["a", "b", "c"] },
            },
        ],
        figures: &[],
        charts: &[],
        work: Work::Pure(|_| {}),
    };

    fn names(size: Size, chosen: &[(&str, &str)]) -> Vec<String> {
        let parse = |(name, text): &(&str, &str)| {
            let sizes = &SCENARIO.parameter(name).unwrap().sizes;
            (name.to_string(), text.split(',').map(|value| sizes.parse(value).unwrap()).collect())
        };
        SCENARIO.points(size, &chosen.iter().map(parse).collect()).iter().map(name_of).collect()
    }

    #[test]
    fn every_combination_of_values_is_a_point() {
        assert_eq!(names(Size::Smoke, &[]), ["link a, n 1"]);
        assert_eq!(names(Size::Full, &[]), ["link a, n 2", "link b, n 2", "link a, n 3", "link b, n 3"]);
        assert_eq!(names(Size::Full, &[("link", "c"), ("n", "7,8")]), ["link c, n 7", "link c, n 8"]);
    }

    #[test]
    fn a_value_out_of_its_bounds_is_refused_with_what_is_allowed() {
        let error = |name: &str, text| SCENARIO.parameter(name).unwrap().sizes.parse(text).unwrap_err();
        assert!(error("n", "0").contains("from 1 to 9") && error("n", "x").contains("\"x\""));
        assert!(error("link", "d").contains("a, b, c"));
    }
}
