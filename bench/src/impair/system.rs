//! The system calls of links that the standard library lacks: network namespaces, TUN devices, waiting for
//! less than a millisecond, and children that do not outlive the bench.
//!
//! The only unsafe code of `impair/`.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Timers of a thread may be this late, ns; the kernel's usual value is 50 us.
const TIMER_SLACK_NS: libc::c_ulong = 1;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The network that the calling thread is in.
pub(crate) fn current_network() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Puts the calling thread into an empty network of its own.
pub(crate) fn leave_network() -> io::Result<()> {
    // SAFETY: unshare takes a number; only the network of the calling thread changes.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Puts the calling thread into `network`.
pub(crate) fn enter_network(network: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open; only the network of the calling thread changes.
    check(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// What stands before each packet of a TUN device (`virtio_net_hdr`). It says where a checksum is to be put
/// that the kernel has not computed, and says so again to the device that the packet is given to.
pub(crate) const TUN_HEADER_LEN: usize = 10;

/// Makes a TUN device in the network of the calling thread. It carries IP packets behind [`TUN_HEADER_LEN`]
/// bytes, one in each read and write, which do not block, and goes when the file is closed.
///
/// Checksums are left out as with a real card, so that senders may use UDP segmentation; the kernel cuts
/// trains up before the device.
pub(crate) fn open_tun(name: &str) -> io::Result<File> {
    let options = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).write(true).custom_flags(options).open("/dev/net/tun")?;
    // SAFETY: ifreq is plain bytes and a union of integers and pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero and ends the name.
    let len = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..len].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the descriptor is open, and the kernel reads and writes one ifreq, which lives over the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    // SAFETY: the descriptor is open, and the argument is a number.
    check(unsafe {
        libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(libc::TUN_F_CSUM))
    })?;
    Ok(file)
}

/// Waits until one of `files` can be read or the time is over, and says which can. An interruption is the
/// end of the wait.
pub(crate) fn wait<const N: usize>(files: [RawFd; N], timeout: Option<Duration>) -> io::Result<[bool; N]> {
    let mut polled = files.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |timeout| &raw const *timeout);
    // SAFETY: `polled` has N entries, and the time is null or a timespec; all live over the call.
    let result = unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, timeout, std::ptr::null()) };
    match check(result) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Err(_) => Ok([false; N]),
        Ok(()) => Ok(polled.map(|polled| polled.revents != 0)),
    }
}

/// Lets the calling thread be woken as exactly as the kernel can, and before all others if that is permitted:
/// a link is a part of the world, and publishers are elsewhere; neither waits for a server to have done with the CPU.
pub(crate) fn be_punctual() {
    // Not for what it starts; the kernel leaves some time to others whatever happens.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the priority lives over the call, all else is numbers, and only the calling thread changes.
    // Without permission nothing does.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK_NS);
        libc::sched_setscheduler(0, policy, &raw const priority);
    }
}

/// Has the kernel kill what `command` starts when the thread that starts it ends.
pub(crate) fn die_with_thread(command: &mut Command) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and takes numbers.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)));
    }
}

/// Asks a process to end, or makes it end. It must be one that the bench has started, or that is in a
/// network of its own.
pub(crate) fn signal(id: u32, signal: libc::c_int) {
    // SAFETY: numbers only.
    unsafe { libc::kill(id as libc::pid_t, signal) };
}

/// The same for the process group that `child` leads.
pub(crate) fn signal_group(child: &Child, signal: libc::c_int) {
    // SAFETY: numbers only. The group was made by us, for this child, and bears its id.
    unsafe { libc::kill(-(child.id() as libc::pid_t), signal) };
}

/// How often this process was asked to end, by Ctrl-C or SIGTERM, since [`count_interrupts`].
pub(crate) static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// Counts instead of ending at once. What is started from now on has signals of their usual meaning.
pub(crate) fn count_interrupts() {
    extern "C" fn count(_signal: libc::c_int) {
        INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    }
    // A handler is not inherited over exec, unlike SIG_IGN.
    let handler = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler only adds to an atomic number, so it may run at any time.
    unsafe {
        libc::signal(libc::SIGINT, handler);
        libc::signal(libc::SIGTERM, handler);
    }
}
