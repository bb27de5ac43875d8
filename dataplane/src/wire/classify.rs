//! Tells the protocols apart that share one UDP port (RFC 7983), and RTCP from RTP (RFC 5761).
//!
//! It looks at two bytes only. What it names is a claim of the sender, nothing is verified yet.
#![forbid(unsafe_code)]

use crate::counters::DropReason;
use crate::limits::DATAGRAM_SIZE_BYTES_MAX;

/// What a datagram claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// STUN, first byte 0..=3.
    Stun,
    /// DTLS, first byte 20..=63.
    Dtls,
    /// RTP or SRTP, first byte 128..=191.
    Rtp,
    /// RTCP or SRTCP: as RTP, with a second byte of 192..=223 (RFC 5761, section 4).
    Rtcp,
}

/// Names the protocol of one datagram (RFC 7983, section 7). ZRTP and TURN channels are not served.
///
/// # Errors
/// [`DropReason::BadSize`] if it is empty or larger than [`DATAGRAM_SIZE_BYTES_MAX`],
/// [`DropReason::UnknownProtocol`] if no served protocol begins like this.
pub fn classify(bytes: &[u8]) -> Result<Protocol, DropReason> {
    if bytes.is_empty() || bytes.len() > DATAGRAM_SIZE_BYTES_MAX {
        return Err(DropReason::BadSize);
    }
    match *bytes {
        [0..=3, ..] => Ok(Protocol::Stun),
        [20..=63, ..] => Ok(Protocol::Dtls),
        [128..=191, 192..=223, ..] => Ok(Protocol::Rtcp),
        [128..=191, _, ..] => Ok(Protocol::Rtp),
        _ => Err(DropReason::UnknownProtocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_bytes_decide() {
        let of = |first, second| classify(&[first, second, 0, 0]);
        for (first, second, expected) in [
            (0, 1, Protocol::Stun),
            (3, 0, Protocol::Stun),
            (20, 254, Protocol::Dtls),
            (63, 0, Protocol::Dtls),
            (128, 191, Protocol::Rtp),
            (128, 192, Protocol::Rtcp),
            (191, 223, Protocol::Rtcp),
            (191, 224, Protocol::Rtp),
            (0x90, 0x80 | 111, Protocol::Rtp),
        ] {
            assert_eq!(of(first, second), Ok(expected), "{first} {second}");
        }
        for first in [4, 16, 19, 64, 79, 127, 192, 255] {
            assert_eq!(of(first, 200), Err(DropReason::UnknownProtocol), "{first}");
        }
    }

    #[test]
    fn a_datagram_of_no_or_too_many_bytes_is_refused() {
        assert_eq!(classify(&[]), Err(DropReason::BadSize));
        assert_eq!(classify(&[0x80]), Err(DropReason::UnknownProtocol));
        assert_eq!(classify(&[0; DATAGRAM_SIZE_BYTES_MAX]), Ok(Protocol::Stun));
        assert_eq!(classify(&[0; DATAGRAM_SIZE_BYTES_MAX + 1]), Err(DropReason::BadSize));
    }
}
