//! What the kernel knows of a process and of this machine.
#![forbid(unsafe_code)]

pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod trains;
