//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01,
//! section 3.1): which packets of a transport arrived, and when.
//!
//! [`TransportFeedback`] reads what a subscriber says, [`Feedback`] tells a publisher. Times have no
//! epoch in common: only differences mean something.
//!
//! # Invariants
//!
//! - Feedback that was read covers its count with chunks and has a delta for each packet that arrived,
//!   so its iterators never run out early.
//! - A packet that arrived is never reported later than it came: times are rounded down to one tick,
//!   each from the same epoch, so that rounding does not add up.
#![forbid(unsafe_code)]

mod build;

pub use build::Feedback;

use super::reader::Reader;
use crate::id::Ssrc;
use crate::limits::TWCC_STATUSES_READ_MAX;

/// Microseconds in one tick, the unit of arrival times and deltas.
pub const TICK_US: u64 = 250;
/// Ticks in one unit of the reference time, 64 ms.
const REFERENCE_TICKS: i64 = 256;
/// The reference time has 24 bits.
const REFERENCE_MODULUS: i64 = 1 << 24;

const SYMBOL_NOT_RECEIVED: u8 = 0;
const SYMBOL_SMALL_DELTA: u8 = 1;
const SYMBOL_LARGE_DELTA: u8 = 2;
const SYMBOL_RESERVED: u8 = 3;

/// Most statuses in one vector chunk of one-bit and of two-bit symbols, and in one run-length chunk.
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;
const RUN_LEN_MAX: usize = 0x1fff;

/// Feedback that was read and found whole.
#[derive(Clone, Copy, Debug)]
pub struct TransportFeedback<'a> {
    /// Who sends the feedback.
    pub sender: Ssrc,
    /// Some stream of the transport; it has no meaning beyond that.
    pub media: Ssrc,
    /// Transport-wide sequence number of the first status.
    pub base: u16,
    /// How many statuses follow each other from `base` on.
    pub count: u16,
    /// Units of 64 ms on the clock of the receiver, 24 bits with sign. It wraps after 12 days.
    pub reference_time: i32,
    /// One more with each feedback packet, modulo 256.
    pub feedback_count: u8,
    chunks: Reader<'a>,
    deltas: Reader<'a>,
}

impl<'a> TransportFeedback<'a> {
    /// Reads what stands behind the two SSRCs. `None` if the count is 0 or larger than
    /// [`TWCC_STATUSES_READ_MAX`], if chunks do not cover the count, if deltas run out, or if a status
    /// has the reserved symbol.
    pub(super) fn read(sender: Ssrc, media: Ssrc, mut body: Reader<'a>) -> Option<Self> {
        let base = body.u16()?;
        let count = body.u16()?;
        let reference_time = (body.u24()? << 8) as i32 >> 8;
        let feedback_count = body.u8()?;
        if count == 0 || usize::from(count) > TWCC_STATUSES_READ_MAX {
            return None;
        }
        let chunks = body;
        let deltas_len = read_chunks(&mut body, usize::from(count))?;
        let deltas = Reader::new(body.bytes(deltas_len)?);
        Some(Self { sender, media, base, count, reference_time, feedback_count, chunks, deltas })
    }

    /// Each packet from `base` on: its sequence number, and its arrival in ticks of 250 us on the clock
    /// of the receiver (`reference_time` times 256, and on), `None` if it was not received so far.
    pub fn statuses(&self) -> Statuses<'a> {
        Statuses {
            chunks: self.chunks,
            chunk: Chunk::default(),
            deltas: self.deltas,
            next: self.base,
            left: self.count,
            ticks: i64::from(self.reference_time) * REFERENCE_TICKS,
        }
    }
}

/// Steps over the chunks of `count` statuses. Returns the bytes of the deltas that they call for.
fn read_chunks(reader: &mut Reader, count: usize) -> Option<usize> {
    let (mut left, mut deltas_len) = (count, 0);
    while left > 0 {
        let chunk = Chunk::of_word(reader.u16()?);
        let used = usize::from(chunk.len).min(left);
        deltas_len += chunk.deltas_len(used)?;
        // A run of no statuses would cover nothing: the two bytes that it takes bound the walk.
        left -= used;
    }
    Some(deltas_len)
}

/// What is left of one chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    kind: ChunkKind,
    /// Statuses that are left.
    len: u16,
    /// The symbol of a run; for a vector its symbols, the next one in the highest bits.
    symbols: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkKind {
    #[default]
    Run,
    OneBit,
    TwoBit,
}

impl Chunk {
    fn of_word(word: u16) -> Self {
        let (kind, len, symbols) = match word >> 14 {
            0b10 => (ChunkKind::OneBit, ONE_BIT_SYMBOLS as u16, word << 2),
            0b11 => (ChunkKind::TwoBit, TWO_BIT_SYMBOLS as u16, word << 2),
            _ => (ChunkKind::Run, word & RUN_LEN_MAX as u16, word >> 13 & 0b11),
        };
        Self { kind, len, symbols }
    }

    fn next(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let symbol = match self.kind {
            ChunkKind::Run => self.symbols,
            ChunkKind::OneBit => self.symbols >> 15,
            ChunkKind::TwoBit => self.symbols >> 14,
        };
        match self.kind {
            ChunkKind::Run => {}
            ChunkKind::OneBit => self.symbols <<= 1,
            ChunkKind::TwoBit => self.symbols <<= 2,
        }
        Some(symbol as u8)
    }

    /// Bytes of the deltas of the first `count` statuses, `None` if one of them is reserved.
    fn deltas_len(mut self, count: usize) -> Option<usize> {
        match (self.kind, self.symbols as u8) {
            (ChunkKind::Run, SYMBOL_RESERVED) if count > 0 => None,
            (ChunkKind::Run, symbol) => Some(count * usize::from(symbol)),
            _ => {
                let mut len = 0;
                for _ in 0..count {
                    // The symbol of a status is the length of its delta.
                    len += Some(self.next()?).filter(|&symbol| symbol != SYMBOL_RESERVED).map(usize::from)?;
                }
                Some(len)
            }
        }
    }
}

/// See [`TransportFeedback::statuses`].
#[derive(Clone, Debug)]
pub struct Statuses<'a> {
    chunks: Reader<'a>,
    chunk: Chunk,
    deltas: Reader<'a>,
    next: u16,
    left: u16,
    ticks: i64,
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = loop {
            match self.chunk.next() {
                Some(symbol) => break symbol,
                None => self.chunk = Chunk::of_word(self.chunks.u16()?),
            }
        };
        let sequence_number = self.next;
        self.next = self.next.wrapping_add(1);
        let delta = match symbol {
            SYMBOL_NOT_RECEIVED => return Some((sequence_number, None)),
            SYMBOL_SMALL_DELTA => i64::from(self.deltas.u8()?),
            _ => i64::from(self.deltas.u16()? as i16),
        };
        self.ticks += delta;
        Some((sequence_number, Some(self.ticks)))
    }
}

#[cfg(test)]
mod tests;
