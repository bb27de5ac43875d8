//! What the kernel answers about this process and its clock: whether it gives rings, how many descriptors,
//! whether the clock is kept. Asked at start and by `sluice doctor`; nothing here is needed to run.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::mmsg::system::check;

// linux/io_uring.h
const IORING_SETUP_SINGLE_ISSUER: u32 = 1 << 12;
const IORING_SETUP_DEFER_TASKRUN: u32 = 1 << 13;
/// struct io_uring_params, in words: entries of both rings, flags, and what the kernel fills in.
const RING_PARAMETER_WORDS: usize = 30;
const RING_PARAMETER_FLAGS: usize = 2;

/// A limit of the process (getrlimit(2)); [`u64::MAX`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// How far the process may raise it by itself.
    pub hard: u64,
}

/// Asks for a small ring as a shard would want one, and gives it back.
///
/// # Errors
///
/// `ENOSYS` if the kernel has none, `EPERM` if a seccomp profile or `kernel.io_uring_disabled` forbids it,
/// `EINVAL` if the kernel is older than 6.1, `ENOMEM` if memory may not be locked.
pub fn try_ring() -> io::Result<()> {
    let mut parameters = [0u32; RING_PARAMETER_WORDS];
    parameters[RING_PARAMETER_FLAGS] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    let entries: libc::c_uint = 8;
    // SAFETY: the kernel reads and writes one io_uring_params, which is as long as the live array.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, parameters.as_mut_ptr()) };
    let fd = check(result as libc::c_int)?;
    // SAFETY: the descriptor is fresh, so it has one owner.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// Whether something keeps the wall clock in time with the world (adjtimex(2)).
///
/// # Errors
///
/// If the kernel does not tell, as within some containers.
pub fn is_clock_synchronized() -> io::Result<bool> {
    // SAFETY: a timex is integers, for which zero is a value; no modes are set, so nothing is changed.
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (check(libc::adjtimex(&mut timex))?, timex.status)
    };
    Ok(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

/// How many descriptors the process may have.
///
/// # Errors
///
/// Never in practice.
pub fn descriptor_limit() -> io::Result<Limit> {
    limit(libc::RLIMIT_NOFILE)
}

/// How much memory the process may lock, bytes.
///
/// # Errors
///
/// Never in practice.
pub fn locked_memory_limit() -> io::Result<Limit> {
    limit(libc::RLIMIT_MEMLOCK)
}

/// Raises the soft limit of descriptors to the hard one, and answers what holds then. Nothing here uses
/// select(2), whose sets are the reason that the soft limit is low.
///
/// # Errors
///
/// If the kernel refuses.
pub fn raise_descriptor_limit() -> io::Result<Limit> {
    let Limit { soft, hard } = descriptor_limit()?;
    if soft < hard {
        let wanted = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the kernel only reads the live struct.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) })?;
    }
    descriptor_limit()
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into the live struct.
    check(unsafe { libc::getrlimit(resource, &mut limit) })?;
    Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_may() {
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raised.soft, raised.hard);
        assert_eq!(descriptor_limit().unwrap(), raised);
        assert!(locked_memory_limit().is_ok());
    }

    #[test]
    fn a_ring_is_given_or_refused_with_a_reason() {
        if let Err(error) = try_ring() {
            assert!(error.raw_os_error().is_some(), "{error}");
        }
    }
}
