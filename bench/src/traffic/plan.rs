//! When each packet is to be sent. The plan is absolute: what is late once is not late for ever, and a
//! slow server cannot slow the load down.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Frames of the video.
pub(crate) const FRAMES_PER_SECOND: u64 = 30;
/// Packets of one frame; 30 of these a second are 240 packets/s.
pub(crate) const PACKETS_PER_FRAME: u64 = 8;
/// Packets sent back to back, as the pacer of a browser does.
pub(crate) const PACKETS_PER_BURST: u64 = 3;
/// Time between two bursts of a frame.
const BURST_INTERVAL: Duration = Duration::from_millis(5);
/// Ticks of the RTP clock per frame (90 kHz).
const TICKS_PER_FRAME: u64 = 90_000 / FRAMES_PER_SECOND;

/// Where one packet stands in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Since the start of the stream.
    pub(crate) at: Duration,
    /// The frame it belongs to.
    pub(crate) frame: u64,
    /// Whether it is the first packet of its frame.
    pub(crate) is_first: bool,
    /// Whether it is the last one.
    pub(crate) is_last: bool,
}

impl Planned {
    /// The plan of packet `sequence`, counted from 0.
    pub(crate) fn of(sequence: u64) -> Self {
        let (frame, packet) = (sequence / PACKETS_PER_FRAME, sequence % PACKETS_PER_FRAME);
        let frame_at = Duration::from_nanos(frame * 1_000_000_000 / FRAMES_PER_SECOND);
        let burst = u32::try_from(packet / PACKETS_PER_BURST).expect("a frame has few bursts");
        Self {
            at: frame_at + BURST_INTERVAL * burst,
            frame,
            is_first: packet == 0,
            is_last: packet + 1 == PACKETS_PER_FRAME,
        }
    }

    /// The RTP timestamp of its frame, counted from 0; it wraps.
    pub(crate) fn timestamp(&self) -> u32 {
        (self.frame * TICKS_PER_FRAME) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_240_packets() {
        let in_second = (0..).map(Planned::of).take_while(|planned| planned.at < Duration::from_secs(1));
        assert_eq!(in_second.count(), 240);
    }

    #[test]
    fn a_frame_leaves_as_3_3_and_2_packets_5_ms_apart() {
        let at: Vec<u128> = (0..8).map(|sequence| Planned::of(sequence).at.as_millis()).collect();
        assert_eq!(at, [0, 0, 0, 5, 5, 5, 10, 10]);
    }

    #[test]
    fn packets_of_a_frame_share_a_timestamp_and_end_with_the_marker() {
        let frame: Vec<Planned> = (8..16).map(Planned::of).collect();
        assert!(frame.iter().all(|planned| planned.timestamp() == 3000));
        assert_eq!(frame.iter().filter(|planned| planned.is_first).count(), 1);
        assert!(frame[7].is_last && !frame[6].is_last);
    }
}
