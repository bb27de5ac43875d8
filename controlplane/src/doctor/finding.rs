//! What one check came to: a value, the value that is wanted, and what mends it.
#![forbid(unsafe_code)]

use serde::Serialize;

/// How good what was found is. Ordered: the worst of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Cannot be seen from here: no verdict, and nothing that a script should stop for.
    Unknown,
    /// It works, and will hurt.
    Warn,
    /// It does not work.
    Fail,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What is wanted, unless it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What mends it: a command wherever there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Verdict::Ok, found: found.into(), wanted: None, remedy: None }
    }

    /// Something else is wanted.
    pub fn new(verdict: Verdict, check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { verdict, ..Self::ok(check, found) }
    }

    /// Says what is wanted.
    #[must_use]
    pub fn wanted(mut self, wanted: impl Into<String>) -> Self {
        self.wanted = Some(wanted.into());
        self
    }

    /// Says what mends it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
