//! Which machine and which code a figure belongs to.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine of a run. What cannot be found out is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Frequency governor of the first core.
    pub(crate) governor: String,
    /// What the hypervisor calls itself; empty on bare metal, and where it hides.
    pub(crate) hypervisor: String,
    /// `name: state` of every CPU vulnerability that the kernel does something about.
    pub(crate) mitigations: Vec<String>,
    /// Processes that wanted to run in the minute before the run.
    pub(crate) load_average: f64,
}

/// The source tree that the bench was started in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// Empty outside a repository.
    pub(crate) commit: String,
    /// Whether it had changes that are not committed.
    pub(crate) is_dirty: bool,
}

impl Machine {
    /// Looks around.
    pub(crate) fn read() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value).trim().to_owned()
        };
        let memory = read("/proc/meminfo");
        let memory_kib = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        Self {
            cpu: field("model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: memory_kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            hypervisor: if field("flags").split(' ').any(|flag| flag == "hypervisor") {
                let vendor = read("/sys/class/dmi/id/sys_vendor");
                if vendor.is_empty() { "unknown".to_owned() } else { vendor }
            } else {
                String::new()
            },
            mitigations: mitigations(),
            load_average: load_average(),
        }
    }
}

impl Tree {
    /// Asks git.
    pub(crate) fn read() -> Self {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        Self {
            commit: git(&["rev-parse", "--short=12", "HEAD"]),
            is_dirty: !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty(),
        }
    }
}

/// Processes that wanted to run in the last minute.
pub(crate) fn load_average() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn mitigations() -> Vec<String> {
    let folder = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    let mut found: Vec<String> = folder
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(entry.path())))
        .filter(|(_, state)| !state.is_empty() && state != "Not affected")
        .map(|(name, state)| format!("{name}: {state}"))
        .collect();
    found.sort();
    found
}

fn read(path: impl AsRef<std::path::Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
