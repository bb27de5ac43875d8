//! A cursor over bits, most significant first, for the headers inside video payloads.
//! Reading past the end is `None`, never a panic.
#![forbid(unsafe_code)]

/// What is left to read of a slice, bit by bit.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The byte being read, shifted so that its next bit is the highest.
    current: u8,
    bits_left: u8,
    has_emulation_prevention: bool,
    zeros_in_a_row: u8,
}

impl<'a> BitReader<'a> {
    /// Reads the bytes as they are.
    pub(super) fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, current: 0, bits_left: 0, has_emulation_prevention: false, zeros_in_a_row: 0 }
    }

    /// Reads a NAL unit: a 3 after two zero bytes is left out (H.264, section 7.4.1.1).
    pub(super) fn nal(bytes: &'a [u8]) -> Self {
        Self { has_emulation_prevention: true, ..Self::plain(bytes) }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if self.has_emulation_prevention && self.zeros_in_a_row == 2 && byte == 3 {
            self.zeros_in_a_row = 0;
            return self.next_unescaped_byte();
        }
        self.count_zero(byte);
        Some(byte)
    }

    fn next_unescaped_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        self.count_zero(byte);
        Some(byte)
    }

    fn count_zero(&mut self, byte: u8) {
        self.zeros_in_a_row = if byte == 0 { (self.zeros_in_a_row + 1).min(2) } else { 0 };
    }

    /// One bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.bits_left == 0 {
            self.current = self.next_byte()?;
            self.bits_left = 8;
        }
        let bit = self.current & 0x80 != 0;
        self.current <<= 1;
        self.bits_left -= 1;
        Some(bit)
    }

    /// How many bits are left, where the bytes are read as they are.
    pub(super) fn left(&self) -> usize {
        usize::from(self.bits_left) + 8 * self.bytes.len()
    }

    /// `count` bits as an unsigned number; `None` too if they are more than 32.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        if count > 32 {
            return None;
        }
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(self.flag()?);
        }
        Some(value as u32)
    }

    /// An unsigned exponential Golomb number below 2^32 - 1 (H.264, section 9.1); AV1 calls it uvlc.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some(((1u32 << zeros) - 1).saturating_add(rest))
    }

    /// A signed exponential Golomb number (H.264, section 9.1.1).
    pub(super) fn exp_golomb_signed(&mut self) -> Option<i64> {
        let code = i64::from(self.exp_golomb()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golomb_numbers_follow_the_table_of_the_standard() {
        // 1 010 011 00100 00101, padded with zeros.
        let mut reader = BitReader::plain(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(reader.exp_golomb(), Some(0));
        assert_eq!(reader.exp_golomb_signed(), Some(1));
        assert_eq!(reader.exp_golomb_signed(), Some(-1));
        assert_eq!(reader.exp_golomb(), Some(3));
        assert_eq!(reader.exp_golomb(), Some(4));
        assert_eq!(reader.exp_golomb(), None);
    }

    #[test]
    fn an_emulation_prevention_byte_is_left_out_of_a_nal_only() {
        let bytes = [0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 1];
        let read = |mut reader: BitReader| {
            let mut out = Vec::new();
            while let Some(byte) = reader.bits(8) {
                out.push(byte);
            }
            out
        };
        assert_eq!(read(BitReader::nal(&bytes)), [0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(read(BitReader::plain(&bytes)).len(), bytes.len());
    }

    #[test]
    fn a_golomb_number_of_too_many_zeros_is_refused() {
        assert_eq!(BitReader::plain(&[0; 64]).exp_golomb(), None);
        assert_eq!(BitReader::plain(&[0; 64]).bits(33), None);
    }
}
