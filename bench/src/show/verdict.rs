//! Whether the figures of a round may be used.
#![forbid(unsafe_code)]

use super::shown::{Shown, percent};
use crate::load::audience::LOAD_MAX;
use crate::scenario::Bench;

/// A larger share of late packets makes a round invalid.
const LATE_PERCENT_MAX: f64 = 1.0;
/// A server that loses more to its worst viewer is over.
const LOSS_PERCENT_MAX: f64 = 5.0;

/// A server that holds half of the packets back for longer than that is over: nobody can talk like that.
const HALF_NS_MAX: u64 = 100_000_000;

/// How the generator fared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Health {
    /// Packets that left late, percent.
    pub(super) late_percent: f64,
    /// Datagrams that its own sockets dropped.
    pub(super) socket_drops: u64,
    /// Its busiest thread, cores.
    pub(super) busiest_thread_cores: f64,
    /// Packets that did not open, or did not hold what was sent.
    pub(super) damaged: u64,
}

impl Health {
    /// Of a round.
    pub(super) fn of(shown: &Shown) -> Self {
        let late = shown.sent.iter().map(|sent| sent.late).sum();
        Self {
            late_percent: percent(late, shown.published()),
            socket_drops: shown.report.socket_drops(),
            busiest_thread_cores: shown.report.load_max,
            damaged: shown.heard().damaged,
        }
    }

    /// Why the figures must not be used; empty if they may.
    fn faults(&self) -> Vec<String> {
        let Self { late_percent, socket_drops, busiest_thread_cores, damaged } = *self;
        let mut faults = Vec::new();
        if late_percent > LATE_PERCENT_MAX {
            faults.push(format!("the publishers were late with {late_percent:.1} % of their packets"));
        }
        if socket_drops > 0 {
            faults.push(format!("the generator's sockets dropped {socket_drops} datagrams"));
        }
        if busiest_thread_cores > LOAD_MAX {
            let percent = busiest_thread_cores * 100.0;
            faults.push(format!(
                "a thread of the generator used {percent:.0} % of its core; give it more by --generator-threads"
            ));
        }
        if damaged > 0 {
            faults.push(format!("{damaged} packets did not open or did not hold what was sent"));
        }
        faults
    }
}

/// Says why the figures must not be used, or that the server is beyond its limit.
pub(crate) fn judge(bench: &mut Bench, shown: &Shown) {
    Health::of(shown).faults().into_iter().for_each(|fault| bench.invalid(fault));
    if shown.report.gone() > 0 {
        bench.over(format!("{} viewers lost their connection", shown.report.gone()));
    }
    if let Some(failure) = shown.failures.first() {
        bench.over(format!("{} requests failed: {}", shown.failures.len(), failure.what()));
    }
    // Viewers behind links wait for those too.
    let half_ns = shown.heard_by(0).latency_ns.value_at_quantile(0.5);
    if half_ns > HALF_NS_MAX {
        bench.over(format!("half of the packets took more than {} ms", half_ns / 1_000_000));
    }
    let worst = shown.deliveries().into_iter().map(|(_, own)| percent(own.missing, own.expected));
    let loss = worst.fold(0.0, f64::max);
    if loss > LOSS_PERCENT_MAX {
        bench.over(format!("a viewer lost {loss:.1} % of its packets"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_at_its_end_says_so_and_a_sound_one_does_not() {
        let sound = Health { late_percent: 1.0, socket_drops: 0, busiest_thread_cores: LOAD_MAX, damaged: 0 };
        assert!(sound.faults().is_empty(), "{:?}", sound.faults());
        for (health, said) in [
            (Health { late_percent: 1.1, ..sound }, "late with 1.1 %"),
            (Health { socket_drops: 1, ..sound }, "dropped 1 datagrams"),
            (Health { busiest_thread_cores: 0.9, ..sound }, "--generator-threads"),
            (Health { damaged: 3, ..sound }, "3 packets did not open"),
        ] {
            let faults = health.faults();
            assert!(faults.len() == 1 && faults[0].contains(said), "{faults:?}");
        }
    }
}
