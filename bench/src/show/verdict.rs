//! Whether the figures of a round may be used.
#![forbid(unsafe_code)]

use super::shown::{Shown, percent};
use crate::load::audience::LOAD_MAX;
use crate::scenario::Bench;

/// A larger share of late packets makes a round invalid.
const LATE_PERCENT_MAX: f64 = 1.0;
/// A server that loses more to its worst viewer is over.
const LOSS_PERCENT_MAX: f64 = 5.0;

/// Says why the figures must not be used, or that the server is beyond its limit.
pub(crate) fn judge(bench: &mut Bench, shown: &Shown) {
    judge_generator(bench, shown);
    if shown.report.gone() > 0 {
        bench.over(format!("{} viewers lost their connection", shown.report.gone()));
    }
    if let Some(failure) = shown.failures.first() {
        bench.over(format!("{} requests failed: {}", shown.failures.len(), failure.what()));
    }
    let worst = shown.deliveries().into_iter().map(|(_, own)| percent(own.missing, own.expected));
    let loss = worst.fold(0.0, f64::max);
    if loss > LOSS_PERCENT_MAX {
        bench.over(format!("a viewer lost {loss:.1} % of its packets"));
    }
}

fn judge_generator(bench: &mut Bench, shown: &Shown) {
    let late = percent(shown.sent.iter().map(|sent| sent.late).sum(), shown.published());
    if late > LATE_PERCENT_MAX {
        bench.invalid(format!("the publishers were late with {late:.1} % of their packets"));
    }
    let drops = shown.report.socket_drops();
    if drops > 0 {
        bench.invalid(format!("the generator's sockets dropped {drops} datagrams"));
    }
    let load = shown.report.load_max;
    if load > LOAD_MAX {
        bench.invalid(format!(
            "a thread of the generator used {:.0} % of its core; give it more by --generator-threads",
            load * 100.0
        ));
    }
    let damaged = shown.heard().damaged;
    if damaged > 0 {
        bench.invalid(format!("{damaged} packets did not open or did not hold what was sent"));
    }
}
