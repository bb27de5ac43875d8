//! The system calls that the standard library lacks: waiting, waking, pinning, a thread's CPU time.
//!
//! Each is wrapped so that the caller needs no unsafe code and cannot hold it wrongly.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Turns the `-1` of a system call into its error.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A counter in the kernel that a poller can wait for (eventfd(2)).
#[derive(Debug)]
pub struct EventFd(File);

impl EventFd {
    /// Opens one, not signalled.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is fresh, so the file is its only owner.
        let file = unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?;
            File::from_raw_fd(fd)
        };
        Ok(Self(file))
    }

    /// Makes it readable until it is cleared. Never blocks.
    pub fn signal(&self) {
        // The only failure is EAGAIN: the counter is at its end, so it is readable already.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        // EAGAIN: it was not signalled.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

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

/// The CPUs that this thread may run on, ascending.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is plain bits, valid when zero; the kernel writes at most its size; CPU_ISSET
    // is asked for indexes within CPU_SETSIZE only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set))?;
        Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect())
    }
}

/// Lets this thread run on one CPU only.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    // SAFETY: a cpu_set_t is plain bits, valid when zero; `cpu` is within it; the kernel only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set))?;
    }
    Ok(())
}

/// The clock that counts one thread's CPU time.
#[derive(Clone, Copy, Debug)]
pub struct ThreadCpuClock(libc::clockid_t);

impl ThreadCpuClock {
    /// The clock of the thread that asks. Other threads may read it.
    pub fn of_current_thread() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive while it asks; `clock` is a live local.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) } {
            0 => Ok(Self(clock)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// User and system time so far, nanoseconds; `None` once the thread has ended.
    pub fn read_ns(self) -> Option<u64> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a clock id is a number, which the kernel checks; `time` is a live local.
        check(unsafe { libc::clock_gettime(self.0, &mut time) }).ok()?;
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}
