//! Runs a server and any program behind a bad link to it, and says each second what the link does.
//!
//! # Invariants
//!
//! - Whatever runs on either side of the link ends with the bench, however that ends.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Figures;
use super::guard::Guard;
use super::request::{LinkRequest, Step};
use super::system::{self, INTERRUPTS};
use super::{Group, World, show};
use crate::failure::{Failure, OrFail};
use crate::targets::{Scratch, Starter, Target, Wishes};

/// Where Sluice serves its pages.
const SLUICE_HTTP_PORT: u16 = 8080;
/// A server that does not listen by then may be one that never does.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(20);
/// What has not ended by then is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// After Ctrl-C, which programs of the terminal see by themselves, the others are told so much later.
const INTERRUPT_GRACE: Duration = Duration::from_secs(1);
/// Time between two looks at the processes.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

/// Processes on the servers' side.
#[derive(Default)]
struct Servers(Vec<Server>);

/// A process that leads a process group.
struct Server {
    child: Child,
    has_ended: bool,
}

/// The Sluice of this tree.
struct Sluice {
    program: PathBuf,
    data: Scratch,
}

/// Runs `link`. The exit code is that of COMMAND, 128 and the number of the signal that ended it.
pub(crate) fn run(request: &LinkRequest) -> Result<u8, Failure> {
    let steps = request.steps().map_err(|problem| Failure::new(problem, "see link --help"))?;
    let sluice = match request.server {
        Some(_) => None,
        None => Some(Sluice::prepare(request.no_build)?),
    };
    let world = World::make()?;
    let group = world.group("command", request.links(), request.seed)?;
    system::count_interrupts();

    let guard = Guard::over(vec![world.space(), group.space()]);
    let mut servers = Servers::default();
    servers.start(&world, &group, server_command(request, &group, sluice.as_ref()))?;
    servers.wait_until_listening(&world)?;
    for text in &request.beside {
        servers.start(&world, &group, shell(text, &group))?;
    }
    let status = carry(request, &group, &steps, &mut servers)?;
    drop(servers);
    drop(guard);
    eprint!("{}", show::summary(&group.figures()));
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Starts COMMAND and stays until it has ended.
fn carry(
    request: &LinkRequest,
    group: &Group,
    steps: &[Step],
    servers: &mut Servers,
) -> Result<ExitStatus, Failure> {
    let mut command = Command::new(filled(&request.command[0], group));
    command.args(request.command[1..].iter().map(|word| filled(word, group)));
    name_addresses(&mut command, group);
    system::die_with_thread(&mut command);
    let mut child = group.enter(|| command.spawn())?.or_fail(
        format!("{} could not be started", request.command[0]),
        "name a program that is installed, behind --",
    )?;

    let began = Instant::now();
    let mut steps = steps.iter().peekable();
    let mut interrupts = Interrupts::default();
    let mut before = Figures::default();
    let mut next_second = SECOND;
    eprintln!("{}", show::links(Duration::ZERO, &request.links()));
    loop {
        if let Some(status) = child.try_wait().or_fail("waiting for COMMAND", "")? {
            return Ok(status);
        }
        let now = began.elapsed();
        while let Some(step) = steps.next_if(|step| step.after <= now) {
            group.set(step.links);
            eprintln!("{}", show::links(now, &step.links));
        }
        if now >= next_second {
            next_second += SECOND;
            let figures = group.figures();
            if !request.quiet {
                eprintln!("{}", show::second(now, &figures.since(&before)));
            }
            before = figures;
        }
        interrupts.pass_on(&child, Instant::now());
        servers.say_who_ended();
        thread::sleep(LOOK_INTERVAL);
    }
}

impl Sluice {
    fn prepare(is_built: bool) -> Result<Self, Failure> {
        let wishes = Wishes { is_build_wanted: !is_built, is_install_wanted: false };
        let starter = Starter::prepare(&[Target::Sluice(Vec::new())], wishes)?;
        Ok(Self { program: starter.sluice(), data: Scratch::new()? })
    }
}

/// What Ctrl-C and SIGTERM to the bench mean to COMMAND.
#[derive(Default)]
struct Interrupts {
    first_at: Option<Instant>,
    is_told: bool,
}

impl Interrupts {
    /// The first is passed on, if COMMAND has not seen it by itself; the second ends it at once.
    fn pass_on(&mut self, child: &Child, now: Instant) {
        let count = INTERRUPTS.load(Ordering::Relaxed);
        if count == 0 {
            return;
        }
        let first_at = *self.first_at.get_or_insert(now);
        if count > 1 {
            system::signal(child.id(), libc::SIGKILL);
        } else if !self.is_told && now > first_at + INTERRUPT_GRACE {
            system::signal(child.id(), libc::SIGTERM);
            self.is_told = true;
        }
    }
}

impl Servers {
    /// Starts one in a process group of its own.
    fn start(&mut self, world: &World, group: &Group, mut command: Command) -> Result<(), Failure> {
        name_addresses(&mut command, group);
        // What it prints is no output of COMMAND.
        command.stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
        system::die_with_thread(&mut command);
        let program = command.get_program().display().to_string();
        let started = world.enter(|| command.spawn())?;
        let child = started.or_fail(format!("{program} could not be started"), "look whether it is there")?;
        self.0.push(Server { child, has_ended: false });
        Ok(())
    }

    /// Waits for the first TCP port: in this world nobody else listens.
    fn wait_until_listening(&mut self, world: &World) -> Result<(), Failure> {
        let give_up_at = Instant::now() + LISTEN_TIMEOUT;
        while Instant::now() < give_up_at && INTERRUPTS.load(Ordering::Relaxed) == 0 {
            if world.enter(is_listened_to)? {
                return Ok(());
            }
            if let Some(status) = self.0.iter_mut().find_map(Server::take_end) {
                return Err(Failure::new(
                    format!("the server ended before it listened on TCP ({status})"),
                    "look at what it said above; it has to stay in the foreground and to listen on {server}",
                ));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        eprintln!("link: nothing listens on TCP after {LISTEN_TIMEOUT:?}; going on");
        Ok(())
    }

    fn say_who_ended(&mut self) {
        for server in &mut self.0 {
            if let Some(status) = server.take_end() {
                eprintln!("link: process {} on the server's side has ended ({status})", server.child.id());
            }
        }
    }
}

impl Server {
    /// How it ended, once.
    fn take_end(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok()?.filter(|_| !self.has_ended)?;
        self.has_ended = true;
        Some(status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        system::signal_group(&self.child, libc::SIGTERM);
        let kill_at = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > kill_at {
                let _ = self.child.kill();
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

fn server_command(request: &LinkRequest, group: &Group, sluice: Option<&Sluice>) -> Command {
    let Some(sluice) = sluice else {
        return shell(request.server.as_deref().unwrap_or_default(), group);
    };
    let ip = group.server_address().to_string();
    let mut command = Command::new(&sluice.program);
    for (name, value) in [
        ("SLUICE_HTTP_LISTEN", format!("{ip}:{SLUICE_HTTP_PORT}")),
        ("SLUICE_RTC_LISTEN", ip),
        ("SLUICE_AUTH", "open".to_owned()),
        ("SLUICE_DATA_DIR", sluice.data.path().display().to_string()),
        ("RUST_LOG", "warn".to_owned()),
    ] {
        // Who set it wants it so.
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command
}

fn shell(text: &str, group: &Group) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(filled(text, group));
    command
}

fn filled(text: &str, group: &Group) -> String {
    let server = group.server_address().to_string();
    text.replace("{server}", &server).replace("{client}", &group.address().to_string())
}

fn name_addresses(command: &mut Command, group: &Group) {
    command.env("LINK_SERVER", group.server_address().to_string());
    command.env("LINK_CLIENT", group.address().to_string());
}

/// Whether anybody listens on a TCP port in the network of the calling thread.
fn is_listened_to() -> bool {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    tables.iter().any(|table| has_listener(&fs::read_to_string(table).unwrap_or_default()))
}

/// The fourth word of a line is the state; 0A is LISTEN.
fn has_listener(table: &str) -> bool {
    table.lines().any(|line| line.split_ascii_whitespace().nth(3) == Some("0A"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_by_its_state() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr\n";
        let line =
            |state| format!("{head}   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:0 0\n");
        assert!(has_listener(&line("0A")) && !has_listener(&line("01")) && !has_listener(head));
    }
}
