//! A server process: started on free ports in a group of its own, waited for, ended by its id.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Url;

use super::{Entrance, Running};
use crate::failure::{Failure, OrFail};

/// A server that does not serve HTTP by then will not.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that has not ended by then is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// Time between two looks at a process.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Lines of a server's log that are shown when it failed.
const LOG_LINES_SHOWN: usize = 20;

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    /// How clients come in.
    pub(crate) entrance: Entrance,
    /// The process that forwards. Without it CPU and memory stay unknown.
    pub(crate) pid: Option<u32>,
    /// Where clients have to bind; `None`: from where the entrance is reached.
    pub(crate) client_ip: Option<IpAddr>,
    /// The counters of Sluice.
    pub(crate) metrics: Option<Url>,
    started: Option<Process>,
}

/// What is to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where it will serve HTTP.
    pub(crate) listen: SocketAddr,
    /// A folder of its own, which is removed with it.
    pub(crate) dir: Scratch,
}

/// A child of ours with its folder.
#[derive(Debug)]
struct Process {
    child: Child,
    dir: Scratch,
}

/// An empty folder that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Server {
    /// A server that somebody else has started.
    pub(crate) fn running(running: &Running) -> Self {
        Self {
            entrance: running.entrance.clone(),
            pid: running.pid,
            client_ip: None,
            metrics: None,
            started: None,
        }
    }

    /// Starts a program and waits until it serves HTTP. It forwards in the process that was started.
    pub(crate) fn start(launch: Launch, entrance: Entrance) -> Result<Self, Failure> {
        let mut process =
            Process::start(&launch.program, &launch.arguments, &launch.environment, launch.dir)?;
        process.wait_until_it_serves(&name_of(&launch.program), launch.listen)?;
        let pid = Some(process.child.id());
        Ok(Self { entrance, pid, client_ip: None, metrics: None, started: Some(process) })
    }

    /// The last lines that a server of ours has written.
    pub(crate) fn log_end(&self) -> String {
        self.started.as_ref().map_or_else(String::new, Process::log_end)
    }

    /// Whether we have started it, and so may simply end it.
    pub(crate) fn is_ours(&self) -> bool {
        self.started.is_some()
    }
}

impl Process {
    fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        dir: Scratch,
    ) -> Result<Self, Failure> {
        let log = File::create(dir.path().join("log")).or_fail("a log file for the server", "")?;
        let errors = log.try_clone().or_fail("a log file for the server", "")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and takes numbers.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
                Ok(())
            });
        }
        let child = command.spawn().or_fail(format!("{} could not be started", program.display()), "")?;
        Ok(Self { child, dir })
    }

    fn wait_until_it_serves(&mut self, name: &str, listen: SocketAddr) -> Result<(), Failure> {
        let give_up_at = Instant::now() + START_TIMEOUT;
        while TcpStream::connect_timeout(&listen, Duration::from_secs(1)).is_err() {
            let ended = self.child.try_wait().or_fail("waiting for the server", "")?;
            let problem = match ended {
                Some(status) => format!("{name} ended at once ({status})"),
                None if Instant::now() > give_up_at => format!("{name} does not serve HTTP on {listen}"),
                None => {
                    thread::sleep(LOOK_INTERVAL);
                    continue;
                }
            };
            return Err(Failure::new(problem, format!("look at its log, which ends:\n{}", self.log_end())));
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// Sends a signal to the process, or to all of its group.
    fn signal(&self, signal: libc::c_int, is_for_group: bool) {
        let pid = self.child.id() as libc::pid_t;
        let whom = if is_for_group { -pid } else { pid };
        // SAFETY: numbers only. The child has not been waited for, or its group was made by us and bears its id.
        unsafe { libc::kill(whom, signal) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(libc::SIGTERM, false);
        }
        let kill_at = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > kill_at {
                self.signal(libc::SIGKILL, true);
                let _ = self.child.wait();
            }
            thread::sleep(LOOK_INTERVAL);
        }
        // What it started and left behind.
        self.signal(libc::SIGKILL, true);
    }
}

impl Scratch {
    /// Makes one.
    pub(crate) fn new() -> Result<Self, Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sluice-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).or_fail(dir.display(), "set TMPDIR to a folder that can be written")?;
        Ok(Self(dir))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name_of(program: &Path) -> String {
    program.file_name().unwrap_or_default().display().to_string()
}

/// A loopback address that is free now.
pub(crate) fn free_tcp_address() -> Result<SocketAddr, Failure> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    address.or_fail("no free TCP port", "end some of the programs that listen")
}

/// The first of `count` UDP ports in a row that are free now.
pub(crate) fn free_udp_ports(count: u16) -> Result<u16, Failure> {
    let find = || -> io::Result<u16> {
        for _ in 0..100 {
            let first = UdpSocket::bind(("0.0.0.0", 0))?;
            let port = first.local_addr()?.port();
            let others: io::Result<Vec<_>> =
                (1..count).map(|offset| UdpSocket::bind(("0.0.0.0", port.saturating_add(offset)))).collect();
            if others.is_ok() {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    };
    find().or_fail(format!("no {count} free UDP ports in a row"), "take fewer shards (SLUICE_SHARDS)")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn launch(script: &str) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            listen: free_tcp_address().unwrap(),
            dir: Scratch::new().unwrap(),
        }
    }

    fn entrance() -> Entrance {
        Entrance::whip("http://h/".into(), "http://h/".into(), false).unwrap()
    }

    #[test]
    fn a_server_that_ends_at_once_shows_what_it_said() {
        let launch = launch("echo the port is taken >&2; exit 3");
        let dir = launch.dir.path().to_owned();
        let failure = Server::start(launch, entrance()).unwrap_err().to_string();
        assert!(failure.contains("ended at once") && failure.contains("the port is taken"), "{failure}");
        assert!(!dir.exists());
    }

    #[test]
    fn ending_a_server_ends_what_it_has_started() {
        let dir = Scratch::new().unwrap();
        let arguments = ["-c".to_owned(), "sleep 600 & echo $!; wait".to_owned()];
        let process = Process::start(Path::new("/bin/sh"), &arguments, &[], dir).unwrap();
        let log = process.dir.path().join("log");
        let grandchild = loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(pid) = text.strip_suffix('\n') {
                break pid.parse::<u32>().unwrap();
            }
            thread::sleep(LOOK_INTERVAL);
        };
        let is_alive = || {
            let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
        };
        assert!(is_alive());
        drop(process);
        let give_up_at = Instant::now() + Duration::from_secs(5);
        while is_alive() && Instant::now() < give_up_at {
            thread::sleep(LOOK_INTERVAL);
        }
        assert!(!is_alive());
    }
}
