//! UDP sockets of the generator: kernel receive timestamps, many datagrams per system call, drops counted.
//!
//! Together with `measure/` the only room with unsafe code. It knows bytes and addresses, nothing of RTP.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Datagrams taken by one system call.
const BATCH_LEN: usize = 32;
/// Larger than any datagram that WebRTC sends.
const DATAGRAM_SIZE_BYTES_MAX: usize = 2048;
/// Room for a timestamp.
const CONTROL_LEN: usize = 64;
/// Enough for a second of one subscriber's stream; the kernel may grant less.
const RECEIVE_BUFFER_BYTES: libc::c_int = 1 << 20;
/// What `SO_MEMINFO` tells (linux/sock_diag.h), and where the drops stand in it.
const MEMINFO_LEN: usize = 9;
const MEMINFO_DROPS: usize = 8;
/// Sockets reported by one poll.
const EVENTS_LEN: usize = 256;

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// Whom it came from.
    pub(crate) source: SocketAddr,
    /// When the kernel received it, ns since 1970.
    pub(crate) received_ns: u64,
    /// Its UDP payload.
    pub(crate) bytes: &'a [u8],
}

/// Binds a non-blocking socket with receive timestamps.
pub(crate) fn bind(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    set_option(&socket, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES)?;
    set_option(&socket, libc::SO_TIMESTAMPNS, 1)?;
    Ok(socket)
}

/// Datagrams that the socket has dropped so far for want of room.
pub(crate) fn drops(socket: &UdpSocket) -> io::Result<u32> {
    let mut figures = [0u32; MEMINFO_LEN];
    let mut len = mem::size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `len` bytes into `figures`, which lives over
    // the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if done == 0 { Ok(figures[MEMINFO_DROPS]) } else { Err(io::Error::last_os_error()) }
}

fn set_option(socket: &UdpSocket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel reads `len` bytes of `value`, which lives over the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const value).cast(), len)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Buffers for one `recvmmsg`. All pointers in `headers` point into the boxes beside it, which never move.
pub(crate) struct Receiver {
    buffers: Box<[[u8; DATAGRAM_SIZE_BYTES_MAX]; BATCH_LEN]>,
    controls: Box<[Control; BATCH_LEN]>,
    names: Box<[libc::sockaddr_storage; BATCH_LEN]>,
    headers: Box<[libc::mmsghdr; BATCH_LEN]>,
    // Read by the kernel through `headers` only.
    _vectors: Box<[libc::iovec; BATCH_LEN]>,
}

/// Control messages must be aligned like `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

// SAFETY: every pointer in `headers` and `_vectors` points into a box that the same value owns, so they move
// to the other thread together, and nothing else refers to them.
unsafe impl Send for Receiver {}

impl Receiver {
    /// Makes the buffers.
    pub(crate) fn new() -> Self {
        let mut buffers = Box::new([[0; DATAGRAM_SIZE_BYTES_MAX]; BATCH_LEN]);
        let mut controls = Box::new([Control([0; CONTROL_LEN]); BATCH_LEN]);
        // SAFETY: all three are plain C structures for which zero bytes are a valid value.
        let (mut names, mut headers, mut vectors) = unsafe {
            (
                Box::new(mem::zeroed::<[libc::sockaddr_storage; BATCH_LEN]>()),
                Box::new(mem::zeroed::<[libc::mmsghdr; BATCH_LEN]>()),
                Box::new(mem::zeroed::<[libc::iovec; BATCH_LEN]>()),
            )
        };
        for at in 0..BATCH_LEN {
            vectors[at].iov_base = buffers[at].as_mut_ptr().cast();
            vectors[at].iov_len = DATAGRAM_SIZE_BYTES_MAX;
            let header = &mut headers[at].msg_hdr;
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut names[at]).cast();
            header.msg_control = controls[at].0.as_mut_ptr().cast();
        }
        Self { buffers, controls, names, headers, _vectors: vectors }
    }

    /// Hands every datagram that waits on the socket to `handle`.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        mut handle: impl FnMut(Datagram<'_>),
    ) -> io::Result<()> {
        loop {
            let count = self.fill(socket)?;
            for at in 0..count {
                let received_ns = self.received_ns(at);
                let len = (self.headers[at].msg_len as usize).min(DATAGRAM_SIZE_BYTES_MAX);
                if let Some(source) = address(&self.names[at]) {
                    handle(Datagram { source, received_ns, bytes: &self.buffers[at][..len] });
                }
            }
            if count < BATCH_LEN {
                return Ok(());
            }
        }
    }

    fn fill(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        for header in self.headers.iter_mut() {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: `headers` holds BATCH_LEN entries whose pointers and lengths describe boxes that `self` owns
        // and that nothing else refers to during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_LEN as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                match error.kind() {
                    // Refused: an ICMP answer to an earlier send, for instance to a server that has ended.
                    io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused => Ok(0),
                    io::ErrorKind::Interrupted => Ok(0),
                    _ => Err(error),
                }
            }
        }
    }

    /// When the kernel received datagram `at`; the clock, if it does not say.
    fn received_ns(&self, at: usize) -> u64 {
        let control = &self.controls[at].0[..(self.headers[at].msg_hdr.msg_controllen).min(CONTROL_LEN)];
        let header_len = mem::size_of::<libc::cmsghdr>();
        let mut rest = control;
        while let Some((header, _)) = rest.split_at_checked(header_len) {
            // SAFETY: `header` has the length of a cmsghdr; the read needs no alignment, and every bit pattern
            // is a valid value.
            let header = unsafe { header.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
            let len = header.cmsg_len;
            let Some(data) = rest.get(header_len..len) else { break };
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
                && let Some(received_ns) = timestamp(data)
            {
                return received_ns;
            }
            rest = rest.get(len.next_multiple_of(mem::align_of::<libc::cmsghdr>())..).unwrap_or_default();
        }
        super::wall_ns()
    }
}

fn timestamp(data: &[u8]) -> Option<u64> {
    let seconds = i64::from_ne_bytes(*data.first_chunk()?);
    let nanos = i64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
    u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?).ok()
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is larger and aligned for all, holds a sockaddr_in.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with a sockaddr_in6.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            Some(SocketAddr::from((Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port))))
        }
        _ => None,
    }
}

/// Tells which of many sockets have something to read. Each is known by a number of the caller.
pub(crate) struct Poller {
    epoll: RawFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    /// Makes an empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_LEN] })
    }

    /// Adds a socket, level triggered.
    pub(crate) fn add(&self, socket: &UdpSocket, number: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: both descriptors are open, and the kernel copies `event` during the call.
        let done =
            unsafe { libc::epoll_ctl(self.epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sleeps until a socket is readable, at most `patience`, with nanosecond precision.
    pub(crate) fn wait(&self, patience: Duration) -> io::Result<()> {
        wait_readable(self.epoll, patience)
    }

    /// The numbers of sockets that are readable now; none is waited for.
    pub(crate) fn ready(&mut self) -> io::Result<impl Iterator<Item = usize> + use<>> {
        // SAFETY: the kernel writes at most EVENTS_LEN events into a vector of that length.
        let count =
            unsafe { libc::epoll_wait(self.epoll, self.events.as_mut_ptr(), EVENTS_LEN as libc::c_int, 0) };
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => return Err(io::Error::last_os_error()),
        };
        let numbers: Vec<usize> = self.events[..count].iter().map(|event| event.u64 as usize).collect();
        Ok(numbers.into_iter())
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // SAFETY: the descriptor was opened by `new` and is closed only here.
        unsafe { libc::close(self.epoll) };
    }
}

/// Sleeps until a descriptor is readable, be it a socket or an epoll set.
fn wait_readable(descriptor: RawFd, patience: Duration) -> io::Result<()> {
    let mut descriptor = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let patience = libc::timespec {
        tv_sec: patience.as_secs() as libc::time_t,
        tv_nsec: patience.subsec_nanos() as libc::c_long,
    };
    // SAFETY: one descriptor is described, and both structures live over the call; no signal mask is passed.
    let count = unsafe { libc::ppoll(&raw mut descriptor, 1, &raw const patience, std::ptr::null()) };
    match count {
        -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
            Err(io::Error::last_os_error())
        }
        _ => Ok(()),
    }
}

/// Lets this process open as many files as the system permits: every client has a socket. Servers that are
/// started by it inherit that.
pub(crate) fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes and then reads a structure that lives over both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn datagrams_come_with_their_source_and_the_time_the_kernel_got_them() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let (sender, receiver) = (bind(ip).unwrap(), bind(ip).unwrap());
        let mut poller = Poller::new().unwrap();
        poller.add(&receiver, 7).unwrap();
        assert_eq!(poller.ready().unwrap().count(), 0);
        // The kernel begins to stamp datagrams some time after the first socket asks for it. What comes
        // before is stamped when it is read.
        std::thread::sleep(Duration::from_millis(100));

        let before_ns = super::super::wall_ns();
        for number in 0..BATCH_LEN as u8 + 3 {
            sender.send_to(&[number; 3], receiver.local_addr().unwrap()).unwrap();
        }
        let after_ns = super::super::wall_ns();
        std::thread::sleep(Duration::from_millis(5));

        assert_eq!(poller.ready().unwrap().collect::<Vec<_>>(), [7]);
        let mut numbers = Vec::new();
        Receiver::new()
            .receive(&receiver, |datagram| {
                assert_eq!(datagram.source, sender.local_addr().unwrap());
                let received_ns = datagram.received_ns;
                assert!(
                    (before_ns..=after_ns).contains(&received_ns),
                    "{before_ns} {received_ns} {after_ns}"
                );
                numbers.push(datagram.bytes[0]);
                assert_eq!(datagram.bytes.len(), 3);
            })
            .unwrap();
        assert_eq!(numbers, (0..BATCH_LEN as u8 + 3).collect::<Vec<_>>());
    }

    #[test]
    fn an_overflowing_socket_tells_how_much_it_dropped() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let (sender, receiver) = (bind(ip).unwrap(), bind(ip).unwrap());
        set_option(&receiver, libc::SO_RCVBUF, 1).unwrap();
        let to = receiver.local_addr().unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1000], to).unwrap();
        }
        let mut buffers = Receiver::new();
        let mut count = 0;
        buffers.receive(&receiver, |_| count += 1).unwrap();
        sender.send_to(&[0; 1000], to).unwrap();
        buffers.receive(&receiver, |_| count += 1).unwrap();
        assert_eq!(u64::from(drops(&receiver).unwrap()), 201 - count);
    }
}
