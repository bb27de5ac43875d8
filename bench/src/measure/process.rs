//! CPU time, memory and threads of a process, from /proc.

use std::fs;
use std::io;

/// Fewer ticks of 10 ms say nothing of user and system time.
const TICKS_MIN: f64 = 10.0;

/// CPU time used so far. Differences of two readings mean something, one reading does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// All threads that are alive, ns: exact, from the scheduler.
    pub(crate) total_ns: u64,
    /// User time, in ticks of 10 ms.
    user_ticks: u64,
    /// System time, in ticks of 10 ms.
    system_ticks: u64,
}

/// CPU time between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuSpent {
    /// User and system time, ns.
    pub(crate) total_ns: u64,
    /// Which part of it was spent in the kernel, 0..=1; from ticks, so roughly. `None` of too few ticks.
    pub(crate) system_share: Option<f64>,
}

impl CpuTime {
    /// Reads the CPU time of a process.
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user_ticks, system_ticks) = parse_stat(&stat)
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))?;
        let mut total_ns = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the reading; its time is then lost to both readings.
            let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            total_ns += schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Self { total_ns, user_ticks, system_ticks })
    }

    /// What was spent since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> CpuSpent {
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(earlier.system_ticks) as f64;
        let system_share = (user + system >= TICKS_MIN).then(|| system / (user + system));
        CpuSpent { total_ns: self.total_ns.saturating_sub(earlier.total_ns), system_share }
    }
}

/// utime and stime (proc_pid_stat(5), fields 14 and 15). The name of the program, in parentheses, may
/// itself hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Memory and threads of a process now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// Open file descriptors.
    pub(crate) files: u64,
}

impl Footprint {
    /// Reads it.
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        // Of somebody else's process they may not be listed.
        let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        Ok(Self { rss_bytes: field(&status, "VmRSS:") * 1024, threads: field(&status, "Threads:"), files })
    }
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(stat), Some((250, 31)));
    }

    #[test]
    fn work_shows_in_the_cpu_time_and_memory_is_read() {
        let pid = std::process::id();
        let before = CpuTime::read(pid).unwrap();
        let mut sum = 0u64;
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 50 {
            sum = std::hint::black_box(sum + 1);
        }
        let spent = CpuTime::read(pid).unwrap().since(&before);
        assert!(spent.total_ns > 5_000_000, "{spent:?}");
        let footprint = Footprint::read(pid).unwrap();
        assert!(footprint.rss_bytes > 100_000 && footprint.threads >= 1, "{footprint:?}");
    }
}
