//! One source: the packets of all its encodings, one after another.
//!
//! What a frame is, is decided when its first packet is taken, so that a keyframe which was asked for before
//! comes at once.

use std::time::Duration;

use super::chance::Chance;
use super::head::{self, FrameStart, Head, Layer, Piece, Vp8};
use super::pacer::Pacer;
use super::recipe::{Codec, EncodingFacts, Play, Recipe};
use super::record::{self, RECORD_LEN, Record};
use super::{PAYLOAD_LEN_MAX, recorded};

/// The shortest frames: what a record and the longest head of a single packet need.
const FRAME_BYTES_MIN: u32 = RECORD_LEN as u32 + 10;
/// The shortest packet of a voice.
const VOICE_BYTES_MIN: u32 = RECORD_LEN as u32 + 1;
/// Temporal layers of any recording.
const TEMPORAL_LAYERS_MAX: usize = 3;

/// Where one packet stands in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// When it is due, since the start of the source.
    pub(crate) at: Duration,
    /// When its frame was made; what `timestamp` says. The rest of `at` is pacing.
    pub(crate) made_at: Duration,
    /// Index of its encoding.
    pub(crate) encoding: u8,
    /// Counted from 0 by encoding.
    pub(crate) sequence: u64,
    /// RTP timestamp; each encoding starts somewhere else.
    pub(crate) timestamp: u32,
    /// Whether it is the first packet of its frame.
    pub(crate) is_first: bool,
    /// Its marker bit: the last packet of a video frame, the first of a voice.
    pub(crate) is_marked: bool,
    /// Whether its frame is a keyframe.
    pub(crate) is_keyframe: bool,
    /// Its temporal layer; 0 is the base.
    pub(crate) temporal: u8,
    /// The place of its encoding by size; 0 is the smallest.
    pub(crate) spatial: u8,
    /// Its frame, counted from 0 by encoding.
    pub(crate) frame: u64,
    /// Packets of its frame; 0 of sound.
    pub(crate) frame_packets: u8,
    /// How many frames before it the one is that it leans on; 0 of a keyframe and of sound.
    pub(crate) leans_back: u8,
    /// Bytes of its payload.
    pub(crate) payload_len: u16,
    /// Of sound: dB below the loudest, for the header extension (RFC 6464).
    pub(crate) audio_level: Option<u8>,
    head: Head,
}

/// One source, while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    codec: Codec,
    encodings: Vec<EncodingFacts>,
    tracks: Vec<Track>,
    pacer: Pacer,
    /// The number of frame times that have passed, and the encoding whose turn it is.
    instant: u64,
    turn: usize,
    /// The frame whose packets are being taken.
    in_hand: Option<InHand>,
}

/// What moves on in one encoding.
#[derive(Clone, Debug)]
struct Track {
    play: Play,
    sequence: u64,
    frame: u64,
    timestamp_start: u32,
    picture_id_start: u16,
    base_index: u8,
    /// The last frame of each temporal layer.
    last_frames: [Option<u64>; TEMPORAL_LAYERS_MAX],
    /// Frames since the last keyframe, with those that were dropped.
    since_keyframe: u64,
    is_keyframe_wanted: bool,
}

/// A frame that was made.
#[derive(Clone, Copy, Debug)]
struct InHand {
    made_at: Duration,
    timestamp: u32,
    is_keyframe: bool,
    temporal: u8,
    leans_back: u8,
    kind: Kind,
    /// Bytes of its data, and the packets that carry them.
    bytes: u32,
    packets: u32,
    /// Packets before those, for parameter sets.
    before: u32,
    taken: u32,
}

/// What its codec needs to know of it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Vp8 { picture_id: u16, layer: Option<Layer> },
    H264,
    Opus { toc: u8, level: u8 },
}

impl Planned {
    /// What the packet says of itself when source `number` sends it at `sent_ns`.
    pub(crate) fn record(&self, number: u16, sent_ns: u64, late_ns: u64) -> Record {
        Record {
            source: number,
            encoding: self.encoding,
            sequence: self.sequence,
            sent_ns,
            late_ns,
            frame: self.frame,
            frame_packets: self.frame_packets,
            leans_back: self.leans_back,
        }
    }
}

impl Source {
    /// Starts a source. Sources of different seeds play different parts of what was recorded, and count from
    /// different numbers.
    pub(crate) fn new(recipe: &Recipe, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let tracks = recipe.encodings().iter().map(|facts| Track::new(facts, &mut chance)).collect();
        Self {
            codec: recipe.codec(),
            encodings: recipe.encodings().to_vec(),
            tracks,
            pacer: Pacer::new(recipe.pace()),
            instant: 0,
            turn: 0,
            in_hand: None,
        }
    }

    /// How its payloads are shaped.
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Its encodings, the smallest first.
    pub(crate) fn encodings(&self) -> &[EncodingFacts] {
        &self.encodings
    }

    /// When the next packet is due, since the start of the source. Nothing but [`Source::next`] changes it.
    pub(crate) fn next_at(&self) -> Duration {
        self.pacer.next_at(self.in_hand.map_or(self.codec.made_at(self.instant), |frame| frame.made_at))
    }

    /// Makes the next frame of that encoding a keyframe: the first one of which no packet was taken.
    pub(crate) fn want_keyframe(&mut self, encoding: usize) {
        if let Some(track) = self.tracks.get_mut(encoding) {
            track.is_keyframe_wanted = true;
        }
    }

    /// Takes the next packet.
    pub(crate) fn next(&mut self) -> Planned {
        let turn = self.turn;
        let mut frame = match self.in_hand.take() {
            Some(frame) => frame,
            None => {
                let (made_at, ticks) = (self.codec.made_at(self.instant), self.ticks());
                self.tracks[turn].make(self.codec, &self.encodings[turn], made_at, ticks)
            }
        };
        let track = &mut self.tracks[turn];
        let (head, payload_len) = frame.packet(self.encodings[turn].size);
        let (is_first, is_last) = (frame.taken == 0, frame.taken + 1 == frame.before + frame.packets);
        let planned = Planned {
            at: self.pacer.send(frame.made_at, payload_len as u64),
            made_at: frame.made_at,
            encoding: turn as u8,
            sequence: track.sequence,
            timestamp: frame.timestamp,
            is_first,
            is_marked: match frame.kind {
                Kind::Opus { .. } => track.sequence == 0,
                Kind::Vp8 { .. } | Kind::H264 => is_last,
            },
            is_keyframe: frame.is_keyframe,
            temporal: frame.temporal,
            spatial: turn as u8,
            frame: track.frame,
            frame_packets: match frame.kind {
                Kind::Opus { .. } => 0,
                Kind::Vp8 { .. } | Kind::H264 => {
                    u8::try_from(frame.before + frame.packets).unwrap_or(u8::MAX)
                }
            },
            leans_back: frame.leans_back,
            payload_len: payload_len as u16,
            audio_level: match frame.kind {
                Kind::Opus { level, .. } => Some(level),
                Kind::Vp8 { .. } | Kind::H264 => None,
            },
            head,
        };
        track.sequence += 1;
        frame.taken += 1;
        if is_last {
            track.frame += 1;
            self.step_over_drops();
        } else {
            self.in_hand = Some(frame);
        }
        planned
    }

    /// Writes the payload of a packet to `out`, which has room for [`PAYLOAD_LEN_MAX`] bytes. Returns its length.
    pub(crate) fn write(&self, planned: &Planned, record: Record, out: &mut [u8]) -> usize {
        let payload = &mut out[..usize::from(planned.payload_len)];
        let sets = parameter_sets(self.codec);
        planned.head.write(sets, payload);
        record::write(&record, planned.head.parts(sets), payload);
        payload.len()
    }

    /// Ticks of the RTP clock since the start.
    fn ticks(&self) -> u32 {
        (self.instant * (self.codec.clock_rate_hz() / self.codec.frames_per_second())) as u32
    }

    /// Moves on to the next frame that the encoder does not drop. Done before anybody waits for it, so that
    /// the time of the next packet is certain.
    fn step_over_drops(&mut self) {
        loop {
            self.turn += 1;
            if self.turn == self.tracks.len() {
                (self.turn, self.instant) = (0, self.instant + 1);
            }
            if !self.tracks[self.turn].drops() {
                return;
            }
        }
    }
}

impl Track {
    fn new(facts: &EncodingFacts, chance: &mut Chance) -> Self {
        Self {
            play: facts.play(Chance::new(chance.number())),
            sequence: 0,
            frame: 0,
            timestamp_start: chance.number() as u32,
            picture_id_start: chance.number() as u16,
            base_index: chance.number() as u8,
            last_frames: [None; TEMPORAL_LAYERS_MAX],
            since_keyframe: 0,
            is_keyframe_wanted: true,
        }
    }

    /// Whether the encoder drops its next frame. If so, that one is over.
    fn drops(&mut self) -> bool {
        let Play::Video(frames) = &mut self.play else { return false };
        let drops = !self.is_keyframe_wanted && frames.step_over_drop();
        self.since_keyframe += u64::from(drops);
        drops
    }

    /// Makes the next frame.
    fn make(&mut self, codec: Codec, facts: &EncodingFacts, made_at: Duration, ticks: u32) -> InHand {
        let is_keyframe = std::mem::take(&mut self.is_keyframe_wanted) && codec != Codec::Opus;
        self.since_keyframe = if is_keyframe { 0 } else { self.since_keyframe + 1 };
        let room = PAYLOAD_LEN_MAX - head::vp8_front_len(facts.temporal_layers > 1);
        let (mut temporal, bytes, voice) = match &mut self.play {
            Play::Even(packets) => (0, *packets as u32 * room as u32, None),
            Play::Video(frames) => {
                let frame = if is_keyframe { frames.key() } else { frames.delta() };
                (frame.temporal, frame.bytes.max(FRAME_BYTES_MIN), None)
            }
            Play::Voice(syllables) => {
                let syllable = syllables.next();
                (0, syllable.bytes.max(VOICE_BYTES_MIN), Some(syllable))
            }
        };
        temporal = temporal.min(facts.temporal_layers - 1);
        let leans_back = if voice.is_some() { 0 } else { self.lean(is_keyframe, temporal) };
        let mut frame = InHand {
            made_at,
            timestamp: self.timestamp_start.wrapping_add(ticks),
            is_keyframe,
            temporal,
            leans_back,
            kind: Kind::H264,
            bytes,
            packets: 1,
            before: 0,
            taken: 0,
        };
        match (codec, voice) {
            (Codec::Opus, Some(voice)) => frame.kind = Kind::Opus { toc: voice.toc, level: voice.level },
            (Codec::Vp8, _) => {
                frame.packets = bytes.div_ceil(room as u32);
                frame.kind = self.vp8(is_keyframe, temporal, facts.temporal_layers > 1);
            }
            _ => frame.fragment(),
        }
        frame
    }

    /// How far back the frame stands that this one leans on: the last one of the base for the base, the last
    /// one of a lower layer for the others.
    fn lean(&mut self, is_keyframe: bool, temporal: u8) -> u8 {
        if is_keyframe {
            self.last_frames = [None; TEMPORAL_LAYERS_MAX];
        }
        let temporal = usize::from(temporal);
        let before = self.last_frames[..temporal.max(1)].iter().flatten().max();
        let back = before.map_or(0, |before| self.frame - before);
        self.last_frames[temporal] = Some(self.frame);
        u8::try_from(back).unwrap_or(u8::MAX)
    }

    fn vp8(&mut self, is_keyframe: bool, temporal: u8, has_layers: bool) -> Kind {
        self.base_index = self.base_index.wrapping_add(u8::from(temporal == 0));
        let is_sync = is_keyframe || temporal > 0 && Layer::is_way_up(self.since_keyframe);
        let layer = has_layers.then_some(Layer { base_index: self.base_index, temporal, is_sync });
        let picture_id = self.picture_id_start.wrapping_add(self.frame as u16) & 0x7fff;
        Kind::Vp8 { picture_id, layer }
    }
}

impl InHand {
    /// Cuts a NAL unit that is too long for one packet; its header goes into that of the fragments. Before a
    /// keyframe come the parameter sets.
    fn fragment(&mut self) {
        self.before = u32::from(self.is_keyframe);
        if self.bytes > PAYLOAD_LEN_MAX as u32 {
            self.bytes -= 1;
            self.packets = self.bytes.div_ceil((PAYLOAD_LEN_MAX - head::FU_HEAD_LEN) as u32);
        }
    }

    /// The head and the payload length of the packet to be taken. Data are shared out about equally, as
    /// libwebrtc does. `size` is that of the picture.
    fn packet(&self, size: (u16, u16)) -> (Head, usize) {
        let Some(number) = self.taken.checked_sub(self.before) else {
            let head = Head::ParameterSets;
            return (head, head.parts(parameter_sets(Codec::H264)).head_len + RECORD_LEN);
        };
        let until = |packets: u32| u64::from(self.bytes) * u64::from(packets) / u64::from(self.packets);
        let share = (until(number + 1) - until(number)) as usize;
        match self.kind {
            Kind::Vp8 { picture_id, layer } => {
                let size = self.is_keyframe.then_some(size);
                let start = (number == 0).then_some(FrameStart { size, bytes: self.bytes });
                let head = Head::Vp8(Vp8 { picture_id, layer, start });
                (head, head::vp8_front_len(layer.is_some()) + share)
            }
            Kind::H264 => {
                let piece = match number {
                    0 if self.packets == 1 => Piece::Whole,
                    0 => Piece::Start,
                    _ if number + 1 == self.packets => Piece::End,
                    _ => Piece::Middle,
                };
                let growth = if piece == Piece::Whole { 0 } else { head::FU_HEAD_LEN };
                (Head::Slice { piece, is_keyframe: self.is_keyframe }, growth + share)
            }
            Kind::Opus { toc, .. } => (Head::Opus { toc }, share),
        }
    }
}

/// Those of the encoder that was recorded.
fn parameter_sets(codec: Codec) -> &'static [Vec<u8>] {
    if codec == Codec::H264 { &recorded::H264.parameter_sets } else { &[] }
}
