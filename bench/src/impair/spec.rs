//! What a link does to packets in one direction, and how a person writes it:
//! `loss=5%,burst=3,delay=50ms,jitter=10ms,rate=2mbit,queue=300ms`.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest delay, jitter or queue: a longer one is a typing error.
const TIME_MAX: Duration = Duration::from_secs(10);
/// One packet of 1500 bytes then takes 12 s.
const RATE_BPS_MIN: u64 = 1_000;
/// More than one thread carries.
const RATE_BPS_MAX: u64 = 100_000_000_000;
/// The longest mean burst, packets.
const BURST_MAX: f64 = 10_000.0;
/// The largest queue: what a line may hold anyway.
const QUEUE_BYTES_MAX: u64 = super::line::BYTES_MAX;
/// Where a queue ends if nobody says: a common size of home routers.
const QUEUE_DEFAULT: Queue = Queue::Time(Duration::from_millis(200));

const NAMES: &str = "loss, burst, delay, jitter, reorder, rate, queue";

/// One direction of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Impairment {
    /// Share of the packets that are lost, 0 to 1, beside those that find no room in the queue.
    pub(crate) loss: f64,
    /// How many packets are lost in a row, on average (Gilbert-Elliott). `None`: each by itself.
    pub(crate) burst: Option<f64>,
    /// Time on the way.
    pub(crate) delay: Duration,
    /// Up to this much comes on top, drawn anew every half of it. Keeps the order.
    pub(crate) jitter: Duration,
    /// Share of the packets that are overtaken by those behind them.
    pub(crate) reorder: f64,
    /// Bits of IP packets that pass in a second. `None`: all that come.
    pub(crate) rate_bps: Option<u64>,
    /// The room in front of the narrow place. Only a rate fills it.
    pub(crate) queue: Queue,
}

/// How much may wait before the newest packet is dropped (drop-tail).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// So much that it leaves within this time.
    Time(Duration),
    /// So many bytes, beside the packet that is leaving.
    Bytes(u64),
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            loss: 0.0,
            burst: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: 0.0,
            rate_bps: None,
            queue: QUEUE_DEFAULT,
        }
    }
}

impl FromStr for Impairment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::default()),
            _ => Self::default().changed(text),
        }
    }
}

impl Impairment {
    /// The same with what `text` names; what it does not name stays. `none` is a link that does nothing.
    ///
    /// # Errors
    ///
    /// Name the value, what is wrong with it, and what to write instead.
    pub(crate) fn changed(mut self, text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let mut named = Vec::new();
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("{part:?} is not NAME=VALUE; write for example delay=50ms, or none"));
            };
            if named.contains(&name) {
                return Err(format!("{name} is given twice in {text:?}; keep one"));
            }
            self.set(name, value).map_err(|problem| format!("{part:?}: {problem}"))?;
            named.push(name);
        }
        self.check(&named)?;
        Ok(self)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "loss" => self.loss = share(value)?,
            "burst" => self.burst = optional(value, burst)?,
            "delay" => self.delay = time(value)?,
            "jitter" => self.jitter = time(value)?,
            "reorder" => self.reorder = share(value)?,
            "rate" => self.rate_bps = optional(value, rate)?,
            "queue" => self.queue = queue(value)?,
            _ => return Err(format!("{name:?} is not known; there are {NAMES}")),
        }
        Ok(())
    }

    /// What was named must be able to do something.
    fn check(&self, named: &[&str]) -> Result<(), String> {
        if let Some(burst) = self.burst {
            if named.contains(&"burst") && self.loss == 0.0 {
                return Err(format!("burst={burst} has nothing to lose; give a loss too, such as loss=5%"));
            }
            // Between two bursts at least one packet passes.
            let loss_max = burst / (burst + 1.0);
            if self.loss > loss_max {
                return Err(format!(
                    "loss={}% does not come in bursts of {burst}, between which a packet passes; take a loss of \
                     at most {:.1}%, a longer burst, or none (burst=off)",
                    self.loss * 100.0,
                    loss_max * 100.0
                ));
            }
        }
        if named.contains(&"queue") && self.rate_bps.is_none() {
            return Err(format!("queue={} never fills; give a rate too, such as rate=2mbit", self.queue));
        }
        Ok(())
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.loss > 0.0 {
            parts.push(format!("loss={}%", percent(self.loss)));
            parts.extend(self.burst.map(|burst| format!("burst={burst}")));
        }
        for (name, time) in [("delay", self.delay), ("jitter", self.jitter)] {
            if !time.is_zero() {
                parts.push(format!("{name}={time:?}"));
            }
        }
        if self.reorder > 0.0 {
            parts.push(format!("reorder={}%", percent(self.reorder)));
        }
        if let Some(rate_bps) = self.rate_bps {
            parts.push(format!("rate={},queue={}", rate_text(rate_bps), self.queue));
        }
        if parts.is_empty() { f.write_str("none") } else { f.write_str(&parts.join(",")) }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
        }
    }
}

/// Without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

fn rate_text(rate_bps: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    match units.iter().find(|(size, _)| rate_bps.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", rate_bps / size),
        None => format!("{rate_bps}bit"),
    }
}

fn optional<T>(value: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if value == "off" { Ok(None) } else { parse(value).map(Some) }
}

/// A number that is not negative, and its unit in small letters.
fn quantity<'a>(value: &'a str, example: &str) -> Result<(f64, &'a str), String> {
    let at = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(at);
    match number.parse() {
        Ok(number) => Ok((number, unit)),
        Err(_) => Err(format!("{value:?} is not a number with a unit; write for example {example}")),
    }
}

fn wrong_unit(unit: &str, allowed: &str) -> String {
    match unit {
        "" => format!("the unit is missing; it is one of {allowed}"),
        _ => format!("{unit:?} is no unit here; it is one of {allowed}"),
    }
}

fn share(value: &str) -> Result<f64, String> {
    match quantity(value, "5%")? {
        (percent, "%") if percent <= 100.0 => Ok(percent / 100.0),
        (_, "%") => Err("more than all cannot be; write 0% to 100%".to_owned()),
        (0.0, "") => Ok(0.0),
        (_, unit) => Err(wrong_unit(unit, "%")),
    }
}

fn burst(value: &str) -> Result<f64, String> {
    match quantity(value, "3")? {
        (packets, "") if (1.0..=BURST_MAX).contains(&packets) => Ok(packets),
        (_, "") => Err(format!("a burst is 1 to {BURST_MAX} packets long; burst=off loses each by itself")),
        _ => Err("a burst is counted in packets, without a unit; write for example burst=3".to_owned()),
    }
}

fn time(value: &str) -> Result<Duration, String> {
    let time = duration(value)?;
    if time > TIME_MAX {
        return Err(format!("that is more than {TIME_MAX:?}; take less"));
    }
    Ok(time)
}

/// `50ms`: a time of any length.
pub(super) fn duration(value: &str) -> Result<Duration, String> {
    let (number, unit) = quantity(value, "50ms")?;
    let nanos = match unit {
        "us" => number * 1e3,
        "ms" => number * 1e6,
        "s" => number * 1e9,
        "" if number == 0.0 => 0.0,
        _ => return Err(wrong_unit(unit, "us, ms, s")),
    };
    Ok(Duration::from_nanos(nanos.round() as u64))
}

fn rate(value: &str) -> Result<u64, String> {
    let (number, unit) = quantity(value, "2mbit")?;
    let bps = match unit {
        "bit" => number,
        "kbit" => number * 1e3,
        "mbit" => number * 1e6,
        "gbit" => number * 1e9,
        _ => return Err(wrong_unit(unit, "bit, kbit, mbit, gbit (in a second)")),
    };
    let bps = bps.round() as u64;
    if (RATE_BPS_MIN..=RATE_BPS_MAX).contains(&bps) {
        return Ok(bps);
    }
    Err("a rate is 1kbit to 100gbit; rate=off passes all, loss=100% nothing".to_owned())
}

fn queue(value: &str) -> Result<Queue, String> {
    let (number, unit) = quantity(value, "300ms or 64KB")?;
    let bytes = match unit {
        "B" => number,
        "KB" => number * 1e3,
        "MB" => number * 1e6,
        "us" | "ms" | "s" => return time(value).map(Queue::Time),
        _ => return Err(wrong_unit(unit, "us, ms, s, B, KB, MB")),
    };
    if bytes > QUEUE_BYTES_MAX as f64 {
        return Err(format!("a queue holds at most {} MB; take less", QUEUE_BYTES_MAX / 1_000_000));
    }
    Ok(Queue::Bytes(bytes.round() as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        for text in [
            "none",
            "loss=5%,burst=3,delay=50ms,jitter=10ms,rate=2mbit,queue=300ms",
            "loss=0.1%",
            "loss=100%",
            "delay=1.5ms,reorder=1%",
            "rate=1500bit,queue=64000B",
        ] {
            assert_eq!(text.parse::<Impairment>().unwrap().to_string(), text);
        }
        let read = "loss=5%,burst=3,delay=50ms,rate=2.5mbit,queue=64KB".parse::<Impairment>().unwrap();
        assert_eq!((read.loss, read.burst, read.delay), (0.05, Some(3.0), Duration::from_millis(50)));
        assert_eq!((read.rate_bps, read.queue), (Some(2_500_000), Queue::Bytes(64_000)));
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let before: Impairment = "loss=5%,burst=3,rate=2mbit,queue=300ms".parse().unwrap();
        let narrow = before.changed("rate=500kbit").unwrap();
        assert_eq!(narrow.to_string(), "loss=5%,burst=3,rate=500kbit,queue=300ms");
        assert_eq!(narrow.changed("rate=off,loss=0%").unwrap().to_string(), "none");
        assert_eq!(narrow.changed("none").unwrap(), Impairment::default());
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_value_and_a_remedy() {
        for (text, parts) in [
            ("loss=5", &["loss=5", "%"][..]),
            ("loss=150%", &["loss=150%", "0% to 100%"]),
            ("delay=50", &["delay=50", "missing", "ms"]),
            ("delay=-5ms", &["-5ms", "for example 50ms"]),
            ("delay=1h", &["\"h\"", "ms"]),
            ("delay=11s", &["delay=11s", "10s"]),
            ("delay=", &["delay=", "for example"]),
            ("latency=5ms", &["latency", "delay"]),
            ("delay", &["\"delay\"", "NAME=VALUE"]),
            ("", &["NAME=VALUE"]),
            ("loss=1%,loss=2%", &["loss", "twice"]),
            ("rate=0mbit", &["rate=0mbit", "loss=100%"]),
            ("rate=2mb", &["\"mb\"", "mbit"]),
            ("rate=1.2.3mbit", &["1.2.3mbit", "2mbit"]),
            ("burst=3", &["burst=3", "loss=5%"]),
            ("loss=5%,burst=0", &["burst=0", "burst=off"]),
            ("loss=80%,burst=2", &["loss=80%", "66.7%"]),
            ("queue=300ms", &["queue=300ms", "rate=2mbit"]),
            ("rate=1mbit,queue=1000MB", &["queue=1000MB", "64 MB"]),
        ] {
            let error = text.parse::<Impairment>().unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }
}
