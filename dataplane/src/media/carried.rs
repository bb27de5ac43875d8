//! Header extensions of a publisher that subscribers receive, and those of them that are sent only now and
//! then but hold until the publisher says otherwise.
#![forbid(unsafe_code)]

use super::format::ExtensionKind;
use crate::time::NtpTime;

/// How far from the packet that carried it a capture time is still told, seconds. Publishers repeat it every
/// second.
const CAPTURE_AGE_SECONDS_MAX: f64 = 5.0;

/// Header extensions that are passed on where the subscriber negotiated them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// RFC 6464: voice activity bit and level.
    pub audio_level: Option<u8>,
    /// Coordination of video orientation (3GPP TS 26.114, section 7.4.5).
    pub video_orientation: Option<u8>,
    /// Minimum and maximum delay, 12 bits each, in units of 10 ms.
    pub playout_delay: Option<[u8; 3]>,
    /// When the media was captured.
    pub capture_time: Option<CaptureTime>,
    /// What kind of picture it is: camera or screen.
    pub content_type: Option<u8>,
    /// Primaries, transfer, matrix and range of the picture, and its HDR metadata.
    pub color_space: Option<ColorSpace>,
}

/// The value of abs-capture-time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureTime {
    /// In the clock of whoever captured it.
    pub ntp: NtpTime,
    /// From the clock of the sender's reports to the clock of `ntp`, seconds in 32.32 fixed point.
    pub clock_offset: Option<i64>,
}

impl CaptureTime {
    fn read(data: &[u8]) -> Option<Self> {
        let (ntp, offset) = data.split_first_chunk::<8>()?;
        let clock_offset = match offset {
            [] => None,
            offset => Some(i64::from_be_bytes(offset.try_into().ok()?)),
        };
        Some(Self { ntp: NtpTime(u64::from_be_bytes(*ntp)), clock_offset })
    }

    /// The element that leaves and its length: with our own offset in the second half, if the publisher's
    /// clock is known. `seconds_to_ours` lie between that clock and ours. The publisher's own offset is from
    /// its clock, which subscribers never see.
    pub fn write(&self, seconds_to_ours: Option<f64>) -> ([u8; 16], usize) {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.ntp.0.to_be_bytes());
        let Some(seconds) = seconds_to_ours else { return (out, 8) };
        let from_ours = -(seconds * 4_294_967_296.0) as i64;
        let offset = from_ours.wrapping_add(self.clock_offset.unwrap_or(0));
        out[8..].copy_from_slice(&offset.to_be_bytes());
        (out, 16)
    }
}

/// The value of color-space: 4 bytes, or 28 with HDR metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorSpace {
    bytes: [u8; Self::HDR_LEN],
    len: u8,
}

impl ColorSpace {
    const PLAIN_LEN: usize = 4;
    const HDR_LEN: usize = 28;

    fn read(data: &[u8]) -> Option<Self> {
        if ![Self::PLAIN_LEN, Self::HDR_LEN].contains(&data.len()) {
            return None;
        }
        let mut bytes = [0; Self::HDR_LEN];
        bytes[..data.len()].copy_from_slice(data);
        Some(Self { bytes, len: data.len() as u8 })
    }

    /// As it came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Carried {
    /// Takes an element of a packet. What has the wrong length is not read.
    pub fn read(&mut self, kind: ExtensionKind, data: &[u8]) {
        match (kind, data) {
            (ExtensionKind::AudioLevel, [level]) => self.audio_level = Some(*level),
            (ExtensionKind::VideoOrientation, [orientation]) => self.video_orientation = Some(*orientation),
            (ExtensionKind::PlayoutDelay, data) => self.playout_delay = data.try_into().ok(),
            (ExtensionKind::AbsCaptureTime, data) => self.capture_time = CaptureTime::read(data),
            (ExtensionKind::ContentType, [content]) => self.content_type = Some(*content),
            (ExtensionKind::ColorSpace, data) => self.color_space = ColorSpace::read(data),
            _ => {}
        }
    }
}

/// What one run of packets said last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remembered {
    /// Receivers need it until they have it; the publisher stops when we do.
    pub playout_delay: Option<[u8; 3]>,
    orientation: Option<u8>,
    /// A capture time and the timestamp of its packet.
    capture: Option<(CaptureTime, u32)>,
    /// The timestamp of the newest keyframe.
    keyframe: Option<u32>,
}

impl Remembered {
    /// Takes note of the newest packet, and adds the orientation to the last packet of a keyframe, where
    /// receivers look for it: whoever begins here did not see the one that it changed with.
    pub fn note(&mut self, carried: &mut Carried, timestamp: u32, marker: bool, is_entry: bool) {
        if is_entry {
            self.keyframe = Some(timestamp);
        }
        self.playout_delay = carried.playout_delay.or(self.playout_delay);
        self.orientation = carried.video_orientation.or(self.orientation);
        if let Some(captured) = carried.capture_time {
            self.capture = Some((captured, timestamp));
        }
        if marker && self.keyframe == Some(timestamp) {
            carried.video_orientation = self.orientation;
        }
    }

    /// Whether the packet with `timestamp` is part of the newest keyframe.
    pub fn is_of_keyframe(&self, timestamp: u32) -> bool {
        self.keyframe == Some(timestamp)
    }

    /// When the packet with `timestamp` was captured, told from the newest capture time. `None` if that is
    /// too far away.
    pub fn capture_time(&self, timestamp: u32, clock_rate_hz: u32) -> Option<CaptureTime> {
        let (captured, anchor) = self.capture?;
        let seconds = f64::from(timestamp.wrapping_sub(anchor) as i32) / f64::from(clock_rate_hz.max(1));
        (seconds.abs() <= CAPTURE_AGE_SECONDS_MAX)
            .then(|| CaptureTime { ntp: captured.ntp.plus_seconds(seconds), ..captured })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn carried(kind: ExtensionKind, data: &[u8]) -> Carried {
        let mut carried = Carried::default();
        carried.read(kind, data);
        carried
    }

    #[test]
    fn what_has_the_wrong_length_is_not_read() {
        for (kind, lengths) in [
            (ExtensionKind::AudioLevel, &[1][..]),
            (ExtensionKind::VideoOrientation, &[1]),
            (ExtensionKind::PlayoutDelay, &[3]),
            (ExtensionKind::AbsCaptureTime, &[8, 16]),
            (ExtensionKind::ContentType, &[1]),
            (ExtensionKind::ColorSpace, &[4, 28]),
        ] {
            for len in 0..=40 {
                let is_read = carried(kind, &[0; 40][..len]) != Carried::default();
                assert_eq!(is_read, lengths.contains(&len), "{kind:?} of {len} bytes");
            }
        }
    }

    #[test]
    fn orientation_stands_at_the_end_of_every_keyframe_once_it_was_said() {
        let mut remembered = Remembered::default();
        let mut note = |orientation, timestamp, marker, is_entry| {
            let mut packet = Carried { video_orientation: orientation, ..Carried::default() };
            remembered.note(&mut packet, timestamp, marker, is_entry);
            packet.video_orientation
        };
        assert_eq!(note(None, 10, true, true), None, "nothing was said yet");
        assert_eq!(note(Some(3), 20, true, false), Some(3));
        assert_eq!(note(None, 30, true, false), None);
        assert_eq!(note(None, 40, false, true), None);
        assert_eq!(note(None, 40, true, false), Some(3));
        assert_eq!(note(Some(1), 50, true, true), Some(1), "what it says itself comes first");
    }

    #[test]
    fn a_capture_time_is_told_for_packets_around_it() {
        let ntp = NtpTime(77 << 32);
        let mut packet =
            Carried { capture_time: Some(CaptureTime { ntp, clock_offset: None }), ..Carried::default() };
        let mut remembered = Remembered::default();
        remembered.note(&mut packet, u32::MAX - 44_999, false, false);
        let told = |timestamp| remembered.capture_time(timestamp, 90_000).map(|captured| captured.ntp);
        assert_eq!(told(45_000), Some(NtpTime(78 << 32)));
        assert_eq!(told(90_000 * 6), None);
    }

    #[test]
    fn a_capture_time_leaves_with_our_offset_to_the_capturing_clock() {
        let captured = CaptureTime::read(&[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]).unwrap();
        assert_eq!(captured.clock_offset, Some(2 << 32));
        assert_eq!(captured.write(None).1, 8, "without an estimate there is no offset");
        let (out, len) = captured.write(Some(0.5));
        assert_eq!((len, &out[..8]), (16, &[0, 0, 0, 9, 0, 0, 0, 0][..]));
        // The publisher's clock is half a second behind ours, and the capturing one two seconds ahead of it.
        assert_eq!(i64::from_be_bytes(*out.last_chunk().unwrap()), 3 << 31);
    }
}
