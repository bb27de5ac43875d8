//! The system calls that the standard library lacks: waking, pinning, a thread's CPU time.
//!
//! Each is wrapped so that the caller needs no unsafe code and cannot hold it wrongly.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// Turns the `-1` of a system call into its error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A message header that points nowhere.
pub fn empty_header() -> libc::msghdr {
    // SAFETY: msghdr is integers and pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
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
