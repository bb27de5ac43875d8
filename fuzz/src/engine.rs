//! stub
/// stub
pub fn engine(_bytes: &[u8]) {}
