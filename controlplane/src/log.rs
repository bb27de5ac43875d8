//! The log: to standard error, for people or one JSON object a line. What a panic says goes there too.
#![forbid(unsafe_code)]

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::terminal::Palette;

/// What is logged, as `RUST_LOG` says.
///
/// # Errors
///
/// If it cannot be understood; the text is for people.
pub fn filter() -> Result<EnvFilter, String> {
    let Some(wanted) = std::env::var_os("RUST_LOG").filter(|text| !text.is_empty()) else {
        return Ok(EnvFilter::new("info"));
    };
    let wanted = wanted.to_string_lossy().into_owned();
    EnvFilter::try_new(&wanted).map_err(|error| format!("RUST_LOG = `{wanted}`: {error}"))
}

/// Begins to log. Once in a process.
pub fn begin(format: LogFormat, filter: EnvFilter) {
    let palette = Palette::of(&std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(palette.has_colours());
    // A second call, as in tests, changes nothing.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// A panic costs one session (D14), so it is an event like others; its backtrace is wanted where
/// `RUST_BACKTRACE` says so.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = text(panic);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, %backtrace, "panic: {message}");
    } else {
        tracing::error!(
            thread,
            place,
            "panic: {message}; this is a fault of sluice, RUST_BACKTRACE=1 shows more"
        );
    }
}

fn text<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let text = panic.payload().downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.payload().downcast_ref::<&str>().copied()).unwrap_or("no message")
}
