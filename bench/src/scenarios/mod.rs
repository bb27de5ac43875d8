//! The scenarios: each file answers one question.
#![forbid(unsafe_code)]

mod allocator;
mod audio;
mod backends;
mod cache;
mod churn;
mod classify;
mod command_latency;
mod estimate;
mod fanout;
mod join_storm;
mod keyframe_storm;
mod layer_switch;
mod limit;
mod livestream;
mod loss;
mod mailbox;
mod meeting;
mod memory;
mod mesh_ring;
mod rewrite;
mod rooms;
mod selector;
mod shards;
mod srtp;
mod traffic;
mod wakes;

#[cfg(test)]
mod tests;

use crate::scenario::Scenario;

/// All of them, servers first.
pub(crate) const ALL: &[&Scenario] = &[
    &fanout::SCENARIO,
    &livestream::SCENARIO,
    &meeting::SCENARIO,
    &audio::SCENARIO,
    &rooms::SCENARIO,
    &join_storm::SCENARIO,
    &layer_switch::SCENARIO,
    &keyframe_storm::SCENARIO,
    &loss::SCENARIO,
    &command_latency::SCENARIO,
    &memory::SCENARIO,
    &shards::SCENARIO,
    &churn::SCENARIO,
    &limit::SCENARIO,
    &backends::SCENARIO,
    &wakes::SCENARIO,
    &classify::SCENARIO,
    &srtp::SCENARIO,
    &rewrite::SCENARIO,
    &selector::SCENARIO,
    &cache::SCENARIO,
    &mailbox::SCENARIO,
    &mesh_ring::SCENARIO,
    &estimate::SCENARIO,
    &allocator::SCENARIO,
    &traffic::SCENARIO,
];
