//! Turns results into drawings: which series there are, what stands on which axis.
#![forbid(unsafe_code)]

use maud::Markup;

use super::document::{Document, Measured, PlotShape, Verdict};
use super::svg::{self, Bar, BarPlot, COLORS, LinePlot, Mark, Scale, Series};
use crate::scenario::{Point, Value};

/// A drawing and what its file is called.
pub(crate) struct Drawing {
    /// Without folder and ending.
    pub(crate) stem: String,
    pub(crate) markup: Markup,
}

/// Every plot of the document that there is something to draw of. Targets have the same colour in all.
pub(crate) fn all(document: &Document, targets: &[String]) -> Vec<Drawing> {
    let mut drawings = Vec::new();
    for (number, plot) in document.charts.iter().enumerate() {
        let of = Of { document, targets, title: &plot.title };
        let drawn = match &plot.shape {
            PlotShape::Percentiles { curve } => of.curves(curve, true),
            PlotShape::Shares { curve } => of.curves(curve, false),
            PlotShape::Bars { figures, whole, by } => of.bars(figures, whole, by).into_iter().collect(),
            PlotShape::Lines { figure, over } => of.lines(figure, over).into_iter().collect(),
        };
        let many = drawn.len() > 1;
        drawings.extend(drawn.into_iter().enumerate().map(|(part, markup)| {
            let part = if many { format!("-{}", part + 1) } else { String::new() };
            Drawing { stem: format!("{}-{}{part}", document.scenario, number + 1), markup }
        }));
    }
    drawings
}

/// One plot of a document.
struct Of<'a> {
    document: &'a Document,
    targets: &'a [String],
    title: &'a str,
}

impl Of<'_> {
    /// Distributions, one drawing per point.
    fn curves(&self, curve: &str, is_latency: bool) -> Vec<Markup> {
        let blocks = super::table::blocks(self.document);
        blocks.iter().filter_map(|block| self.curve_of(block, curve, is_latency)).collect()
    }

    fn curve_of(&self, block: &[&Measured], curve: &str, is_latency: bool) -> Option<Markup> {
        let mut unit = String::new();
        let mut series = Vec::new();
        for measured in block {
            let rounds = measured.counted();
            let curves: Vec<_> = rounds.iter().filter_map(|round| round.curves.get(curve)).collect();
            let Some(first) = curves.first() else { continue };
            unit.clone_from(&first.unit);
            let mut xs: Vec<f64> =
                curves.iter().flat_map(|curve| &curve.points).map(|point| point[0]).collect();
            xs.sort_by(f64::total_cmp);
            xs.dedup();
            let points = xs.into_iter().filter_map(|x| {
                let at = |curve: &&super::document::Curve| {
                    let found = curve.points.iter().find(|point| point[0] == x).map(|point| point[1]);
                    // A length that a round does not have has no share in it.
                    if is_latency { found } else { Some(found.unwrap_or(0.0)) }
                };
                let summary = super::document::Summary::of(
                    curves.iter().filter_map(at).collect::<Vec<_>>().into_iter(),
                )?;
                let spread = Some((summary.min, summary.max)).filter(|_| summary.rounds > 1);
                Some(Mark { x, y: summary.median, spread, is_sound: measured.verdict() == Verdict::Ok })
            });
            let points = points.collect();
            series.push(Series {
                name: measured.target.clone(),
                color: self.color(&measured.target, &[]),
                points,
            });
        }
        let point = block.first().map(|measured| self.varying(&measured.point)).unwrap_or_default();
        let title = if point.is_empty() { self.title.to_owned() } else { format!("{}, {point}", self.title) };
        if series.is_empty() {
            return None;
        }
        Some(match is_latency {
            true => svg::lines(&LinePlot {
                title,
                x_label: "percentile".to_owned(),
                y_label: unit,
                x_scale: Scale::Rarity,
                y_scale: Scale::Log,
                series,
                has_marks: false,
            }),
            false => svg::bars(&shares(title, unit, &series)),
        })
    }

    fn bars(&self, figures: &[String], whole: &str, by: &str) -> Option<Markup> {
        let kinds: Vec<_> = figures.iter().map(|name| self.document.figure(name)).collect::<Option<_>>()?;
        let names = self.names(by);
        let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
        for measured in &self.document.results {
            let known = |name: &str| measured.summary.get(name);
            let parts: Option<Vec<_>> = figures.iter().map(|name| known(name)).collect();
            let Some(parts) = parts.or_else(|| Some(vec![known(whole)?])) else { continue };
            let spread = known(whole).map(|summary| (summary.min, summary.max));
            let name = measured.point.get(by).map_or_else(String::new, Value::to_string);
            let series = self.series_of(measured, by);
            let bar = Bar {
                color: self.color(&series, &names),
                name: series,
                spread: spread.filter(|_| measured.counted().len() > 1),
                parts: parts.iter().map(|summary| summary.median).collect(),
                is_sound: measured.verdict() == Verdict::Ok,
            };
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, bars)) => bars.push(bar),
                None => groups.push((name, vec![bar])),
            }
        }
        (!groups.is_empty()).then(|| {
            svg::bars(&BarPlot {
                title: self.title.to_owned(),
                x_label: by.to_owned(),
                y_label: kinds.first().map_or_else(String::new, |kind| kind.unit.clone()),
                parts: if figures.len() > 1 { figures.to_vec() } else { Vec::new() },
                groups,
            })
        })
    }

    /// Only where there are at least two numbers to draw a line through.
    fn lines(&self, figure: &str, over: &str) -> Option<Markup> {
        let kind = self.document.figure(figure)?;
        let names = self.names(over);
        let mut series: Vec<Series> = Vec::new();
        for measured in &self.document.results {
            let Some(Value::Number(x)) = measured.point.get(over) else { continue };
            let Some(summary) = measured.summary.get(figure) else { continue };
            let mark = Mark {
                x: *x as f64,
                y: summary.median,
                spread: Some((summary.min, summary.max)).filter(|_| summary.rounds > 1),
                is_sound: measured.verdict() == Verdict::Ok,
            };
            let name = self.series_of(measured, over);
            match series.iter_mut().find(|known| known.name == name) {
                Some(known) => known.points.push(mark),
                None => series.push(Series { color: self.color(&name, &names), name, points: vec![mark] }),
            }
        }
        series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.x.total_cmp(&b.x)));
        series.iter().any(|series| series.points.len() > 1).then(|| {
            svg::lines(&LinePlot {
                title: self.title.to_owned(),
                x_label: over.to_owned(),
                y_label: format!("{} {}", kind.name, kind.unit).trim_end().to_owned(),
                x_scale: Scale::Log,
                y_scale: if kind.unit == "us" { Scale::Log } else { Scale::Linear },
                series,
                has_marks: true,
            })
        })
    }

    /// The target, and what else tells results apart beside `axis`.
    fn series_of(&self, measured: &Measured, axis: &str) -> String {
        let mut point = measured.point.clone();
        point.remove(axis);
        let rest = self.varying(&point);
        let is_alone = self.document.results.iter().all(|one| one.target == measured.target);
        match (rest.is_empty(), is_alone) {
            (true, _) => measured.target.clone(),
            (false, true) => rest,
            (false, false) => format!("{}, {rest}", measured.target),
        }
    }

    /// The parameters of `point` that have several values, named.
    fn varying(&self, point: &Point) -> String {
        let several =
            |name: &String| self.document.parameters.get(name).is_some_and(|values| values.len() > 1);
        let parts = point.iter().filter(|(name, _)| several(name));
        parts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// Targets by their place; other series by theirs among `all`.
    fn color(&self, series: &str, all: &[String]) -> usize {
        let place = |names: &[String]| names.iter().position(|name| name == series);
        place(self.targets).or_else(|| place(all)).unwrap_or(0) % COLORS
    }

    /// The names of all series beside `axis`, in the order in which they occur.
    fn names(&self, axis: &str) -> Vec<String> {
        let mut names = Vec::new();
        for name in self.document.results.iter().map(|measured| self.series_of(measured, axis)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Shares by length as bars, a group for each length.
fn shares(title: String, unit: String, series: &[Series]) -> BarPlot {
    let mut lengths: Vec<f64> = series.iter().flat_map(|series| &series.points).map(|mark| mark.x).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    let groups = lengths.into_iter().map(|length| {
        let bars = series.iter().map(|series| {
            let mark = series.points.iter().find(|mark| mark.x == length);
            Bar {
                name: series.name.clone(),
                color: series.color,
                parts: vec![mark.map_or(0.0, |mark| mark.y)],
                spread: mark.and_then(|mark| mark.spread),
                is_sound: mark.is_none_or(|mark| mark.is_sound),
            }
        });
        (svg::short(length), bars.collect())
    });
    BarPlot {
        title,
        x_label: "datagrams in one send, at most".to_owned(),
        y_label: format!("{unit} of sends"),
        parts: Vec::new(),
        groups: groups.collect(),
    }
}
