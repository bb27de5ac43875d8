//! Which CPUs there are for shards, and how a shard stays on its own.
#![forbid(unsafe_code)]

use std::io;

use crate::udp::system;

/// The CPUs that this process may use, ascending: what a container or `taskset` leaves of the machine.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    system::allowed_cpus()
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
///
/// If there is no such CPU or the process may not use it.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    system::pin_current_thread(cpu)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        std::thread::spawn(|| {
            let last = *allowed_cpus().unwrap().last().unwrap();
            pin_current_thread(last).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        assert!(pin_current_thread(1_000_000).is_err());
        assert!(pin_current_thread(1_023).is_err());
    }
}
