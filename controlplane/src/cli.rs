//! The command line.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Layers, SETTINGS};
use crate::report;
use crate::start::start;

/// A WebRTC server: browsers and encoders publish over WHIP, browsers and players watch over WHEP.
///
/// Without any setting it serves http://127.0.0.1:8080/ and receives media on UDP 7000 and up, one port
/// per core: open the page, choose a room, publish, and open the room in another window.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, after_help = settings_help())]
struct Arguments {
    /// A file with settings (TOML: `http_listen = "0.0.0.0:8080"`); variables of the environment win over it.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Looks at the settings.
    Config {
        #[command(subcommand)]
        command: ConfigTask,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigTask {
    /// Prints every setting, its value and where that came from. Secrets are hidden.
    Explain,
}

fn settings_help() -> String {
    let mut help = String::from(
        "Examples:\n  sluice\n  SLUICE_HTTP_LISTEN=0.0.0.0:8080 SLUICE_TLS=self-signed SLUICE_AUTH=open sluice\n  \
         sluice --config sluice.toml\n  sluice config explain\n\nSettings, as variables of the environment:\n",
    );
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "not set" } else { setting.default };
        help.push_str(&format!("  {} [{default}]\n      {}\n", setting.variable(), setting.help.trim()));
    }
    help.push_str("\nIn the file they are called the same, without SLUICE_ and in small letters.\n");
    help.push_str("RUST_LOG sets what is logged: info by default, or debug, or controlplane=debug.");
    help
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let layers = match Layers::collect(arguments.config.as_deref(), std::env::vars()) {
        Ok(layers) => layers,
        Err(error) => return fail(&error),
    };
    let checked = layers.check();
    if let Some(Task::Config { command: ConfigTask::Explain }) = arguments.command {
        print!("{}", layers.explain());
        return checked.map_or_else(|error| fail(&error), |_| ExitCode::SUCCESS);
    }
    let config = match checked {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(config, &layers)),
        Err(error) => fail(&error),
    }
}

async fn serve(config: crate::config::Config, layers: &Layers) -> ExitCode {
    // Listening for signals comes first: a stop during the start must not be lost.
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return fail(&error),
        };
    let running = match start(config.clone()).await {
        Ok(running) => running,
        Err(error) => return fail(&error),
    };
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    say(&report::text(&config, &running, &layers.unknown_variables, is_terminal));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown(|step| say(&format!("sluice: {step}"))).await;
    ExitCode::SUCCESS
}

/// Standard output may be closed; that is no reason to die.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "sluice: {error}");
    ExitCode::FAILURE
}
