//! Two files side by side: ratios with their spread, and whether a difference was shown at all.
#![forbid(unsafe_code)]

use super::document::{Document, FigureKind, Measured, Summary, Verdict};
use super::markdown;
use super::table::number;
use crate::scenario::{Better, name_of};

/// What two summaries say about each other.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    /// Of the medians, second to first.
    middle: f64,
    /// The least and the most that the rounds allow.
    low: f64,
    high: f64,
}

/// The comparison as text.
pub(crate) fn of(a: &Document, b: &Document) -> String {
    let mut text: String = cautions(a, b).iter().map(|caution| format!("note: {caution}\n")).collect();
    let pairs = pairs(a, b);
    if pairs.is_empty() {
        return text + "the files share no target at the same point; there is nothing to compare\n";
    }
    let heading = ["point", "target", "figure", "A", "B", "B / A", "spread", "says"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (first, second) in pairs {
        for figure in a.figures.iter().filter(|figure| figure.better != Better::Neither) {
            rows.extend(row(figure, first, second));
        }
    }
    text += &markdown(&rows);
    text
}

fn row(figure: &FigureKind, a: &Measured, b: &Measured) -> Option<Vec<String>> {
    let (first, second) = (a.summary.get(&figure.name)?, b.summary.get(&figure.name)?);
    let ratio = Ratio::of(first, second);
    let show = |summary: &Summary| {
        format!("{} {}", number(summary.median, figure), figure.unit).trim_end().to_owned()
    };
    Some(vec![
        name_of(&a.point),
        a.target.clone(),
        figure.name.clone(),
        show(first),
        show(second),
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}x", ratio.middle)),
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}..{:.2}", ratio.low, ratio.high)),
        says(figure.better, first, second, a, b),
    ])
}

impl Ratio {
    /// `None` if the first is 0 anywhere: there is no ratio to nothing.
    fn of(a: &Summary, b: &Summary) -> Option<Self> {
        let is_known = a.min > 0.0 && a.median > 0.0;
        is_known.then(|| Self { middle: b.median / a.median, low: b.min / a.max, high: b.max / a.min })
    }
}

fn says(better: Better, first: &Summary, second: &Summary, a: &Measured, b: &Measured) -> String {
    let unusable = [a, b].map(Measured::verdict).into_iter().find(|verdict| *verdict != Verdict::Ok);
    if let Some(verdict) = unusable {
        return format!("nothing: one is {}", verdict.name());
    }
    let overlap = first.min <= second.max && second.min <= first.max;
    if overlap {
        return "no difference shown".to_owned();
    }
    if first.rounds < 2 || second.rounds < 2 {
        return "one round shows no spread: nothing".to_owned();
    }
    let is_better = (second.median < first.median) == (better == Better::Lower);
    if is_better { "B is better" } else { "B is worse" }.to_owned()
}

/// The same target at the same point in both files.
fn pairs<'a>(a: &'a Document, b: &'a Document) -> Vec<(&'a Measured, &'a Measured)> {
    let partner = |first: &Measured| {
        b.results.iter().find(|second| second.target == first.target && second.point == first.point)
    };
    a.results.iter().filter_map(|first| Some((first, partner(first)?))).collect()
}

/// Why the figures may differ although the code does not.
fn cautions(a: &Document, b: &Document) -> Vec<String> {
    let mut cautions = Vec::new();
    let mut differ = |what: &str, first: &dyn ToString, second: &dyn ToString| {
        let (first, second) = (first.to_string(), second.to_string());
        if first != second {
            cautions.push(format!("{what} differ: {first} and {second}"));
        }
    };
    differ("scenarios", &a.scenario, &b.scenario);
    differ("CPUs", &a.machine.cpu, &b.machine.cpu);
    differ("numbers of cores", &a.machine.cores, &b.machine.cores);
    differ("kernels", &a.machine.kernel, &b.machine.kernel);
    differ("governors", &a.machine.governor, &b.machine.governor);
    differ("mitigations", &a.machine.mitigations.join("; "), &b.machine.mitigations.join("; "));
    for (name, document) in [("A", a), ("B", b)] {
        if document.size == crate::scenario::Size::Smoke {
            cautions.push(format!("{name} was run at smoke size: its figures mean nothing"));
        }
        if document.machine.load_average > document.machine.cores as f64 {
            let load = document.machine.load_average;
            cautions.push(format!("the machine of {name} was busy when it began (load {load})"));
        }
    }
    cautions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Round;
    use crate::scenario::Point;
    use std::collections::BTreeMap;

    fn measured(values: &[f64], verdict: Verdict) -> Measured {
        let rounds = values.iter().map(|_| Round { verdict, ..Round::default() }).collect();
        let summary = Summary::of(values.iter().copied()).map(|summary| ("cpu".to_owned(), summary));
        Measured { target: "t".into(), point: Point::new(), rounds, summary: summary.into_iter().collect() }
    }

    fn said(a: &[f64], b: &[f64], verdict: Verdict) -> (String, String) {
        let figure = FigureKind {
            name: "cpu".into(),
            unit: "ns".into(),
            better: Better::Lower,
            digits: Some(0),
            meaning: String::new(),
        };
        let row = row(&figure, &measured(a, Verdict::Ok), &measured(b, verdict)).unwrap_or_default();
        (format!("{} {}", row[5], row[6]), row[7].clone())
    }

    #[test]
    fn a_difference_is_shown_only_where_spreads_do_not_meet() {
        let of = |a: &[f64], b: &[f64]| said(a, b, Verdict::Ok);
        assert_eq!(
            of(&[90.0, 100.0, 110.0], &[45.0, 50.0, 55.0]),
            ("0.50x 0.41..0.61".into(), "B is better".into())
        );
        assert_eq!(of(&[90.0, 100.0, 110.0], &[109.0, 120.0]).1, "no difference shown");
        assert_eq!(of(&[90.0, 110.0], &[111.0, 120.0]).1, "B is worse");
        assert_eq!(of(&[90.0], &[50.0]).1, "one round shows no spread: nothing");
        assert_eq!(of(&[0.0, 1.0], &[2.0, 3.0]).0, "- -");
        assert_eq!(said(&[90.0, 91.0], &[50.0, 51.0], Verdict::Invalid).1, "nothing: one is INVALID");
    }

    #[test]
    fn a_figure_that_one_side_lacks_is_left_out() {
        let mut b = measured(&[1.0], Verdict::Ok);
        b.summary = BTreeMap::new();
        let figure = FigureKind {
            name: "cpu".into(),
            unit: String::new(),
            better: Better::Lower,
            digits: None,
            meaning: String::new(),
        };
        assert_eq!(row(&figure, &measured(&[1.0], Verdict::Ok), &b), None);
    }
}
