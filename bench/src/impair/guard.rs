//! Ends what runs in namespaces when the bench ends, however it ends.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::space::Space;
use super::system;

/// Looks for processes: one that starts another while it is ended is seen by the next.
const LOOKS: u32 = 5;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Kills every process of its spaces when it is dropped. If the bench is killed before, a shell does it, whose
/// standard input ends then.
pub(super) struct Guard<'a> {
    spaces: Vec<&'a Space>,
    /// Without it, less is certain, and nothing else is worse.
    shell: io::Result<Child>,
}

impl<'a> Guard<'a> {
    /// Begins to watch.
    pub(super) fn over(spaces: Vec<&'a Space>) -> Self {
        let names: Vec<String> = spaces.iter().map(|space| format!("'{}'", space.name())).collect();
        let script = format!(
            "read gone; for look in 1 2 3; do for process in /proc/[0-9]*; do \
             case $(readlink $process/ns/net) in {}) kill -s KILL ${{process#/proc/}};; esac; \
             done; done 2>/dev/null",
            names.join("|")
        );
        let mut shell = Command::new("sh");
        // In a group of its own, so that Ctrl-C does not end it before the others.
        let shell = shell.args(["-c", &script]).stdin(Stdio::piped()).process_group(0).spawn();
        Self { spaces, shell }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        for _ in 0..LOOKS {
            let left: Vec<u32> = self.spaces.iter().flat_map(|space| processes_in(space.name())).collect();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(|id| system::signal(id, libc::SIGKILL));
            thread::sleep(LOOK_INTERVAL);
        }
        if let Ok(shell) = &mut self.shell {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

/// The ids of the processes that are in a network.
fn processes_in(name: &str) -> Vec<u32> {
    let is_there = |id: &u32| {
        let network = fs::read_link(format!("/proc/{id}/ns/net"));
        network.is_ok_and(|network| network.as_os_str() == name)
    };
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_there).collect()
}
