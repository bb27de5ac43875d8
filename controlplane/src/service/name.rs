//! Names that come from outside or go there: rooms and sessions.
#![forbid(unsafe_code)]

use std::fmt;

use crate::limits::{ROOM_NAME_LEN_MAX, SESSION_ID_BYTES};

/// The name of a room: 1 to [`ROOM_NAME_LEN_MAX`] unreserved characters of a URL (RFC 3986, section 2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(String);

impl RoomName {
    /// `None` if it is empty, too long, or has other characters than `A-Z a-z 0-9 - _ . ~`.
    pub fn new(name: &str) -> Option<Self> {
        let is_unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        let is_fit = (1..=ROOM_NAME_LEN_MAX).contains(&name.len())
            && name.bytes().all(is_unreserved)
            && name != "."
            && name != "..";
        is_fit.then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a session: 128 random bits. Whoever knows it may end the session, so it is shown in the
/// Location header and nowhere else; logs get [`SessionId::short`]. docs/SECURITY.md H2.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; SESSION_ID_BYTES]);

impl SessionId {
    /// From unpredictable bytes.
    pub fn new(bytes: [u8; SESSION_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// From the 32 lower-case hexadecimal digits of a URL.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != SESSION_ID_BYTES * 2 || !text.bytes().all(is_hex) {
            return None;
        }
        let mut bytes = [0; SESSION_ID_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As it stands in a URL.
    pub fn to_url(self) -> String {
        hex(&self.0)
    }

    /// Enough to tell sessions apart in a log, too little to use one.
    pub fn short(self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}..)", self.short())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // docs/SECURITY.md H16
    #[test]
    fn a_room_name_has_1_to_128_unreserved_characters() {
        assert!(RoomName::new("a").is_some());
        assert!(RoomName::new("Stage-1_b.c~d").is_some());
        assert!(RoomName::new(&"a".repeat(128)).is_some());
        for wrong in ["", ".", "..", "a b", "a/b", "a%20b", "ä", &"a".repeat(129)] {
            assert!(RoomName::new(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_session_id_survives_its_url_and_nothing_else_parses() {
        let id = SessionId::new([0xa5; 16]);
        assert_eq!(SessionId::parse(&id.to_url()).unwrap(), id);
        for wrong in ["", "a5", &"A5".repeat(16), &"g5".repeat(16), &"a5".repeat(17)] {
            assert!(SessionId::parse(wrong).is_none(), "{wrong}");
        }
    }

    // docs/SECURITY.md H2
    #[test]
    fn a_session_id_is_never_logged_in_full() {
        let id = SessionId::new([0xa5; 16]);
        assert!(!format!("{id:?}").contains(&id.to_url()));
    }
}
