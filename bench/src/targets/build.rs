//! Builds the servers that stand in this tree, so that what is measured is what is written there.
#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Peer, Target};
use crate::failure::{Failure, OrFail};

/// Where built servers lie and where the sources of peers stand.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    /// The target folder of cargo.
    target_dir: PathBuf,
}

impl Binaries {
    /// Finds the target folder.
    pub(crate) fn find() -> Result<Self, Failure> {
        let remedy = "start the bench by `cargo run --release -p bench`";
        let own = env::current_exe().or_fail("the bench cannot find itself", remedy)?;
        // TARGET/release/bench, and TARGET/debug/deps/bench-HASH in a test.
        let folders = own.ancestors().skip(1).find(|dir| dir.ends_with("release") || dir.ends_with("debug"));
        let target_dir = folders
            .and_then(Path::parent)
            .ok_or_else(|| Failure::new("the bench is not in a cargo target folder", remedy))?;
        Ok(Self { target_dir: target_dir.to_owned() })
    }

    /// Brings the Rust servers among `targets` up to date when cargo started us, and checks that they are there.
    pub(crate) fn prepare_rust(&self, targets: &[Target], is_build_wanted: bool) -> Result<(), Failure> {
        let programs: Vec<_> = targets.iter().filter_map(program).collect();
        if programs.is_empty() {
            return Ok(());
        }
        if is_build_wanted && let Some(cargo) = env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--release", "--target-dir"]).arg(&self.target_dir);
            // Always both: another set of packages is another set of features, and so another full build.
            build.args(["-p", "controlplane", "-p", "str0m-tokio"]);
            if let Some(manifest_dir) = env::var_os("CARGO_MANIFEST_DIR") {
                build.current_dir(manifest_dir);
            }
            if !build.status().or_fail("cargo build", "")?.success() {
                return Err(Failure::new(
                    "a server could not be built",
                    "mend the build, or take the binaries that lie there by --no-build",
                ));
            }
        }
        match programs.iter().find(|(_, binary)| !self.rust(binary).is_file()) {
            Some((package, binary)) => {
                let build = format!("build it: cargo build --release -p {package}");
                Err(Failure::new(format!("{} is not there", self.rust(binary).display()), build))
            }
            None => Ok(()),
        }
    }

    /// Builds the Pion peer with the Go packages of the distribution.
    pub(crate) fn prepare_pion(&self, is_build_wanted: bool) -> Result<(), Failure> {
        let binary = self.pion();
        if binary.is_file() && !is_build_wanted {
            return Ok(());
        }
        let remedy = "install golang-go and golang-github-pion-webrtc.v3-dev, or run with --install-peers";
        let go_path = self.target_dir.join("bench-peers/go");
        let copy = go_path.join("src/sluice-bench-pion");
        copy_files(&peer_sources("pion")?, &copy).or_fail(copy.display(), "")?;
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&binary).arg(".").current_dir(&copy);
        // The packages of the distribution lie in a GOPATH, and there is nothing to download. Only code inside
        // a GOPATH, with a go.mod, is granted import paths that end in a version.
        build.env("GO111MODULE", "off").env("GOFLAGS", "");
        build.env("GOPATH", format!("{}:/usr/share/gocode", go_path.display()));
        build.env("GOCACHE", self.target_dir.join("bench-peers/go-cache"));
        match build.status().or_fail("go build", remedy)?.success() {
            true => Ok(()),
            false => Err(Failure::new("the Pion peer could not be built", remedy)),
        }
    }

    /// The path of a Rust server.
    pub(crate) fn rust(&self, binary: &str) -> PathBuf {
        self.target_dir.join("release").join(binary)
    }

    /// The path of the Pion peer.
    pub(crate) fn pion(&self) -> PathBuf {
        self.target_dir.join("bench-peers/pion")
    }

    /// Where results go if nobody says where.
    pub(crate) fn results(&self) -> PathBuf {
        self.target_dir.join("bench-results")
    }
}

/// The cargo package and the binary of a target.
fn program(target: &Target) -> Option<(&'static str, &'static str)> {
    match target {
        Target::Sluice(_) => Some(("controlplane", "sluice")),
        Target::Peer(Peer::Str0mTokio) => Some(("str0m-tokio", "str0m-tokio")),
        Target::Peer(_) | Target::Running(_) => None,
    }
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// `bench/peers/NAME` of the tree that cargo started us from, else below the current folder.
pub(crate) fn peer_sources(name: &str) -> Result<PathBuf, Failure> {
    let from_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let from_here = env::current_dir().ok().map(|dir| dir.join("bench"));
    let mut folders = [from_cargo, from_here].into_iter().flatten().map(|dir| dir.join("peers").join(name));
    folders.find(|dir| dir.is_dir()).ok_or_else(|| {
        Failure::new(format!("bench/peers/{name} is not found"), "run the bench in the repository")
    })
}
