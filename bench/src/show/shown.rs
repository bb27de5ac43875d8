//! What came out of a round, and what follows from it.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Footprints;
use super::timings::Timings;
use crate::failure::Failure;
use crate::load::audience::Report;
use crate::load::heard::Heard;
use crate::load::publishers::Sent;
use crate::load::viewer::Viewer;
use crate::load::{Stage, Ticket};
use crate::measure::process::CpuSpent;
use crate::measure::trains::Trains;

/// A round that was played.
pub(crate) struct Shown {
    pub(crate) window: Duration,
    pub(super) stage: Arc<Stage>,
    pub(crate) server_cpu: Option<CpuSpent>,
    pub(crate) generator_cpu: CpuSpent,
    /// Of the sends in the window, where the server tells.
    pub(crate) trains: Option<Trains>,
    pub(crate) footprints: Footprints,
    /// By the number of the source.
    pub(crate) sent: Vec<Sent>,
    pub(crate) report: Report,
    /// Of those who could not join in the window.
    pub(crate) failures: Vec<Failure>,
    /// Of requests in the window.
    pub(crate) timings: Timings,
    /// What viewers asked for, in this order.
    pub(crate) choices: Vec<Choice>,
    /// By ticket, the group of a viewer.
    pub(super) groups: Vec<usize>,
    /// By ticket, the sources that a viewer should have got.
    pub(super) sources: Vec<Range<u16>>,
}

/// An encoding that a viewer asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) ticket: Ticket,
    pub(crate) encoding: u8,
    /// ns since 1970.
    pub(crate) asked_ns: u64,
}

/// Packets of the window that a viewer should have got, and those that it has not got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) expected: u64,
    pub(crate) missing: u64,
}

/// What viewers saw in the window, all tracks together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How often pictures stood.
    pub(crate) freezes: u64,
    frozen_ns: u64,
    frames: u64,
    watched_ns: u64,
}

impl Seen {
    /// Which part of the time pictures stood, percent.
    pub(crate) fn frozen_percent(&self) -> f64 {
        percent(self.frozen_ns, self.watched_ns)
    }

    /// Frames of a track in a second, on average.
    pub(crate) fn frame_rate(&self) -> f64 {
        self.frames as f64 / (self.watched_ns.max(1) as f64 / 1e9)
    }
}

impl Shown {
    /// What all groups got.
    pub(crate) fn heard(&self) -> Heard {
        self.report.heard_by_all()
    }

    /// Packets of all encodings that were sent in the window.
    pub(crate) fn published(&self) -> u64 {
        let ranges = self.sent.iter().flat_map(|sent| sent.measured(&self.stage));
        ranges.map(|range| range.end - range.start).sum()
    }

    /// What each viewer should have got who was there for the whole window. A source of one encoding is
    /// counted packet by packet in the window; where a server chooses between several, the numbers of what it
    /// sent are counted, of the whole run.
    pub(crate) fn deliveries(&self) -> Vec<(Ticket, Delivery)> {
        let (start_ns, _) = self.stage.window_ns();
        let was_there = |viewer: &&Viewer| viewer.client.is_some() && viewer.watching.invited_ns < start_ns;
        let present = self.report.viewers.iter().filter(was_there);
        present.map(|viewer| (viewer.watching.ticket, self.delivery(viewer))).collect()
    }

    fn delivery(&self, viewer: &Viewer) -> Delivery {
        let mut delivery = Delivery::default();
        for number in self.sources[viewer.watching.ticket].clone() {
            let Some(sent) = self.sent.get(usize::from(number)) else { continue };
            let ranges = sent.measured(&self.stage);
            let [range] = ranges.as_slice() else {
                let (expected, received) = viewer.expected_and_received();
                return Delivery { expected, missing: expected.saturating_sub(received) };
            };
            let seen = viewer.watching.tracks().iter().find(|track| track.source == sent.source);
            let expected = range.end - range.start;
            delivery.expected += expected;
            delivery.missing += seen
                .and_then(|track| track.seen.first())
                .map_or(expected, |seen| seen.missing(range.clone()));
        }
        delivery
    }

    /// What one group got; nothing if nobody was in it.
    pub(crate) fn heard_by(&self, group: usize) -> Heard {
        self.report.heard.get(group).cloned().unwrap_or_else(Heard::new)
    }

    /// What the viewers of one group should have got altogether.
    pub(crate) fn delivery_to(&self, group: usize) -> Delivery {
        let own = self.deliveries().into_iter().filter(|(ticket, _)| self.groups[*ticket] == group);
        own.fold(Delivery::default(), |sum, (_, own)| Delivery {
            expected: sum.expected + own.expected,
            missing: sum.missing + own.missing,
        })
    }

    /// What all saw.
    pub(crate) fn seen(&self) -> Seen {
        self.seen_by(|_| true)
    }

    /// What the viewers of one group saw.
    pub(crate) fn seen_by_group(&self, group: usize) -> Seen {
        self.seen_by(|ticket| self.groups[ticket] == group)
    }

    fn seen_by(&self, is_meant: impl Fn(Ticket) -> bool) -> Seen {
        let (start_ns, end_ns) = self.stage.window_ns();
        let mut seen = Seen::default();
        let is_meant = |viewer: &&Viewer| viewer.client.is_some() && is_meant(viewer.watching.ticket);
        for viewer in self.report.viewers.iter().filter(is_meant) {
            let since_ns = start_ns.max(viewer.watching.invited_ns).min(end_ns);
            for own in viewer.watching.smoothness(since_ns, end_ns) {
                seen.freezes += own.freezes;
                seen.frozen_ns += own.frozen_ns.min(end_ns - since_ns);
                seen.frames += own.frames;
                seen.watched_ns += end_ns - since_ns;
            }
        }
        seen
    }

    /// From invitation to first picture of those who were invited in the window, ns, ascending; and how many
    /// of them never had one.
    pub(crate) fn first_pictures(&self) -> (Vec<u64>, u64) {
        let (start_ns, end_ns) = self.stage.window_ns();
        let joined = |viewer: &&Viewer| (start_ns..end_ns).contains(&viewer.watching.invited_ns);
        let waits: Vec<_> = self
            .report
            .viewers
            .iter()
            .filter(joined)
            .map(|viewer| viewer.watching.first_picture_ns())
            .collect();
        let mut there: Vec<u64> = waits.iter().copied().flatten().collect();
        there.sort_unstable();
        let without = (waits.len() - there.len()) as u64;
        (there, without)
    }

    /// From asking for an encoding to the first picture of it, ns, ascending; and how many choices had none before
    /// the viewer asked again or the round ended.
    pub(crate) fn switches(&self) -> (Vec<u64>, u64) {
        let waits: Vec<Option<u64>> = self
            .choices
            .iter()
            .enumerate()
            .map(|(at, choice)| self.switch(choice, &self.choices[at + 1..]))
            .collect();
        let mut there: Vec<u64> = waits.iter().copied().flatten().collect();
        there.sort_unstable();
        let without = (waits.len() - there.len()) as u64;
        (there, without)
    }

    fn switch(&self, choice: &Choice, later: &[Choice]) -> Option<u64> {
        let viewer = self.report.viewers.iter().find(|viewer| viewer.watching.ticket == choice.ticket)?;
        let next = later.iter().find(|later| later.ticket == choice.ticket);
        let until_ns = next.map_or(u64::MAX, |next| next.asked_ns);
        let switches = viewer.watching.tracks().iter().flat_map(|track| &track.switches);
        let mut hits = switches.filter(|(at_ns, encoding)| {
            *encoding == choice.encoding && (choice.asked_ns..until_ns).contains(at_ns)
        });
        hits.next().map(|(at_ns, _)| at_ns - choice.asked_ns)
    }

    /// CPU time of the generator, cores.
    pub(crate) fn generator_load(&self) -> f64 {
        self.generator_cpu.total_ns as f64 / self.window.as_nanos().max(1) as f64
    }
}

/// A share in percent; 0 of nothing.
pub(crate) fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

/// The value below which `share` of the ascending values lie; `None` of none.
pub(crate) fn quantile(ascending: &[u64], share: f64) -> Option<u64> {
    let last = ascending.len().checked_sub(1)?;
    ascending.get((share * last as f64).round() as usize).copied()
}
