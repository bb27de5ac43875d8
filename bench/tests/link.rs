//! `bench link` as a person runs it. Without permission for namespaces and TUN devices it is skipped.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A machine that runs other tests lets processes wait.
const PATIENCE: Duration = Duration::from_secs(20);
const SERVER: &str = "python3 -m http.server -b {server} 8000";

fn link(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.arg("link").args(arguments);
    command
}

/// `None` where links are not permitted.
fn run(arguments: &[&str]) -> Option<Output> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the server of this test needs python3");
        return None;
    }
    let output = link(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("what to do: ")
        && (said.contains("a network namespace") || said.contains("a TUN device"))
    {
        eprintln!("SKIPPED: {said}");
        return None;
    }
    Some(output)
}

/// The ids of processes that bear `mark` in their environment.
fn bearing(mark: &str) -> Vec<u32> {
    let of = |entry: fs::DirEntry| -> Option<u32> {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()).then_some(id)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

#[test]
fn a_program_reaches_the_server_over_the_link_and_its_exit_code_is_that_of_the_bench() {
    let script = "curl -sS -o /dev/null -w '%{http_code} %{time_total}' http://{server}:8000/; exit 7";
    let arguments =
        ["--up", "delay=40ms", "--down", "delay=40ms", "--server", SERVER, "--", "sh", "-c", script];
    let Some(output) = run(&arguments) else { return };
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{told}");
    let (code, seconds) = said.trim().split_once(' ').unwrap();
    // A connection and a request: two round trips.
    assert!(code == "200" && seconds.parse::<f64>().unwrap() > 0.16, "{said}");
    assert!(told.contains("up is delay=40ms") && told.contains("packets that came"), "{told}");
}

#[test]
fn a_server_that_ends_at_once_is_said() {
    let Some(output) = run(&["--server", "echo no such port >&2; exit 3", "--", "true"]) else { return };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("ended before it listened") && told.contains("no such port"), "{told}");
}

#[test]
fn nothing_remains_of_what_was_started_when_the_bench_is_killed() {
    let mark = format!("LINK_TEST={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let server = format!("sleep 600 & {SERVER} & wait");
    let arguments =
        ["--server", &server, "--beside", "sleep 600 & wait", "--", "sh", "-c", "echo runs; sleep 600"];
    let mut bench = link(&arguments).env(name, value).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(bench.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        eprintln!("SKIPPED: the bench said why");
        bench.wait().unwrap();
        return;
    }
    assert!(bearing(&mark).len() > 5, "{:?}", bearing(&mark));
    bench.kill().unwrap();
    bench.wait().unwrap();
    let give_up_at = Instant::now() + PATIENCE;
    while !bearing(&mark).is_empty() && Instant::now() < give_up_at {
        thread::sleep(Duration::from_millis(20));
    }
    let left = bearing(&mark);
    for id in &left {
        // So that a failure leaves nothing behind either.
        let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
    }
    assert!(left.is_empty(), "{left:?}");
}
