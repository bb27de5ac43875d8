//! Congestion control. Knows no tracks and no transports: the engine carries values between them.
//!
//! | file | question |
//! |---|---|
//! | `twcc_log` | what arrived from a publisher, to be told to its estimator |
//! | `estimator` | what the link towards one subscriber carries: joins all below |
//! | `sent_history`, `receiver_clock` | what was sent when, until it is acknowledged; when it arrived |
//! | `groups`, `trend`, `queueing` | does the delay grow; how much has it grown |
//! | `rate` | how much arrives |
//! | `rate_control` | from over-use, normal or under-use to a bitrate |
//! | `loss` | what loss allows |
//! | `application_limit` | do we send so little that nothing can be learnt |
//! | `probe` | when and how much to send beside the media, to learn more |
//! | `reports` | what receiver reports say where there is no transport-wide feedback |
//! | `allocator` | which layer of each track fits into the estimate |
#![forbid(unsafe_code)]

pub mod allocator;
mod application_limit;
pub mod estimator;
mod groups;
mod loss;
pub mod probe;
mod queueing;
mod rate;
mod rate_control;
mod receiver_clock;
pub mod reports;
mod sent_history;
mod trend;
pub mod twcc_log;
