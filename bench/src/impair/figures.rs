//! What a link has done so far, and whether it was able to do it in time.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::line::Counts;

/// A packet that leaves this much after its time is late.
pub(super) const LATE: Duration = Duration::from_millis(1);
/// Share of late packets from which on a link is not what it was to be.
const LATE_SHARE_MAX: f64 = 0.01;
/// Share of one core from which on a thread may have been too slow.
const CPU_SHARE_MAX: f64 = 0.85;

/// A link, since it was made or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// From the clients to the server.
    pub(crate) up: Counts,
    /// From the server to the clients.
    pub(crate) down: Counts,
    /// How the link itself fared.
    pub(crate) health: Health,
}

/// How a link itself fared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Health {
    /// Packets that left more than a millisecond after their time.
    pub(crate) late: u64,
    /// The latest of all: not of the time between two looks.
    pub(crate) latest: Duration,
    /// Packets that the kernel dropped before the link, because it did not take them in time.
    pub(crate) overrun: u64,
    /// Packets that the kernel did not take from the link.
    pub(crate) refused: u64,
    /// Packets that are not IPv4; they do not pass.
    pub(crate) foreign: u64,
    /// CPU time of the link's thread, with what the kernel does in it for the receiver.
    pub(crate) cpu: Duration,
    /// Time during which it wanted to run and others did.
    pub(crate) waited: Duration,
    /// Time that passed.
    pub(crate) elapsed: Duration,
}

impl Figures {
    /// What was done since `earlier`. What is held is what is held now.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let health = Health {
            late: self.health.late - earlier.health.late,
            latest: self.health.latest,
            overrun: self.health.overrun.saturating_sub(earlier.health.overrun),
            refused: self.health.refused - earlier.health.refused,
            foreign: self.health.foreign - earlier.health.foreign,
            cpu: self.health.cpu.saturating_sub(earlier.health.cpu),
            waited: self.health.waited.saturating_sub(earlier.health.waited),
            elapsed: self.health.elapsed.saturating_sub(earlier.health.elapsed),
        };
        Self { up: counted(&self.up, &earlier.up), down: counted(&self.down, &earlier.down), health }
    }

    /// CPU time of one packet that passed.
    pub(crate) fn cpu_per_packet(&self) -> Option<Duration> {
        let packets = u32::try_from(self.up.passed + self.down.passed).ok()?;
        self.health.cpu.checked_div(packets)
    }

    /// Why the figures of what ran over the link must not be used; empty if they may.
    pub(crate) fn problems(&self) -> Vec<String> {
        let Health { late, latest, overrun, refused, cpu, elapsed, .. } = self.health;
        let mut problems = Vec::new();
        let late_share = late as f64 / (self.up.passed + self.down.passed).max(1) as f64;
        if late_share > LATE_SHARE_MAX {
            problems.push(format!(
                "the link let {:.1} % of the packets go more than {LATE:?} late ({:.0} % may be; the latest {latest:.1?})",
                late_share * 100.0,
                LATE_SHARE_MAX * 100.0
            ));
        }
        if overrun > 0 {
            problems
                .push(format!("{overrun} packets were dropped because the link did not take them in time"));
        }
        let line_full = self.up.line_full + self.down.line_full;
        if line_full > 0 {
            problems.push(format!("{line_full} packets were dropped because the link could not hold more"));
        }
        if refused > 0 {
            problems.push(format!("the kernel refused {refused} packets behind the link"));
        }
        let cpu_share = cpu.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        if cpu_share > CPU_SHARE_MAX {
            problems.push(format!("the link used {:.0} % of a core", cpu_share * 100.0));
        }
        problems
    }
}

fn counted(now: &Counts, earlier: &Counts) -> Counts {
    Counts {
        offered: now.offered - earlier.offered,
        passed: now.passed - earlier.passed,
        passed_bytes: now.passed_bytes - earlier.passed_bytes,
        lost: now.lost - earlier.lost,
        queue_full: now.queue_full - earlier.queue_full,
        line_full: now.line_full - earlier.line_full,
        held: now.held,
        queue: now.queue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(change: impl FnOnce(&mut Figures)) -> Figures {
        let mut figures = Figures::default();
        figures.up.passed = 1000;
        figures.health.elapsed = Duration::from_secs(10);
        figures.health.cpu = Duration::from_secs(1);
        change(&mut figures);
        figures
    }

    #[test]
    fn a_link_that_could_not_keep_up_says_why() {
        assert_eq!(figures(|figures| figures.health.late = 9).problems(), [""; 0]);
        for (figures, part) in [
            (figures(|figures| figures.health.late = 11), "1.1 %"),
            (figures(|figures| figures.health.overrun = 1), "in time"),
            (figures(|figures| figures.health.refused = 1), "refused"),
            (figures(|figures| figures.down.line_full = 1), "hold"),
            (figures(|figures| figures.health.cpu = Duration::from_secs(9)), "90 % of a core"),
        ] {
            let problems = figures.problems();
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
        }
    }

    #[test]
    fn what_was_done_before_does_not_count() {
        let earlier = figures(|figures| figures.health.late = 500);
        let later = figures(|figures| {
            figures.up.passed = 3000;
            figures.health.late = 502;
            figures.health.elapsed = Duration::from_secs(12);
        });
        let since = later.since(&earlier);
        assert_eq!((since.up.passed, since.health.late), (2000, 2));
        assert!(since.problems().is_empty());
    }
}
