//! Which frame an encoder makes next: how large it is, and of which temporal layer.
//!
//! Between keyframes the recorded sizes are played in a circle, from a place that chance chooses. On a
//! keyframe one of the recorded keyframes is played with what followed it, and then the circle goes on.

use super::chance::Chance;
use super::recorded::{Frame, Recording, Voice};

/// Groups of temporal layers end after this many frames at the latest: there the circle may be entered.
const GROUP_LEN: usize = 4;

/// A recording that is played on and on.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    recording: &'static Recording,
    scale: Scale,
    /// The next frame in the circle.
    place: usize,
    /// The next frame after a keyframe, and the episode it belongs to.
    episode: Option<(usize, usize)>,
    chance: Chance,
}

impl Frames {
    /// Plays `recording` so that frames have `mean_bytes` where nobody asks for keyframes, a fraction.
    pub(super) fn new(recording: &'static Recording, mean_bytes: (u64, u64), mut chance: Chance) -> Self {
        let place = chance.below(recording.steady.len() / GROUP_LEN) * GROUP_LEN;
        let scale = Scale::new(mean_bytes, recording.mean_bytes());
        Self { recording, scale, place, episode: None, chance }
    }

    /// The next frame that was not asked to be a keyframe.
    pub(super) fn delta(&mut self) -> Frame {
        let frame = self.upcoming();
        self.step();
        Frame { bytes: self.scale.of(frame.bytes), ..frame }
    }

    /// Steps over the next frame if the encoder dropped it, and says whether it did.
    pub(super) fn step_over_drop(&mut self) -> bool {
        let is_dropped = self.upcoming().bytes == 0;
        if is_dropped {
            self.step();
        }
        is_dropped
    }

    /// A keyframe.
    pub(super) fn key(&mut self) -> Frame {
        // What is left of a group is left out: the circle goes on with a base frame.
        self.place = self.place.next_multiple_of(GROUP_LEN) % self.recording.steady.len();
        self.episode = Some((self.chance.below(self.recording.episodes.len()), 0));
        self.delta()
    }

    fn upcoming(&self) -> Frame {
        match self.episode {
            Some((episode, place)) => self.recording.episodes[episode][place],
            None => self.recording.steady[self.place],
        }
    }

    fn step(&mut self) {
        match self.episode {
            Some((episode, place)) => {
                let is_over = place + 1 == self.recording.episodes[episode].len();
                self.episode = (!is_over).then_some((episode, place + 1));
            }
            None => self.place = (self.place + 1) % self.recording.steady.len(),
        }
    }
}

/// A voice that speaks on and on.
#[derive(Clone, Debug)]
pub(super) struct Syllables {
    voice: &'static Voice,
    scale: Scale,
    place: usize,
}

/// One packet of a voice.
pub(super) use super::recorded::Syllable;

impl Syllables {
    /// Plays `voice` so that packets have `mean_bytes`, a fraction.
    pub(super) fn new(voice: &'static Voice, mean_bytes: (u64, u64), mut chance: Chance) -> Self {
        let place = chance.below(voice.0.len());
        Self { voice, scale: Scale::new(mean_bytes, voice.mean_bytes()), place }
    }

    /// The next packet.
    pub(super) fn next(&mut self) -> Syllable {
        let syllable = self.voice.0[self.place];
        self.place = (self.place + 1) % self.voice.0.len();
        Syllable { bytes: self.scale.of(syllable.bytes), ..syllable }
    }
}

/// From recorded bytes to planned ones.
#[derive(Clone, Copy, Debug)]
struct Scale {
    times: u64,
    parts: u64,
}

impl Scale {
    fn new(wanted: (u64, u64), recorded: (u64, u64)) -> Self {
        Self { times: wanted.0 * recorded.1, parts: wanted.1 * recorded.0 }
    }

    /// What is not nothing stays something.
    fn of(self, bytes: u32) -> u32 {
        let scaled = u128::from(bytes) * u128::from(self.times) / u128::from(self.parts);
        u32::try_from(scaled).unwrap_or(u32::MAX).max(u32::from(bytes > 0))
    }
}
