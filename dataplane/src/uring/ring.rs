//! The ring itself: requests in, completions out, one system call for both.
//!
//! It knows nothing of sockets and buffers. Whoever pushes a request answers for the memory that it names.
//!
//! # Invariants
//!
//! - A ring has one [`Ring`], on the thread that made it (`IORING_SETUP_SINGLE_ISSUER`).
//! - Requests that have completed are reported only within an enter (`IORING_SETUP_DEFER_TASKRUN`): between two
//!   enters the kernel touches no memory that a request names.
//! - The descriptor of the ring is registered once, in the one [`Submitter`] that lives as long as the ring is in
//!   use, and the registration is given back: a thread has 16 of them.

use std::io;
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Submitter, cqueue, squeue};

use crate::uring::unavailable::Unavailable;

/// How long a ring that is being closed waits for its requests to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many entries the queues of a ring have.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Requests that wait for the next enter.
    pub submissions: u32,
    /// Completions that wait to be read. The kernel keeps what does not fit.
    pub completions: u32,
    /// Receive buffers, a power of two.
    pub buffers: u16,
}

/// Makes the queues. They have to be used on this thread.
///
/// # Errors
///
/// If this kernel has no io_uring, or not enough of it, or forbids it.
pub fn build(sizes: Sizes) -> Result<IoUring, Unavailable> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
    builder.setup_cqsize(sizes.completions).dontfork();
    builder.build(sizes.submissions).map_err(|error| Unavailable::new("io_uring_setup", &error))
}

/// A ring in use.
pub struct Ring<'ring> {
    queues: &'ring IoUring,
    submitter: Submitter<'ring>,
    is_registered: bool,
    wait_flags: EnterFlags,
}

/// What became of a request, or one of several things that did.
#[derive(Debug)]
pub struct Completion {
    /// The token of the request.
    pub token: u64,
    /// Its result, or its error number below zero.
    pub result: i32,
    /// What else is said, for [`cqueue`] to take apart.
    pub flags: u32,
}

impl Completion {
    /// Whether the same request completes again.
    pub fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The error number, if it failed.
    pub fn error(&self) -> Option<i32> {
        (self.result < 0).then_some(-self.result)
    }
}

impl<'ring> Ring<'ring> {
    /// Takes these queues into use. Without a free place for its descriptor it does without.
    pub fn new(queues: &'ring mut IoUring) -> Self {
        let queues: &'ring IoUring = queues;
        let mut submitter = queues.submitter();
        let is_registered = submitter.register_ring_fd().is_ok();
        let mut wait_flags = EnterFlags::EXT_ARG | EnterFlags::GETEVENTS;
        if queues.params().is_feature_no_iowait() {
            // A shard that waits for packets is idle, not held up by a disk.
            wait_flags |= EnterFlags::NO_IOWAIT;
        }
        Self { queues, submitter, is_registered, wait_flags }
    }

    /// For what is registered with the ring.
    pub fn submitter(&self) -> &Submitter<'ring> {
        &self.submitter
    }

    /// Whether the kernel finds the ring without looking up its descriptor each time.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// Places for requests before the next enter.
    pub fn space(&mut self) -> usize {
        let queue = self.submissions();
        queue.capacity() - queue.len()
    }

    /// Adds a request to those of the next enter. Answers whether there was a place for it.
    ///
    /// # Safety
    ///
    /// The memory that it names has to stay valid, and what the kernel writes to untouched, until the request has
    /// completed.
    pub unsafe fn push(&mut self, request: &squeue::Entry) -> bool {
        // SAFETY: by the caller's promise.
        unsafe { self.submissions().push(request).is_ok() }
    }

    /// Starts the requests that were pushed. What completes at once can be read afterwards.
    ///
    /// # Errors
    ///
    /// If the kernel is out of memory or wants completions to be read first: what is left can be tried again.
    pub fn submit(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.submissions().len();
            if waiting == 0 {
                return Ok(());
            }
            match self.enter(waiting, 0, EnterFlags::EXT_ARG, None) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Starts the requests that were pushed and lets the kernel finish what it has put off. Does not wait, and
    /// costs nothing if there is nothing to do.
    ///
    /// # Errors
    ///
    /// If the ring cannot be used any more.
    pub fn poll(&mut self) -> io::Result<()> {
        let waiting = self.submissions().len();
        if waiting == 0 && !self.is_due() {
            return Ok(());
        }
        survived(self.enter(waiting, 0, self.wait_flags, None))
    }

    /// Starts the requests that were pushed and waits for a completion, at most so long; without a timeout, for
    /// ever. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// If the ring cannot be used any more.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let waiting = self.submissions().len();
        survived(self.enter(waiting, 1, self.wait_flags, timeout))
    }

    /// The next completion that can be read without an enter.
    pub fn next_completion(&mut self) -> Option<Completion> {
        // SAFETY: `self` has the only reference to the queues, so no other CompletionQueue exists.
        let entry = unsafe { self.queues.completion_shared() }.next()?;
        Some(Completion { token: entry.user_data(), result: entry.result(), flags: entry.flags() })
    }

    /// Whether the kernel has put something off until the next enter.
    pub fn is_due(&mut self) -> bool {
        let queue = self.submissions();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether the kernel keeps completions that had no place in the queue.
    pub fn has_overflow(&mut self) -> bool {
        self.submissions().cq_overflow()
    }

    /// Ends every request that was started, and lets the kernel say so; none that waits is started.
    ///
    /// # Errors
    ///
    /// If a request does not end in time.
    pub fn cancel_all(&mut self) -> io::Result<()> {
        match self.submitter.register_sync_cancel(Some(CANCEL_TIMEOUT.into()), CancelBuilder::any()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.collect(Duration::ZERO),
        }
    }

    /// Waits for a completion, at most so long, and starts nothing.
    ///
    /// # Errors
    ///
    /// If the ring cannot be used any more.
    pub fn collect(&mut self, timeout: Duration) -> io::Result<()> {
        survived(self.enter(0, 1, self.wait_flags, Some(timeout)))
    }

    fn submissions(&mut self) -> squeue::SubmissionQueue<'_> {
        // SAFETY: `self` has the only reference to the queues, so no other SubmissionQueue exists.
        unsafe { self.queues.submission_shared() }
    }

    fn enter(
        &self,
        submit: usize,
        want: u32,
        flags: EnterFlags,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let timespec = timeout.map(Timespec::from);
        let arguments = SubmitArgs::new();
        let arguments = timespec.as_ref().map_or(arguments, |timespec| arguments.timespec(timespec));
        // SAFETY: every `flags` has EXT_ARG, which makes the argument a SubmitArgs; it and the timespec that it may
        // point to are live locals. What was pushed is valid by the promise of those who pushed it.
        unsafe { self.submitter.enter(submit as u32, want, flags.bits(), Some(&arguments)) }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        if self.is_registered {
            // Nothing is left to be done if that fails: the place is lost to this thread.
            let _ = self.submitter.unregister_ring_fd();
        }
    }
}

/// A wait that ended without a completion, and completions that have to be read first, are no failure.
fn survived(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
