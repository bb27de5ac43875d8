//! What a packet says of itself: a record at a fixed distance from the end of its payload.
//!
//! A server may rewrite a payload descriptor at the front, so nothing that we look for depends on where the
//! payload begins. The bytes between descriptor and record are known for each number, or the record holds
//! a checksum of them; so a packet that was damaged, cut, or put together from two is found.
//!
//! ```text
//! | front: what a server may rewrite | head: first bytes of the frame | filler | record, 33 bytes |
//! ```
//!
//! # Invariants
//!
//! - No byte of filler or record is 0, so that whatever codec it stands in, nobody sees a start code, and
//!   the last one is the stop bit of a NAL unit (H.264, section 7.3.2.11).

/// Bytes of a record.
pub(super) const RECORD_LEN: usize = WORDS * 8 + 1;
/// Each carries 56 bits: the first bit of every byte is set.
const WORDS: usize = 4;
const BYTE_MARKS: u64 = 0x8080_8080_8080_8080;
/// The last byte of every payload.
const STOP: u8 = 0x80;

/// Bytes that a server may rewrite at most: the longest VP8 descriptor.
const FRONT_LEN_MAX: usize = 6;
/// Different numbers get different fillers, up to this many.
const FILLERS: usize = 2048;
/// Known bytes: any filler is a part of them.
static FILLER: [u8; FILLERS + super::PAYLOAD_LEN_MAX] = filler();

const SEQUENCE_BITS: u32 = 32;
const SOURCE_BITS: u32 = 16;
const ENCODING_BITS: u32 = 3;
const FRAME_BITS: u32 = 24;
const FRAME_PACKETS_BITS: u32 = 8;
const LEANS_BACK_BITS: u32 = 4;
const FILLER_LEN_BITS: u32 = 11;
const HEAD_LEN_BITS: u32 = 7;
const SENT_HIGH_BITS: u32 = 6;
const SENT_LOW_BITS: u32 = 56;
const LATE_BITS: u32 = 32;
const CHECKSUM_BITS: u32 = 24;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who sent it.
    pub(crate) source: u16,
    /// Which of its encodings, up to 8 of them.
    pub(crate) encoding: u8,
    /// Counted from 0 by encoding, 32 bits.
    pub(crate) sequence: u64,
    /// Just before it was sealed and sent, ns since 1970.
    pub(crate) sent_ns: u64,
    /// How long after its planned time that was; 4.2 s if it was more.
    pub(crate) late_ns: u64,
    /// The frame it belongs to, counted from 0 by encoding, 24 bits.
    pub(crate) frame: u64,
    /// Packets of that frame; 0 of sound.
    pub(crate) frame_packets: u8,
    /// How many frames before it the one is that it leans on, up to 15; 0 of a keyframe and of sound.
    pub(crate) leans_back: u8,
}

impl Record {
    /// Whether it is of a picture.
    pub(crate) fn is_video(&self) -> bool {
        self.frame_packets > 0
    }

    /// The frame that has to be shown before this one can be.
    pub(crate) fn leans_on(&self) -> Option<u64> {
        self.frame.checked_sub(self.leans_back.into()).filter(|_| self.leans_back > 0)
    }
}

/// Where the parts of a payload end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Bytes that a server may rewrite.
    pub(super) front_len: usize,
    /// Bytes of the codec that must arrive as they are.
    pub(super) head_len: usize,
}

/// Fills `payload` behind its front and head, which are there already.
pub(super) fn write(record: &Record, parts: Parts, payload: &mut [u8]) {
    let Parts { front_len, head_len } = parts;
    let end = payload.len() - RECORD_LEN;
    let filler_len = end - front_len - head_len;
    let mut words = [
        pack([
            (record.sequence, SEQUENCE_BITS),
            (u64::from(record.source), SOURCE_BITS),
            (u64::from(record.encoding), ENCODING_BITS),
            (u64::from(record.leans_back), LEANS_BACK_BITS),
            (u64::from(front_len > 0), 1),
        ]),
        pack([
            (record.frame, FRAME_BITS),
            (u64::from(record.frame_packets), FRAME_PACKETS_BITS),
            (filler_len as u64, FILLER_LEN_BITS),
            (head_len as u64, HEAD_LEN_BITS),
            (record.sent_ns >> SENT_LOW_BITS, SENT_HIGH_BITS),
        ]),
        record.sent_ns & mask(SENT_LOW_BITS),
        record.late_ns.min(mask(LATE_BITS)),
    ];
    words[3] = words[3] << CHECKSUM_BITS | checksum(&words, &payload[front_len..front_len + head_len]);

    let (rest, tail) = payload.split_at_mut(end);
    rest[front_len + head_len..].copy_from_slice(filler_of(words[0], filler_len));
    for (bytes, word) in tail.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&spread(word).to_be_bytes());
    }
    tail[RECORD_LEN - 1] = STOP;
}

/// Reads what a received payload says; `None` if it is not one of ours, whole and unchanged but for what a
/// server may rewrite.
pub(crate) fn read(payload: &[u8]) -> Option<Record> {
    let (rest, tail) = payload.split_last_chunk::<RECORD_LEN>()?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(tail.chunks_exact(8)) {
        *word = gather(u64::from_be_bytes(bytes.try_into().expect("eight bytes were cut")))?;
    }
    let (said, late_ns) = (words[3] & mask(CHECKSUM_BITS), words[3] >> CHECKSUM_BITS);
    words[3] = late_ns;

    let [sequence, source, encoding, leans_back, has_front] =
        unpack(words[0], [SEQUENCE_BITS, SOURCE_BITS, ENCODING_BITS, LEANS_BACK_BITS, 1]);
    let [frame, frame_packets, filler_len, head_len, sent_high] =
        unpack(words[1], [FRAME_BITS, FRAME_PACKETS_BITS, FILLER_LEN_BITS, HEAD_LEN_BITS, SENT_HIGH_BITS]);
    let (rest, filler) = rest.split_at_checked(rest.len().checked_sub(filler_len as usize)?)?;
    let (front, head) = rest.split_at_checked(rest.len().checked_sub(head_len as usize)?)?;
    let front_lens = if has_front == 1 { 1..=FRONT_LEN_MAX } else { 0..=0 };
    let is_ours = tail[RECORD_LEN - 1] == STOP
        && front_lens.contains(&front.len())
        && said == checksum(&words, head)
        && filler.len() <= super::PAYLOAD_LEN_MAX
        && filler == filler_of(words[0], filler.len());
    is_ours.then_some(Record {
        source: source as u16,
        encoding: encoding as u8,
        sequence,
        sent_ns: sent_high << SENT_LOW_BITS | words[2],
        late_ns,
        frame,
        frame_packets: frame_packets as u8,
        leans_back: leans_back as u8,
    })
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// One word of several numbers, each of so many bits.
fn pack<const N: usize>(fields: [(u64, u32); N]) -> u64 {
    fields.into_iter().fold(0, |word, (value, bits)| word << bits | value & mask(bits))
}

/// The numbers of a word that was packed.
fn unpack<const N: usize>(mut word: u64, mut widths: [u32; N]) -> [u64; N] {
    widths.reverse();
    let mut fields = widths.map(|bits| {
        let value = word & mask(bits);
        word >>= bits;
        value
    });
    fields.reverse();
    fields
}

/// Eight bytes of seven bits each, the first bit set.
fn spread(word: u64) -> u64 {
    let halves = word & 0x0fff_ffff | (word & 0x00ff_ffff_f000_0000) << 4;
    let quarters = halves & 0x0000_3fff_0000_3fff | (halves & 0x0fff_c000_0fff_c000) << 2;
    quarters & 0x007f_007f_007f_007f | (quarters & 0x3f80_3f80_3f80_3f80) << 1 | BYTE_MARKS
}

/// The word that was spread; `None` if none was.
fn gather(bytes: u64) -> Option<u64> {
    let eighths = bytes ^ BYTE_MARKS;
    let quarters = eighths & 0x007f_007f_007f_007f | (eighths & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = quarters & 0x0000_3fff_0000_3fff | (quarters & 0x3fff_0000_3fff_0000) >> 2;
    let word = halves & 0x0fff_ffff | (halves & 0x0fff_ffff_0000_0000) >> 4;
    (eighths & BYTE_MARKS == 0).then_some(word)
}

/// A few words are checked, because what the filler covers is compared: by multiplying and folding, as
/// wyhash does.
fn checksum(words: &[u64; WORDS], head: &[u8]) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15;
    let mut add = |word: u64| {
        let product = u128::from(sum ^ word) * u128::from(0xa076_1d64_78bd_642f_u64);
        sum = product as u64 ^ (product >> 64) as u64;
    };
    words.iter().copied().for_each(&mut add);
    for part in head.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        add(u64::from_be_bytes(bytes));
    }
    sum >> (64 - CHECKSUM_BITS)
}

/// The filler of a packet whose first word says who it is.
fn filler_of(who: u64, len: usize) -> &'static [u8] {
    let start = (who.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILLERS.ilog2())) as usize;
    &FILLER[start..start + len]
}

const fn filler() -> [u8; FILLERS + super::PAYLOAD_LEN_MAX] {
    let mut bytes = [0; FILLERS + super::PAYLOAD_LEN_MAX];
    let (mut state, mut at) = (0x9e37_79b9_u32, 0);
    while at < bytes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        bytes[at] = if byte == 0 { 1 } else { byte };
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RECORD: Record = Record {
        source: 4000,
        encoding: 2,
        sequence: 3_000_000_000,
        sent_ns: (1 << 61) + 12345,
        late_ns: 7,
        frame: 16_000_000,
        frame_packets: 200,
        leans_back: 15,
    };
    const PARTS: Parts = Parts { front_len: 4, head_len: 10 };

    fn written(record: &Record, parts: Parts, len: usize) -> Vec<u8> {
        let mut payload: Vec<u8> = (0..len as u32).map(|at| at.wrapping_mul(91) as u8).collect();
        write(record, parts, &mut payload);
        payload
    }

    #[test]
    fn a_record_survives_a_front_of_another_length() {
        let payload = written(&RECORD, PARTS, 1100);
        assert_eq!(read(&payload), Some(RECORD));
        assert_eq!(read(&payload[1..]), Some(RECORD));
        assert_eq!(read(&[&[0, 0][..], &payload].concat()), Some(RECORD));
        assert_eq!(read(&payload[4..]), None, "a front that was taken away");
        assert_eq!(read(&[&[0; 3][..], &payload].concat()), None, "longer than any front");
    }

    #[test]
    fn the_shortest_payload_holds_a_record_and_nothing_of_it_is_zero() {
        let bare = Parts { front_len: 0, head_len: 1 };
        let payload = written(&RECORD, bare, 1 + RECORD_LEN);
        assert_eq!(read(&payload), Some(RECORD));
        for record in [
            RECORD,
            Record {
                source: 0,
                encoding: 0,
                sequence: 0,
                sent_ns: 0,
                late_ns: 0,
                frame: 0,
                frame_packets: 0,
                leans_back: 0,
            },
        ] {
            let payload = written(&record, bare, 1100);
            assert_eq!(read(&payload), Some(record));
            assert!(payload[1..].iter().all(|byte| *byte != 0));
        }
    }

    #[test]
    fn a_damaged_byte_is_found_wherever_it_is() {
        for parts in [PARTS, Parts { front_len: 0, head_len: 50 }, Parts { front_len: 6, head_len: 0 }] {
            let payload = written(&RECORD, parts, 300);
            for at in parts.front_len..payload.len() {
                for damage in 1..=255 {
                    let mut damaged = payload.clone();
                    damaged[at] ^= damage;
                    assert_eq!(read(&damaged), None, "byte {at} by {damage:#x}");
                }
            }
        }
    }

    #[test]
    fn a_payload_put_together_from_two_is_found() {
        let payload = written(&RECORD, PARTS, 1100);
        let other = written(&Record { sequence: RECORD.sequence + 1, ..RECORD }, PARTS, 1100);
        for cut in PARTS.front_len + PARTS.head_len + 8..payload.len() - 8 {
            assert_eq!(read(&[&payload[..cut], &other[cut..]].concat()), None, "{cut}");
        }
        for len in 0..payload.len() {
            assert_eq!(read(&payload[..len]), None, "cut to {len}");
        }
        assert_eq!(read(&[0xff; 1100]), None);
        assert_eq!(read(&[0; 1100]), None);
    }

    #[test]
    fn what_is_later_than_can_be_said_is_as_late_as_can_be_said() {
        let payload = written(&Record { late_ns: u64::MAX, ..RECORD }, PARTS, 100);
        assert_eq!(read(&payload).unwrap().late_ns, u64::from(u32::MAX));
    }
}
