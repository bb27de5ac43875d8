//! What went wrong, and what the person at the terminal can do about it.
#![forbid(unsafe_code)]

use std::fmt;

/// An error that ends the run.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    remedy: String,
}

impl Failure {
    /// `what` happened; `remedy` is an order to the reader.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match self.remedy.as_str() {
            "" => Ok(()),
            remedy => write!(f, "\n  what to do: {remedy}"),
        }
    }
}

/// Adds to any error what was being done and what to do about it.
pub(crate) trait OrFail<T> {
    /// See [`Failure::new`].
    fn or_fail(self, what: impl fmt::Display, remedy: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: impl fmt::Display, remedy: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what}: {error}"), remedy))
    }
}
