//! The command line: what the program is asked to do, what it says while it does it, and how it ends.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, Layers, LogFormat, SETTINGS};
use crate::doctor::checks::settings::unknown_variable;
use crate::doctor::{self, render};
use crate::healthcheck::{self, Question};
use crate::limits::{BLOCKING_THREADS_MAX, SHUTDOWN_MAX};
use crate::report::Report;
use crate::start::{Running, start};
use crate::systemd::Manager;
use crate::terminal::{Emphasis, Palette};
use crate::{events, log};

/// The command line or the settings are wrong. The exit code of clap too.
const EXIT_USAGE: u8 = 2;
/// A second signal ended the process: 128 and the number of SIGINT, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;

/// A WebRTC server: browsers and encoders publish over WHIP, browsers and players watch over WHEP.
///
/// Without any setting it serves http://127.0.0.1:8080/ and receives media on UDP 7000 and up, one port
/// per core: open the page, choose a room, publish, and open the room in another window.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, after_long_help = long_help(), after_help = SHORT_HELP)]
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
    /// Looks at this machine and the settings, and says what to mend and how.
    ///
    /// Changes nothing. Ends with 0 if all is well, 1 if something will hurt, 2 if something does not work.
    Doctor {
        /// Writes the findings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Asks the server that runs with these settings whether it lives: 0 if it does, else 1.
    Healthcheck {
        /// Asks whether it takes sessions, instead.
        #[arg(long)]
        ready: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigTask {
    /// Prints every setting, its value and where that came from. Secrets are hidden.
    Explain,
}

const SHORT_HELP: &str = "`sluice --help` lists the settings, signals and exit codes too.";

fn long_help() -> String {
    let mut help = String::from(
        "Examples:\n  sluice\n  SLUICE_HTTP_LISTEN=0.0.0.0:8080 SLUICE_TLS=self-signed SLUICE_AUTH=open sluice\n  \
         sluice --config sluice.toml\n  sluice doctor\n  sluice config explain\n\n\
         Settings, as variables of the environment:\n",
    );
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "not set" } else { setting.default };
        help.push_str(&format!("  {} [{default}]\n      {}\n", setting.variable(), setting.help.trim()));
    }
    help.push_str(
        "\nIn the file they are called the same, without SLUICE_ and in small letters.\n\
         RUST_LOG sets what is logged: info by default, or debug, or controlplane=debug.\n\
         NO_COLOR switches colours off; only a terminal gets them.\n\n\
         Signals:\n  \
         SIGTERM, SIGINT  say goodbye to every session and stop, within 5 s; a second one stops at once\n  \
         SIGHUP           reads the certificate of HTTPS again\n\n\
         Exit codes:\n  \
         0    it was stopped\n  \
         1    it could not start\n  \
         2    the command line or the settings are wrong\n  \
         130  a second signal stopped it at once\n",
    );
    help
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let layers = match Layers::collect(arguments.config.as_deref(), std::env::vars_os().filter_map(text)) {
        Ok(layers) => layers,
        Err(error) => return refuse(&error),
    };
    if let Some(Task::Doctor { json }) = arguments.command {
        return examine(&layers, json);
    }
    let checked = layers.check();
    if let Some(Task::Config { command: ConfigTask::Explain }) = arguments.command {
        say(layers.explain().trim_end());
        return checked.map_or_else(|error| refuse(&error), |_| ExitCode::SUCCESS);
    }
    let config = match checked {
        Ok(config) => config,
        Err(error) => {
            for variable in &layers.unknown_variables {
                let finding = unknown_variable(variable);
                note(&format!("{}; {}", finding.found, finding.wanted.unwrap_or_default()));
            }
            return refuse(&error);
        }
    };
    if let Some(Task::Healthcheck { ready }) = arguments.command {
        let question = if ready { Question::Ready } else { Question::Alive };
        return healthcheck::ask(&config, question)
            .map_or_else(|error| fail(LogFormat::Text, &error, None), |()| ExitCode::SUCCESS);
    }
    match log::filter() {
        Ok(filter) => log::begin(config.log_format, filter),
        Err(error) => return refuse(&error),
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build() {
        Ok(runtime) => runtime.block_on(serve(config, &layers)),
        Err(error) => {
            let remedy = "raise the limits of threads and descriptors: `ulimit -u`, `ulimit -n`";
            fail(config.log_format, &format!("no threads: {error}"), Some(remedy))
        }
    }
}

/// A variable that is no text is none of ours: settings are.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
}

fn examine(layers: &Layers, is_json: bool) -> ExitCode {
    let findings = doctor::examine(layers);
    let page = if is_json {
        render::json(&findings)
    } else {
        render::text(&findings, Palette::of(&std::io::stdout()))
    };
    say(page.trim_end());
    ExitCode::from(doctor::exit_code(&findings))
}

/// The signals that the process listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that asks for the end, and names it.
    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn serve(config: Config, layers: &Layers) -> ExitCode {
    let format = config.log_format;
    // Listening for signals comes first: a stop during the start must not be lost.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(format, &format!("listening for signals: {error}"), None),
    };
    let running = match start(config.clone()).await {
        Ok(running) => running,
        Err(error) => return fail(format, &format!("cannot start: {error}"), Some(&error.remedy())),
    };
    let report = Report::new(&config, &running, &layers.unknown_variables);
    match format {
        LogFormat::Text => say(&report.text(Palette::of(&std::io::stdout()))),
        LogFormat::Json => report.log(),
    }
    let manager = std::sync::Arc::new(Manager::from_environment());
    manager.ready(&running.url());
    let watchdog = tokio::spawn(events::feed_watchdog(running.service.clone(), manager.clone()));
    let name = wait(&mut signals, &running).await;
    step(format, &format!("{name} received"));
    manager.stopping(SHUTDOWN_MAX);
    tokio::select! {
        () = running.shutdown(|text| step(format, text)) => {}
        name = signals.stop() => {
            step(format, &format!("{name} again: stopping at once, without goodbye"));
            // Threads that hang are not waited for.
            std::process::exit(EXIT_INTERRUPTED);
        }
    }
    watchdog.abort();
    ExitCode::SUCCESS
}

/// Until a signal asks for the end; names it.
async fn wait(signals: &mut Signals, running: &Running) -> &'static str {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return "SIGTERM",
            _ = signals.interrupt.recv() => return "SIGINT",
            _ = signals.hang_up.recv() => {
                if !running.reload_certificate().await {
                    tracing::warn!("SIGHUP reads a certificate again, and there is none; settings need a new start");
                }
            }
        }
    }
}

/// A step of a stop.
fn step(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => say(&format!("sluice: {text}")),
        LogFormat::Json => tracing::info!("{text}"),
    }
}

/// Standard output may be closed; that is no reason to die.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Something that may explain an error that follows.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "sluice: {text}");
}

/// The command line or the settings are wrong.
fn refuse(error: &dyn Display) -> ExitCode {
    let _ = fail(LogFormat::Text, &error.to_string(), None);
    ExitCode::from(EXIT_USAGE)
}

fn fail(format: LogFormat, error: &str, remedy: Option<&str>) -> ExitCode {
    if format == LogFormat::Json {
        tracing::error!(remedy, "{error}");
        return ExitCode::FAILURE;
    }
    let mut stderr = std::io::stderr();
    let name = Palette::of(&stderr).paint(Emphasis::Bad, "sluice:");
    let _ = writeln!(stderr, "{name} {error}");
    if let Some(remedy) = remedy {
        let _ = writeln!(stderr, "remedy: {remedy}");
    }
    ExitCode::FAILURE
}
