//! A bad link without netem: loss, delay, jitter, rate and queue in user space, between network namespaces.
//!
//! `spec` says what a link does and how that is written, `line` does it to one direction, with time, chance
//! and packets as arguments. `carrier` moves packets between two TUN devices through two lines, `world` lays
//! the devices into namespaces of their own, and `command` lets a person run any program behind such a link.
//!
//! A namespace belongs to the processes and open files that are in it, and a TUN device to the file that it
//! was opened by. So nothing of this is seen outside, and nothing remains when the process ends, however it
//! ends.

mod carrier;
mod chance;
pub(crate) mod command;
mod figures;
mod guard;
mod line;
mod request;
mod show;
mod space;
mod spec;
pub(crate) mod system;
mod world;

#[cfg(test)]
mod tests;

pub(crate) use request::LinkRequest;
pub(crate) use spec::Impairment;
pub(crate) use world::{Group, World};

/// Both directions of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Impairments {
    /// From the clients to the server.
    pub(crate) up: Impairment,
    /// From the server to the clients.
    pub(crate) down: Impairment,
}
