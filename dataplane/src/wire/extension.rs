//! RTP header extension elements in the one-byte and the two-byte form (RFC 8285, section 4).
//!
//! This module knows forms, not meanings: which id carries what is negotiated per transport.
//!
//! # Invariants
//!
//! - The reader ends at the first thing it does not understand and never yields an element that
//!   reaches past the block.
//! - An element that was refused leaves no trace in the block.
#![forbid(unsafe_code)]

/// Profile of a block in the one-byte form (RFC 8285, section 4.2).
pub const ONE_BYTE_PROFILE: u16 = 0xbede;
/// Profile of a block in the two-byte form; its low four bits belong to the application
/// (RFC 8285, section 4.3).
pub const TWO_BYTE_PROFILE: u16 = 0x1000;

const TWO_BYTE_PROFILE_MASK: u16 = 0xfff0;
/// In front of the elements: the profile and the count of 32-bit words.
const BLOCK_HEADER_LEN: usize = 4;
const ONE_BYTE_ID_MAX: u8 = 14;
const ONE_BYTE_ID_STOP: u8 = 15;
const ONE_BYTE_LEN_MAX: usize = 16;
const TWO_BYTE_LEN_MAX: usize = 255;

/// How elements are written. The greater form can carry what the lesser one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Ids 1..=14, 1..=16 bytes (RFC 8285, section 4.2).
    OneByte,
    /// Ids 1..=255, 0..=255 bytes (RFC 8285, section 4.3). Only for who negotiated
    /// `extmap-allow-mixed`.
    TwoByte,
}

impl Form {
    /// The least form for an element of `len` bytes. The form of a packet is the greatest of those of
    /// its elements.
    pub fn needed_for(id: u8, len: usize) -> Form {
        if Form::OneByte.can_carry(id, len) { Form::OneByte } else { Form::TwoByte }
    }

    fn of_profile(profile: u16) -> Option<Form> {
        match profile {
            ONE_BYTE_PROFILE => Some(Form::OneByte),
            _ if profile & TWO_BYTE_PROFILE_MASK == TWO_BYTE_PROFILE => Some(Form::TwoByte),
            _ => None,
        }
    }

    fn profile(self) -> u16 {
        match self {
            Form::OneByte => ONE_BYTE_PROFILE,
            Form::TwoByte => TWO_BYTE_PROFILE,
        }
    }

    fn can_carry(self, id: u8, len: usize) -> bool {
        match self {
            Form::OneByte => (1..=ONE_BYTE_ID_MAX).contains(&id) && (1..=ONE_BYTE_LEN_MAX).contains(&len),
            Form::TwoByte => id != 0 && len <= TWO_BYTE_LEN_MAX,
        }
    }
}

/// The elements of one extension block, as `(id, data)`. Ends at the end of the block, at id 15 of the
/// one-byte form, or at an element that does not fit. A block of an unknown profile has no elements.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Reads `block`, the bytes behind the profile and the length, as [`super::rtp::RtpHeader`] names them.
    pub fn new(profile: u16, block: &'a [u8]) -> Self {
        match Form::of_profile(profile) {
            Some(form) => Self { form, rest: block },
            None => Self { form: Form::OneByte, rest: &[] },
        }
    }

    fn read(&mut self) -> Option<(u8, &'a [u8])> {
        // A byte of 0 is padding in both forms.
        let start = self.rest.iter().position(|&byte| byte != 0)?;
        let (id, len, data) = match (self.form, self.rest.get(start..)?) {
            (Form::OneByte, [first, data @ ..]) => (first >> 4, usize::from(first & 0x0f) + 1, data),
            (Form::TwoByte, [id, len, data @ ..]) => (*id, usize::from(*len), data),
            _ => return None,
        };
        let has_stopped = self.form == Form::OneByte && (id == 0 || id == ONE_BYTE_ID_STOP);
        if has_stopped {
            return None;
        }
        let (data, rest) = data.split_at_checked(len)?;
        self.rest = rest;
        Some((id, data))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let element = self.read();
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}

/// Writes one extension block behind a fixed RTP header.
#[derive(Debug)]
pub struct ExtensionWriter<'a> {
    out: &'a mut [u8],
    form: Form,
    /// Bytes of block header and elements; 0 until the first element.
    len: usize,
}

impl<'a> ExtensionWriter<'a> {
    /// `out` begins at the byte behind the fixed header. Nothing is written before the first element.
    pub fn new(out: &'a mut [u8], form: Form) -> Self {
        Self { out, form, len: 0 }
    }

    /// Appends an element. `false` if the form cannot carry it or the room is too small: the block is
    /// then as it was.
    pub fn push(&mut self, id: u8, data: &[u8]) -> bool {
        if !self.form.can_carry(id, data.len()) {
            return false;
        }
        let start = self.len.max(BLOCK_HEADER_LEN);
        let header_len = match self.form {
            Form::OneByte => 1,
            Form::TwoByte => 2,
        };
        let end = start + header_len + data.len();
        let padded_end = end.next_multiple_of(4);
        let words_max = usize::from(u16::MAX);
        if padded_end > self.out.len() || padded_end > BLOCK_HEADER_LEN + 4 * words_max {
            return false;
        }
        match self.form {
            Form::OneByte => self.out[start] = id << 4 | (data.len() - 1) as u8,
            Form::TwoByte => self.out[start..start + 2].copy_from_slice(&[id, data.len() as u8]),
        }
        self.out[start + header_len..end].copy_from_slice(data);
        self.len = end;
        true
    }

    /// Pads to 32 bits and writes the block header. Returns the bytes of the whole block, its header
    /// included, or 0 if there is no element: then there is no block, and the X bit must stay clear.
    #[must_use]
    pub fn finish(self) -> usize {
        if self.len == 0 {
            return 0;
        }
        let end = self.len.next_multiple_of(4);
        self.out[self.len..end].fill(0);
        let words = ((end - BLOCK_HEADER_LEN) / 4) as u16;
        self.out[..2].copy_from_slice(&self.form.profile().to_be_bytes());
        self.out[2..4].copy_from_slice(&words.to_be_bytes());
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn elements(profile: u16, block: &[u8]) -> Vec<(u8, Vec<u8>)> {
        Elements::new(profile, block).map(|(id, data)| (id, data.to_vec())).collect()
    }

    #[test]
    fn one_byte_elements_are_read_over_padding() {
        let block = [0x10, 0xaa, 0, 0, 0x21, 1, 2, 0xe0, 7, 0, 0, 0];
        let expected = vec![(1, vec![0xaa]), (2, vec![1, 2]), (14, vec![7])];
        assert_eq!(elements(ONE_BYTE_PROFILE, &block), expected);
    }

    #[test]
    fn one_byte_reading_stops_at_id_15_and_at_id_0_with_a_length() {
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 1, 0xf0, 2, 0x20, 3]), vec![(1, vec![1])]);
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 1, 0x01, 2, 3, 0x20, 3]), vec![(1, vec![1])]);
    }

    #[test]
    fn two_byte_elements_may_be_empty_and_have_high_ids() {
        let block = [1, 0, 0, 200, 2, 8, 9, 15, 1, 5];
        let expected = vec![(1, vec![]), (200, vec![8, 9]), (15, vec![5])];
        assert_eq!(elements(0x1003, &block), expected);
    }

    #[test]
    fn an_element_past_the_end_is_not_read() {
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 1, 0x23, 1, 2, 3]), vec![(1, vec![1])]);
        assert_eq!(elements(TWO_BYTE_PROFILE, &[1, 1, 7, 2]), vec![(1, vec![7])]);
        assert_eq!(elements(TWO_BYTE_PROFILE, &[1, 9, 7, 2]), vec![]);
        assert_eq!(elements(0xabcd, &[0x10, 1]), vec![]);
    }

    #[test]
    fn a_block_is_padded_to_words() {
        let mut out = [0xff; 16];
        let mut writer = ExtensionWriter::new(&mut out, Form::OneByte);
        assert!(writer.push(3, &[0xab, 0xcd]));
        assert!(writer.push(4, &[1]));
        assert_eq!(writer.finish(), 12);
        assert_eq!(out[..12], [0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0x40, 1, 0, 0, 0]);
    }

    #[test]
    fn a_block_without_elements_is_no_block() {
        let mut out = [0xff; 8];
        assert_eq!(ExtensionWriter::new(&mut out, Form::OneByte).finish(), 0);
        assert_eq!(out, [0xff; 8]);
    }

    #[test]
    fn the_form_refuses_what_it_cannot_carry() {
        let mut out = [0; 600];
        let mut writer = ExtensionWriter::new(&mut out, Form::OneByte);
        for (id, len) in [(0, 1), (15, 1), (1, 0), (1, 17)] {
            assert!(!writer.push(id, &[0; 300][..len]), "{id} {len}");
        }
        assert_eq!(writer.finish(), 0);
        let mut writer = ExtensionWriter::new(&mut out, Form::TwoByte);
        assert!(!writer.push(0, &[1]));
        assert!(!writer.push(1, &[0; 256]));
        assert!(writer.push(1, &[0; 255]));
        assert_eq!(Form::needed_for(14, 16), Form::OneByte);
        assert_eq!(Form::needed_for(15, 1), Form::TwoByte);
        assert_eq!(Form::needed_for(1, 17).max(Form::OneByte), Form::TwoByte);
    }

    #[test]
    fn an_element_that_does_not_fit_leaves_the_block_as_it_was() {
        let mut out = [0; 8];
        let mut writer = ExtensionWriter::new(&mut out, Form::OneByte);
        assert!(writer.push(1, &[1, 2]));
        assert!(!writer.push(2, &[3]));
        assert_eq!(writer.finish(), 8);
        assert_eq!(elements(ONE_BYTE_PROFILE, &out[4..]), vec![(1, vec![1, 2])]);
    }

    proptest! {
        #[test]
        fn any_block_is_read_within_its_bounds(profile: u16, block in vec(any::<u8>(), 0..300)) {
            for profile in [profile, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE] {
                let read: usize = Elements::new(profile, &block).map(|(_, data)| data.len() + 1).sum();
                prop_assert!(read <= block.len());
            }
        }

        #[test]
        fn what_was_pushed_is_read(
            pushed in vec((1u8..=20, vec(any::<u8>(), 0..40)), 0..12), room in 0usize..200,
        ) {
            for form in [Form::OneByte, Form::TwoByte] {
                let mut out = vec![0xff; room];
                let mut writer = ExtensionWriter::new(&mut out, form);
                let taken: Vec<_> =
                    pushed.iter().filter(|(id, data)| writer.push(*id, data)).cloned().collect();
                let len = writer.finish();
                prop_assert_eq!(len == 0, taken.is_empty());
                if len > 0 {
                    let words = usize::from(u16::from_be_bytes([out[2], out[3]]));
                    prop_assert_eq!(len, 4 + 4 * words);
                    prop_assert_eq!(elements(form.profile(), &out[4..len]), taken);
                }
            }
        }
    }
}
