//! The index of a packet and whether it came before (RFC 3711, sections 3.3.1 and 3.3.2).
//!
//! The highest index seen is the rollover counter and the highest sequence number in one; it only
//! grows, so a late packet from before a wrap can never set the counter back.
#![forbid(unsafe_code)]

use crate::limits::REPLAY_WINDOW_LEN;

const WORDS: usize = REPLAY_WINDOW_LEN / 64;
const SEQUENCE_NUMBERS: u64 = 1 << 16;

/// What one source has sent. Bit `index % REPLAY_WINDOW_LEN` stands for `index`.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow {
    highest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window whose first authenticated packet had `index`.
    pub(super) fn new(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.mark(index);
        window
    }

    /// The index that `sequence_number` most likely has: the one nearest to the highest seen. `None`
    /// past the last index of a key.
    pub(super) fn estimate(&self, sequence_number: u16) -> Option<u64> {
        let ahead = sequence_number.wrapping_sub(self.highest as u16) as i16;
        let index = match self.highest.checked_add_signed(i64::from(ahead)) {
            Some(index) => index,
            // Before the first packet of the stream: there is no rollover counter below 0.
            None => self.highest + u64::from(sequence_number.wrapping_sub(self.highest as u16)),
        };
        (index < SEQUENCE_NUMBERS << 32).then_some(index)
    }

    /// Whether `index` was not seen yet and is not too old to tell.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        let is_inside = self.highest - index < REPLAY_WINDOW_LEN as u64;
        let (word, bit) = place(index);
        is_inside && self.seen[word] & bit == 0
    }

    /// Takes note of an authenticated index.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let gone = (index - self.highest).min(REPLAY_WINDOW_LEN as u64);
            for reused in index + 1 - gone..=index {
                let (word, bit) = place(reused);
                self.seen[word] &= !bit;
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.seen[word] |= bit;
    }
}

fn place(index: u64) -> (usize, u64) {
    let slot = (index % REPLAY_WINDOW_LEN as u64) as usize;
    (slot / 64, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_new_from_seen_from_too_old() {
        let mut window = ReplayWindow::new(5_000);
        assert!(!window.is_new(5_000));
        assert!(window.is_new(4_999));
        assert!(window.is_new(5_000 - (REPLAY_WINDOW_LEN as u64 - 1)));
        assert!(!window.is_new(5_000 - REPLAY_WINDOW_LEN as u64));
        window.accept(5_003);
        assert!(
            window.is_new(5_001) && window.is_new(5_002) && !window.is_new(5_003) && !window.is_new(5_000)
        );
        window.accept(5_001);
        assert!(!window.is_new(5_001));
        window.accept(5_003 + 10 * REPLAY_WINDOW_LEN as u64);
        assert!(window.is_new(5_002 + 10 * REPLAY_WINDOW_LEN as u64));
        assert!(!window.is_new(5_003));
    }

    #[test]
    fn an_index_is_the_nearest_one_and_never_negative() {
        let estimate = |highest, sequence_number| ReplayWindow::new(highest).estimate(sequence_number);
        assert_eq!(estimate(65_535, 0), Some(65_536));
        assert_eq!(estimate(65_536, 65_535), Some(65_535));
        assert_eq!(estimate(3, 65_535), Some(65_535), "there is no rollover counter of -1");
        assert_eq!(estimate(2 * 65_536 + 10, 65_530), Some(65_536 + 65_530));
        assert_eq!(estimate((1 << 48) - 1, 0), None, "a key ends with its last index");
    }
}
