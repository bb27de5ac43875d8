//! The names of things, one type each, so that no two can be confused.
#![forbid(unsafe_code)]

use std::fmt;

/// One shard of this process; also the offset of its UDP port from the base port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// One transport, unique for the life of the process. Minted by the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// One track, unique for the life of the process. Minted by the control plane; it outlives the
/// transport that feeds it, so that a publisher may go and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// Synchronization source of an RTP stream (RFC 3550, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Debug for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssrc({:08x})", self.0)
    }
}

/// RTP payload type, 0..=127 (RFC 3550, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u8);

/// A short token of SDP kept inline: at most [`Token::LEN_MAX`] bytes of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    len: u8,
    bytes: [u8; Token::LEN_MAX],
}

impl Token {
    /// The longest value that fits the one-byte header extension form (RFC 8285, section 4.2).
    pub const LEN_MAX: usize = 16;

    /// `None` if the value is empty, longer than [`Token::LEN_MAX`] or not printable ASCII.
    pub fn new(value: &[u8]) -> Option<Self> {
        let is_fit = (1..=Self::LEN_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        if !is_fit {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX];
        bytes[..value.len()].copy_from_slice(value);
        Some(Self { len: value.len() as u8, bytes })
    }

    /// The value as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The value as text; it is ASCII by construction.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a token is ASCII by construction")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Media identification of an SDP section (RFC 9143, section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mid(pub Token);

/// Restriction identifier of a simulcast encoding (RFC 8851).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rid(pub Token);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_refuses_what_does_not_fit_a_header_extension() {
        assert_eq!(Token::new(b"hi").map(|t| t.as_str().to_owned()), Some("hi".to_owned()));
        assert!(Token::new(b"").is_none());
        assert!(Token::new(&[b'a'; 17]).is_none());
        assert!(Token::new(b"a b").is_none());
        assert!(Token::new("ä".as_bytes()).is_none());
    }
}
