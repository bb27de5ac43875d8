//! Hands trains to the kernel (`sendmmsg` with `UDP_SEGMENT`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Arc;

use crate::limits::TRAINS_PER_SEND_MAX;
use crate::mmsg::message::{Control, Name};
use crate::mmsg::send::Kernel;
use crate::mmsg::socket::Socket;
use crate::mmsg::train::Train;

/// The sockets of a shard as a [`Kernel`].
#[derive(Debug)]
pub struct SendSockets {
    sockets: Arc<[Socket]>,
}

impl SendSockets {
    /// Sends through these.
    pub fn new(sockets: Arc<[Socket]>) -> Self {
        Self { sockets }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The socket from which datagrams with this source address leave: the one bound to it, else the
    /// one bound to all addresses.
    pub fn index_for(&self, local: SocketAddr) -> Option<usize> {
        let exact = |socket: &Socket| !socket.is_wildcard() && socket.serves(local);
        let position = self.sockets.iter().position(exact);
        position.or_else(|| self.sockets.iter().position(|socket| socket.serves(local)))
    }
}

impl Kernel for SendSockets {
    fn send(&mut self, socket: usize, slab: &[u8], trains: &[Train]) -> Result<usize, i32> {
        let socket = &self.sockets[socket];
        let count = trains.len().min(TRAINS_PER_SEND_MAX);
        let mut names = [Name::EMPTY; TRAINS_PER_SEND_MAX];
        let mut controls = [Control::EMPTY; TRAINS_PER_SEND_MAX];
        let mut vectors: [libc::iovec; TRAINS_PER_SEND_MAX] =
            [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; TRAINS_PER_SEND_MAX];
        // SAFETY: mmsghdr is integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; TRAINS_PER_SEND_MAX] = unsafe { std::mem::zeroed() };
        let parts = names.iter_mut().zip(&mut controls).zip(&mut vectors);
        for ((train, header), ((name, control), vector)) in trains.iter().zip(&mut headers).zip(parts) {
            let bytes = &slab[train.start..][..train.len];
            *name = Name::new(train.path.remote);
            write_control(control, train, socket.is_wildcard());
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            let message = &mut header.msg_hdr;
            message.msg_name = name.as_bytes().as_ptr().cast_mut().cast();
            message.msg_namelen = name.as_bytes().len() as _;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            if !control.as_bytes().is_empty() {
                message.msg_control = control.as_bytes().as_ptr().cast_mut().cast();
                message.msg_controllen = control.as_bytes().len() as _;
            }
        }
        // SAFETY: the first `count` headers point to live locals and to `slab`, with their true lengths;
        // the kernel only reads them, and with MSG_DONTWAIT keeps none of them after the call.
        let sent = unsafe {
            let headers = headers.as_mut_ptr();
            libc::sendmmsg(socket.as_raw_fd(), headers, count as _, libc::MSG_DONTWAIT as _)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

fn write_control(control: &mut Control, train: &Train, names_source: bool) {
    if train.segments > 1 {
        let segment_len = u16::try_from(train.segment_len).expect("a train is shorter than 64 KiB");
        control.push_segment_len(segment_len);
    }
    if names_source {
        control.push_source(train.path.local);
    }
}
