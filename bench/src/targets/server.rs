//! A server process: started on free ports, waited for, ended.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Url;

use super::Endpoints;
use crate::failure::{Failure, OrFail};

/// A server that does not serve HTTP by then will not.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that has not ended by then is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// The room that is measured.
const ROOM: &str = "bench";
/// Lines of a failed server's log that are shown.
const LOG_LINES_SHOWN: usize = 20;

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it is reached, and its process.
    pub(crate) endpoints: Endpoints,
    /// Ours to end, with its folder; `None` if it was there before us.
    started: Option<(Child, PathBuf)>,
}

impl Server {
    /// A server that somebody else has started.
    pub(crate) fn running(endpoints: Endpoints) -> Self {
        Self { endpoints, started: None }
    }

    /// Starts a program that will serve HTTP on `listen`, and waits until it does.
    pub(crate) fn spawn(
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        listen: SocketAddr,
        dir: PathBuf,
    ) -> Result<Self, Failure> {
        let name = program.file_name().unwrap_or_default().display().to_string();
        let log = File::create(dir.join("log")).or_fail("a log file for the server", "")?;
        let errors = log.try_clone().or_fail("a log file for the server", "")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and takes numbers.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
                Ok(())
            });
        }
        let child = command.spawn().or_fail(format!("{name} could not be started"), "")?;
        let url = |path| {
            Url::parse(&format!("http://{listen}/{path}/{ROOM}")).expect("an address and a word make a URL")
        };
        let endpoints = Endpoints { whip: url("whip"), whep: url("whep"), pid: Some(child.id()) };
        let mut server = Self { endpoints, started: Some((child, dir)) };
        server.wait_until_it_serves(&name, listen)?;
        Ok(server)
    }

    fn wait_until_it_serves(&mut self, name: &str, listen: SocketAddr) -> Result<(), Failure> {
        let give_up_at = Instant::now() + START_TIMEOUT;
        while TcpStream::connect_timeout(&listen, Duration::from_secs(1)).is_err() {
            let (child, _) = self.started.as_mut().expect("it was started by us");
            let ended = child.try_wait().or_fail("waiting for the server", "")?;
            let problem = match ended {
                Some(status) => format!("{name} ended at once ({status})"),
                None if Instant::now() > give_up_at => format!("{name} does not serve HTTP on {listen}"),
                None => {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            };
            return Err(Failure::new(format!("{problem}; its log ends:\n{}", self.log_end()), ""));
        }
        Ok(())
    }

    /// The last lines that a server of ours has written.
    pub(crate) fn log_end(&self) -> String {
        let Some((_, dir)) = &self.started else { return String::new() };
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// Whether we have started it, and so may simply end it.
    pub(crate) fn is_ours(&self) -> bool {
        self.started.is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some((mut child, dir)) = self.started.take() else { return };
        // SAFETY: a signal to a child that has not been waited for, so its id is still its own.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        let kill_at = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = child.try_wait() {
            if Instant::now() > kill_at {
                let _ = child.kill();
                let _ = child.wait();
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_dir_all(dir);
    }
}

/// An empty folder for one server.
pub(crate) fn scratch_dir() -> Result<PathBuf, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("sluice-bench-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).or_fail(dir.display(), "set TMPDIR to a folder that can be written")?;
    Ok(dir)
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
    find().or_fail(format!("no {count} free UDP ports in a row"), "take fewer --shards")
}
