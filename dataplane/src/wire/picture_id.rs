//! The picture id that VP8 and VP9 write alike: 7 bits, or 15 after a bit that says so (RFC 7741,
//! section 4.2; RFC 9628, section 4.2).
#![forbid(unsafe_code)]

use super::reader::Reader;

const IS_LONG: u16 = 0x8000;
const IS_LONG_BYTE: u8 = 0x80;

/// A picture id as it stood on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId {
    /// 15 bits if `is_long`, else 7.
    pub value: u16,
    /// The width may change within a stream: numbers wrap at the modulus of their own width.
    pub is_long: bool,
}

impl PictureId {
    /// How many values there are before it wraps.
    pub fn modulus(self) -> u64 {
        if self.is_long { 1 << 15 } else { 1 << 7 }
    }

    /// Bytes on the wire.
    pub(super) fn len(self) -> usize {
        if self.is_long { 2 } else { 1 }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut ahead = *reader;
        let long = ahead.u16().filter(|field| field & IS_LONG != 0);
        if let Some(field) = long {
            *reader = ahead;
            return Some(Self { value: field & !IS_LONG, is_long: true });
        }
        // A first byte that announces a second one which is not there is no short id.
        let value = reader.u8().filter(|byte| byte & IS_LONG_BYTE == 0)?;
        Some(Self { value: value.into(), is_long: false })
    }

    /// The two bytes of the lower 15 bits of `value`.
    pub fn long_bytes(value: u16) -> [u8; 2] {
        (value | IS_LONG).to_be_bytes()
    }
}
