//! Does what takes HTTP, on threads of its own, so that nobody who attends to media waits for it.
#![forbid(unsafe_code)]

use tokio::runtime::Runtime;

use crate::failure::{Failure, OrFail};

/// Threads that make offers and wait for answers.
const THREADS: usize = 1;

/// A runtime for signalling.
#[derive(Debug)]
pub(crate) struct Clerk {
    runtime: Runtime,
}

impl Clerk {
    /// Starts it.
    pub(crate) fn start() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("clerk")
            .enable_all()
            .build()
            .or_fail("signalling could not start", "")?;
        Ok(Self { runtime })
    }

    /// Does something without waiting for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Waits for something. Not to be called by the clerk's own tasks.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}
