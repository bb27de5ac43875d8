//! Congestion control. Knows no tracks and no transports: the engine carries values between them.
#![forbid(unsafe_code)]

pub mod twcc_log;
