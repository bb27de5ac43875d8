//! What the program says and how it ends: started as people and service managers start it.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, with these settings and none of ours.
fn sluice(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let foreign =
        |name: &String| name.starts_with("SLUICE_") || name == "RUST_LOG" || name == "NOTIFY_SOCKET";
    for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
        command.env_remove(name);
    }
    command.env("SLUICE_RTC_LISTEN", "127.0.0.1").env("SLUICE_RTC_PORT", "0").env("SLUICE_SHARDS", "1");
    command.env("SLUICE_HTTP_LISTEN", "127.0.0.1:0");
    command.envs(settings.iter().map(|(name, value)| (format!("SLUICE_{name}"), *value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs to its end, and asserts how it ends and what it says to standard error.
#[track_caller]
fn fails(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.output().unwrap();
    let (_, errors) = said(&output);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for part in parts {
        assert!(errors.contains(part), "{part} is not in\n{errors}");
    }
    assert!(!errors.contains("panicked") && !errors.contains('\x1b'), "{errors}");
}

/// A port that nobody has now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server of this program; killed with the test.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Starts it, and waits until it answers.
    fn start(settings: &[(&str, &str)], change: impl FnOnce(&mut Command)) -> Self {
        let port = free_port();
        let mut command = sluice(settings);
        command.env("SLUICE_HTTP_LISTEN", format!("127.0.0.1:{port}"));
        change(&mut command);
        let running = Self { child: command.spawn().unwrap(), port };
        let end = Instant::now() + Duration::from_secs(20);
        while running.health(settings).is_err() {
            assert!(Instant::now() < end, "it does not answer: {}", running.health(settings).unwrap_err());
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }

    fn health(&self, settings: &[(&str, &str)]) -> Result<(), String> {
        let mut command = sluice(settings);
        command.env("SLUICE_HTTP_LISTEN", format!("127.0.0.1:{}", self.port));
        let output = command.args(["healthcheck", "--ready"]).output().unwrap();
        output.status.success().then_some(()).ok_or_else(|| said(&output).1)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for its end; gives its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String, String) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut texts = [String::new(), String::new()];
        self.child.stdout.take().unwrap().read_to_string(&mut texts[0]).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut texts[1]).unwrap();
        let [stdout, stderr] = texts;
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of its own for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn write_pair(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.0.join("crt"), made.cert.pem()).unwrap();
        std::fs::write(self.0.join("key"), made.signing_key.serialize_pem()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn all_wrong_settings_are_told_at_once_and_the_exit_code_is_2() {
    let wrong = [("RTC_PORT", "99999"), ("SHARDS", "0"), ("HTTP_LISTEN", "0.0.0.0:80"), ("SHARD", "2")];
    let parts =
        ["3 settings are wrong", "0 to 65535", "1 to 256", "SLUICE_AUTH=open", "perhaps SLUICE_SHARDS"];
    fails(&mut sluice(&wrong), 2, &parts);
    fails(sluice(&[]).arg("--nope"), 2, &["--nope"]);
    fails(sluice(&[]).args(["--config", "/nope.toml"]), 2, &["/nope.toml", "can be read"]);
    fails(sluice(&[]).env("RUST_LOG", "a=b=c"), 2, &["RUST_LOG = `a=b=c`"]);
}

#[test]
fn a_taken_port_is_named_with_what_finds_its_owner() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let taken = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], udp))).unwrap();
    let owner = format!("ss -lunp 'sport = :{udp}'");
    fails(&mut sluice(&[("RTC_PORT", &udp.to_string())]), 1, &["cannot start", &owner, "SLUICE_RTC_PORT"]);
    drop(taken);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let owner = format!("ss -ltnp 'sport = :{}'", address.port());
    let settings = [("HTTP_LISTEN", address.to_string())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fails(&mut sluice(&settings), 1, &["http_listen", &owner, "SLUICE_HTTP_LISTEN"]);
}

#[test]
fn files_of_tls_that_are_missing_or_do_not_fit_are_named() {
    let folder = Folder::new("misfit");
    let (certificate, key) = (format!("{}/crt", folder.path()), format!("{}/key", folder.path()));
    let settings = [("TLS", "files"), ("TLS_CERTIFICATE", &certificate), ("TLS_KEY", &key)];
    let settings = settings.map(|(name, value): (&str, &str)| (name, value));
    fails(&mut sluice(&settings), 1, &[&certificate, "remedy: set SLUICE_TLS_CERTIFICATE"]);
    folder.write_pair();
    let certificate_of_another = std::fs::read(&certificate).unwrap();
    folder.write_pair();
    std::fs::write(&certificate, certificate_of_another).unwrap();
    fails(&mut sluice(&settings), 1, &["do not belong together", "remedy: name the key"]);
    std::fs::write(&key, "no key").unwrap();
    fails(&mut sluice(&settings), 1, &["no PEM private key"]);
    fails(&mut sluice(&[("TLS", "self-signed"), ("DATA_DIR", "/proc/nope")]), 1, &["SLUICE_DATA_DIR"]);
}

#[test]
fn a_start_and_a_stop_are_told_to_people_and_to_systemd() {
    let folder = Folder::new("notify");
    let socket = folder.0.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let running = Running::start(&[], |command| {
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    });
    let port = running.port;
    let mut buffer = [0; 256];
    let mut hear = || {
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let ready = hear();
    assert!(ready.starts_with("READY=1\nSTATUS=http://127.0.0.1:"), "{ready}");
    assert_eq!(hear(), "WATCHDOG=1");
    running.signal("TERM");
    let mut heard = hear();
    while heard == "WATCHDOG=1" {
        heard = hear();
    }
    assert!(heard.starts_with("STOPPING=1\n"), "{heard}");
    let (code, stdout, _) = running.end();
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.starts_with(&format!("Sluice is running. Open http://127.0.0.1:{port}/\n")), "{stdout}");
    for part in ["  version      0.", "sluice: SIGTERM received", "sluice: stopped after "] {
        assert!(stdout.contains(part), "{part} is not in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b'), "{stdout}");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let running = Running::start(&[], |_| {});
    // Both wait for it when it goes on, so the second one is there as soon as the stop begins.
    running.signal("STOP");
    running.signal("TERM");
    running.signal("INT");
    running.signal("CONT");
    let (code, stdout, _) = running.end();
    assert_eq!(code, Some(130), "{stdout}");
    assert!(stdout.contains("again: stopping at once"), "{stdout}");
}

#[test]
fn a_log_for_machines_is_one_object_a_line_and_nothing_else_is_written() {
    let running = Running::start(&[("LOG_FORMAT", "json")], |_| {});
    running.signal("INT");
    let (code, stdout, stderr) = running.end();
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let has = |message: &str| lines.iter().any(|line| line["message"].as_str() == Some(message));
    assert!(has("sluice is running") && has("SIGINT received"), "{stderr}");
}

// docs/SECURITY.md H13
#[test]
fn a_hang_up_takes_a_new_certificate_into_use() {
    let folder = Folder::new("reload");
    folder.write_pair();
    let (certificate, key) = (format!("{}/crt", folder.path()), format!("{}/key", folder.path()));
    let settings = [("TLS", "files"), ("TLS_CERTIFICATE", certificate.as_str()), ("TLS_KEY", key.as_str())];
    let mut running = Running::start(&settings, |_| {});
    let mut log = BufReader::new(running.child.stderr.take().unwrap());
    folder.write_pair();
    running.signal("HUP");
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("a new certificate is in use"), "{line}");
    running.health(&settings).unwrap();
}

#[test]
fn the_doctor_finds_a_taken_port_and_ends_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = sluice(&[("HTTP_LISTEN", &address)]).args(["doctor", "--json"]).output().unwrap();
    let (stdout, _) = said(&output);
    let page: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((output.status.code(), page["verdict"].as_str()), (Some(2), Some("fail")), "{stdout}");
    let findings = page["findings"].as_array().unwrap();
    let of = |check: &str| findings.iter().find(|finding| finding["check"] == check);
    assert_eq!(of("http port").unwrap()["verdict"], "fail");
    assert!(of("http port").unwrap()["remedy"].as_str().unwrap().contains("ss -ltnp"));
    for check in ["settings", "kernel", "io_uring", "descriptors", "receive buffer", "firewall", "addresses"]
    {
        assert!(of(check).is_some(), "{check} is not in\n{stdout}");
    }
}

#[test]
fn the_doctor_judges_the_machine_even_when_the_settings_are_wrong() {
    let output = sluice(&[("RTC_PORT", "x"), ("TLS", "y")]).arg("doctor").output().unwrap();
    let (stdout, _) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{stdout}");
    for part in ["FAIL  settings", "OK    kernel", "mend    set SLUICE_TLS", " 2 failures"] {
        assert!(stdout.contains(part), "{part} is not in\n{stdout}");
    }
    assert!(!stdout.contains("udp ports") && !stdout.contains('\x1b'), "{stdout}");
}

#[test]
fn the_doctor_takes_a_sluice_that_runs_for_the_owner_of_its_ports() {
    let running = Running::start(&[], |_| {});
    let address = format!("127.0.0.1:{}", running.port);
    let output = sluice(&[("HTTP_LISTEN", &address)]).arg("doctor").output().unwrap();
    let (stdout, _) = said(&output);
    assert!(stdout.contains("OK    http port"), "{stdout}");
    assert!(stdout.contains("a Sluice answers there"), "{stdout}");
}

#[test]
fn a_healthcheck_without_a_server_is_1() {
    let address = format!("127.0.0.1:{}", free_port());
    fails(sluice(&[("HTTP_LISTEN", &address)]).arg("healthcheck"), 1, &["no answer from", "http_listen"]);
}
