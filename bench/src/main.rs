//! The bench suite of Sluice: how much, how fast, at what cost, for Sluice and for other SFUs.
//!
//! A scenario answers one question and is one file in `scenarios/`. `load/` makes the traffic,
//! `targets/` starts and ends the servers, `measure/` reads what the kernel knows about them, and
//! `report/` says it to a person and to a machine. What a figure means stands in docs/BENCHMARKING.md.

mod failure;
mod load;
mod measure;
mod report;
mod scenarios;
mod targets;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use scenarios::{backends, fanout};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what an SFU costs per forwarded packet, how long a packet takes, and what is lost.
///
/// Targets are run in turns within one session on one machine, because a figure means little alone:
/// compare ratios. Close what else is running; docs/BENCHMARKING.md says how to prepare a machine and
/// what loopback hides. A run whose generator could not keep up says INVALID and gives its reason.
#[derive(Parser)]
#[command(name = "bench", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names each scenario and the question it answers
    List,
    /// Runs one scenario, prints a table and writes a JSON file
    #[command(subcommand)]
    Run(Run),
}

#[derive(Subcommand)]
enum Run {
    Backends(backends::Options),
    Fanout(fanout::Options),
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            for scenario in scenarios::ALL {
                println!("{:<10} {}", scenario.name, scenario.question);
            }
            Ok(())
        }
        Command::Run(Run::Backends(options)) => backends::run(&options),
        Command::Run(Run::Fanout(options)) => fanout::run(&options),
    }
}
