//! The one place of the control plane that draws random numbers.
#![forbid(unsafe_code)]

/// Unpredictable bytes.
///
/// # Panics
///
/// If the system has no randomness to give; nothing safe can be done then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
