//! A service level objective: `ttff_p95<500ms,freeze<0.5%,forward_p99<20ms,loss<0.1%`.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;
use crate::scenario::Scenario;

/// Terms that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objective {
    terms: Vec<Term>,
}

/// One figure and its bound.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    text: String,
    figure: String,
    comparison: Comparison,
    bound: f64,
    unit: &'static Unit,
    /// Of the unit that the scenario gives the figure in; 1 until it is known.
    figure_scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A unit, and how much of its dimension's base one of it is.
#[derive(Debug, PartialEq)]
struct Unit {
    name: &'static str,
    dimension: &'static str,
    scale: f64,
}

/// The longer operator first.
const COMPARISONS: [(&str, Comparison); 4] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

const UNITS: &[Unit] = &[
    unit("ns", "time", 1.0),
    unit("us", "time", 1e3),
    unit("ms", "time", 1e6),
    unit("s", "time", 1e9),
    unit("%", "share", 1.0),
    unit("B", "size", 1.0),
    unit("KB", "size", 1e3),
    unit("MB", "size", 1e6),
    unit("GB", "size", 1e9),
    unit("/s", "rate", 1.0),
    unit("x", "ratio", 1.0),
    unit("", "count", 1.0),
];

const fn unit(name: &'static str, dimension: &'static str, scale: f64) -> Unit {
    Unit { name, dimension, scale }
}

impl Objective {
    /// The objective for `scenario`, which must measure all that is asked for, in units that fit.
    ///
    /// # Errors
    ///
    /// The term, and what the scenario measures.
    pub(crate) fn of(mut self, scenario: &Scenario) -> Result<Self, Failure> {
        for term in &mut self.terms {
            let Some(figure) = scenario.figure(&term.figure) else {
                let known: Vec<&str> = scenario.figures().map(|figure| figure.name).collect();
                return Err(Failure::new(
                    format!("{} does not measure {:?}, of {:?}", scenario.name, term.figure, term.text),
                    format!("it measures {}", known.join(", ")),
                ));
            };
            match unit_of(figure.unit) {
                Some(own) if own.dimension == term.unit.dimension => term.figure_scale = own.scale,
                _ => {
                    let unit = if figure.unit.is_empty() { "a number without unit" } else { figure.unit };
                    return Err(Failure::new(
                        format!("{:?}: {} is not measured in {:?}", term.text, figure.name, term.unit.name),
                        format!("give the bound in {unit}"),
                    ));
                }
            }
        }
        Ok(self)
    }

    /// What does not hold, for a person. `value` gives figures in the units of the scenario that the
    /// objective is of; a figure that is not known does not hold.
    pub(crate) fn broken(&self, value: impl Fn(&str) -> Option<f64>) -> Vec<String> {
        self.terms
            .iter()
            .filter_map(|term| match value(&term.figure) {
                None => Some(format!("{} is not known", term.figure)),
                Some(value) => {
                    let is_held = term.holds(value);
                    (!is_held).then(|| format!("{} is {}", term.figure, term.show(value)))
                }
            })
            .collect()
    }
}

impl Term {
    /// `value` is in the unit that the scenario gives it in.
    fn holds(&self, value: f64) -> bool {
        let value = value * self.figure_scale;
        let bound = self.bound * self.unit.scale;
        match self.comparison {
            Comparison::Less => value < bound,
            Comparison::AtMost => value <= bound,
            Comparison::Greater => value > bound,
            Comparison::AtLeast => value >= bound,
        }
    }

    /// In the unit of the term.
    fn show(&self, value: f64) -> String {
        let value = value * self.figure_scale / self.unit.scale;
        format!("{}{}, not {}", (value * 1000.0).round() / 1000.0, self.unit.name, self.text)
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms: Result<Vec<Term>, String> = text.split(',').map(|term| parse(term.trim())).collect();
        Ok(Self { terms: terms? })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<&str> = self.terms.iter().map(|term| term.text.as_str()).collect();
        f.write_str(&terms.join(","))
    }
}

fn parse(text: &str) -> Result<Term, String> {
    const FORM: &str = "a term is FIGURE<BOUND, such as loss<0.1% or forward_p99<20ms";
    let place = |sign: &str| text.find(sign);
    let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((place(sign)?, *sign, *comparison)));
    let (at, sign, comparison) = found.ok_or_else(|| format!("{text:?} has none of < <= > >=; {FORM}"))?;
    let (figure, bound) = (text[..at].trim(), text[at + sign.len()..].trim());
    if figure.is_empty() {
        return Err(format!("{text:?} names no figure; {FORM}"));
    }
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let digits = bound.find(|c| !is_digit(c)).unwrap_or(bound.len());
    let (number, name) = (&bound[..digits], bound[digits..].trim());
    let bound: f64 = number.parse().map_err(|_| format!("{text:?} has no number behind {sign}; {FORM}"))?;
    let unit = unit_of(name).ok_or_else(|| {
        let known: Vec<&str> = UNITS.iter().map(|unit| unit.name).filter(|name| !name.is_empty()).collect();
        format!("{name:?} in {text:?} is no unit; units are {}", known.join(" "))
    })?;
    Ok(Term { text: text.to_owned(), figure: figure.to_owned(), comparison, bound, unit, figure_scale: 1.0 })
}

fn unit_of(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn objective(text: &str) -> Objective {
        text.parse().unwrap()
    }

    fn fanout() -> &'static Scenario {
        crate::scenarios::ALL.iter().find(|scenario| scenario.name == "fanout").unwrap()
    }

    #[test]
    fn bounds_are_compared_in_any_unit_of_their_dimension() {
        // fanout gives forward_p99 in us and loss in %.
        let values = |name: &str| match name {
            "forward_p99" => Some(19_999.0),
            "loss" => Some(0.1),
            _ => None,
        };
        for (text, holds) in [
            ("forward_p99<20ms", true),
            ("forward_p99 < 0.019 s", false),
            ("forward_p99<20ms, loss<0.1%", false),
            ("forward_p99<20ms,loss<=0.1%", true),
            ("loss>=0.1%,loss>0.05%", true),
        ] {
            let objective = objective(text).of(fanout()).unwrap();
            assert_eq!(objective.broken(values).is_empty(), holds, "{text}");
        }
        let slow = objective("forward_p99<5ms").of(fanout()).unwrap();
        assert_eq!(slow.broken(values), ["forward_p99 is 19.999ms, not forward_p99<5ms"]);
        assert_eq!(objective("freeze<1%").broken(values), ["freeze is not known"]);
    }

    #[test]
    fn what_is_not_an_objective_is_refused_by_its_term() {
        for (text, part) in [
            ("", "none of <"),
            ("loss", "\"loss\""),
            ("loss<", "no number"),
            ("loss<x%", "no number"),
            ("<5ms", "no figure"),
            ("loss<1%,forward_p99<20parsecs", "\"parsecs\""),
        ] {
            let error = text.parse::<Objective>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_figure_that_the_scenario_does_not_measure_is_named_with_those_that_it_does() {
        let error = objective("loss<1%,ttfb<1s").of(fanout()).unwrap_err().to_string();
        assert!(error.contains("\"ttfb\"") && error.contains("forward_p99"), "{error}");
        let error = objective("loss<20ms").of(fanout()).unwrap_err().to_string();
        assert!(error.contains("not measured in \"ms\"") && error.contains('%'), "{error}");
    }
}
