//! Makes transport-wide feedback of what arrived. See [`super`] for the layout and its source.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::{
    ONE_BIT_SYMBOLS, REFERENCE_MODULUS, REFERENCE_TICKS, RUN_LEN_MAX, SYMBOL_LARGE_DELTA,
    SYMBOL_NOT_RECEIVED, SYMBOL_SMALL_DELTA, TICK_US, TWO_BIT_SYMBOLS,
};
use crate::limits::{DATAGRAM_SIZE_BYTES_MAX, TWCC_STATUSES_PER_PACKET_MAX};

/// Base, count, reference time and feedback count.
const HEAD_LEN: usize = 8;
/// A chunk holds at least seven statuses, except the last; a delta has at most two bytes.
const BODY_LEN_MAX: usize =
    HEAD_LEN + 2 * TWCC_STATUSES_PER_PACKET_MAX.div_ceil(TWO_BIT_SYMBOLS) + 2 * TWCC_STATUSES_PER_PACKET_MAX;

const _: () = assert!(TWCC_STATUSES_PER_PACKET_MAX <= RUN_LEN_MAX);
// The RTCP header and two SSRCs before, the padding and the SRTCP index and tag behind.
const _: () = assert!(12 + BODY_LEN_MAX + 3 + 20 <= DATAGRAM_SIZE_BYTES_MAX);

/// One feedback packet to be, for [`crate::wire::rtcp::RtcpWriter::transport_feedback`].
#[derive(Clone, Debug)]
pub struct Feedback {
    base: u64,
    reference_time: i64,
    feedback_count: u8,
    /// Statuses from `base` on.
    count: usize,
    symbols: [u8; TWCC_STATUSES_PER_PACKET_MAX],
    /// The delta of each status, 0 where the packet is missing.
    deltas: [i16; TWCC_STATUSES_PER_PACKET_MAX],
    consumed: usize,
}

impl Feedback {
    /// Reports as many of `arrivals` as one packet can: extended transport-wide sequence numbers in
    /// ascending order, each with its arrival since an epoch that is the same for all feedback of a
    /// transport. An arrival that is not above the one before it is consumed unreported.
    ///
    /// The report starts at `base`, so that the packets missing in front of the first arrival are
    /// seen; at a late arrival before `base`; or nearer to the first arrival if that is more than
    /// [`TWCC_STATUSES_PER_PACKET_MAX`] away. `feedback_count` is one more with each packet, modulo 256.
    ///
    /// `None` if there are no arrivals: there is nothing to report then.
    pub fn new(base: u64, feedback_count: u8, arrivals: &[(u64, Duration)]) -> Option<Self> {
        let &(first, first_at) = arrivals.first()?;
        let reference_time = ticks(first_at).div_euclid(REFERENCE_TICKS);
        let base = base.clamp(first.saturating_sub(TWCC_STATUSES_PER_PACKET_MAX as u64 - 1), first);
        let mut feedback = Self {
            base,
            reference_time,
            feedback_count,
            count: 0,
            symbols: [SYMBOL_NOT_RECEIVED; TWCC_STATUSES_PER_PACKET_MAX],
            deltas: [0; TWCC_STATUSES_PER_PACKET_MAX],
            consumed: 0,
        };
        let mut last_ticks = reference_time * REFERENCE_TICKS;
        for &(sequence_number, at) in arrivals {
            if sequence_number >= feedback.next_base() {
                let is_taken = feedback.push(sequence_number, ticks(at) - last_ticks);
                if !is_taken {
                    break;
                }
                last_ticks = ticks(at);
            }
            feedback.consumed += 1;
        }
        Some(feedback)
    }

    /// Takes a packet that is above those before it. `false` if it is too far away in number or time.
    fn push(&mut self, sequence_number: u64, delta: i64) -> bool {
        let index = usize::try_from(sequence_number - self.base).unwrap_or(usize::MAX);
        let (Some(symbol), Ok(delta)) = (self.symbols.get_mut(index), i16::try_from(delta)) else {
            return false;
        };
        *symbol = if (0..=0xff).contains(&delta) { SYMBOL_SMALL_DELTA } else { SYMBOL_LARGE_DELTA };
        self.deltas[index] = delta;
        self.count = index + 1;
        true
    }

    /// How many of the arrivals are done with. The rest belongs to the next feedback packet.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Where the next feedback packet starts.
    pub fn next_base(&self) -> u64 {
        self.base + self.count as u64
    }

    fn chunks(&self) -> Chunks<'_> {
        Chunks(&self.symbols[..self.count])
    }

    /// Bytes behind the two SSRCs, padded to 32 bits.
    pub(in crate::wire) fn body_len(&self) -> usize {
        let deltas_len: usize = self.symbols[..self.count].iter().map(|&symbol| usize::from(symbol)).sum();
        (HEAD_LEN + 2 * self.chunks().count() + deltas_len).next_multiple_of(4)
    }

    /// Hands what stands behind the two SSRCs to `put`, without the zeros at its end.
    pub(in crate::wire) fn write(&self, mut put: impl FnMut(&[u8])) {
        let reference_time = self.reference_time.rem_euclid(REFERENCE_MODULUS) as u32;
        put(&(self.base as u16).to_be_bytes());
        put(&(self.count as u16).to_be_bytes());
        put(&(reference_time << 8 | u32::from(self.feedback_count)).to_be_bytes());
        for chunk in self.chunks() {
            put(&chunk.to_be_bytes());
        }
        for (&symbol, delta) in self.symbols.iter().zip(self.deltas).take(self.count) {
            match symbol {
                SYMBOL_NOT_RECEIVED => {}
                SYMBOL_SMALL_DELTA => put(&[delta as u8]),
                _ => put(&delta.to_be_bytes()),
            }
        }
    }
}

fn ticks(at: Duration) -> i64 {
    i64::try_from(at.as_micros() / u128::from(TICK_US)).unwrap_or(i64::MAX)
}

/// The chunks for these symbols: at each place the one that covers the most.
#[derive(Clone, Debug)]
struct Chunks<'a>(&'a [u8]);

impl Iterator for Chunks<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let &first = self.0.first()?;
        let is_large = |symbol: &u8| *symbol == SYMBOL_LARGE_DELTA;
        let run = self.0.iter().take_while(|&&symbol| symbol == first).count().min(RUN_LEN_MAX);
        let one_bit_reach = ONE_BIT_SYMBOLS.min(self.0.len());
        let has_one_bit = !self.0[..one_bit_reach].iter().any(is_large);
        let reach = if has_one_bit { one_bit_reach } else { TWO_BIT_SYMBOLS.min(self.0.len()) };
        let (chunk, used) = if run >= reach {
            (u16::from(first) << 13 | run as u16, run)
        } else {
            let (kind, bits, places) =
                if has_one_bit { (0b10, 1, ONE_BIT_SYMBOLS) } else { (0b11, 2, TWO_BIT_SYMBOLS) };
            let vector = (0..places).fold(kind, |vector, place| {
                let symbol = self.0[..reach].get(place).copied().unwrap_or(SYMBOL_NOT_RECEIVED);
                vector << bits | u16::from(symbol)
            });
            (vector, reach)
        };
        self.0 = &self.0[used..];
        Some(chunk)
    }
}
