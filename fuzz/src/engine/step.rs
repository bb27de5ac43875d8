//! What can happen to a shard, as an input says it.

use arbitrary::Arbitrary;

/// One operation. Peers, tracks and addresses are taken modulo how many there are.
#[derive(Debug, Arbitrary)]
pub(super) enum Step<'a> {
    AddTrack {
        track: u8,
        is_video: bool,
    },
    RemoveTrack {
        track: u8,
    },
    /// A transport with one or two sections, bound to these tracks in their order.
    Join {
        peer: u8,
        shape: Shape,
        tracks: [u8; 2],
    },
    Leave {
        peer: u8,
    },
    CloseAll,
    Describe {
        peer: u8,
        track: u8,
    },
    Stun {
        peer: u8,
        from: u8,
        nominates: bool,
    },
    Media {
        peer: u8,
        from: u8,
        packet: Packet<'a>,
    },
    /// A packet that was sent before, on its own SSRC or over RTX.
    Again {
        peer: u8,
        from: u8,
        back: u8,
        over_rtx: bool,
    },
    Rtcp {
        peer: u8,
        from: u8,
        report: Report<'a>,
    },
    Raw {
        from: u8,
        bytes: &'a [u8],
    },
    Wait {
        milliseconds: u16,
    },
}

/// What a peer negotiated.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) struct Shape {
    pub(super) publishes: bool,
    /// One section of video, and one of audio behind it.
    pub(super) has_audio: bool,
    /// Simulcast encodings, modulo 4; none is no simulcast.
    pub(super) encodings: u8,
    /// A bit for each codec of video; none is VP8.
    pub(super) codecs: u8,
    /// A bit each: NACK, PLI, FIR, transport-wide feedback, REMB, RTX, reduced size, announced SSRCs.
    pub(super) options: u8,
    /// A bit for each kind of extension that is negotiated.
    pub(super) extensions: u16,
    /// The first id; those above 14 need the two-byte form.
    pub(super) first_extension_id: u8,
}

impl Shape {
    /// Everything but REMB; extensions from 1 on.
    pub(super) fn of_a_browser() -> Self {
        Self {
            publishes: true,
            has_audio: true,
            encodings: 0,
            codecs: 0x0f,
            options: 0x6f,
            extensions: u16::MAX,
            first_extension_id: 0,
        }
    }
}

impl Packet<'_> {
    /// VP8, with every extension.
    pub(super) fn keyframe() -> Self {
        Self {
            section: 0,
            encoding: 0,
            format: 0,
            distance: 1,
            ticks: 3000,
            marker: true,
            extensions: u16::MAX,
            payload: Payload::Vp8Keyframe { picture_id: 7, has_fields: true, width: 640 },
            padding: 0,
        }
    }
}

/// One packet of media.
#[derive(Debug, Arbitrary)]
pub(super) struct Packet<'a> {
    /// Which section, encoding and format of the publisher, modulo how many there are.
    pub(super) section: u8,
    pub(super) encoding: u8,
    pub(super) format: u8,
    /// From the highest number so far.
    pub(super) distance: i8,
    pub(super) ticks: u16,
    pub(super) marker: bool,
    /// A bit for each kind of extension that is written.
    pub(super) extensions: u16,
    pub(super) payload: Payload<'a>,
    /// Bytes of padding, if any.
    pub(super) padding: u8,
}

/// What a packet carries in front of its tag.
#[derive(Debug, Arbitrary)]
pub(super) enum Payload<'a> {
    Vp8Keyframe { picture_id: u16, has_fields: bool, width: u16 },
    Vp8Frame { picture_id: u16, has_fields: bool },
    Raw(&'a [u8]),
    Nothing,
}

/// One compound of RTCP.
#[derive(Debug, Arbitrary)]
pub(super) enum Report<'a> {
    Pli {
        section: u8,
    },
    Fir {
        section: u8,
        number: u8,
    },
    /// Of the numbers that were sent last.
    Nack {
        section: u8,
        back: u8,
        mask: u16,
    },
    Sender {
        section: u8,
        encoding: u8,
        ntp: u64,
        timestamp: u32,
    },
    Receiver {
        section: u8,
        lost: u8,
        last_sr: u32,
        delay: u32,
    },
    ReferenceTime {
        receiver: u32,
        ntp: u64,
    },
    Bye {
        section: u8,
        encoding: u8,
    },
    Raw(&'a [u8]),
}
