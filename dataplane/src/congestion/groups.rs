//! Packets that were sent together, and how much longer than the last ones they took
//! (draft-ietf-rmcat-gcc-02, sections 4.1 and 4.2; the rule for bursts follows libwebrtc).
#![forbid(unsafe_code)]

/// Packets that leave within this time of the first are one group.
const GROUP_US: u64 = 5_000;
/// What arrives within this time of the last packet, faster than it was sent, was held up together.
const BURST_US: i64 = 5_000;
/// A burst ends here.
const BURST_LEN_MAX_US: i64 = 100_000;
/// So many groups in a row that arrived before their predecessors are no reordering: a clock has jumped.
const REORDERED_MAX: u8 = 3;

/// One packet that was sent and received, in microseconds of two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Acked {
    /// Arrival on the receiver's clock. First, as packets are sorted by it.
    pub(super) arrival_us: u64,
    /// Departure on ours.
    pub(super) sent_us: u64,
    pub(super) size_bytes: u16,
    pub(super) cluster: u8,
}

/// How a group stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variation {
    /// Microseconds between the departures.
    pub(super) sent_us: i64,
    /// Microseconds between the arrivals.
    pub(super) arrival_us: i64,
    /// When the later one arrived.
    pub(super) at_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: u64,
    last_sent_us: u64,
    first_arrival_us: u64,
    last_arrival_us: u64,
}

/// The group that is being filled, and the one before.
#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u8,
}

impl Groups {
    /// Takes the next packet in the order of arrival; answers when a group is complete.
    pub(super) fn note(&mut self, acked: &Acked) -> Option<Variation> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::new(acked));
            return None;
        };
        if acked.sent_us < current.first_sent_us {
            return None;
        }
        if current.takes(acked) {
            current.last_sent_us = current.last_sent_us.max(acked.sent_us);
            current.last_arrival_us = acked.arrival_us;
            return None;
        }
        let complete = *current;
        self.current = Some(Group::new(acked));
        let previous = self.previous.replace(complete)?;
        let variation = Variation {
            sent_us: complete.last_sent_us as i64 - previous.last_sent_us as i64,
            arrival_us: complete.last_arrival_us as i64 - previous.last_arrival_us as i64,
            at_us: complete.last_arrival_us,
        };
        if variation.arrival_us < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED_MAX {
                *self = Self::default();
            }
            return None;
        }
        self.reordered = 0;
        Some(variation)
    }
}

impl Group {
    fn new(acked: &Acked) -> Self {
        Self {
            first_sent_us: acked.sent_us,
            last_sent_us: acked.sent_us,
            first_arrival_us: acked.arrival_us,
            last_arrival_us: acked.arrival_us,
        }
    }

    fn takes(&self, acked: &Acked) -> bool {
        let gap = acked.arrival_us as i64 - self.last_arrival_us as i64;
        let sent_gap = acked.sent_us as i64 - self.last_sent_us as i64;
        let lasted = acked.arrival_us as i64 - self.first_arrival_us as i64;
        let is_burst = gap < sent_gap && (0..=BURST_US).contains(&gap) && lasted < BURST_LEN_MAX_US;
        acked.sent_us - self.first_sent_us <= GROUP_US || is_burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_sent_together_are_one_group() {
        check("0:50 2:51 4:52 20:70 22:71 40:95", "18+19");
    }

    #[test]
    fn what_was_held_up_and_let_go_at_once_is_one_group() {
        check("0:50 20:90 30:91 40:92 60:110 80:130", "40+42 20+18");
    }

    #[test]
    fn a_packet_that_was_overtaken_is_left_out() {
        check("0:50 20:70 10:71 40:90 60:110", "20+20 20+20");
    }

    #[test]
    fn a_clock_that_jumps_back_begins_anew() {
        check("0:900 20:920 40:100 60:80 80:60 100:40 120:220 140:240 160:260", "20+20 20+20");
    }

    /// Each packet is `departure:arrival`, each variation `departures+arrivals`, in milliseconds.
    #[track_caller]
    fn check(packets: &str, expected: &str) {
        let mut groups = Groups::default();
        let variations = packets.split_whitespace().filter_map(|packet| {
            let (sent, arrival) = packet.split_once(':')?;
            let us = |ms: &str| ms.parse::<u64>().map(|ms| ms * 1_000).ok();
            groups.note(&Acked { arrival_us: us(arrival)?, sent_us: us(sent)?, ..Acked::default() })
        });
        let said: Vec<String> =
            variations.map(|v| format!("{}+{}", v.sent_us / 1_000, v.arrival_us / 1_000)).collect();
        assert_eq!(said.join(" "), expected);
    }
}
