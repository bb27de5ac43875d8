//! Results as a table for a person: medians per target, their spread, and ratios to the first target.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::document::{Document, FigureKind, Measured, Round, Summary, Verdict};
use super::markdown;
use crate::scenario::{Better, Point, Scenario, name_of};

/// Figures that one line about a round shows.
const FIGURES_IN_LINE: usize = 4;

/// One line about one round.
pub(crate) fn line(scenario: &Scenario, round: &Round, elapsed: Duration) -> String {
    let shown = scenario.figures().filter(|figure| figure.digits.is_some());
    let parts: Vec<String> = shown
        .filter_map(|figure| {
            let value = round.figures.get(figure.name)?;
            let digits = figure.digits.unwrap_or(0);
            Some(format!("{} {value:.digits$} {}", figure.name, figure.unit).trim_end().to_owned())
        })
        .take(FIGURES_IN_LINE)
        .collect();
    let verdict = match round.verdict {
        Verdict::Ok => String::new(),
        verdict => format!("; {}: {}", verdict.name(), round.reasons.join("; ")),
    };
    format!("{}{verdict}  [{:.1} s]", parts.join(", "), elapsed.as_secs_f64())
}

/// Medians over the rounds, then ratios to the first target of the same point.
pub(crate) fn of(document: &Document) -> String {
    let parameters: Vec<&String> = varying(document);
    let columns: Vec<&FigureKind> = document
        .figures
        .iter()
        .filter(|figure| figure.digits.is_some() && is_known(document, figure))
        .collect();
    let mut rows = vec![heading(&parameters, &columns)];
    for block in blocks(document) {
        rows.extend(block.iter().map(|measured| row(measured, &parameters, &columns)));
        if let Some((first, others)) = block.split_first() {
            rows.extend(others.iter().map(|other| ratio_row(first, other, &parameters, &columns)));
        }
    }
    let mut text = markdown(&rows);
    floor_lines(document).iter().for_each(|line| text += &format!("{line}\n"));
    for measured in &document.results {
        for round in measured.rounds.iter().filter(|round| round.verdict != Verdict::Ok) {
            let Measured { target, point, .. } = measured;
            let (verdict, reasons) = (round.verdict.name(), round.reasons.join("; "));
            text += &format!("{verdict}: {target}, {}, round {}: {reasons}\n", name_of(point), round.round);
        }
    }
    text
}

/// Times as multiples of the floor of the machine, one line for each result; none where rounds tell it themselves.
pub(crate) fn floor_lines(document: &Document) -> Vec<String> {
    let Some(floor_ns) = document.floor_ns else { return Vec::new() };
    let times = |measured: &Measured| -> Vec<String> {
        let figures = document.figures.iter().filter(|figure| figure.unit == "ns");
        let each = figures.filter_map(|figure| Some((&figure.name, measured.summary.get(&figure.name)?)));
        each.map(|(name, summary)| format!("{name} {:.3}x", summary.median / floor_ns)).collect()
    };
    let lines: Vec<String> = document
        .results
        .iter()
        .map(|measured| (name_of(&measured.point), times(measured).join(", ")))
        .filter(|(_, times)| !times.is_empty())
        .map(|(point, times)| format!("  {point}: {times}"))
        .collect();
    let title =
        format!("as multiples of the floor ({floor_ns:.0} ns: sealing and sending alone, in trains of 3):");
    if lines.is_empty() { lines } else { std::iter::once(title).chain(lines).collect() }
}

/// Results in groups of the same point, in the order of the run.
pub(crate) fn blocks(document: &Document) -> Vec<Vec<&Measured>> {
    let mut blocks: Vec<(&Point, Vec<&Measured>)> = Vec::new();
    for measured in &document.results {
        match blocks.iter_mut().find(|(point, _)| *point == &measured.point) {
            Some((_, block)) => block.push(measured),
            None => blocks.push((&measured.point, vec![measured])),
        }
    }
    blocks.into_iter().map(|(_, block)| block).collect()
}

/// Parameters with more than one value; all of them if none has.
pub(crate) fn varying(document: &Document) -> Vec<&String> {
    let values = document.parameters.iter();
    let varying: Vec<&String> = values.filter(|(_, values)| values.len() > 1).map(|(name, _)| name).collect();
    if varying.is_empty() { document.parameters.keys().collect() } else { varying }
}

fn is_known(document: &Document, figure: &FigureKind) -> bool {
    document.results.iter().any(|measured| measured.summary.contains_key(&figure.name))
}

fn heading(parameters: &[&String], columns: &[&FigureKind]) -> Vec<String> {
    let mut heading: Vec<String> = parameters.iter().map(|name| (*name).clone()).collect();
    heading.extend(["target".to_owned(), "runs".to_owned()]);
    for (at, figure) in columns.iter().enumerate() {
        heading.push(format!("{} {}", figure.name, figure.unit).trim_end().to_owned());
        if at == 0 {
            heading.push("min..max".to_owned());
        }
    }
    heading.push("verdict".to_owned());
    heading
}

fn row(measured: &Measured, parameters: &[&String], columns: &[&FigureKind]) -> Vec<String> {
    let mut row: Vec<String> = parameters
        .iter()
        .map(|name| measured.point.get(*name).map_or_else(String::new, ToString::to_string))
        .collect();
    row.push(measured.target.clone());
    let valid = measured.rounds.iter().filter(|round| round.verdict == Verdict::Ok).count();
    row.push(format!("{valid}/{}", measured.rounds.len()));
    for (at, figure) in columns.iter().enumerate() {
        let summary = measured.summary.get(&figure.name);
        row.push(summary.map_or_else(|| "-".to_owned(), |summary| number(summary.median, figure)));
        if at == 0 {
            row.push(summary.map_or_else(|| "-".to_owned(), |summary| spread(summary, figure)));
        }
    }
    row.push(measured.verdict().name().to_owned());
    row
}

fn ratio_row(
    first: &Measured,
    other: &Measured,
    parameters: &[&String],
    columns: &[&FigureKind],
) -> Vec<String> {
    let mut row: Vec<String> = parameters
        .iter()
        .map(|name| first.point.get(*name).map_or_else(String::new, ToString::to_string))
        .collect();
    row.push(format!("{} / {}", other.target, first.target));
    row.push(String::new());
    for (at, figure) in columns.iter().enumerate() {
        let both = first.summary.get(&figure.name).zip(other.summary.get(&figure.name));
        row.push(match both {
            Some((first, other)) if first.median > 0.0 && figure.better != Better::Neither => {
                format!("{:.2}x", other.median / first.median)
            }
            _ => String::new(),
        });
        if at == 0 {
            row.push(String::new());
        }
    }
    row.push(String::new());
    row
}

/// A value with the digits of its figure.
pub(crate) fn number(value: f64, figure: &FigureKind) -> String {
    format!("{value:.*}", figure.digits.unwrap_or(3))
}

fn spread(summary: &Summary, figure: &FigureKind) -> String {
    format!("{}..{}", number(summary.min, figure), number(summary.max, figure))
}
