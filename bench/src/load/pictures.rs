//! What a viewer could show of one video track: which frames were whole and decodable, when, and how long
//! the picture stood still.
//!
//! No decoder is needed for that: each packet says which frame it belongs to, how many packets that has, and
//! which frame it leans on. As in a player a buffer grows when frames come late, by as much as they do, so
//! that the next ones which are as late do not make the picture stand again. It has no clock.
#![forbid(unsafe_code)]

use crate::traffic::Record;

/// Frames that may be on their way at once; older ones are given up.
const PENDING_MAX: usize = 32;
/// Shown frames that later ones may lean on.
const REMEMBERED: usize = 64;
/// A frame this much later than the mean interval is a freeze, as in the statistics of WebRTC
/// (`freezeCount`: the larger of three intervals and an interval plus 150 ms).
const FREEZE_INTERVALS: u64 = 3;
const FREEZE_MARGIN_NS: u64 = 150_000_000;
/// The buffer grows no longer than that: a picture is not worth waiting for any longer.
const BUFFER_NS_MAX: u64 = 500_000_000;
/// A viewer without any picture asks for a keyframe after that long, and again; as in libwebrtc.
const START_PATIENCE_NS: u64 = 200_000_000;
/// A viewer whose picture stands waits that long for repairs before it asks for a keyframe, and again.
const REPAIR_PATIENCE_NS: u64 = 500_000_000;

/// One frame of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FrameId {
    encoding: u8,
    frame: u64,
}

#[derive(Debug)]
struct Pending {
    id: FrameId,
    leans_on: Option<u64>,
    received: u16,
    packets: u16,
    /// When its first packet was sent, ns since 1970.
    sent_ns: u64,
}

/// What was shown of a video track.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    pending: Vec<Pending>,
    /// A ring.
    shown: Vec<FrameId>,
    shown_count: u64,
    first_shown_ns: Option<u64>,
    last_shown_ns: u64,
    /// The shortest way of a frame so far, and how much longer the buffer holds frames back, ns.
    way_ns: Option<u64>,
    buffer_ns: u64,
    /// Interval between frames, ns, smoothed.
    interval_ns: u64,
    last_asked_ns: u64,
    smoothness: Smoothness,
}

/// How smooth the picture was in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Smoothness {
    /// Frames that were shown.
    pub(crate) frames: u64,
    /// How often the picture stood.
    pub(crate) freezes: u64,
    /// How long altogether, ns.
    pub(crate) frozen_ns: u64,
}

/// What follows from a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// A frame of this encoding was shown whose predecessor was of another.
    pub(crate) switched_to: Option<u8>,
    /// It is time to ask for a keyframe.
    pub(crate) wants_keyframe: bool,
}

impl Pictures {
    /// Takes a packet that was not there before. `is_measured`: freezes that end now count.
    pub(crate) fn take(&mut self, record: &Record, received_ns: u64, is_measured: bool) -> Progress {
        let id = FrameId { encoding: record.encoding, frame: record.frame };
        let at = match self.pending.iter().position(|pending| pending.id == id) {
            Some(at) => at,
            None => {
                if self.pending.len() == PENDING_MAX {
                    self.pending.remove(0);
                }
                let (leans_on, packets) = (record.leans_on(), record.frame_packets.into());
                self.pending.push(Pending { id, leans_on, received: 0, packets, sent_ns: u64::MAX });
                self.pending.len() - 1
            }
        };
        self.pending[at].received += 1;
        self.pending[at].sent_ns = self.pending[at].sent_ns.min(record.sent_ns);
        let mut progress = Progress::default();
        if self.pending[at].received >= self.pending[at].packets {
            self.show_what_can_be(received_ns, is_measured, &mut progress);
        }
        progress.wants_keyframe = self.is_time_to_ask(received_ns);
        progress
    }

    /// A frame that became whole may be what others waited for.
    fn show_what_can_be(&mut self, now_ns: u64, is_measured: bool, progress: &mut Progress) {
        loop {
            let ready = |pending: &Pending| {
                pending.received >= pending.packets
                    && pending.leans_on.is_none_or(|frame| {
                        self.shown.contains(&FrameId { encoding: pending.id.encoding, frame })
                    })
            };
            let Some(at) = self.pending.iter().position(ready) else { return };
            let Pending { id, sent_ns, .. } = self.pending.remove(at);
            let shown_ns = self.play_out(sent_ns, now_ns);
            self.note_shown(id, shown_ns, is_measured, progress);
        }
    }

    /// When a frame is shown that could be at `ready_ns`.
    fn play_out(&mut self, sent_ns: u64, ready_ns: u64) -> u64 {
        let way_ns = ready_ns.saturating_sub(sent_ns);
        let shortest_ns = self.way_ns.map_or(way_ns, |shortest_ns| shortest_ns.min(way_ns));
        self.way_ns = Some(shortest_ns);
        self.buffer_ns = self.buffer_ns.max(way_ns - shortest_ns).min(BUFFER_NS_MAX);
        ready_ns.max(sent_ns + shortest_ns + self.buffer_ns).max(self.last_shown_ns)
    }

    fn note_shown(&mut self, id: FrameId, now_ns: u64, is_measured: bool, progress: &mut Progress) {
        let last = self.last_shown().filter(|last| last.encoding != id.encoding);
        progress.switched_to = last.map(|_| id.encoding).or(progress.switched_to);
        match self.first_shown_ns {
            None => self.first_shown_ns = Some(now_ns),
            Some(_) => {
                let interval_ns = now_ns.saturating_sub(self.last_shown_ns);
                if is_measured {
                    self.smoothness.add_freeze(self.freeze_of(interval_ns));
                }
                self.interval_ns = match self.interval_ns {
                    0 => interval_ns,
                    mean => mean - mean / 16 + interval_ns.min(4 * mean) / 16,
                };
            }
        }
        self.last_shown_ns = now_ns;
        self.smoothness.frames += u64::from(is_measured);
        match self.shown.len() {
            REMEMBERED => self.shown[(self.shown_count % REMEMBERED as u64) as usize] = id,
            _ => self.shown.push(id),
        }
        self.shown_count += 1;
    }

    fn last_shown(&self) -> Option<FrameId> {
        let last = self.shown_count.checked_sub(1)?;
        self.shown.get((last % REMEMBERED as u64) as usize).copied()
    }

    /// The freeze that an interval between two frames is, ns; 0 if it is none.
    fn freeze_of(&self, interval_ns: u64) -> u64 {
        let usual = self.interval_ns;
        let longest = (FREEZE_INTERVALS * usual).max(usual + FREEZE_MARGIN_NS);
        if usual > 0 && interval_ns > longest { interval_ns } else { 0 }
    }

    /// Packets come, and no frame can be shown for too long.
    fn is_time_to_ask(&mut self, now_ns: u64) -> bool {
        let (since_ns, patience_ns) = match self.first_shown_ns {
            None if self.last_asked_ns == 0 => {
                // The first keyframe may be under way.
                self.last_asked_ns = now_ns;
                return false;
            }
            None => (self.last_asked_ns, START_PATIENCE_NS),
            Some(_) => (self.last_shown_ns.max(self.last_asked_ns), REPAIR_PATIENCE_NS),
        };
        let is_time = now_ns.saturating_sub(since_ns) > patience_ns;
        if is_time {
            self.last_asked_ns = now_ns;
        }
        is_time
    }

    /// When the first picture was there, ns since 1970.
    pub(crate) fn first_shown_ns(&self) -> Option<u64> {
        self.first_shown_ns
    }

    /// How smooth the picture was in the window from `start_ns` to `end_ns`. A freeze that lasts still counts,
    /// and so does having no picture at all.
    pub(crate) fn smoothness(&self, start_ns: u64, end_ns: u64) -> Smoothness {
        let mut smoothness = self.smoothness;
        let stands_since = self.last_shown_ns.max(start_ns);
        match self.first_shown_ns {
            None => smoothness.add_freeze(end_ns.saturating_sub(start_ns)),
            Some(_) => smoothness.add_freeze(self.freeze_of(end_ns.saturating_sub(stands_since))),
        }
        smoothness
    }
}

impl Smoothness {
    fn add_freeze(&mut self, ns: u64) {
        self.freezes += u64::from(ns > 0);
        self.frozen_ns += ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Plays words `frame[<leans on]:packets@ms`, one for each packet of a frame, such as `3<2:1@66`; without
    /// `<` it is a keyframe.
    fn play(pictures: &mut Pictures, script: &str) -> Vec<Progress> {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let play_word = |word: &str| {
            let (frame, rest) = word.split_once(':').expect("a frame");
            let (packets, at_ms) = rest.split_once('@').expect("a time");
            let (frame, leans_on) = frame.split_once('<').unwrap_or((frame, frame));
            let record = Record {
                frame: number(frame),
                leans_back: (number(frame) - number(leans_on)) as u8,
                sent_ns: number(frame) * 33 * MS,
                frame_packets: number(packets) as u8,
                ..Record::default()
            };
            pictures.take(&record, number(at_ms) * MS, true)
        };
        script.split_whitespace().map(play_word).collect()
    }

    #[test]
    fn a_frame_is_shown_when_it_is_whole_and_what_it_leans_on_was_shown() {
        let mut pictures = Pictures::default();
        play(&mut pictures, "1:2@33 1:2@35 2<1:1@67 4<3:1@133");
        assert_eq!(pictures.shown_count, 2, "frame 3 is missing");
        play(&mut pictures, "3<2:1@150");
        assert_eq!(pictures.shown_count, 4, "the repair shows both");
        assert_eq!(pictures.first_shown_ns(), Some(35 * MS));
    }

    #[test]
    fn a_picture_that_stands_is_a_freeze_whether_or_not_it_ended() {
        let mut pictures = Pictures::default();
        play(&mut pictures, "1:1@33 2<1:1@66 3<2:1@99 4<3:1@132 5<4:1@232 6<5:1@532");
        let smoothness = |frames, freezes, ms| Smoothness { frames, freezes, frozen_ns: ms * MS };
        assert_eq!(pictures.smoothness(0, 533 * MS), smoothness(6, 1, 300));
        assert_eq!(pictures.smoothness(0, 1532 * MS), smoothness(6, 2, 1300));
        assert_eq!(Pictures::default().smoothness(0, 10 * MS), smoothness(0, 1, 10));
    }

    #[test]
    fn frames_that_are_late_again_and_again_make_the_picture_stand_once() {
        let mut pictures = Pictures::default();
        play(&mut pictures, "1:1@33");
        for frame in 2..200u64 {
            let late_ms = if frame % 20 == 0 { 200 } else { 0 };
            play(&mut pictures, &format!("{frame}<{}:1@{}", frame - 1, frame * 33 + late_ms));
        }
        assert_eq!(pictures.smoothness(0, 200 * 33 * MS).freezes, 1);
    }

    #[test]
    fn a_keyframe_is_asked_for_when_repairs_did_not_come() {
        let mut pictures = Pictures::default();
        let asks = |progress: Vec<Progress>| -> Vec<bool> {
            progress.iter().map(|progress| progress.wants_keyframe).collect()
        };
        assert_eq!(
            asks(play(&mut pictures, "7<6:1@231 8<7:1@330 9<8:1@432 10<9:1@530")),
            [false, false, true, false]
        );
        assert_eq!(
            asks(play(&mut pictures, "11:1@540 13<12:1@630 14<13:1@1050 15<14:1@1130")),
            [false, false, true, false]
        );
    }
}
