//! Why io_uring cannot be used here, and what to do about it.
#![forbid(unsafe_code)]

use std::{fmt, io};

const DISABLED_FILE: &str = "/proc/sys/kernel/io_uring_disabled";

/// Which call the kernel refused, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    call: &'static str,
    error: Option<i32>,
    /// The sysctl kernel.io_uring_disabled, where the kernel has it.
    is_disabled: Option<u8>,
}

impl Unavailable {
    /// `call` failed with `error`.
    pub fn new(call: &'static str, error: &io::Error) -> Self {
        let file = std::fs::read_to_string(DISABLED_FILE).ok();
        let is_disabled = file.and_then(|text| text.trim().parse().ok());
        Self { call, error: error.raw_os_error(), is_disabled }
    }

    /// What the kernel answered.
    pub fn answer(&self) -> String {
        let error = self.error.map(io::Error::from_raw_os_error);
        let error = error.map_or_else(|| "an unknown error".to_owned(), |error| error.to_string());
        format!("{} gives {error}", self.call)
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match (self.error, self.is_disabled) {
            (Some(libc::ENOSYS), _) => {
                "this kernel has none, or a sandbox hides it: run Linux 6.1 or newer, outside of the sandbox"
            }
            (Some(libc::EPERM | libc::EACCES), Some(2)) => {
                "it is disabled for all processes: sysctl -w kernel.io_uring_disabled=0"
            }
            (Some(libc::EPERM | libc::EACCES), Some(1)) => {
                "it is disabled for unprivileged processes: sysctl -w kernel.io_uring_disabled=0, or run in the \
                 group that kernel.io_uring_group names"
            }
            (Some(libc::EPERM | libc::EACCES), _) => {
                "a seccomp profile or security module forbids it, as Docker's does by default: allow \
                 io_uring_setup, io_uring_enter and io_uring_register, in Docker by --security-opt seccomp=FILE"
            }
            (Some(libc::EINVAL), _) => {
                "the kernel lacks what is asked for (IORING_SETUP_DEFER_TASKRUN): run Linux 6.1 or newer"
            }
            (Some(libc::ENOMEM), _) => {
                "no memory may be locked: raise the limit, by `ulimit -l` or LimitMEMLOCK= of systemd"
            }
            (Some(libc::EMFILE | libc::ENFILE), _) => {
                "too many files are open: raise the limit, by `ulimit -n` or LimitNOFILE= of systemd"
            }
            _ => "use SLUICE_IO=mmsg",
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring cannot be used, {}; {}", self.answer(), self.remedy())
    }
}

impl std::error::Error for Unavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: i32, is_disabled: Option<u8>) -> String {
        Unavailable { call: "io_uring_setup", error: Some(error), is_disabled }.to_string()
    }

    #[test]
    fn each_refusal_names_its_remedy() {
        assert!(text(libc::ENOSYS, None).contains("6.1 or newer"));
        assert!(text(libc::EINVAL, Some(0)).contains("6.1 or newer"));
        assert!(text(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled=0"));
        assert!(text(libc::EPERM, Some(1)).contains("io_uring_group"));
        assert!(text(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(text(libc::EPERM, None).contains("seccomp"));
        assert!(text(libc::ENOMEM, None).contains("ulimit -l"));
        assert!(text(libc::EMFILE, None).contains("ulimit -n"));
        assert!(text(libc::EIO, None).contains("SLUICE_IO=mmsg"));
    }

    #[test]
    fn the_call_and_the_error_are_named() {
        let text = text(libc::EPERM, Some(0));
        assert!(text.contains("io_uring_setup") && text.contains("Operation not permitted"), "{text}");
    }
}
