//! What a source sends: codec, encodings, sizes and pace, each by a name.

use std::time::Duration;

use super::chance::Chance;
use super::frames::{Frames, Syllables};
use super::pacer::Pace;
use super::recorded::{self, Recording};

/// Frames of every video.
pub(crate) const FRAMES_PER_SECOND: u64 = 30;
/// Packets of one frame of [`Recipe::steady`]; 30 of these a second are 240 packets/s.
pub(crate) const PACKETS_PER_FRAME: u64 = 8;
/// Packets sent back to back, as the pacer of a browser does.
pub(crate) const PACKETS_PER_BURST: u64 = 3;
/// The encodings of [`Recipe::simulcast`], the smallest first.
pub(crate) const RIDS: [&str; 3] = ["q", "h", "f"];
/// What every recipe is called.
pub(crate) const NAMES: &[&str] = &["steady", "bursts", "camera", "camera_t3", "simulcast", "h264", "opus"];
/// What the recipes of pictures are called.
pub(crate) const VIDEO_RECIPES: &[&str] = &["steady", "bursts", "camera", "camera_t3", "simulcast", "h264"];

/// Packets of Opus: 20 ms each, as browsers send them.
const OPUS_PACKETS_PER_SECOND: u64 = 50;
const OPUS_BITRATE_BPS: u64 = 32_000;
/// Bytes of one packet of [`Recipe::steady`].
const STEADY_PAYLOAD_LEN: u64 = super::PAYLOAD_LEN_MAX as u64;
const STEADY_BITRATE_BPS: u64 = FRAMES_PER_SECOND * PACKETS_PER_FRAME * STEADY_PAYLOAD_LEN * 8;

/// What a source sends.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    codec: Codec,
    encodings: Vec<EncodingFacts>,
    is_paced: bool,
}

/// How payloads are shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// RFC 7741, with a 15-bit picture id, and temporal layers in the descriptor if there are any.
    Vp8,
    /// RFC 6184, packetization mode 1.
    H264,
    /// RFC 7587.
    Opus,
}

/// One encoding of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodingFacts {
    /// Its RID, if it is one of several.
    pub(crate) rid: Option<&'static str>,
    /// Of its payloads, where nobody asks for keyframes.
    pub(crate) bitrate_bps: u64,
    /// Pixels; 0 for sound.
    pub(crate) size: (u16, u16),
    /// Temporal layers that packets tell apart; 1 if they do not.
    pub(crate) temporal_layers: u8,
    sizes: Sizes,
}

/// Where the sizes of frames come from.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    /// Every frame has as many full packets.
    Even,
    Video(fn() -> &'static Recording),
    Voice,
}

/// A source of sizes, while it runs.
#[derive(Clone, Debug)]
pub(super) enum Play {
    Even(u64),
    Video(Frames),
    Voice(Syllables),
}

impl Recipe {
    /// Eight full packets of VP8 in every frame, paced; a keyframe is as large as any other.
    pub(crate) fn steady() -> Self {
        let only = EncodingFacts {
            rid: None,
            bitrate_bps: STEADY_BITRATE_BPS,
            size: (1280, 720),
            temporal_layers: 1,
            sizes: Sizes::Even,
        };
        Self { codec: Codec::Vp8, encodings: vec![only], is_paced: true }
    }

    /// The same frames, each sent at once.
    pub(crate) fn bursts() -> Self {
        Self { is_paced: false, ..Self::steady() }
    }

    /// VP8 in one layer, as recorded.
    pub(crate) fn camera() -> Self {
        Self::video(Codec::Vp8, vec![EncodingFacts { temporal_layers: 1, ..full(|| &recorded::VP8) }])
    }

    /// VP8 in three temporal layers, as recorded.
    pub(crate) fn camera_t3() -> Self {
        Self::video(Codec::Vp8, vec![full(|| &recorded::VP8_T3_F)])
    }

    /// VP8 in three sizes of three temporal layers each, as recorded; the smallest comes first.
    pub(crate) fn simulcast() -> Self {
        let f = EncodingFacts { rid: Some(RIDS[2]), ..full(|| &recorded::VP8_T3_F) };
        let h = EncodingFacts {
            rid: Some(RIDS[1]),
            bitrate_bps: 500_000,
            size: (640, 360),
            sizes: Sizes::Video(|| &recorded::VP8_T3_H),
            ..f
        };
        let q = EncodingFacts {
            rid: Some(RIDS[0]),
            bitrate_bps: 150_000,
            size: (320, 180),
            sizes: Sizes::Video(|| &recorded::VP8_T3_Q),
            ..f
        };
        Self::video(Codec::Vp8, vec![q, h, f])
    }

    /// H.264 in one layer, as recorded.
    pub(crate) fn h264() -> Self {
        Self::video(Codec::H264, vec![EncodingFacts { temporal_layers: 1, ..full(|| &recorded::H264) }])
    }

    /// A voice in Opus, as recorded.
    pub(crate) fn opus() -> Self {
        let only = EncodingFacts {
            rid: None,
            bitrate_bps: OPUS_BITRATE_BPS,
            size: (0, 0),
            temporal_layers: 1,
            sizes: Sizes::Voice,
        };
        Self { codec: Codec::Opus, encodings: vec![only], is_paced: false }
    }

    /// The recipe of that name, one of [`NAMES`].
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "steady" => Self::steady(),
            "bursts" => Self::bursts(),
            "camera" => Self::camera(),
            "camera_t3" => Self::camera_t3(),
            "simulcast" => Self::simulcast(),
            "h264" => Self::h264(),
            "opus" => Self::opus(),
            _ => return None,
        })
    }

    /// The same with all bitrates at `percent` of what they are: packets shrink, frames keep their time. Frames
    /// of [`Recipe::steady`] get fewer or more packets instead.
    pub(crate) fn scaled(mut self, percent: u64) -> Self {
        for encoding in &mut self.encodings {
            encoding.bitrate_bps = (encoding.bitrate_bps * percent / 100).max(1);
        }
        self
    }

    /// How its payloads are shaped.
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Its encodings, the smallest first.
    pub(crate) fn encodings(&self) -> &[EncodingFacts] {
        &self.encodings
    }

    /// How fast its packets leave.
    pub(super) fn pace(&self) -> Pace {
        let bitrate_bps: u64 = self.encodings.iter().map(|encoding| encoding.bitrate_bps).sum();
        match self.encodings.first().map(|encoding| encoding.sizes) {
            _ if !self.is_paced => Pace::UNPACED,
            // Its bursts are what other figures are compared at: full, whatever they weigh.
            Some(Sizes::Even) => Pace { packets_max: PACKETS_PER_BURST, bytes_max: u64::MAX },
            _ => Pace::of_bitrate(PACKETS_PER_BURST, bitrate_bps),
        }
    }

    fn video(codec: Codec, encodings: Vec<EncodingFacts>) -> Self {
        Self { codec, encodings, is_paced: true }
    }
}

/// 720 lines in three temporal layers.
fn full(recording: fn() -> &'static Recording) -> EncodingFacts {
    EncodingFacts {
        rid: None,
        bitrate_bps: 2_000_000,
        size: (1280, 720),
        temporal_layers: 3,
        sizes: Sizes::Video(recording),
    }
}

impl EncodingFacts {
    /// Starts its sizes from a place that chance chooses.
    pub(super) fn play(&self, chance: Chance) -> Play {
        match self.sizes {
            Sizes::Even => {
                let per_packet = FRAMES_PER_SECOND * STEADY_PAYLOAD_LEN * 8;
                Play::Even((self.bitrate_bps / per_packet).max(1))
            }
            Sizes::Video(recording) => {
                let mean = (self.bitrate_bps, 8 * FRAMES_PER_SECOND);
                Play::Video(Frames::new(recording(), mean, chance))
            }
            Sizes::Voice => {
                let mean = (self.bitrate_bps, 8 * OPUS_PACKETS_PER_SECOND);
                Play::Voice(Syllables::new(&recorded::OPUS, mean, chance))
            }
        }
    }
}

impl Codec {
    /// Whether it carries sound.
    pub(crate) fn is_audio(self) -> bool {
        self == Self::Opus
    }

    /// Of its RTP timestamps.
    pub(crate) fn clock_rate_hz(self) -> u64 {
        match self {
            Self::Vp8 | Self::H264 => 90_000,
            Self::Opus => 48_000,
        }
    }

    /// Frames, or packets of sound, in a second.
    pub(super) fn frames_per_second(self) -> u64 {
        match self {
            Self::Vp8 | Self::H264 => FRAMES_PER_SECOND,
            Self::Opus => OPUS_PACKETS_PER_SECOND,
        }
    }

    /// When frame `number` is made, counted from the first.
    pub(super) fn made_at(self, number: u64) -> Duration {
        Duration::from_nanos(number * 1_000_000_000 / self.frames_per_second())
    }
}
