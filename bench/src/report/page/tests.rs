#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::*;
use crate::report::document::Curve;
use crate::scenario::Value;
use crate::scenarios::ALL;

/// A run of `fanout` with every figure, by two targets at two points.
fn document() -> Document {
    let scenario = ALL.iter().find(|scenario| scenario.name == "fanout").unwrap();
    let numbers = [10, 50].map(Value::Number).to_vec();
    let mut document = Document::begin(
        scenario,
        Size::Full,
        2,
        BTreeMap::from([("subscribers".to_owned(), numbers.clone())]),
    );
    for (at, number) in numbers.iter().enumerate() {
        for (target, factor) in [("sluice", 1.0), ("<b>other</b>", 3.0)] {
            for round in 1..=2 {
                let value = |name: usize| factor * (100.0 + (name * 10 + at) as f64 + f64::from(round));
                let figures = scenario.figures().enumerate();
                let points = vec![[0.5, factor * 200.0], [0.9, factor * 500.0], [0.99, factor * 3000.0]];
                let trains = vec![[1.0, 30.0], [3.0, 70.0]];
                let curve = |unit: &str, points| Curve { unit: unit.to_owned(), points };
                document.add(
                    target,
                    &BTreeMap::from([("subscribers".to_owned(), number.clone())]),
                    Round {
                        round,
                        verdict: if factor > 1.0 && at == 1 { Verdict::Over } else { Verdict::Ok },
                        reasons: vec!["it lost & lost".to_owned()],
                        figures: figures.map(|(at, figure)| (figure.name.to_owned(), value(at))).collect(),
                        curves: BTreeMap::from([
                            ("forward".to_owned(), curve("us", points)),
                            ("trains".to_owned(), curve("%", trains)),
                        ]),
                        ..Round::default()
                    },
                );
            }
        }
    }
    document
}

#[test]
fn a_page_is_complete_in_itself_and_shows_every_plot() {
    let document = document();
    let drawings = plot::all(&document, &targets(std::slice::from_ref(&document)));
    // One per chart, and curves once per point.
    assert_eq!(drawings.len(), document.charts.len() + 2);
    let text = page(&[document], &[drawings]).into_string();
    for outside in ["<script", "<link", "src=", "@import", "url(", "NaN"] {
        assert!(!text.contains(outside), "{outside}");
    }
    // The only addresses are names of the SVG format.
    assert_eq!(text.matches("http").count(), text.matches("http://www.w3.org/2000/svg").count());
    assert!(text.contains("&lt;b&gt;other") && !text.contains("<b>other"));
    assert!(text.contains("OVER") && text.contains("it lost &amp; lost"));
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    let dir = std::env::temp_dir().join(format!("sluice-bench-page-{}", std::process::id()));
    let path = dir.join("a/run.json");
    let written = document();
    written.write(&path).unwrap();
    let read = Document::read(&path).unwrap();
    assert!(serde_json::to_string(&read).unwrap() == serde_json::to_string(&written).unwrap());

    std::fs::write(&path, r#"{"schema": 1, "runs": []}"#).unwrap();
    assert!(Document::read(&path).unwrap_err().to_string().contains("schema 1"));
    std::fs::write(&path, "[]").unwrap();
    assert!(Document::read(&path).is_err());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn dates_are_written_with_their_zone() {
    assert_eq!(date(1_795_253_400), "2026-11-21 09:30 UTC");
}
