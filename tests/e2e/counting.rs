//! Counts the allocations of one thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The system's allocator, counting.
pub(crate) struct Counting;

/// The thread that is counted, as `pthread_self` names it; 0: none.
static COUNTED: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// From now on the calling thread is the one that is counted.
pub(crate) fn count_this_thread() {
    COUNTED.store(this_thread(), Relaxed);
}

/// Allocations of the counted thread so far.
pub(crate) fn allocations() -> u64 {
    COUNT.load(Relaxed)
}

fn this_thread() -> u64 {
    // SAFETY: it has no preconditions and touches no memory of ours.
    unsafe { libc::pthread_self() as u64 }
}

fn note() {
    if COUNTED.load(Relaxed) == this_thread() {
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
