//! What peers need of the distribution: looked for, and installed if that is wanted.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use super::Peer;
use crate::failure::{Failure, OrFail};

/// A package, and a file that shows that it is there.
struct Package {
    name: &'static str,
    /// Any of these.
    shown_by: &'static [&'static str],
}

const JANUS: &[Package] = &[Package { name: "janus", shown_by: &["/usr/bin/janus", "/usr/local/bin/janus"] }];
const PION: &[Package] = &[
    Package { name: "golang-go", shown_by: &["/usr/bin/go", "/usr/local/go/bin/go"] },
    Package {
        name: "golang-github-pion-webrtc.v3-dev",
        shown_by: &["/usr/share/gocode/src/github.com/pion/webrtc/go.mod"],
    },
];
const MEDIASOUP: &[Package] = &[
    Package { name: "nodejs", shown_by: &["/usr/bin/node", "/usr/local/bin/node"] },
    Package { name: "npm", shown_by: &["/usr/bin/npm", "/usr/local/bin/npm"] },
];

/// Makes sure that what `peer` needs is there.
pub(crate) fn ensure(peer: Peer, is_install_wanted: bool) -> Result<(), Failure> {
    let needed = match peer {
        Peer::Janus => JANUS,
        Peer::Pion => PION,
        Peer::Mediasoup => MEDIASOUP,
        Peer::Str0mTokio => &[],
    };
    let is_missing = |package: &&Package| !package.shown_by.iter().any(|path| Path::new(path).exists());
    let missing: Vec<&str> = needed.iter().filter(is_missing).map(|package| package.name).collect();
    match (missing.as_slice(), is_install_wanted) {
        ([], _) => Ok(()),
        (missing, true) => install(missing),
        (missing, false) => Err(Failure::new(
            format!("not installed: {}", missing.join(", ")),
            format!(
                "run again with --install-peers, or install them: apt-get install --no-install-recommends {}",
                missing.join(" ")
            ),
        )),
    }
}

fn install(packages: &[&str]) -> Result<(), Failure> {
    eprintln!("installing {} ..", packages.join(", "));
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// Runs apt-get, by sudo where we are not root.
fn apt(arguments: &[&str]) -> Result<(), Failure> {
    let who = Command::new("id").arg("-u").output();
    let is_root = who.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let line = format!("apt-get {}", arguments.join(" "));
    let remedy = "run it yourself as root; --install-peers knows Debian and its kin only";
    match command.status().or_fail(&line, remedy)?.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("{line} failed"), remedy)),
    }
}
