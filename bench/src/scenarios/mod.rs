//! The scenarios: each file answers one question.
#![forbid(unsafe_code)]

pub(crate) mod backends;
pub(crate) mod fanout;

/// A scenario as `list` shows it.
pub(crate) struct Scenario {
    /// What it is run by.
    pub(crate) name: &'static str,
    /// What its figures answer.
    pub(crate) question: &'static str,
}

/// All of them.
pub(crate) const ALL: &[&Scenario] = &[&backends::SCENARIO, &fanout::SCENARIO];
