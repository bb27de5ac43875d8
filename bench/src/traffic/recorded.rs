//! What real encoders made: the sizes of the frames of Chromium, recorded by `bench/traffic/record.mjs`.
//!
//! A recording of video holds what ran steadily, without a keyframe, and then each keyframe that was asked for
//! with what followed it until the encoder had saved what the keyframe cost. Nothing is scaled here.

use std::sync::LazyLock;

/// VP8 in one layer, 720 lines, 2 Mbit/s.
pub(super) static VP8: LazyLock<Recording> =
    LazyLock::new(|| Recording::read(include_str!("recorded/vp8.csv")));
/// VP8 in three temporal layers, 720 lines, 2 Mbit/s.
pub(super) static VP8_T3_F: LazyLock<Recording> =
    LazyLock::new(|| Recording::read(include_str!("recorded/vp8_t3_f.csv")));
/// The same picture in 360 lines, 500 kbit/s.
pub(super) static VP8_T3_H: LazyLock<Recording> =
    LazyLock::new(|| Recording::read(include_str!("recorded/vp8_t3_h.csv")));
/// The same picture in 180 lines, 150 kbit/s.
pub(super) static VP8_T3_Q: LazyLock<Recording> =
    LazyLock::new(|| Recording::read(include_str!("recorded/vp8_t3_q.csv")));
/// H.264 in one layer, 720 lines, 2 Mbit/s.
pub(super) static H264: LazyLock<Recording> =
    LazyLock::new(|| Recording::read(include_str!("recorded/h264.csv")));
/// Opus at its default bitrate, speech.
pub(super) static OPUS: LazyLock<Voice> = LazyLock::new(|| Voice::read(include_str!("recorded/opus.csv")));

/// What stands before the parameter sets in the head of a recording.
const PARAMETER_SETS: &str = "# parameter sets: ";

/// One frame of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its temporal layer.
    pub(super) temporal: u8,
    /// Bytes of the encoded frame; 0 where it was dropped.
    pub(super) bytes: u32,
}

/// The frames of one encoder.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// Without a keyframe. Begins with a base frame and may be repeated.
    pub(super) steady: Vec<Frame>,
    /// Each begins with a keyframe.
    pub(super) episodes: Vec<Vec<Frame>>,
    /// SPS and PPS of the encoder, each a NAL unit (H.264 only).
    pub(super) parameter_sets: Vec<Vec<u8>>,
}

impl Recording {
    fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines() {
            if let Some(sets) = line.strip_prefix(PARAMETER_SETS) {
                read.parameter_sets = sets.split_whitespace().map(bytes_of).collect();
            }
        }
        for [kind, temporal, bytes] in rows(text) {
            let frame = Frame { temporal: number(temporal), bytes: number(bytes) };
            if kind == "key" {
                read.episodes.push(Vec::new());
            }
            read.episodes.last_mut().unwrap_or(&mut read.steady).push(frame);
        }
        read
    }

    /// Mean bytes of a frame where nobody asks for keyframes, with the number of frames: a fraction.
    pub(super) fn mean_bytes(&self) -> (u64, u64) {
        let bytes = self.steady.iter().map(|frame| u64::from(frame.bytes)).sum();
        (bytes, self.steady.len() as u64)
    }
}

/// One packet of a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syllable {
    /// The first byte (RFC 6716, section 3.1): how the rest is coded.
    pub(super) toc: u8,
    /// As the header extension has it: dB below the loudest, 127 is silence (RFC 6464).
    pub(super) level: u8,
    /// Bytes of the packet.
    pub(super) bytes: u32,
}

/// The packets of one voice, 20 ms each. May be repeated.
#[derive(Debug)]
pub(super) struct Voice(pub(super) Vec<Syllable>);

impl Voice {
    fn read(text: &str) -> Self {
        let syllable = |[toc, level, bytes]: [&str; 3]| Syllable {
            toc: number(toc),
            level: number(level),
            bytes: number(bytes),
        };
        Self(rows(text).map(syllable).collect())
    }

    /// Mean bytes of a packet, with the number of packets: a fraction.
    pub(super) fn mean_bytes(&self) -> (u64, u64) {
        (self.0.iter().map(|syllable| u64::from(syllable.bytes)).sum(), self.0.len() as u64)
    }
}

/// The rows behind the notes and the names of the columns.
fn rows(text: &str) -> impl Iterator<Item = [&str; 3]> {
    text.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| {
        let mut fields = line.split(',');
        [(); 3].map(|()| fields.next().expect("a row of a recording has three fields"))
    })
}

fn number<T: std::str::FromStr>(field: &str) -> T {
    field.parse().ok().expect("a recording holds numbers")
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.map(|pair| byte(pair).expect("parameter sets are hexadecimal")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::head::PATTERN_LEN;

    #[test]
    fn a_recording_may_be_left_and_entered_wherever_its_layers_repeat() {
        for recording in [&VP8, &VP8_T3_F, &VP8_T3_H, &VP8_T3_Q, &H264] {
            assert!(recording.steady.len() > 600, "more than 20 s");
            assert!(recording.episodes.len() > 1);
            let mean = recording.mean_bytes();
            let has_layers = recording.steady.iter().any(|frame| frame.temporal > 0);
            for part in recording.episodes.iter().chain([&recording.steady]) {
                assert_eq!(part.len() % PATTERN_LEN, 0);
                assert!(part[0].bytes > 0);
                let pattern = if has_layers { [0, 2, 1, 2] } else { [0; 4] };
                for (frame, temporal) in part.iter().zip(pattern.iter().cycle()) {
                    assert!(frame.bytes == 0 || frame.temporal == *temporal);
                }
            }
            for episode in &recording.episodes {
                assert!(u64::from(episode[0].bytes) * mean.1 > 2 * mean.0, "a keyframe is large");
            }
        }
    }

    #[test]
    fn a_voice_speaks_and_pauses() {
        let loud = OPUS.0.iter().filter(|syllable| syllable.level < 35).count();
        let share = loud as f64 / OPUS.0.len() as f64;
        assert!((0.3..0.95).contains(&share), "{share}");
    }
}
