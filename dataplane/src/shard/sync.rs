//! What the bell, the mailbox and the mesh are made of. They name these and nothing else of other threads, so
//! that their model (`model.rs`) can put others in their place.
#![forbid(unsafe_code)]

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};

pub(super) use crossbeam::queue::ArrayQueue;

pub(super) use super::ring::{Reader, Writer, ring};
pub(super) use crate::udp::system::EventFd;
