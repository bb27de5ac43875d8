//! One track of a publisher: sent on plan, sent again where it is asked for, and remembered.

use std::time::Duration;

use dataplane::id::Ssrc;

use super::Wish;
use crate::failure::Failure;
use crate::load::client::Client;
use crate::load::session::Media;
use crate::load::{Stage, wall_ns};

use crate::traffic::{PAYLOAD_LEN_MAX, Planned, Record, Source};

/// A packet that leaves later than this after its plan is late.
const LATE_NS: u64 = 2_000_000;
/// RTP sequence number of the first packet. Not 0, so that nobody can mistake one count for the other.
const FIRST_INDEX: u64 = 1000;
/// Packets of an encoding that can be sent again: a second of most.
const KEPT: usize = 512;

/// A track that is sent.
pub(super) struct Track {
    source: Source,
    number: u16,
    /// The place of each encoding among those of the client, and its stream.
    encodings: Vec<(usize, Ssrc)>,
    phase: Duration,
    /// Per encoding, a ring of what was sent.
    kept: Vec<Vec<(Planned, Record)>>,
    pub(super) sent: Sent,
}

/// What was sent of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// The number of the source in its packets.
    pub(crate) source: u16,
    /// Whether it is video.
    pub(crate) is_video: bool,
    /// When each packet was sent, ns since 1970: by encoding, then by number.
    sent_ns: Vec<Vec<u64>>,
    /// Packets of the window that left late.
    pub(crate) late: u64,
    /// Keyframes that the server asked for in the window.
    pub(crate) keyframe_requests: u64,
    /// Keyframes that were sent in the window, whoever wanted them.
    pub(crate) keyframes: u64,
    /// Packets that the server asked for again, and got.
    pub(crate) repeated: u64,
}

impl Sent {
    /// The numbers of the packets of each encoding that were sent in the window.
    pub(crate) fn measured(&self, stage: &Stage) -> Vec<std::ops::Range<u64>> {
        let range = |sent: &Vec<u64>| {
            let mut numbers = (0..).zip(sent).filter(|(_, sent)| stage.is_measured(**sent)).map(|(n, _)| n);
            match numbers.next() {
                Some(first) => first..numbers.last().unwrap_or(first) + 1,
                None => 0..0,
            }
        };
        self.sent_ns.iter().map(range).collect()
    }
}

impl Track {
    /// A track that has sent nothing; `encodings` as the client names them.
    pub(super) fn new(
        source: Source,
        number: u16,
        encodings: Vec<(usize, Ssrc)>,
        phase: Duration,
    ) -> Result<Self, Failure> {
        let count = source.encodings().len();
        if encodings.len() != count {
            return Err(Failure::new(
                format!("the server takes {} of the {count} encodings of a track", encodings.len()),
                "choose a scenario or a codec that it supports; see its answer in its log",
            ));
        }
        let sent = Sent {
            source: number,
            is_video: !source.codec().is_audio(),
            sent_ns: vec![Vec::new(); count],
            ..Sent::default()
        };
        Ok(Self { source, number, encodings, phase, kept: vec![Vec::new(); count], sent })
    }

    /// When the next packet is planned, since the start of all.
    pub(super) fn next_at(&self) -> Duration {
        self.source.next_at() + self.phase
    }

    /// Sends the next packet.
    pub(super) fn send_next(&mut self, client: &mut Client, planned_ns: u64, stage: &Stage) {
        let planned = self.source.next();
        let sent_ns = wall_ns();
        let late_ns = sent_ns.saturating_sub(planned_ns);
        let record = planned.record(self.number, sent_ns, late_ns);
        let encoding = usize::from(planned.encoding);
        self.with_media(&planned, &record, |media| client.send(self.encodings[encoding].0, media));
        if stage.is_measured(sent_ns) {
            self.sent.late += u64::from(late_ns > LATE_NS);
            self.sent.keyframes += u64::from(planned.is_first && planned.is_keyframe && self.sent.is_video);
        }
        self.sent.sent_ns[encoding].push(sent_ns);
        let kept = &mut self.kept[encoding];
        match kept.len() {
            KEPT => kept[(planned.sequence % KEPT as u64) as usize] = (planned, record),
            _ => kept.push((planned, record)),
        }
    }

    /// Does what the server wants, if it is about this track.
    pub(super) fn grant(&mut self, wish: &Wish, client: &mut Client) {
        let (Wish::Keyframe(stream) | Wish::Packets(stream, _)) = wish;
        let Some(encoding) = self.encodings.iter().position(|(_, own)| own == stream) else { return };
        match wish {
            Wish::Keyframe(_) => {
                self.sent.keyframe_requests += 1;
                self.source.want_keyframe(encoding);
            }
            Wish::Packets(_, numbers) => {
                for number in numbers {
                    self.send_again(encoding, *number, client);
                }
            }
        }
    }

    fn send_again(&mut self, encoding: usize, number: u16, client: &mut Client) {
        let is_it = |kept: &&(Planned, Record)| (FIRST_INDEX + kept.0.sequence) as u16 == number;
        let Some((planned, record)) = self.kept[encoding].iter().find(is_it) else { return };
        self.with_media(planned, record, |media| client.send_again(self.encodings[encoding].0, media));
        self.sent.repeated += 1;
    }

    fn with_media(&self, planned: &Planned, record: &Record, send: impl FnOnce(&Media<'_>)) {
        let mut payload = [0; PAYLOAD_LEN_MAX];
        let len = self.source.write(planned, *record, &mut payload);
        send(&Media {
            index: FIRST_INDEX + planned.sequence,
            timestamp: planned.timestamp,
            is_marked: planned.is_marked,
            audio_level: planned.audio_level,
            payload: &payload[..len],
        });
    }
}
