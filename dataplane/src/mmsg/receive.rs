//! Receives datagrams in batches (`recvmmsg`).

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use crate::limits::{RECEIVE_BATCH_LEN, RECEIVE_BUFFER_BYTES};
use crate::udp::intake::ReceivedDatagram;
use crate::udp::message::{Control, Name, Received};
use crate::udp::socket::Socket;

/// Where received datagrams lie until the next receive. Small enough to stay in the L2 cache.
#[derive(Debug)]
pub struct ReceiveBuffers {
    payloads: Box<[[u8; RECEIVE_BUFFER_BYTES]]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    lens: [usize; RECEIVE_BATCH_LEN],
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        Self {
            payloads: vec![[0; RECEIVE_BUFFER_BYTES]; RECEIVE_BATCH_LEN].into_boxed_slice(),
            names: vec![Name::EMPTY; RECEIVE_BATCH_LEN].into_boxed_slice(),
            controls: vec![Control::EMPTY; RECEIVE_BATCH_LEN].into_boxed_slice(),
            lens: [0; RECEIVE_BATCH_LEN],
        }
    }
}

impl ReceiveBuffers {
    /// Receives at most `count` datagrams and answers how many came. Never blocks.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none waits.
    pub fn receive(&mut self, socket: &Socket, count: usize) -> io::Result<usize> {
        let count = count.min(RECEIVE_BATCH_LEN);
        let mut vectors: [libc::iovec; RECEIVE_BATCH_LEN] =
            [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; RECEIVE_BATCH_LEN];
        // SAFETY: mmsghdr is integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; RECEIVE_BATCH_LEN] = unsafe { std::mem::zeroed() };
        let buffers = self.payloads.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        let slots = headers.iter_mut().zip(&mut vectors).zip(buffers).take(count);
        for ((header, vector), ((payload, name), control)) in slots {
            vector.iov_base = payload.as_mut_ptr().cast();
            vector.iov_len = payload.len();
            let message = &mut header.msg_hdr;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_name = name.as_mut_bytes().as_mut_ptr().cast();
            message.msg_namelen = name.as_mut_bytes().len() as _;
            message.msg_control = control.as_mut_bytes().as_mut_ptr().cast();
            message.msg_controllen = control.as_mut_bytes().len() as _;
        }
        // SAFETY: the first `count` headers point to `vectors` and to buffers of `self`, with their true
        // lengths; all outlive the call, and nothing else touches them during it.
        let received = unsafe {
            let headers = headers.as_mut_ptr();
            libc::recvmmsg(socket.as_raw_fd(), headers, count as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (index, header) in headers[..received].iter().enumerate() {
            self.lens[index] = header.msg_len as usize;
            self.controls[index].set_len(header.msg_hdr.msg_controllen);
        }
        Ok(received)
    }

    /// One of the datagrams that the last receive brought.
    pub fn datagram(&self, index: usize) -> ReceivedDatagram<'_> {
        ReceivedDatagram {
            remote: self.names[index].address(),
            facts: Received::read(self.controls[index].as_bytes()),
            bytes: &self.payloads[index][..self.lens[index].min(RECEIVE_BUFFER_BYTES)],
        }
    }
}
