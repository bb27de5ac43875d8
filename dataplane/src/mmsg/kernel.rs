//! Hands trains to the kernel (`sendmmsg` with `UDP_SEGMENT`).

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::limits::TRAINS_PER_SEND_MAX;
use crate::udp::send::{Kernel, Refused};
use crate::udp::socket::Socket;
use crate::udp::train::Train;
use crate::udp::waybill::Waybill;

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
}

impl Kernel for SendSockets {
    /// Tries until the first refusal: that is how `sendmmsg` goes about it.
    fn send(&mut self, socket: usize, slab: &[u8], trains: &[Train], refused: &mut Vec<Refused>) -> usize {
        let socket = &self.sockets[socket];
        let count = trains.len().min(TRAINS_PER_SEND_MAX);
        let mut waybills = [Waybill::EMPTY; TRAINS_PER_SEND_MAX];
        // SAFETY: mmsghdr is integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; TRAINS_PER_SEND_MAX] = unsafe { std::mem::zeroed() };
        for ((train, header), waybill) in trains.iter().zip(&mut headers).zip(&mut waybills) {
            waybill.describe(train, slab, socket.is_wildcard());
            waybill.fill(&mut header.msg_hdr);
        }
        // SAFETY: the first `count` headers point to live locals and to `slab`, with their true lengths;
        // the kernel only reads them, and with MSG_DONTWAIT keeps none of them after the call.
        let sent = unsafe {
            let headers = headers.as_mut_ptr();
            libc::sendmmsg(socket.as_raw_fd(), headers, count as _, libc::MSG_DONTWAIT as _)
        };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => sent,
            _ => {
                let error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
                refused.push(Refused { train: 0, error });
                1
            }
        }
    }
}
