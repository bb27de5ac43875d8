//! Limits how often one address may ask. docs/SECURITY.md H1, H2.
//!
//! The peer's address is what counts: headers that a client can write are not believed (docs/SECURITY.md H8).
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::limits::RATE_KEYS_MAX;
use crate::service::rate_key;

/// One bucket per address.
#[derive(Debug)]
pub struct RateLimit {
    buckets: DefaultKeyedRateLimiter<IpAddr>,
    exempt: Vec<IpAddr>,
}

impl RateLimit {
    /// `per_second` on average and `burst` at once; `exempt` are never limited.
    pub fn new(per_second: usize, burst: usize, exempt: Vec<IpAddr>) -> Self {
        let at_least_one = |number: usize| {
            NonZeroU32::new(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
        };
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self { buckets: RateLimiter::keyed(quota), exempt }
    }

    /// Takes one request of `peer` out of its bucket.
    ///
    /// # Errors
    ///
    /// With the time after which it may try again.
    pub fn check(&self, peer: IpAddr) -> Result<(), Duration> {
        if self.exempt.contains(&peer.to_canonical()) {
            return Ok(());
        }
        if self.buckets.len() >= RATE_KEYS_MAX {
            return Err(Duration::from_secs(1));
        }
        let refused = self.buckets.check_key(&rate_key(peer)).err();
        match refused {
            None => Ok(()),
            Some(until) => Err(until.wait_time_from(DefaultClock::default().now())),
        }
    }

    /// Forgets the addresses whose bucket is full again.
    pub fn forget_idle(&self) {
        self.buckets.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_burst_passes_and_one_more_waits_while_others_are_served() {
        let limit = RateLimit::new(1, 3, Vec::new());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        assert!((0..3).all(|_| limit.check(peer).is_ok()));
        let wait = limit.check(peer).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
        assert!(limit.check("192.0.2.2".parse().unwrap()).is_ok());
    }

    // docs/SECURITY.md H8
    #[test]
    fn an_ipv6_network_has_one_bucket() {
        let limit = RateLimit::new(1, 1, Vec::new());
        assert!(limit.check("2001:db8::1".parse().unwrap()).is_ok());
        assert!(limit.check("2001:db8::2".parse().unwrap()).is_err());
        assert!(limit.check("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn an_exempt_address_is_never_limited() {
        let peer: IpAddr = "127.0.0.1".parse().unwrap();
        let limit = RateLimit::new(1, 1, vec![peer]);
        assert!((0..10).all(|_| limit.check(peer).is_ok()));
        assert!(limit.check("::ffff:127.0.0.1".parse().unwrap()).is_ok());
    }
}
