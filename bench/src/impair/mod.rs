//! A bad link without netem: loss, delay, jitter, rate and queue in user space, between network namespaces.
//!
//! `spec` says what a link does and how that is written, `line` does it to one direction, with time, chance
//! and packets as arguments. `carrier` moves packets between two TUN devices through two lines, `world` lays
//! the devices into namespaces of their own, and `command` lets a person run any program behind such a link.
//!
//! A namespace belongs to the processes and open files that are in it, and a TUN device to the file that it
//! was opened by. So nothing of this is seen outside, and nothing remains when the process ends, however it
//! ends.

pub(crate) mod chance;
pub(crate) mod line;
pub(crate) mod spec;
