//! What the packets of the load are: when each is due, and what is in it.
//!
//! It knows no sockets, no keys and no clock; sending on time is the business of `load/`.
#![forbid(unsafe_code)]

pub(crate) mod payload;
pub(crate) mod plan;
