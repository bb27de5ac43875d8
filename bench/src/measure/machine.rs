//! Which machine and which code a figure belongs to.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine of a run. What cannot be found out is empty.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Frequency governor of the first core.
    pub(crate) governor: String,
    /// Of the source tree that the bench was started in.
    pub(crate) commit: String,
    /// Processes that wanted to run in the minute before.
    pub(crate) load_average: String,
}

impl Machine {
    /// Looks around.
    pub(crate) fn read() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find(|line| line.starts_with("model name"));
        Self {
            cpu: cpu.and_then(|line| line.split_once(": ")).map_or("", |(_, name)| name).trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            commit: commit(),
            load_average: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
