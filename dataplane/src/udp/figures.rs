//! What sending is measured by: how long forwarding took and how long the trains were.
//!
//! Written by the shard's thread, read by anyone, without a lock: each bucket is a relaxed counter, and a
//! reader who comes in between sees a histogram that is a few packets old.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::counters::add;
use crate::limits::{LATENCY_MAX, TRAIN_SEGMENTS_MAX};

/// Three significant digits, as an hdrhistogram counts them: 2^11 >= 2 * 10^3.
const SIGNIFICANT_DIGITS: u8 = 3;
const HALF_BITS: u32 = 10;
const LATENCY_NS_MIN: u64 = 1_000;
const LATENCY_NS_MAX: u64 = LATENCY_MAX.as_nanos() as u64;
const BUCKET_COUNT: usize = bucket_of(LATENCY_NS_MAX) + 1;

/// The figures of one shard's sending side.
#[derive(Debug)]
pub struct SendFigures {
    latency: Box<[AtomicU64]>,
    train_lengths: [AtomicU64; TRAIN_SEGMENTS_MAX + 1],
}

impl Default for SendFigures {
    fn default() -> Self {
        Self {
            latency: (0..BUCKET_COUNT).map(|_| AtomicU64::new(0)).collect(),
            train_lengths: [const { AtomicU64::new(0) }; TRAIN_SEGMENTS_MAX + 1],
        }
    }
}

impl SendFigures {
    /// Records one forwarded packet: from the kernel's receive time to the end of the send that carried
    /// it. Below 1 us it counts as 1 us, above [`LATENCY_MAX`] as that.
    pub fn record_latency(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        add(&self.latency[bucket_of(nanoseconds.clamp(LATENCY_NS_MIN, LATENCY_NS_MAX))], 1);
    }

    /// Records one train that the kernel took.
    pub fn record_train(&self, segments: usize) {
        add(&self.train_lengths[segments.min(TRAIN_SEGMENTS_MAX)], 1);
    }

    /// Forwarding latency since start, nanoseconds, three significant digits.
    pub fn latency(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_max(LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("the bounds of the latency histogram are constants that fit");
        for (bucket, count) in self.latency.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                histogram.saturating_record_n(lowest_of(bucket), count);
            }
        }
        histogram
    }

    /// How many sends carried 0, 1, ... [`TRAIN_SEGMENTS_MAX`] datagrams.
    pub fn train_lengths(&self) -> [u64; TRAIN_SEGMENTS_MAX + 1] {
        std::array::from_fn(|segments| self.train_lengths[segments].load(Relaxed))
    }
}

/// Below 2^11 a value is its own bucket; each further power of two is cut into 2^10 buckets.
const fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - 1 - (value | ((2 << HALF_BITS) - 1)).leading_zeros()) - HALF_BITS;
    ((shift as usize) << HALF_BITS) + (value >> shift) as usize
}

fn lowest_of(bucket: usize) -> u64 {
    if bucket < 2 << HALF_BITS {
        return bucket as u64;
    }
    let shift = (bucket >> HALF_BITS) - 1;
    let mantissa = (bucket & ((1 << HALF_BITS) - 1)) + (1 << HALF_BITS);
    (mantissa as u64) << shift
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_keeps_three_digits(value in LATENCY_NS_MIN..=LATENCY_NS_MAX) {
            let lowest = lowest_of(bucket_of(value));
            prop_assert!(lowest <= value && value - lowest <= value / 1_000);
            prop_assert_eq!(bucket_of(lowest), bucket_of(value));
        }
    }

    #[test]
    fn the_histogram_agrees_with_hdrhistogram_itself() {
        let figures = SendFigures::default();
        let mut oracle = Histogram::<u64>::new_with_max(LATENCY_NS_MAX, SIGNIFICANT_DIGITS).unwrap();
        for step in 1..20_000u64 {
            let nanoseconds = LATENCY_NS_MIN + step * step * 7;
            figures.record_latency(Duration::from_nanos(nanoseconds));
            oracle.record(nanoseconds).unwrap();
        }
        let actual = figures.latency();
        assert_eq!(actual.len(), oracle.len());
        for quantile in [0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(actual.value_at_quantile(quantile), oracle.value_at_quantile(quantile));
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_recorded_at_the_bound() {
        let figures = SendFigures::default();
        figures.record_latency(Duration::ZERO);
        figures.record_latency(Duration::from_secs(1_000_000));
        let latency = figures.latency();
        assert_eq!(latency.len(), 2);
        assert_eq!(latency.min(), LATENCY_NS_MIN);
        assert!(latency.max() >= LATENCY_NS_MAX);
    }
}
