//! Waits until one of several descriptors is readable (epoll(7)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::udp::system::check;

/// How many descriptors one [`Poller::wait`] reports; the others are reported by the next one.
const EVENTS_PER_WAIT: usize = 32;

/// Waits until one of several descriptors is readable, level triggered (epoll(7)).
#[derive(Debug)]
pub struct Poller {
    fd: OwnedFd,
    has_fine_timeout: bool,
}

impl Poller {
    /// Waits for nothing yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is fresh, so it has one owner.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { fd, has_fine_timeout: true })
    }

    /// Waits for this descriptor too and reports it as `token`.
    pub fn add(&self, readable: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` is a live local that the kernel only reads during the call.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, readable.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// Waits at most so long, for ever without a timeout, and reports what is readable. A signal ends
    /// the wait early.
    pub fn wait(&mut self, timeout: Option<Duration>, mut on_ready: impl FnMut(u64)) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT];
        let count = match self.wait_into(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result? as usize,
        };
        events[..count].iter().for_each(|event| on_ready(event.u64));
        Ok(())
    }

    fn wait_into(
        &mut self,
        events: &mut [libc::epoll_event; EVENTS_PER_WAIT],
        timeout: Option<Duration>,
    ) -> io::Result<libc::c_int> {
        if self.has_fine_timeout {
            let result = self.wait_finely(events, timeout);
            let is_missing =
                |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM));
            if !result.as_ref().is_err_and(is_missing) {
                return result;
            }
            // An old kernel, or a seccomp profile that has not heard of it.
            self.has_fine_timeout = false;
        }
        let milliseconds = timeout.map_or(-1, |timeout| {
            timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as libc::c_int
        });
        // SAFETY: the kernel writes at most EVENTS_PER_WAIT events into the live array.
        check(unsafe {
            let events = events.as_mut_ptr();
            libc::epoll_wait(self.fd.as_raw_fd(), events, EVENTS_PER_WAIT as _, milliseconds)
        })
    }

    /// epoll_pwait2: a pacer's millisecond must not be rounded up to two.
    fn wait_finely(
        &self,
        events: &mut [libc::epoll_event; EVENTS_PER_WAIT],
        timeout: Option<Duration>,
    ) -> io::Result<libc::c_int> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: timeout.as_secs().min(i32::MAX as u64) as _,
            tv_nsec: timeout.subsec_nanos() as _,
        });
        let timeout_pointer = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the kernel writes at most EVENTS_PER_WAIT events into the live array and reads the
        // timeout, a live local or null; the signal mask is null, so its size is not used.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                events.as_mut_ptr(),
                EVENTS_PER_WAIT as libc::c_int,
                timeout_pointer,
                std::ptr::null::<libc::sigset_t>(),
                size_of::<u64>(),
            )
        };
        check(result as libc::c_int)
    }
}
