//! Files below /proc and /sys.
#![forbid(unsafe_code)]

use std::path::Path;
use std::str::FromStr;

use dataplane::shard::affinity::allowed_cpus;

use crate::doctor::checks::system::CpuFacts;

pub(super) fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

pub(super) fn number<T: FromStr>(path: impl AsRef<Path>) -> Option<T> {
    text(path)?.parse().ok()
}

pub(super) fn cpus() -> CpuFacts {
    let allowed = allowed_cpus().unwrap_or_default();
    let governors = allowed
        .iter()
        .filter_map(|cpu| text(format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")));
    // `powersave` sorts last of the usual ones but `schedutil` and `userspace`; the slowest one is wanted.
    let is_slow = |governor: &String| governor == "powersave" || governor == "conservative";
    let governors: Vec<String> = governors.collect();
    let governor = governors.iter().find(|governor| is_slow(governor)).or(governors.first()).cloned();
    CpuFacts {
        allowed: allowed.len(),
        governor,
        steal_percent: text("/proc/stat").as_deref().and_then(steal_percent),
        quota: quota(),
    }
}

/// The first line: `cpu user nice system idle iowait irq softirq steal ...`, in ticks.
fn steal_percent(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let total: u64 = ticks.iter().sum();
    let steal = ticks.get(7)?;
    (total > 0).then(|| *steal as f64 * 100.0 / total as f64)
}

/// The tightest quota of the own cgroup and those above it.
fn quota() -> Option<f64> {
    let root = Path::new("/sys/fs/cgroup");
    let own = text("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let quotas = Path::new(&own).ancestors().filter_map(|folder| text(root.join(folder).join("cpu.max")));
    quotas.filter_map(|line| quota_of(&line)).min_by(f64::total_cmp)
}

/// `max 100000` is none; `150000 100000` is one and a half CPUs.
fn quota_of(line: &str) -> Option<f64> {
    let (quota, period) = line.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then(|| quota / period)
}

pub(super) fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists())
        || std::env::var_os("container").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_in_cpus() {
        assert_eq!(quota_of("max 100000"), None);
        assert_eq!(quota_of("150000 100000"), Some(1.5));
        assert_eq!(quota_of(""), None);
        assert_eq!(quota_of("1 0"), None);
    }

    #[test]
    fn stolen_time_is_a_share_of_all() {
        assert_eq!(steal_percent("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1"), Some(10.0));
        assert_eq!(steal_percent("cpu  0 0 0 0 0 0 0 0"), None);
        assert_eq!(steal_percent("cpu  1 2 3"), None);
        assert_eq!(steal_percent(""), None);
    }
}
