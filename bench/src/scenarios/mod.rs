//! The scenarios: each file answers one question.
#![forbid(unsafe_code)]

mod allocator;
mod backends;
mod cache;
mod classify;
mod estimate;
mod fanout;
mod limit;
mod mailbox;
mod rewrite;
mod srtp;
mod wakes;

#[cfg(test)]
mod tests;

use crate::scenario::Scenario;

/// All of them, servers first.
pub(crate) const ALL: &[&Scenario] = &[
    &fanout::SCENARIO,
    &limit::SCENARIO,
    &backends::SCENARIO,
    &wakes::SCENARIO,
    &classify::SCENARIO,
    &srtp::SCENARIO,
    &rewrite::SCENARIO,
    &cache::SCENARIO,
    &mailbox::SCENARIO,
    &estimate::SCENARIO,
    &allocator::SCENARIO,
];
