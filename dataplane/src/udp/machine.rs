//! What the kernel answers about this process and its clock: how many descriptors it gives, whether the clock is
//! kept. Asked at start and by `sluice doctor`; nothing here is needed to run.

use std::io;

use crate::udp::system::check;

/// A limit of the process (getrlimit(2)); [`u64::MAX`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// How far the process may raise it by itself.
    pub hard: u64,
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
}
