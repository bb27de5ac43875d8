//! The ring with all that is in it: receives that are armed, what they brought, and sends on their way.
//!
//! # Invariants
//!
//! - Each socket has at most one multishot receive in the ring. One that ended is armed again before the next wait.
//! - A copying send is over when the enter that started it returns: `MSG_DONTWAIT` leaves nothing waiting for a
//!   full socket. So its bytes and its waybill may be used again at once.
//! - Closing ends all requests, gives files, buffers and descriptor back, and only then lets go of the sockets:
//!   their ports are free when [`Station`] is gone.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{Fixed, RecvMsgOut};
use io_uring::{IoUring, opcode, squeue};

use crate::counters::{Counters, add};
use crate::limits::TRAINS_PER_SEND_MAX;
use crate::udp::Surroundings;
use crate::udp::message::{CONTROL_BYTES, NAME_BYTES};
use crate::udp::send::{Kernel, Refused};
use crate::udp::socket::Socket;
use crate::udp::system::empty_header;
use crate::udp::train::Train;
use crate::udp::waybill::Waybill;
use crate::uring::buffers::{Buffers, GROUP, Held};
use crate::uring::ring::{Completion, Ring, Sizes};
use crate::uring::token::Token;
use crate::uring::unavailable::Unavailable;
use crate::uring::zero_copy::{REPORT_USAGE, ZeroCopy};

/// How often sends are tried again while the kernel has no memory for them. Then the ring is given up.
const SUBMIT_TRIES_MAX: usize = 1000;
/// How often a ring that is being closed looks for the end of its requests, and how long each time.
const CLOSE_TRIES_MAX: usize = 100;
const CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub struct Station<'ring> {
    ring: Ring<'ring>,
    sockets: Arc<[Socket]>,
    is_armed: Box<[bool]>,
    is_wake_armed: bool,
    is_woken: bool,
    first: usize,
    inbox: VecDeque<Arrival>,
    buffers: Buffers,
    receive_header: Box<libc::msghdr>,
    waybills: Box<[Waybill]>,
    headers: Box<[libc::msghdr]>,
    refused: Vec<Refused>,
    zero_copy: Option<ZeroCopy>,
    counters: Arc<Counters>,
    clock: fn() -> Instant,
    /// The error number with which the ring was given up.
    failure: Option<i32>,
}

/// A datagram in its buffer.
#[derive(Debug)]
pub struct Arrival {
    /// The index of its socket.
    pub socket: usize,
    held: Held,
}

impl<'ring> Station<'ring> {
    /// Registers sockets, wake-up and buffers with a ring, and arms the receives.
    ///
    /// # Errors
    ///
    /// If the kernel refuses any of it.
    pub fn open(
        queues: &'ring mut IoUring,
        sizes: Sizes,
        sockets: Arc<[Socket]>,
        surroundings: &Surroundings,
        has_zero_copy: bool,
    ) -> Result<Self, Unavailable> {
        let ring = Ring::new(queues);
        let files: Vec<RawFd> =
            sockets.iter().map(AsRawFd::as_raw_fd).chain([surroundings.wake.as_raw_fd()]).collect();
        let refused = |call| move |error: io::Error| Unavailable::new(call, &error);
        ring.submitter().register_files(&files).map_err(refused("io_uring_register of files"))?;
        let buffers = Buffers::register(ring.submitter(), sizes.buffers)
            .map_err(refused("io_uring_register of buffers"))?;
        let mut receive_header = Box::new(empty_header());
        receive_header.msg_namelen = NAME_BYTES as _;
        receive_header.msg_controllen = CONTROL_BYTES as _;
        let sockets_count = sockets.len();
        let mut station = Self {
            ring,
            is_armed: vec![false; sockets_count].into_boxed_slice(),
            sockets,
            is_wake_armed: false,
            is_woken: false,
            first: 0,
            inbox: VecDeque::with_capacity(usize::from(sizes.buffers)),
            buffers,
            receive_header,
            waybills: vec![Waybill::EMPTY; TRAINS_PER_SEND_MAX].into_boxed_slice(),
            headers: vec![empty_header(); TRAINS_PER_SEND_MAX].into_boxed_slice(),
            refused: Vec::with_capacity(TRAINS_PER_SEND_MAX),
            zero_copy: has_zero_copy.then(|| ZeroCopy::new(sockets_count)),
            counters: Arc::clone(&surroundings.counters),
            clock: surroundings.clock,
            failure: None,
        };
        station.arm();
        station.ring.poll().map_err(refused("io_uring_enter"))?;
        station.reap();
        Ok(station)
    }

    /// The oldest datagram that has arrived and was not taken yet.
    pub fn next_arrival(&mut self) -> Option<Arrival> {
        self.inbox.pop_front()
    }

    /// Takes its buffer apart; `None` if it does not hold what it has to, which no kernel makes true.
    pub fn read<'a>(&'a self, arrival: &'a Arrival) -> Option<RecvMsgOut<'a>> {
        RecvMsgOut::parse(self.buffers.bytes(&arrival.held), &self.receive_header).ok()
    }

    /// Gives its buffer back, with the next [`Station::publish_buffers`].
    pub fn give_back(&mut self, arrival: Arrival) {
        self.buffers.give_back(arrival.held);
    }

    /// Shows the kernel which buffers it may fill again.
    pub fn publish_buffers(&mut self) {
        self.buffers.publish();
    }

    /// Whether the wake-up was signalled since this was asked last.
    pub fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.is_woken)
    }

    /// Waits for a datagram or a wake-up, at most so long; not at all while datagrams wait to be taken.
    ///
    /// # Errors
    ///
    /// If the ring cannot be used any more.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if let Some(failure) = self.failure {
            return Err(io::Error::from_raw_os_error(failure));
        }
        self.arm();
        if !self.inbox.is_empty() || timeout.is_some_and(|timeout| timeout.is_zero()) {
            self.ring.poll()?;
        } else {
            self.ring.wait(timeout)?;
        }
        self.reap();
        Ok(())
    }

    /// Lets the kernel hand over what has arrived since, if there is anything. Answers whether there was.
    pub fn fetch(&mut self) -> bool {
        let has_ended = self.is_armed.contains(&false);
        if self.failure.is_some() || !(has_ended || self.ring.is_due()) {
            return false;
        }
        self.arm();
        // A ring that fails here fails the next wait too, which says so.
        let is_alive = self.ring.poll().is_ok();
        self.reap();
        is_alive && !self.inbox.is_empty()
    }

    /// Pushes the receives that have ended, as long as there are buffers to receive into. Another socket is
    /// first next time, so that a flooded one does not get all of them.
    fn arm(&mut self) {
        if !self.is_wake_armed {
            let file = Fixed(self.sockets.len() as u32);
            let poll = opcode::PollAdd::new(file, libc::POLLIN as u32).multi(true).build();
            // SAFETY: it names no memory.
            self.is_wake_armed = unsafe { self.ring.push(&poll.user_data(Token::Wake.bits())) };
        }
        if !self.buffers.has_free() {
            return;
        }
        for offset in 0..self.is_armed.len() {
            let socket = (self.first + offset) % self.is_armed.len();
            if !self.is_armed[socket] {
                let header = &raw const *self.receive_header;
                let receive = opcode::RecvMsgMulti::new(Fixed(socket as u32), header, GROUP).build();
                // SAFETY: the header is boxed and neither changed nor freed before `close` has ended the request;
                // the buffers guard themselves.
                self.is_armed[socket] =
                    unsafe { self.ring.push(&receive.user_data(Token::Receive(socket).bits())) };
            }
        }
        self.first = (self.first + 1) % self.is_armed.len().max(1);
    }

    /// Reads every completion there is and puts it where it belongs.
    fn reap(&mut self) {
        loop {
            while let Some(completion) = self.ring.next_completion() {
                self.sort(&completion);
            }
            // The kernel keeps what had no place; now there is one.
            if !self.ring.has_overflow() || self.ring.poll().is_err() {
                return;
            }
        }
    }

    fn sort(&mut self, completion: &Completion) {
        match Token::read(completion.token) {
            Some(Token::Receive(socket)) => self.note_arrival(socket, completion),
            Some(Token::Wake) => {
                self.is_woken = true;
                self.is_wake_armed = completion.has_more();
            }
            Some(Token::Send(train)) => {
                let error = completion.error();
                self.refused.extend(error.map(|error| Refused { train, error }));
            }
            Some(Token::ZeroCopy(flight)) => {
                let (counters, clock) = (&self.counters, self.clock);
                if let Some(zero_copy) = &mut self.zero_copy {
                    zero_copy.note(flight, completion, counters, clock);
                }
            }
            None => {}
        }
    }

    fn note_arrival(&mut self, socket: usize, completion: &Completion) {
        if let Some(held) = self.buffers.hold(completion) {
            self.inbox.push_back(Arrival { socket, held });
        }
        match completion.error() {
            None | Some(libc::ECANCELED) => {}
            Some(libc::ENOBUFS) => add(&self.counters.receive_buffers_exhausted_total, 1),
            Some(_) => add(&self.counters.receive_errors_total, 1),
        }
        if let Some(is_armed) = self.is_armed.get_mut(socket) {
            *is_armed = completion.has_more();
        }
    }

    fn push_copying(&mut self, index: usize, slab: &[u8], train: &Train) -> bool {
        let file = Fixed(train.socket as u32);
        let waybill = &mut self.waybills[index];
        waybill.describe(train, slab, self.sockets[train.socket].is_wildcard());
        let request = if waybill.control.as_bytes().is_empty() {
            let bytes = &slab[train.start..][..train.len];
            let name = waybill.name.as_bytes();
            opcode::Send::new(file, bytes.as_ptr(), bytes.len() as u32)
                .dest_addr(name.as_ptr().cast())
                .dest_addr_len(name.len() as _)
                .flags(libc::MSG_DONTWAIT)
                .build()
        } else {
            let header = &mut self.headers[index];
            waybill.fill(header);
            opcode::SendMsg::new(file, &raw const *header).flags(libc::MSG_DONTWAIT as u32).build()
        };
        let request = request.flags(squeue::Flags::SKIP_SUCCESS).user_data(Token::Send(index).bits());
        // SAFETY: slab, waybill and header outlive the enter that follows in `send`; with MSG_DONTWAIT the request is
        // over when it returns, and the kernel only reads them.
        unsafe { self.ring.push(&request) }
    }

    /// Pushes a train without a copy, if that is wanted and there is room for it.
    fn push_without_copy(&mut self, index: usize, slab: &[u8], train: &Train) -> bool {
        let names_source = self.sockets[train.socket].is_wildcard();
        let Some(zero_copy) = self.zero_copy.as_mut().filter(|zero_copy| zero_copy.suits(train)) else {
            return false;
        };
        let Some((flight, header)) = zero_copy.flights.board(index, train, slab, names_source) else {
            return false;
        };
        let request = opcode::SendMsgZc::new(Fixed(train.socket as u32), header)
            .flags(libc::MSG_DONTWAIT as u32)
            .ioprio(REPORT_USAGE)
            .build()
            .user_data(Token::ZeroCopy(flight).bits());
        // SAFETY: the flight keeps waybill and header as they are until it has landed, and so does the slab with the
        // train: see `flights`. The kernel only reads them.
        let is_pushed = unsafe { self.ring.push(&request) };
        if is_pushed {
            add(&self.counters.zero_copy_sends_total, 1);
        } else {
            zero_copy.flights.unboard(flight);
        }
        is_pushed
    }

    /// Starts what was pushed and reads what came of it. If the kernel cannot be brought to take it, the ring is
    /// given up: the requests stay in its queue for ever, so they must not be started any more.
    fn submit(&mut self) {
        let mut failure = None;
        for _ in 0..SUBMIT_TRIES_MAX {
            failure = self.ring.submit().err();
            self.reap();
            if failure.is_none() {
                return;
            }
        }
        tracing::error!(?failure, "the ring takes no requests any more");
        self.failure = failure.map(|error| error.raw_os_error().unwrap_or(libc::EIO));
    }

    /// Sends again, with a copy, what the kernel did not want to send without.
    fn resend(&mut self, slab: &[u8], trains: &[Train]) {
        let Some(zero_copy) = &mut self.zero_copy else { return };
        let mut rejected = std::mem::take(&mut zero_copy.rejected);
        if rejected.is_empty() {
            return;
        }
        for refused in rejected.drain(..) {
            let is_pushed = self.push_copying(refused.train, slab, &trains[refused.train]);
            if !is_pushed {
                self.refused.push(refused);
            }
        }
        self.submit();
        if let Some(zero_copy) = &mut self.zero_copy {
            zero_copy.rejected = rejected;
        }
    }

    fn close(&mut self) -> io::Result<()> {
        self.ring.cancel_all()?;
        for _ in 0..CLOSE_TRIES_MAX {
            while let Some(completion) = self.ring.next_completion() {
                self.sort(&completion);
            }
            let has_landed = self.zero_copy.as_ref().is_none_or(|zero_copy| zero_copy.flights.are_over());
            if !self.is_wake_armed && !self.is_armed.contains(&true) && has_landed {
                break;
            }
            self.ring.collect(CLOSE_PAUSE)?;
        }
        self.ring.submitter().unregister_files()?;
        self.buffers.unregister(self.ring.submitter())
    }
}

impl Kernel for Station<'_> {
    /// Tries all of them, at most a batch: a refusal holds up nothing behind it.
    fn send(&mut self, _socket: usize, slab: &[u8], trains: &[Train], refused: &mut Vec<Refused>) -> usize {
        let trains = &trains[..trains.len().min(TRAINS_PER_SEND_MAX).min(self.ring.space())];
        if trains.is_empty() || self.failure.is_some() {
            refused.push(Refused { train: 0, error: libc::EAGAIN });
            return 1;
        }
        for (index, train) in trains.iter().enumerate() {
            let is_pushed =
                self.push_without_copy(index, slab, train) || self.push_copying(index, slab, train);
            debug_assert!(is_pushed, "there is space for all of them");
        }
        self.submit();
        self.resend(slab, trains);
        self.refused.sort_unstable_by_key(|refused| refused.train);
        refused.append(&mut self.refused);
        trains.len()
    }

    fn exchange(&mut self, slab: Box<[u8]>) -> Box<[u8]> {
        match &mut self.zero_copy {
            Some(zero_copy) => zero_copy.flights.exchange(slab),
            None => slab,
        }
    }
}

impl Drop for Station<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the ring is not closed cleanly: its ports stay taken for a while");
        }
    }
}
