//! What one subscription was sent, so that a NACK finds the packet in the track's cache (D11).
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::overwrite::Overwrite;
use super::packet_cache::CacheKey;
use crate::limits::{RTX_SENDS_MAX, SENT_LOG_LEN};

/// Where a sent packet's payload is, and what was written over it: a repeat is identical.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The egress number.
    pub number: u64,
    /// The payload.
    pub key: CacheKey,
    /// The egress timestamp.
    pub timestamp: u32,
    /// What was written over it.
    pub overwrite: Overwrite,
    sends: u8,
    last_sent: Option<Instant>,
}

/// A ring over the newest egress numbers. Takes its memory with the first packet.
#[derive(Debug, Default)]
pub struct SentLog {
    ring: Vec<Option<Sent>>,
}

impl SentLog {
    /// Remembers a packet that is being sent.
    pub fn note(&mut self, number: u64, key: CacheKey, timestamp: u32, overwrite: Overwrite) {
        if self.ring.is_empty() {
            self.ring.resize(SENT_LOG_LEN, None);
        }
        let at = at(number);
        self.ring[at] = Some(Sent { number, key, timestamp, overwrite, sends: 0, last_sent: None });
    }

    /// The packet to send again as `number`, unless it was never sent, is too old, was repeated too often
    /// or within the last `round_trip` (docs/SECURITY.md M2).
    pub fn repeat(&mut self, number: u64, round_trip: Duration, now: Instant) -> Option<Sent> {
        let sent = self.ring.get_mut(at(number))?.as_mut()?;
        let is_too_soon = sent.last_sent.is_some_and(|last| now < last + round_trip);
        if sent.number != number || sent.sends >= RTX_SENDS_MAX || is_too_soon {
            return None;
        }
        sent.sends += 1;
        sent.last_sent = Some(now);
        Some(*sent)
    }

    /// Forgets everything: what follows has another format.
    pub fn clear(&mut self) {
        self.ring.fill(None);
    }
}

fn at(number: u64) -> usize {
    (number % SENT_LOG_LEN as u64) as usize
}
