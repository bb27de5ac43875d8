//! stub
#![forbid(unsafe_code)]
#![allow(dead_code)]
use std::time::Duration;
pub(crate) const PAYLOAD_LEN_MAX: usize = 1100;
pub(crate) const PACKETS_PER_BURST: u64 = 3;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Vp8,
    H264,
    Opus,
}
impl Codec {
    pub(crate) fn is_audio(self) -> bool {
        self == Self::Opus
    }
}
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodingFacts {
    pub(crate) rid: Option<&'static str>,
    pub(crate) bitrate_bps: u64,
}
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) encoding: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) is_first: bool,
    pub(crate) is_marked: bool,
    pub(crate) is_keyframe: bool,
    pub(crate) frame: u64,
    pub(crate) audio_level: Option<u8>,
}
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    pub(crate) source: u16,
    pub(crate) encoding: u8,
    pub(crate) is_video: bool,
    pub(crate) sequence: u64,
    pub(crate) sent_ns: u64,
    pub(crate) late_ns: u64,
    pub(crate) frame: u64,
    pub(crate) leans_on: Option<u64>,
    pub(crate) packets_in_frame: u16,
}
impl Planned {
    pub(crate) fn record(&self, source: u16, sent_ns: u64, late_ns: u64) -> Record {
        Record {
            source,
            encoding: 0,
            is_video: true,
            sequence: self.sequence,
            sent_ns,
            late_ns,
            frame: self.frame,
            leans_on: (!self.is_keyframe).then(|| self.frame - 1),
            packets_in_frame: 8,
        }
    }
}
#[derive(Clone, Debug)]
pub(crate) struct Recipe;
impl Recipe {
    pub(crate) fn named(name: &str) -> Option<Self> {
        (name == "steady").then_some(Self)
    }
}
pub(crate) struct Source {
    n: u64,
    key: Option<u64>,
    want: bool,
}
impl Source {
    pub(crate) fn new(_: &Recipe, _: u64) -> Self {
        Self { n: 0, key: None, want: true }
    }
    pub(crate) fn codec(&self) -> Codec {
        Codec::Vp8
    }
    pub(crate) fn encodings(&self) -> &[EncodingFacts] {
        &[EncodingFacts { rid: None, bitrate_bps: 2_000_000 }]
    }
    pub(crate) fn next_at(&self) -> Duration {
        let (f, p) = (self.n / 8, self.n % 8);
        Duration::from_nanos(f * 1_000_000_000 / 30) + Duration::from_millis(5) * (p / 3) as u32
    }
    pub(crate) fn next(&mut self) -> Planned {
        let at = self.next_at();
        let (f, p) = (self.n / 8, self.n % 8);
        if p == 0 && self.want {
            self.key = Some(f);
            self.want = false;
        }
        let n = self.n;
        self.n += 1;
        Planned {
            at,
            encoding: 0,
            sequence: n,
            timestamp: (f * 3000) as u32,
            is_first: p == 0,
            is_marked: p == 7,
            is_keyframe: self.key == Some(f),
            frame: f,
            audio_level: None,
        }
    }
    pub(crate) fn want_keyframe(&mut self, _: usize) {
        self.want = true;
    }
    pub(crate) fn write(&self, planned: &Planned, record: &Record, out: &mut [u8]) -> usize {
        out[..1100].fill(planned.sequence as u8);
        out[0] = 0x80 | u8::from(planned.is_first) << 4;
        out[1] = 0x80;
        out[2..4].copy_from_slice(&(0x8000 | (planned.frame as u16 & 0x7fff)).to_be_bytes());
        out[4..14].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
        out[4] |= u8::from(!planned.is_keyframe);
        let t = 1100 - 48;
        for (i, v) in [
            record.source as u64,
            record.sequence,
            record.sent_ns,
            record.late_ns,
            record.frame,
            record.leans_on.map_or(u64::MAX, |f| f),
        ]
        .into_iter()
        .enumerate()
        {
            out[t + i * 8..t + i * 8 + 8].copy_from_slice(&v.to_be_bytes());
        }
        1100
    }
}
pub(crate) fn read(p: &[u8]) -> Option<Record> {
    let t = p.len().checked_sub(48)?;
    let n = |i: usize| u64::from_be_bytes(p[t + i * 8..t + i * 8 + 8].try_into().unwrap());
    Some(Record {
        source: n(0) as u16,
        encoding: 0,
        is_video: true,
        sequence: n(1),
        sent_ns: n(2),
        late_ns: n(3),
        frame: n(4),
        leans_on: (n(5) != u64::MAX).then(|| n(5)),
        packets_in_frame: 8,
    })
}
pub(crate) const VIDEO_RECIPES: &[&str] = &["steady"];
impl Recipe {
    pub(crate) fn codec(&self) -> Codec {
        Codec::Vp8
    }
}
