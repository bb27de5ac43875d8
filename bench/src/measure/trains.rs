//! How many datagrams the sends of Sluice carried, from its `/metrics`.
#![forbid(unsafe_code)]

use reqwest::Url;

use crate::failure::Failure;
use crate::load::signalling::fetch;

/// The histogram that is read.
const BUCKET: &str = "sluice_train_length_bucket{";
const DATAGRAMS: &str = "sluice_packets_sent_total{";
const SENDS: &str = "sluice_trains_sent_total{";

/// Sends so far, or between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trains {
    datagrams: f64,
    sends: f64,
    /// `(length, sends of at most that length)`, ascending.
    up_to: Vec<(f64, f64)>,
}

impl Trains {
    /// Asks the server. `None` if it has no such page.
    pub(crate) fn read(metrics: Option<&Url>) -> Result<Option<Self>, Failure> {
        metrics.map(|url| Ok(Self::parse(&fetch(url)?))).transpose()
    }

    /// What was sent since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |length: f64| earlier.up_to.iter().find(|(known, _)| *known == length);
        Self {
            datagrams: self.datagrams - earlier.datagrams,
            sends: self.sends - earlier.sends,
            up_to: self
                .up_to
                .iter()
                .map(|&(length, count)| (length, count - before(length).map_or(0.0, |(_, count)| *count)))
                .collect(),
        }
    }

    /// Datagrams per send; `None` if nothing was sent.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.sends > 0.0).then(|| self.datagrams / self.sends)
    }

    /// `[length, percent of the sends]` of all lengths that occur.
    pub(crate) fn shares(&self) -> Vec<[f64; 2]> {
        let mut below = 0.0;
        let mut shares = Vec::new();
        for &(length, up_to) in &self.up_to {
            if up_to > below && self.sends > 0.0 {
                shares.push([length, 100.0 * (up_to - below) / self.sends]);
            }
            below = up_to.max(below);
        }
        shares
    }

    /// Adds up all shards.
    fn parse(page: &str) -> Self {
        let mut trains = Self::default();
        for line in page.lines() {
            let Some(value) = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) else {
                continue;
            };
            if line.starts_with(DATAGRAMS) {
                trains.datagrams += value;
            } else if line.starts_with(SENDS) {
                trains.sends += value;
            } else if line.starts_with(BUCKET)
                && let Some(length) = bound(line)
            {
                match trains.up_to.iter_mut().find(|(known, _)| *known == length) {
                    Some((_, count)) => *count += value,
                    None => trains.up_to.push((length, value)),
                }
            }
        }
        trains.up_to.sort_by(|a, b| a.0.total_cmp(&b.0));
        trains
    }
}

/// The finite upper bound of a bucket.
fn bound(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("le=\"")?;
    rest.split('"').next()?.parse().ok().filter(|bound: &f64| bound.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE sluice_trains_sent counter
sluice_packets_sent_total{shard=\"0\"} 100
sluice_packets_sent_total{shard=\"1\"} 20
sluice_trains_sent_total{shard=\"0\"} 50
sluice_trains_sent_total{shard=\"1\"} 10
sluice_train_length_bucket{le=\"1.0\",shard=\"0\"} 10
sluice_train_length_bucket{le=\"3.0\",shard=\"0\"} 50
sluice_train_length_bucket{le=\"+Inf\",shard=\"0\"} 50
sluice_train_length_bucket{le=\"1.0\",shard=\"1\"} 5
sluice_train_length_bucket{le=\"3.0\",shard=\"1\"} 10
";

    #[test]
    fn shards_are_added_up_and_readings_subtracted() {
        let after = Trains::parse(PAGE);
        assert_eq!(after.mean(), Some(2.0));
        assert_eq!(after.shares(), [[1.0, 25.0], [3.0, 75.0]]);
        let nothing = after.since(&after);
        assert_eq!((nothing.mean(), nothing.shares()), (None, vec![]));
        assert_eq!(after.since(&Trains::default()), after);
    }
}
