//! What the mailbox is made of. The mailbox names these and nothing else of other threads, so that its model
//! (`model.rs`) can put others in their place.
#![forbid(unsafe_code)]

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};

pub(super) use crossbeam::queue::ArrayQueue;

pub(super) use crate::udp::system::EventFd;
