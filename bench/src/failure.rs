//! What went wrong, and what the person at the terminal can do about it.
#![forbid(unsafe_code)]

use std::fmt;

/// An error that ends a round or the run.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    remedy: String,
    is_of_generator: bool,
}

impl Failure {
    /// `what` happened; `remedy` is an order to the reader.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), is_of_generator: false }
    }

    /// The generator was at fault, not the server.
    pub(crate) fn of_generator(self) -> Self {
        Self { is_of_generator: true, ..self }
    }

    /// Whether [`Failure::of_generator`] was said.
    pub(crate) fn is_of_generator(&self) -> bool {
        self.is_of_generator
    }

    /// What happened, without the remedy.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The same with more to read, after the remedy.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { remedy: format!("{}\n  {more}", self.remedy), ..self }
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
