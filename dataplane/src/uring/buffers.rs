//! The receive buffers, which go back and forth between the kernel and us (`IORING_REGISTER_PBUF_RING`).
//!
//! # Invariants
//!
//! - A buffer is either the kernel's or held by exactly one [`Held`]; only then is it read, and only the other
//!   way is it written.
//! - The memory is freed only after the kernel has given it up: otherwise it is leaked.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::cqueue;
use io_uring::types::BufRingEntry;

use crate::limits::RECEIVE_BUFFER_BYTES;
use crate::uring::ring::Completion;

/// The one group of buffers that a ring has.
pub const GROUP: u16 = 0;
const PAGE_BYTES: usize = 4096;

/// Receive buffers that are registered with a ring.
#[derive(Debug)]
pub struct Buffers {
    entries: Pages,
    memory: Pages,
    is_held: Box<[bool]>,
    held_count: usize,
    tail: u16,
    is_registered: bool,
}

/// A buffer that is ours until it is given back.
#[derive(Debug)]
pub struct Held(u16);

impl Buffers {
    /// Gives `count` buffers, a power of two, to the kernel.
    ///
    /// # Errors
    ///
    /// If the kernel refuses them.
    pub fn register(submitter: &Submitter<'_>, count: u16) -> io::Result<Self> {
        let mut buffers = Self {
            entries: Pages::new(usize::from(count) * size_of::<BufRingEntry>()),
            memory: Pages::new(usize::from(count) * RECEIVE_BUFFER_BYTES),
            is_held: vec![true; usize::from(count)].into_boxed_slice(),
            held_count: usize::from(count),
            tail: 0,
            is_registered: false,
        };
        // SAFETY: the entries are whole pages, zeroed, and stay where they are until the ring has given them up.
        unsafe {
            let entries = buffers.entries.start.as_ptr() as u64;
            submitter.register_buf_ring_with_flags(entries, count, GROUP, 0)?;
        }
        buffers.is_registered = true;
        (0..count).for_each(|index| buffers.give_back(Held(index)));
        buffers.publish();
        Ok(buffers)
    }

    /// Takes them back from the kernel, which must not receive any more.
    ///
    /// # Errors
    ///
    /// If it refuses: the memory stays its own for ever.
    pub fn unregister(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(GROUP)?;
        self.is_registered = false;
        Ok(())
    }

    /// The buffer that a completion hands over.
    pub fn hold(&mut self, completion: &Completion) -> Option<Held> {
        let index = cqueue::buffer_select(completion.flags)?;
        let is_held = self.is_held.get_mut(usize::from(index)).filter(|is_held| !**is_held)?;
        *is_held = true;
        self.held_count += 1;
        Some(Held(index))
    }

    /// What the kernel wrote, and behind it what it wrote before.
    pub fn bytes<'a>(&'a self, held: &'a Held) -> &'a [u8] {
        let start = usize::from(held.0) * RECEIVE_BUFFER_BYTES;
        // SAFETY: a `Held` is made only for an index below the count, so the range lies in the memory, which was
        // zeroed and is read by nobody else; the kernel has handed this buffer over and writes to it only after
        // `give_back`, which takes the `Held` that this slice borrows.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr().add(start), RECEIVE_BUFFER_BYTES) }
    }

    /// Makes it the kernel's again, from the next [`Buffers::publish`] on.
    pub fn give_back(&mut self, held: Held) {
        let index = usize::from(held.0);
        self.is_held[index] = false;
        self.held_count -= 1;
        let place = usize::from(self.tail) & (self.is_held.len() - 1);
        // SAFETY: `place` is below the count, a power of two, and `index` too, so both lie in their memory. The
        // kernel reads an entry only after the tail that covers it, which is published later; the bytes of the
        // tail, which share the first entry, are not written by these setters.
        unsafe {
            let entry = &mut *self.entries.start.as_ptr().cast::<BufRingEntry>().add(place);
            entry.set_addr(self.memory.start.as_ptr().add(index * RECEIVE_BUFFER_BYTES) as u64);
            entry.set_len(RECEIVE_BUFFER_BYTES as u32);
            entry.set_bid(held.0);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub fn publish(&mut self) {
        // SAFETY: the entries begin with a live entry whose last two bytes are the tail, aligned to two; the kernel
        // reads them atomically, and nothing else here writes them.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.start.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    /// Whether the kernel has a buffer to receive into.
    pub fn has_free(&self) -> bool {
        self.held_count < self.is_held.len()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.is_registered {
            // The kernel may still write to it.
            self.entries.leak();
            self.memory.leak();
        }
    }
}

/// Whole pages of zeroed memory.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
    is_leaked: bool,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes.next_multiple_of(PAGE_BYTES), PAGE_BYTES)
            .expect("the bounds of the buffers are constants that fit");
        // SAFETY: the layout is not empty: a ring has at least one buffer.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout, is_leaked: false }
    }

    fn leak(&mut self) {
        self.is_leaked = true;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.is_leaked {
            // SAFETY: it was allocated with this layout and is freed once.
            unsafe { dealloc(self.start.as_ptr(), self.layout) };
        }
    }
}
