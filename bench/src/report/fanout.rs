//! The table and the JSON of the scenario `fanout`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{markdown, median};
use crate::failure::{Failure, OrFail};
use crate::measure::machine::Machine;
use crate::scenarios::fanout::{Figures, LOAD, Load, Options};

/// Raised when a field of the JSON changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

const HEADING: [&str; 19] = [
    "N",
    "target",
    "runs",
    "CPU ns/pkt",
    "min..max",
    "user",
    "sys",
    "loss % max",
    "p50 us",
    "p99 us",
    "max us",
    "RTCP in/s",
    "RSS MB",
    "KB/idle sub",
    "threads",
    "kpps/core",
    "gen ns/pkt",
    "late %",
    "verdict",
];

/// One line about one run.
pub(crate) fn summary(figures: &Figures) -> String {
    let cpu = figures.cpu_ns_per_packet.map_or("CPU unknown".to_owned(), |ns| format!("{ns:.0} ns/packet"));
    let Figures { latency_us, loss_percent, invalid, .. } = figures;
    let verdict = match invalid.as_slice() {
        [] => String::new(),
        reasons => format!("; INVALID: {}", reasons.join("; ")),
    };
    format!(
        "{cpu}, p50 {:.0} us, p99 {:.0} us, loss {loss_percent:.3} %{verdict}",
        latency_us.p50, latency_us.p99
    )
}

/// Medians over the rounds per number of subscribers and target, then ratios to the first target.
pub(crate) fn table(figures: &[Figures], subscribers: &[u32], targets: &[String]) -> String {
    let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
    for &subscribers in subscribers {
        let of = |target: &String| -> Vec<&Figures> {
            figures.iter().filter(|one| one.subscribers == subscribers && &one.target == target).collect()
        };
        rows.extend(targets.iter().map(|target| row(&of(target))));
        if let Some((first, others)) = targets.split_first() {
            rows.extend(others.iter().map(|other| ratio_row(&of(first), &of(other))));
        }
    }
    let reasons = figures.iter().flat_map(|one| {
        one.invalid.iter().map(|reason| {
            format!(
                "INVALID: {} subscribers, round {}, {}: {reason}\n",
                one.subscribers, one.round, one.target
            )
        })
    });
    markdown(&rows) + &reasons.collect::<String>()
}

/// The runs that count: the valid ones, or all of them if none is.
fn counted<'a>(runs: &[&'a Figures]) -> Vec<&'a Figures> {
    let valid: Vec<&Figures> = runs.iter().copied().filter(|run| run.invalid.is_empty()).collect();
    if valid.is_empty() { runs.to_vec() } else { valid }
}

fn row(runs: &[&Figures]) -> Vec<String> {
    let all = runs.len();
    let runs = counted(runs);
    let Some(any) = runs.first() else { return Vec::new() };
    let middle = |of: &dyn Fn(&Figures) -> Option<f64>| median(runs.iter().filter_map(|run| of(run)));
    let show = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let cpu = runs.iter().filter_map(|run| run.cpu_ns_per_packet);
    let spread = match (cpu.clone().reduce(f64::min), cpu.reduce(f64::max)) {
        (Some(min), Some(max)) => format!("{min:.0}..{max:.0}"),
        _ => "-".to_owned(),
    };
    let loss_max = runs.iter().map(|run| run.loss_percent_max).reduce(f64::max);
    let is_valid = runs.iter().all(|run| run.invalid.is_empty());
    vec![
        any.subscribers.to_string(),
        any.target.clone(),
        format!("{}/{all}", runs.len()),
        show(middle(&|run| run.cpu_ns_per_packet), 0),
        spread,
        show(middle(&|run| run.user_ns_per_packet), 0),
        show(middle(&|run| run.system_ns_per_packet), 0),
        show(loss_max, 3),
        show(middle(&|run| Some(run.latency_us.p50)), 0),
        show(middle(&|run| Some(run.latency_us.p99)), 0),
        show(middle(&|run| Some(run.latency_us.max)), 0),
        show(middle(&|run| Some(run.rtcp_to_server_per_second)), 0),
        show(middle(&|run| run.rss_bytes.map(|bytes| bytes as f64 / 1e6)), 1),
        show(middle(&|run| run.rss_bytes_per_idle_subscriber.map(|bytes| bytes / 1e3)), 1),
        show(middle(&|run| run.threads.map(|threads| threads as f64)), 0),
        show(middle(&|run| run.cpu_ns_per_packet.map(|ns| 1e6 / ns)), 0),
        show(middle(&|run| Some(run.generator_ns_per_packet)), 0),
        show(middle(&|run| Some(run.generator_late_percent)), 2),
        if is_valid { "ok" } else { "INVALID" }.to_owned(),
    ]
}

/// How many times more `other` takes than `first`.
fn ratio_row(first: &[&Figures], other: &[&Figures]) -> Vec<String> {
    let (first, other) = (counted(first), counted(other));
    let ratio = |of: &dyn Fn(&Figures) -> Option<f64>| {
        let median_of = |runs: &[&Figures]| median(runs.iter().filter_map(|run| of(run)));
        match (median_of(&first), median_of(&other)) {
            (Some(first), Some(other)) if first > 0.0 => format!("{:.2}x", other / first),
            _ => String::new(),
        }
    };
    let name = |runs: &[&Figures]| runs.first().map_or_else(String::new, |run| run.target.clone());
    HEADING
        .iter()
        .map(|&column| match column {
            "N" => first.first().map_or_else(String::new, |run| run.subscribers.to_string()),
            "target" => format!("{} / {}", name(&other), name(&first)),
            "CPU ns/pkt" => ratio(&|run| run.cpu_ns_per_packet),
            "user" => ratio(&|run| run.user_ns_per_packet),
            "sys" => ratio(&|run| run.system_ns_per_packet),
            "p50 us" => ratio(&|run| Some(run.latency_us.p50)),
            "p99 us" => ratio(&|run| Some(run.latency_us.p99)),
            "RSS MB" => ratio(&|run| run.rss_bytes.map(|bytes| bytes as f64)),
            "KB/idle sub" => ratio(&|run| run.rss_bytes_per_idle_subscriber),
            _ => String::new(),
        })
        .collect()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    scenario: &'static str,
    machine: Machine,
    parameters: &'a Options,
    load: Load,
    runs: &'a [Figures],
}

/// Writes the JSON and says where.
pub(crate) fn write_json(options: &Options, path: Option<&Path>, figures: &[Figures]) -> Result<(), Failure> {
    let document = Document {
        schema: SCHEMA_VERSION,
        scenario: crate::scenarios::fanout::SCENARIO.name,
        machine: Machine::read(),
        parameters: options,
        load: LOAD,
        runs: figures,
    };
    let path = path.map_or_else(default_path, Path::to_owned);
    let text = serde_json::to_string_pretty(&document).or_fail("the JSON", "")?;
    let remedy = "name a file that can be written by --json FILE";
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_fail(folder.display(), remedy)?;
    }
    fs::write(&path, text + "\n").or_fail(path.display(), remedy)?;
    println!("JSON: {}", path.display());
    Ok(())
}

fn default_path() -> PathBuf {
    let seconds = crate::load::wall_ns() / 1_000_000_000;
    let target = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.parent()?.to_owned()));
    target.unwrap_or_default().join("bench-results").join(format!("fanout-{seconds}.json"))
}
