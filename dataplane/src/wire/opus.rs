//! The first byte of an Opus packet (RFC 6716, section 3.1), read for what is no packet at all. A packet of
//! one byte is none the less one: an encoder that is silent sends it now and then (DTX; RFC 7587, section
//! 3.1.3).
#![forbid(unsafe_code)]

const CODE_MASK: u8 = 0b11;

/// Whether a payload is an Opus packet as far as its length tells: two frames of different sizes and any
/// number of frames need a byte behind the first.
pub fn is_sound(payload: &[u8]) -> bool {
    match payload {
        [] => false,
        [toc] => toc & CODE_MASK < 2,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_of_one_byte_holds_one_or_two_silent_frames() {
        for (payload, sound) in [
            (&[][..], false),
            (&[0xf8], true),
            (&[0xf9], true),
            (&[0xfa], false),
            (&[0xfb], false),
            (&[0xfa, 0], true),
            (&[0xf8, 0xff, 0xfe], true),
        ] {
            assert_eq!(is_sound(payload), sound, "{payload:x?}");
        }
    }
}
