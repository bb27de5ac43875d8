//! The bench suite of Sluice: how much, how fast, at what cost, for Sluice and for other SFUs.
//!
//! A scenario answers one question and is one file in `scenarios/`; `scenario` says what it declares and what
//! it is handed, `schedule` plays it, `find` searches with it. `show/` is a round with publishers and viewers:
//! `traffic/` plans the packets, `load/` sends and receives them, `impair/` makes bad links. `targets/` starts and
//! ends the servers, `measure/` reads what the kernel knows about them, `floor` and `link` tell what the machine can
//! do at all, and `report/` says it to a person and to a machine. What a figure means stands in
//! docs/BENCHMARKING.md.

mod cli;
mod copier;
mod failure;
mod find;
mod floor;
mod impair;
mod link;
mod load;
mod measure;
mod report;
mod scenario;
mod scenarios;
mod schedule;
mod show;
mod targets;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cli::{Action, Arguments, Chosen, FindRequest, RunRequest};
use failure::Failure;
use find::Quest;
use find::search::Bounds;
use report::document::Document;
use report::{compare, page, table};
use schedule::Order;
use targets::{Peer, Starter, Target, Wishes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start(Arguments::parse().action) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Link(request) => return impair::command::run(&request).map(ExitCode::from),
        Action::List { scenario } => {
            print!("{}", cli::list(scenario.as_deref())?);
            Ok(())
        }
        Action::Run(RunRequest(chosen, wishes)) => run(chosen, wishes),
        Action::Find(request) => search(request),
        Action::Compare { a, b } => {
            print!("{}", compare::of(&Document::read(&a)?, &Document::read(&b)?));
            Ok(())
        }
        Action::Report { files, out, svg } => {
            let documents: Result<Vec<Document>, Failure> =
                files.iter().map(|file| Document::read(file)).collect();
            page::write(&documents?, &out, svg.as_deref())
        }
    }
    .map(|()| ExitCode::SUCCESS)
}

fn run(chosen: Chosen, wishes: Wishes) -> Result<(), Failure> {
    let usual = [Target::Sluice(Vec::new()), Target::Peer(Peer::Str0mTokio)];
    let (order, starter, out) = prepare(chosen, wishes, &usual)?;
    let (document, outcome) = schedule::play(&order, &starter);
    if !document.results.is_empty() {
        println!("\n{}", table::of(&document));
        keep(&document, out.as_deref(), &starter.results(), "")?;
    }
    outcome
}

fn search(request: FindRequest) -> Result<(), Failure> {
    let FindRequest { chosen, wishes, limits } = request;
    // Before anything is built or started for it.
    limits.slo.clone().of(chosen.scenario)?;
    let (order, starter, out) = prepare(chosen, wishes, &[Target::Sluice(Vec::new())])?;
    let bounds = Bounds { start: limits.from, max: limits.to, resolution_percent: limits.resolution };
    let quest = Quest { objective: limits.slo, bounds };
    let documents = find::find(&order, &quest, &starter)?;
    for (number, document) in documents.iter().enumerate() {
        println!("\n{}", table::of(document));
        if let Some(found) = &document.search {
            let largest = found.largest.map_or_else(|| "none".to_owned(), |largest| largest.to_string());
            println!("{}: the largest {} with {} is {largest}", found.target, found.over, found.objective);
            println!("  ({})", found.ended);
        }
        let suffix = if documents.len() > 1 { format!("-{}", number + 1) } else { String::new() };
        keep(document, out.as_deref(), &starter.results(), &suffix)?;
    }
    Ok(())
}

/// Makes sure that all can be played before anything is. `usual` are the targets if none was named.
fn prepare(
    chosen: Chosen,
    wishes: Wishes,
    usual: &[Target],
) -> Result<(Order, Starter, Option<PathBuf>), Failure> {
    let Chosen { scenario, values, mut targets, options } = chosen;
    if scenario.needs_server() && targets.is_empty() {
        targets.extend_from_slice(usual);
    }
    load::socket::raise_file_limit();
    let starter = Starter::prepare(&targets, wishes)?;
    let order = Order {
        scenario,
        size: options.size(),
        chosen: values,
        targets,
        rounds: options.rounds(),
        generator_threads: options.generator_threads(),
    };
    Ok((order, starter, options.out))
}

/// Writes the JSON and says where.
fn keep(document: &Document, out: Option<&Path>, results: &Path, suffix: &str) -> Result<(), Failure> {
    let name = format!("{}-{}{suffix}.json", document.scenario, document.started_unix);
    let path = match out {
        None => results.join(name),
        Some(out) if suffix.is_empty() => out.to_owned(),
        Some(out) => {
            let stem = out.file_stem().unwrap_or_default().display().to_string();
            out.with_file_name(format!("{stem}{suffix}.json"))
        }
    };
    document.write(&path)?;
    println!("JSON: {}", path.display());
    Ok(())
}
