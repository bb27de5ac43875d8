//! What a media section carries: codecs, their payload types, and the header extensions.
#![forbid(unsafe_code)]

use crate::id::PayloadType;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound; clock rate 48 kHz for Opus.
    Audio,
    /// Picture; clock rate 90 kHz.
    Video,
}

/// A codec that Sluice forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// The AV1 RTP specification of AOM.
    Av1,
}

impl Codec {
    /// The encoding name of SDP, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Opus => "Opus",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Av1 => "AV1",
        }
    }
}

/// What tells two formats of one codec apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The codec alone says it.
    Any,
    /// RFC 6184, section 8.1: the 24 bits of profile-level-id, and packetization-mode.
    H264 {
        /// profile_idc, profile-iop, level_idc.
        profile_level_id: u32,
        /// 0: single NAL units only; 1: aggregates and fragments too.
        packetization_mode: u8,
    },
    /// RFC 7798, section 7.1.
    H265 {
        /// 1 is Main, 2 is Main 10.
        profile_id: u8,
        /// 0 is the main tier, 1 the high one.
        tier_flag: u8,
    },
    /// VP9 profile-id or AV1 profile.
    Number(u8),
}

/// One payload type and what it means on one transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// The codec's variant.
    pub profile: Profile,
    /// The payload type of the media.
    pub payload_type: PayloadType,
    /// The payload type of its retransmissions (RFC 4588), if negotiated.
    pub rtx: Option<PayloadType>,
    /// The payload type of payloads that repeat earlier ones in front of their own (RFC 2198), if negotiated.
    /// Both kinds share one SSRC and its numbers, so a publisher may change between them at any packet.
    pub red: Option<PayloadType>,
    /// RTP clock rate, Hz.
    pub clock_rate_hz: u32,
    /// Which feedback was negotiated.
    pub feedback: Feedback,
}

/// Feedback messages negotiated for a format (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Generic NACK.
    pub nack: bool,
    /// Picture loss indication.
    pub pli: bool,
    /// Full intra request.
    pub fir: bool,
    /// Transport-wide congestion control.
    pub transport_cc: bool,
    /// Receiver estimated maximum bitrate.
    pub remb: bool,
}

impl Format {
    /// Whether a receiver that negotiated `self` decodes what a sender sends as `sent`.
    ///
    /// H.264 levels are a promise of the receiver that senders may exceed in practice (browsers offer
    /// level 3.1 and decode more), so the profile decides and the level does not; mode 0 never gets
    /// fragments.
    pub fn can_show(&self, sent: &Format) -> bool {
        if self.codec != sent.codec {
            return false;
        }
        match (self.profile, sent.profile) {
            (
                Profile::H264 { profile_level_id: mine, packetization_mode: my_mode },
                Profile::H264 { profile_level_id: theirs, packetization_mode: their_mode },
            ) => my_mode >= their_mode && h264_family(mine) >= h264_family(theirs),
            (
                Profile::H265 { profile_id: mine, tier_flag: my_tier },
                Profile::H265 { profile_id: theirs, tier_flag: their_tier },
            ) => h265_includes(mine, theirs) && my_tier >= their_tier,
            (Profile::Number(mine), Profile::Number(theirs)) => mine == theirs,
            _ => true,
        }
    }

    /// The one of a receiver's formats to send what a sender sends as `sent`: the same profile and mode before
    /// those that include them, and of equal ones the first.
    pub fn best_for<'a>(formats: &'a [Format], sent: &Format) -> Option<&'a Format> {
        let fitting = formats.iter().filter(|format| format.can_show(sent));
        fitting.min_by_key(|format| format.distance(sent))
    }

    fn distance(&self, sent: &Format) -> u8 {
        match (self.profile, sent.profile) {
            (mine, theirs) if mine == theirs => 0,
            (
                Profile::H264 { profile_level_id: mine, packetization_mode: my_mode },
                Profile::H264 { profile_level_id: theirs, packetization_mode: their_mode },
            ) => {
                let modes = u8::from(my_mode != their_mode);
                let profiles = 2 * u8::from(mine >> 8 != theirs >> 8);
                1 + modes + profiles + 4 * (h264_family(mine) - h264_family(theirs))
            }
            _ => 1,
        }
    }

    /// Whether packets of `payload_type` hold redundant payloads.
    pub fn is_red(&self, payload_type: PayloadType) -> bool {
        self.red == Some(payload_type)
    }
}

/// Orders H.264 profiles by what they include: baseline < main < high (RFC 6184, table 5).
fn h264_family(profile_level_id: u32) -> u8 {
    match profile_level_id >> 16 {
        0x42 => 0,
        0x4d => 1,
        0x58 => 1,
        _ => 2,
    }
}

/// A Main 10 decoder decodes Main (H.265, section A.3.3); otherwise profiles stand alone.
fn h265_includes(mine: u8, theirs: u8) -> bool {
    mine == theirs || (mine, theirs) == (2, 1)
}

/// A header extension that Sluice reads, writes or passes on. Others are stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExtensionKind {
    /// RFC 9143, section 15.
    Mid,
    /// RFC 8852.
    Rid,
    /// RFC 8852.
    RepairedRid,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    TransportCc,
    /// abs-send-time of libwebrtc.
    AbsSendTime,
    /// RFC 6464.
    AudioLevel,
    /// 3GPP TS 26.114, coordination of video orientation.
    VideoOrientation,
    /// Dependency descriptor of the AV1 RTP specification.
    DependencyDescriptor,
    /// playout-delay of libwebrtc.
    PlayoutDelay,
    /// abs-capture-time of libwebrtc.
    AbsCaptureTime,
    /// video-layers-allocation00 of libwebrtc: read, never passed on.
    VideoLayersAllocation,
    /// video-content-type of libwebrtc.
    ContentType,
    /// color-space of libwebrtc.
    ColorSpace,
}

impl ExtensionKind {
    /// How many kinds there are.
    pub const COUNT: usize = 13;

    /// Every kind, in the order of its discriminant.
    pub const ALL: [ExtensionKind; Self::COUNT] = [
        ExtensionKind::Mid,
        ExtensionKind::Rid,
        ExtensionKind::RepairedRid,
        ExtensionKind::TransportCc,
        ExtensionKind::AbsSendTime,
        ExtensionKind::AudioLevel,
        ExtensionKind::VideoOrientation,
        ExtensionKind::DependencyDescriptor,
        ExtensionKind::PlayoutDelay,
        ExtensionKind::AbsCaptureTime,
        ExtensionKind::VideoLayersAllocation,
        ExtensionKind::ContentType,
        ExtensionKind::ColorSpace,
    ];

    /// The URI that names it in SDP (RFC 8285, section 5).
    pub fn uri(self) -> &'static str {
        match self {
            ExtensionKind::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            ExtensionKind::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            ExtensionKind::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            ExtensionKind::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            ExtensionKind::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            ExtensionKind::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            ExtensionKind::VideoOrientation => "urn:3gpp:video-orientation",
            ExtensionKind::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            ExtensionKind::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            ExtensionKind::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            ExtensionKind::VideoLayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
            ExtensionKind::ContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            ExtensionKind::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
        }
    }
}

/// Which id each extension has on one media section. Id 0 means: not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    ids: [u8; ExtensionKind::COUNT],
}

impl ExtensionIds {
    /// The id of `kind`, if it was negotiated.
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        let id = self.ids[kind as usize];
        (id != 0).then_some(id)
    }

    /// The kind that has `id`, if any.
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        if id == 0 {
            return None;
        }
        ExtensionKind::ALL.into_iter().find(|kind| self.ids[*kind as usize] == id)
    }

    /// Says that `kind` was negotiated as `id`.
    pub fn set(&mut self, kind: ExtensionKind, id: u8) {
        self.ids[kind as usize] = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload_type: u8, codec: Codec, profile: Profile) -> Format {
        Format {
            codec,
            profile,
            payload_type: PayloadType(payload_type),
            rtx: None,
            red: None,
            clock_rate_hz: 90_000,
            feedback: Feedback::default(),
        }
    }

    fn h264(payload_type: u8, profile_level_id: u32, packetization_mode: u8) -> Format {
        format(payload_type, Codec::H264, Profile::H264 { profile_level_id, packetization_mode })
    }

    #[track_caller]
    fn check(formats: &[Format], sent: Format, expected: Option<u8>) {
        assert_eq!(
            Format::best_for(formats, &sent).map(|format| format.payload_type.0),
            expected,
            "{sent:?}"
        );
    }

    /// What Chromium offers, in its order.
    #[test]
    fn h264_is_sent_under_the_nearest_profile_and_mode() {
        let chromium = [
            h264(102, 0x42001f, 1),
            h264(104, 0x42001f, 0),
            h264(108, 0x42e01f, 1),
            h264(114, 0x42e01f, 0),
            h264(116, 0x4d001f, 1),
            h264(39, 0x4d001f, 0),
        ];
        for (sent, expected) in [
            (h264(1, 0x42e01f, 1), Some(108)),
            (h264(1, 0x42e01f, 0), Some(114)),
            (h264(1, 0x42e034, 1), Some(108)),
            (h264(1, 0x4d0032, 0), Some(39)),
            (h264(1, 0x64001f, 1), None),
        ] {
            check(&chromium, sent, expected);
        }
    }

    #[test]
    fn mode_0_never_gets_what_mode_1_sends_but_mode_1_takes_both() {
        check(&[h264(96, 0x42e01f, 0)], h264(1, 0x42e01f, 1), None);
        check(&[h264(96, 0x64001f, 0)], h264(1, 0x42e01f, 1), None);
        check(&[h264(96, 0x42e01f, 1)], h264(1, 0x42e01f, 0), Some(96));
        check(&[h264(96, 0x42e01f, 0), h264(97, 0x64001f, 1)], h264(1, 0x42e01f, 1), Some(97));
    }

    #[test]
    fn h265_is_sent_to_who_decodes_its_profile_and_tier() {
        let h265 =
            |profile_id, tier_flag| format(profile_id, Codec::H265, Profile::H265 { profile_id, tier_flag });
        check(&[h265(1, 0)], h265(1, 0), Some(1));
        check(&[h265(2, 0)], h265(1, 0), Some(2));
        check(&[h265(2, 0), h265(1, 0)], h265(1, 0), Some(1));
        check(&[h265(1, 0)], h265(2, 0), None);
        check(&[h265(1, 0)], h265(1, 1), None);
        check(&[h265(4, 1)], h265(1, 0), None);
    }

    #[test]
    fn every_kind_of_extension_has_its_place_and_a_uri_of_its_own() {
        for (at, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(ExtensionKind::ALL.iter().filter(|other| other.uri() == kind.uri()).count(), 1);
        }
    }
}
