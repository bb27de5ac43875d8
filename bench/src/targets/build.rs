//! Builds the servers that we start, so that what is measured is what stands in the tree.
#![forbid(unsafe_code)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Target;
use crate::failure::{Failure, OrFail};

/// Where the release binaries lie.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Finds the folder of the release binaries, and brings them up to date when cargo started us.
    pub(crate) fn prepare(targets: &[Target], is_build_wanted: bool) -> Result<Self, Failure> {
        let remedy = "start the bench by `cargo run --release -p bench`";
        let own = env::current_exe().or_fail("the bench cannot find itself", remedy)?;
        let target_dir = own
            .parent()
            .and_then(Path::parent)
            .ok_or_else(|| Failure::new("the bench is not in a cargo target folder", remedy))?;
        let binaries = Self { dir: target_dir.join("release") };
        let programs: Vec<_> = targets.iter().filter_map(Target::program).collect();
        if is_build_wanted && let Some(cargo) = env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--release", "--target-dir"]).arg(target_dir);
            // Always both: another set of packages is another set of features, and so another full build.
            build.args(["-p", "controlplane", "-p", "str0m-tokio"]);
            if let Some(manifest_dir) = env::var_os("CARGO_MANIFEST_DIR") {
                build.current_dir(manifest_dir);
            }
            if !programs.is_empty() && !build.status().or_fail("cargo build", remedy)?.success() {
                return Err(Failure::new(
                    "a server could not be built",
                    "mend the build, or take the binaries that lie there by --no-build",
                ));
            }
        }
        match programs.iter().find(|(_, binary)| !binaries.path(binary).is_file()) {
            Some((package, binary)) => Err(Failure::new(
                format!("{binary} is not built"),
                format!("cargo build --release -p {package}"),
            )),
            None => Ok(binaries),
        }
    }

    /// The path of one binary.
    pub(crate) fn path(&self, binary: &str) -> PathBuf {
        self.dir.join(binary)
    }
}
