//! The kernel and what it gives to this process: rings, descriptors, locked memory, CPUs, clocks.
#![forbid(unsafe_code)]

use dataplane::shard::backend::Unavailable;
use dataplane::shard::machine::Limit;

use crate::doctor::finding::{Finding, Verdict};
use crate::limits::CONNECTIONS_MAX;

/// The first kernel with `SINGLE_ISSUER` and `DEFER_TASKRUN`.
const KERNEL_WITH_RINGS: (u32, u32) = (6, 1);
/// The first kernel with `UDP_SEGMENT`.
const KERNEL_WITH_TRAINS: (u32, u32) = (4, 18);
/// Descriptors besides connections and shards: files, signals, the runtime, a lookup now and then.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Descriptors of one shard besides its sockets: its poller and its wake-up, or its ring.
const DESCRIPTORS_PER_SHARD: u64 = 4;
/// Memory that a shard's ring and its buffers may want to lock, bytes. Since Linux 5.12 a cgroup pays for it.
const LOCKED_MEMORY_WANTED: u64 = 8 * 1024 * 1024;
/// CPU time that a hypervisor gave to others, in percent, which media begins to feel.
const STEAL_PERCENT_MAX: f64 = 2.0;

/// The kernel's release, such as `6.18.44`.
pub fn kernel(release: Option<&str>) -> Finding {
    let Some(version) = release.and_then(version) else {
        return Finding::new(Verdict::Unknown, "kernel", release.unwrap_or("not readable"))
            .wanted("Linux 6.1 or later")
            .remedy("uname -r");
    };
    let found = release.unwrap_or_default();
    if version >= KERNEL_WITH_RINGS {
        return Finding::ok("kernel", found);
    }
    let lacks = if version < KERNEL_WITH_TRAINS {
        "sends no trains of packets (UDP_SEGMENT)"
    } else {
        "has no rings as wanted"
    };
    Finding::new(Verdict::Warn, "kernel", format!("{found}, which {lacks}"))
        .wanted("Linux 6.1 or later")
        .remedy("install a newer kernel; until then sending costs more CPU")
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-']).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Whether the kernel gives rings. The server runs without them: the other backend is as good.
pub fn rings(refusal: Option<&Unavailable>) -> Finding {
    let Some(refusal) = refusal else { return Finding::ok("io_uring", "available") };
    Finding::new(Verdict::Warn, "io_uring", format!("{}; mmsg is used", refusal.answer()))
        .wanted("available")
        .remedy(refusal.remedy())
}

/// How many descriptors `shards` shards with `sockets_per_shard` sockets and the HTTP server may need.
pub fn descriptors_needed(shards: usize, sockets_per_shard: usize) -> u64 {
    let per_shard = sockets_per_shard as u64 + DESCRIPTORS_PER_SHARD;
    CONNECTIONS_MAX as u64 + shards as u64 * per_shard + DESCRIPTORS_BESIDES
}

/// Descriptors. The server raises the soft limit to the hard one by itself.
pub fn descriptors(limit: Option<Limit>, needed: u64) -> Finding {
    let Some(limit) = limit else {
        return Finding::new(Verdict::Unknown, "descriptors", "the limit cannot be read")
            .wanted(format!("{needed} or more"))
            .remedy("ulimit -Hn");
    };
    let found = format!("{} (soft {})", count(limit.hard), count(limit.soft));
    if limit.hard >= needed {
        return Finding::ok("descriptors", found);
    }
    // Without room for the shards themselves nothing starts; without room for all connections some wait.
    let is_hopeless = limit.hard < needed.saturating_sub(CONNECTIONS_MAX as u64);
    let verdict = if is_hopeless { Verdict::Fail } else { Verdict::Warn };
    Finding::new(verdict, "descriptors", found)
        .wanted(format!("{needed} or more: shards, their sockets and {CONNECTIONS_MAX} connections"))
        .remedy(format!(
            "ulimit -Hn {needed} (systemd: LimitNOFILE={needed}, Docker: --ulimit nofile={needed})"
        ))
}

/// Memory that may be locked.
pub fn locked_memory(limit: Option<Limit>) -> Finding {
    let wanted = format!("{} KiB or more", LOCKED_MEMORY_WANTED / 1024);
    let Some(limit) = limit else {
        return Finding::new(Verdict::Unknown, "memlock", "the limit cannot be read")
            .wanted(wanted)
            .remedy("ulimit -l");
    };
    let found =
        if limit.soft == u64::MAX { "unlimited".to_owned() } else { format!("{} KiB", limit.soft / 1024) };
    if limit.soft >= LOCKED_MEMORY_WANTED {
        return Finding::ok("memlock", found);
    }
    Finding::new(
        Verdict::Warn,
        "memlock",
        format!("{found}, which kernels before 5.12 may find too little for a ring"),
    )
    .wanted(wanted)
    .remedy("ulimit -l unlimited (systemd: LimitMEMLOCK=infinity, Docker: --ulimit memlock=-1)")
}

fn count(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

/// What is known of the CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuFacts {
    /// CPUs that the process may use.
    pub allowed: usize,
    /// What chooses their frequency, of the slowest.
    pub governor: Option<String>,
    /// CPU time that the hypervisor gave to others while this machine wanted it, percent since its start.
    pub steal_percent: Option<f64>,
    /// CPUs' worth of time that the cgroup grants; `None` is no limit.
    pub quota: Option<f64>,
}

/// Shards and the CPUs for them.
pub fn cpus(facts: &CpuFacts, shards: usize) -> Finding {
    let found = format!("{shards} shards on {} CPUs", facts.allowed);
    if shards <= facts.allowed {
        return Finding::ok("cpus", found);
    }
    Finding::new(Verdict::Warn, "cpus", format!("{found}: shards wait for each other"))
        .wanted("at most one shard for each CPU")
        .remedy("SLUICE_SHARDS=auto")
}

/// The time that the cgroup grants.
pub fn cpu_quota(facts: &CpuFacts, shards: usize) -> Finding {
    match facts.quota {
        None => Finding::ok("cpu quota", "none"),
        Some(quota) if quota >= shards as f64 => Finding::ok("cpu quota", format!("{quota:.1} CPUs")),
        Some(quota) => {
            let found = format!(
                "{quota:.1} CPUs for {shards} shards: the kernel stops them for tens of milliseconds"
            );
            Finding::new(Verdict::Warn, "cpu quota", found).wanted(format!("{shards} CPUs or none")).remedy(
                format!(
                    "systemd: CPUQuota= (empty), Docker: without --cpus; or SLUICE_SHARDS={}",
                    (quota as usize).max(1)
                ),
            )
        }
    }
}

/// What chooses the frequency of the CPUs.
pub fn governor(facts: &CpuFacts) -> Option<Finding> {
    let governor = facts.governor.as_deref()?;
    Some(match governor {
        "powersave" | "conservative" => Finding::new(Verdict::Warn, "cpu governor", governor)
            .wanted("performance, or schedutil")
            .remedy("cpupower frequency-set -g performance"),
        _ => Finding::ok("cpu governor", governor),
    })
}

/// What the hypervisor gave to others.
pub fn steal(facts: &CpuFacts) -> Option<Finding> {
    let percent = facts.steal_percent?;
    let found = format!("{percent:.1} % since the machine started");
    Some(if percent <= STEAL_PERCENT_MAX {
        Finding::ok("cpu steal", found)
    } else {
        Finding::new(Verdict::Warn, "cpu steal", format!("{found}: media stands still meanwhile"))
            .wanted(format!("at most {STEAL_PERCENT_MAX:.0} %"))
            .remedy("a machine with CPUs of its own (dedicated, not burstable); `vmstat 1` shows st now")
    })
}

/// Where the kernel reads time from: every turn of a shard reads it.
pub fn clock_source(name: Option<&str>) -> Finding {
    let wanted = "tsc, kvm-clock, hyperv_clocksource_tsc_page or arch_sys_counter";
    match name {
        Some(name @ ("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page")) => {
            Finding::ok("clock source", name)
        }
        Some(name) => Finding::new(
            Verdict::Warn,
            "clock source",
            format!("{name}, which takes a system call to read"),
        )
        .wanted(wanted)
        .remedy(
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, if it is available",
        ),
        None => Finding::new(Verdict::Unknown, "clock source", "not readable")
            .wanted(wanted)
            .remedy("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }
}

/// Whether something keeps the wall clock.
pub fn time_sync(is_synchronized: Option<bool>) -> Finding {
    let wanted = "synchronized: sender reports and certificates carry wall time";
    match is_synchronized {
        Some(true) => Finding::ok("time", "synchronized"),
        Some(false) => Finding::new(Verdict::Warn, "time", "nothing keeps the clock in time")
            .wanted(wanted)
            .remedy("timedatectl set-ntp true, or install chrony"),
        None => Finding::new(Verdict::Unknown, "time", "the kernel does not tell")
            .wanted(wanted)
            .remedy("timedatectl"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::testing::check;
    use Verdict::{Fail, Ok, Unknown, Warn};

    #[test]
    fn a_kernel_before_6_1_is_a_warning_and_an_odd_one_unknown() {
        check(&kernel(Some("6.18.44")), Ok, "");
        check(&kernel(Some("6.1.0-28-amd64")), Ok, "");
        check(&kernel(Some("5.15.0")), Warn, "newer kernel");
        let oldest = kernel(Some("4.9.1"));
        check(&oldest, Warn, "newer kernel");
        assert!(oldest.found.contains("UDP_SEGMENT"));
        check(&kernel(Some("odd")), Unknown, "uname");
        check(&kernel(None), Unknown, "uname");
    }

    #[test]
    fn each_refusal_of_a_ring_has_its_remedy() {
        check(&rings(None), Ok, "");
        for (error, remedy) in [(38, "6.1 or newer"), (22, "6.1 or newer"), (12, "LimitMEMLOCK"), (5, "mmsg")]
        {
            let refusal = Unavailable::new("io_uring_setup", &std::io::Error::from_raw_os_error(error));
            let finding = rings(Some(&refusal));
            check(&finding, Warn, remedy);
            assert!(finding.found.starts_with("io_uring_setup gives "), "{}", finding.found);
        }
    }

    #[test]
    fn descriptors_are_counted_for_the_shards_that_are_asked_for() {
        let limit = |hard| Some(Limit { soft: 1024, hard });
        assert_eq!(descriptors_needed(2, 2), 4096 + 2 * 6 + 64);
        check(&descriptors(limit(1_048_576), 5000), Ok, "");
        check(&descriptors(limit(u64::MAX), 5000), Ok, "");
        check(&descriptors(limit(4096), 5000), Warn, "LimitNOFILE=5000");
        check(&descriptors(limit(256), 5000), Fail, "ulimit -Hn 5000");
        check(&descriptors(None, 5000), Unknown, "ulimit");
    }

    #[test]
    fn little_memory_to_lock_is_a_warning() {
        let limit = |soft| Some(Limit { soft, hard: u64::MAX });
        check(&locked_memory(limit(u64::MAX)), Ok, "");
        check(&locked_memory(limit(8 << 20)), Ok, "");
        check(&locked_memory(limit(64 << 10)), Warn, "LimitMEMLOCK=infinity");
        check(&locked_memory(None), Unknown, "ulimit -l");
    }

    #[test]
    fn more_shards_than_cpus_or_than_the_quota_is_a_warning() {
        let facts = |quota| CpuFacts { allowed: 4, quota, ..CpuFacts::default() };
        check(&cpus(&facts(None), 4), Ok, "");
        check(&cpus(&facts(None), 5), Warn, "SLUICE_SHARDS=auto");
        check(&cpu_quota(&facts(None), 4), Ok, "");
        check(&cpu_quota(&facts(Some(4.0)), 4), Ok, "");
        check(&cpu_quota(&facts(Some(1.5)), 4), Warn, "SLUICE_SHARDS=1");
    }

    #[test]
    fn a_slow_governor_and_stolen_time_are_warnings_and_what_is_not_there_is_not_said() {
        let facts = |governor: Option<&str>, steal_percent| CpuFacts {
            governor: governor.map(str::to_owned),
            steal_percent,
            ..CpuFacts::default()
        };
        assert_eq!((governor(&facts(None, None)), steal(&facts(None, None))), (None, None));
        check(&governor(&facts(Some("performance"), None)).expect("there is one"), Ok, "");
        check(&governor(&facts(Some("powersave"), None)).expect("there is one"), Warn, "cpupower");
        check(&steal(&facts(None, Some(0.4))).expect("it is known"), Ok, "");
        check(&steal(&facts(None, Some(9.0))).expect("it is known"), Warn, "dedicated");
    }

    #[test]
    fn a_slow_clock_and_one_that_nobody_keeps_are_warnings() {
        check(&clock_source(Some("tsc")), Ok, "");
        check(&clock_source(Some("hpet")), Warn, "current_clocksource");
        check(&clock_source(None), Unknown, "clocksource0");
        check(&time_sync(Some(true)), Ok, "");
        check(&time_sync(Some(false)), Warn, "timedatectl set-ntp true");
        check(&time_sync(None), Unknown, "timedatectl");
    }
}
