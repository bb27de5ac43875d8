//! One HTML page of any number of result files, complete in itself, and its plots as SVG files.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;

use super::document::{Document, FigureKind, Measured, Round, Verdict};
use super::plot::{self, Drawing};
use super::table::{blocks, floor_lines, number, varying};
use crate::failure::{Failure, OrFail};
use crate::scenario::{Better, Size, name_of};

/// Beyond the plots, which bring their own.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1d2430;--soft:#5c6675;--line:#e3e7ed;--good:#17865b;\
--bad:#b3261e;--warn:#9a6700;--accent:#2468c8}\
@media(prefers-color-scheme:dark){:root{--ground:#0f1319;--card:#161b23;--ink:#e8ecf2;--soft:#9aa5b4;--line:#2c3440;\
--good:#4cc395;--bad:#f28b82;--warn:#e0b040;--accent:#6aa5f5}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);\
font:15px/1.55 system-ui,-apple-system,'Segoe UI',sans-serif}\
main{max-width:1180px;margin:0 auto;padding:40px 24px 80px}\
h1{font-size:28px;line-height:1.2;margin:0 0 6px}h2{font-size:21px;margin:0 0 4px}h3{font-size:15px;margin:24px 0 8px}\
p{margin:4px 0}.soft{color:var(--soft)}nav{margin:18px 0 0;display:flex;gap:18px;flex-wrap:wrap}a{color:var(--accent)}\
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:26px 28px;margin-top:28px}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:14px 0 0;font-size:13.5px}\
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(460px,100%),1fr));gap:18px;margin-top:18px}\
figure{margin:0;border:1px solid var(--line);border-radius:10px;overflow:hidden}figure svg{display:block;width:100%;height:auto}\
.wide{overflow-x:auto;margin-top:8px}table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;width:100%}\
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--line);white-space:nowrap}\
th{color:var(--soft);font-weight:500;vertical-align:bottom}th small,td small{display:block;font-weight:400;color:var(--soft)}\
td.name,th.name{text-align:left}tr.first td{border-top:2px solid var(--line)}\
.ok{color:var(--good)}.invalid{color:var(--bad);font-weight:600}.over{color:var(--warn);font-weight:600}\
.note{border-left:3px solid var(--warn);padding:2px 12px;margin-top:12px;font-size:13.5px}\
details{margin-top:18px;font-size:13.5px}summary{cursor:pointer;color:var(--soft)}\
.answer{font-size:18px;margin-top:12px}";

/// More reasons than these are folded away.
const REASONS_OPEN_MAX: usize = 4;

/// Writes the page, and the plots into `svg` or a folder beside it.
pub(crate) fn write(documents: &[Document], out: &Path, svg: Option<&Path>) -> Result<(), Failure> {
    let remedy = "name a file that can be written by --out FILE";
    let targets = targets(documents);
    let drawings: Vec<Vec<Drawing>> =
        documents.iter().map(|document| plot::all(document, &targets)).collect();
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).or_fail(folder.display(), remedy)?;
    }
    fs::write(out, page(documents, &drawings).into_string()).or_fail(out.display(), remedy)?;
    println!("page: {}", out.display());

    let folder = svg.map_or_else(|| out.with_extension("plots"), PathBuf::from);
    fs::create_dir_all(&folder).or_fail(folder.display(), "name a folder by --svg FOLDER")?;
    let mut count = 0;
    for (number, drawings) in drawings.iter().enumerate() {
        let prefix = if documents.len() > 1 { format!("{}-", number + 1) } else { String::new() };
        for drawing in drawings {
            let file = folder.join(format!("{prefix}{}.svg", drawing.stem));
            fs::write(&file, drawing.markup.0.as_bytes()).or_fail(file.display(), remedy)?;
            count += 1;
        }
    }
    println!("plots: {count} SVG files in {}", folder.display());
    Ok(())
}

/// All targets, in the order in which they occur.
fn targets(documents: &[Document]) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    for measured in documents.iter().flat_map(|document| &document.results) {
        if !targets.contains(&measured.target) {
            targets.push(measured.target.clone());
        }
    }
    targets
}

fn page(documents: &[Document], drawings: &[Vec<Drawing>]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Benchmark report" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { "Benchmark report" }
                p.soft {
                    "Ratios between targets of one run say more than single figures. docs/BENCHMARKING.md says what each figure is, and what loopback hides."
                }
                @if documents.len() > 1 {
                    nav { @for (number, document) in documents.iter().enumerate() {
                        a href=(format!("#run-{number}")) { (document.scenario) ", " (date(document.started_unix)) }
                    } }
                }
                @for (number, (document, drawings)) in documents.iter().zip(drawings).enumerate() {
                    section id=(format!("run-{number}")) { (run(document, drawings)) }
                }
            } }
        }
    }
}

fn run(document: &Document, drawings: &[Drawing]) -> Markup {
    let shown: Vec<&FigureKind> = document
        .figures
        .iter()
        .filter(|figure| figure.digits.is_some())
        .filter(|figure| document.results.iter().any(|one| one.summary.contains_key(&figure.name)))
        .collect();
    html! {
        h2 { (document.scenario) }
        p { (document.question) }
        @if document.size == Size::Smoke {
            p.note { "Played at smoke size: this shows that it works, and the figures mean nothing." }
        }
        @if document.machine.load_average > document.machine.cores as f64 {
            p.note { "The machine was busy when the run began: load " (document.machine.load_average) " on " (document.machine.cores) " cores." }
        }
        @if let Some(search) = &document.search {
            p.answer {
                (search.target) ": "
                @match search.largest {
                    Some(largest) => { b { (largest) " " (search.over) } " hold " },
                    None => "nothing holds ",
                }
                code { (search.objective) }
            }
            p.soft { (search.ended) }
        }
        div.plots { @for drawing in drawings { figure { (drawing.markup) } } }
        h3 { "Medians over the rounds, and their spread" }
        div.wide { (results(document, &shown)) }
        @let floor_lines = floor_lines(document);
        @if !floor_lines.is_empty() { pre { (floor_lines.join("\n")) } }
        (remarks(document))
        (setting(document))
        details {
            summary { "What the figures are" }
            dl { @for figure in &document.figures {
                dt { (figure.name) @if !figure.unit.is_empty() { ", " (figure.unit) } }
                dd { (figure.meaning) (way(figure.better)) }
            } }
        }
    }
}

fn way(better: Better) -> &'static str {
    match better {
        Better::Lower => "; less is good",
        Better::Higher => "; more is good",
        Better::Neither => "",
    }
}

fn results(document: &Document, shown: &[&FigureKind]) -> Markup {
    let parameters = varying(document);
    html! {
        table {
            thead { tr {
                @for name in &parameters { th { (name) } }
                th.name { "target" } th { "rounds" } th.name { "verdict" }
                @for figure in shown { th title=(figure.meaning) { (figure.name) small { (figure.unit) } } }
            } }
            tbody { @for block in blocks(document) { @for (at, measured) in block.iter().enumerate() {
                tr.first[at == 0] {
                    @for name in &parameters { td { @if let Some(value) = measured.point.get(*name) { (value) } } }
                    td.name { (measured.target) }
                    td { (sound(measured)) "/" (measured.rounds.len()) }
                    td.name { (verdict(measured.verdict())) }
                    @for figure in shown { td { (cell(measured, figure)) } }
                }
            } } }
        }
    }
}

fn cell(measured: &Measured, figure: &FigureKind) -> Markup {
    html! {
        @match measured.summary.get(&figure.name) {
            None => "–",
            Some(summary) => {
                (number(summary.median, figure))
                @if summary.rounds > 1 && summary.max > summary.min {
                    small { (number(summary.min, figure)) "–" (number(summary.max, figure)) }
                }
            }
        }
    }
}

fn verdict(verdict: Verdict) -> Markup {
    html! { span class=(verdict.name().to_lowercase()) { (verdict.name()) } }
}

fn sound(measured: &Measured) -> usize {
    measured.rounds.iter().filter(|round| round.verdict == Verdict::Ok).count()
}

/// Why rounds were not OK, and how the generator fared.
fn remarks(document: &Document) -> Markup {
    let unsound: Vec<(&Measured, &Round)> = document
        .results
        .iter()
        .flat_map(|measured| measured.rounds.iter().map(move |round| (measured, round)))
        .filter(|(_, round)| round.verdict != Verdict::Ok)
        .collect();
    let reasons = html! {
        @for (measured, round) in &unsound {
            p.note {
                (verdict(round.verdict)) " " (measured.target) ", " (name_of(&measured.point)) ", round " (round.round) ": "
                (round.reasons.join("; "))
            }
        }
    };
    html! {
        @if unsound.len() > REASONS_OPEN_MAX {
            details { summary { (unsound.len()) " rounds were not ok, and why" } (reasons) }
        } @else {
            (reasons)
        }
        @if document.results.iter().any(|one| one.rounds.iter().any(|round| !round.generator.is_empty())) {
            details {
                summary { "How the generator fared" }
                div.wide { table {
                    thead { tr { th.name { "point" } th.name { "target" } th { "round" } th.name { "figures" } th { "load average" } } }
                    tbody { @for measured in &document.results { @for round in &measured.rounds { tr {
                        td.name { (name_of(&measured.point)) } td.name { (measured.target) } td { (round.round) }
                        td.name { @for (name, value) in &round.generator { (name) " " (super::svg::short(*value)) "  " } }
                        td { (round.load_average) }
                    } } } }
                } }
            }
        }
    }
}

fn setting(document: &Document) -> Markup {
    let machine = &document.machine;
    let memory_gb = machine.memory_bytes as f64 / 1e9;
    html! {
        dl {
            dt { "run" } dd { (date(document.started_unix)) ", " (document.rounds) " rounds" }
            dt { "commit" } dd { (document.tree.commit) @if document.tree.is_dirty { ", with changes" } }
            dt { "machine" } dd {
                (machine.cpu) ", " (machine.cores) " cores, " (format!("{memory_gb:.1}")) " GB"
                @if !machine.hypervisor.is_empty() { ", virtual (" (machine.hypervisor) ")" }
            }
            dt { "kernel" } dd { (machine.kernel) ", governor " (or_unknown(&machine.governor)) ", load " (machine.load_average) " at the beginning" }
            @if !machine.mitigations.is_empty() { dt { "mitigations" } dd { (machine.mitigations.join("; ")) } }
            dt { "parameters" } dd {
                @for (name, values) in &document.parameters {
                    (name) " " (values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) "  "
                }
            }
        }
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// `2026-11-21 09:30 UTC`.
fn date(unix: u64) -> String {
    let at = i64::try_from(unix).ok().and_then(|unix| OffsetDateTime::from_unix_timestamp(unix).ok());
    at.map_or_else(String::new, |at| {
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", at.hour(), at.minute())
    })
}

#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;
