//! Plays every fuzz target over its corpus, over what fuzzers found, and over inputs made from both, on stable
//! Rust.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};

/// Made inputs for each target, and for one whose body takes milliseconds.
const SWEEP_INPUTS: usize = 2_000;
const SLOW_SWEEP_INPUTS: usize = 500;
const SLOW_TARGETS: [&str; 2] = ["whip_offer", "engine"];
/// Large enough for every optional field, small enough to be quick.
const SWEEP_INPUT_BYTES_MAX: u64 = 200;
/// A seed of the corpus is read by people and carried by every clone.
const SEED_BYTES_MAX: usize = 16 * 1024;

/// The inputs of one target in `folder` of this crate.
fn inputs(folder: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target, and keeps the input if it fails.
fn run((name, body): &Target, input: &[u8], origin: &Path) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-failed"));
        std::fs::write(&kept, input).unwrap();
        eprintln!("{name} failed on {}; the input is kept as {}", origin.display(), kept.display());
        resume_unwind(panic);
    }
}

/// xorshift64: the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> usize {
        (self.next() % bound) as usize
    }
}

/// A seed with some bytes changed and perhaps its end cut off, or bytes from nothing.
fn made(random: &mut Random, seeds: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    if random.below(4) == 0 {
        let len = random.below(SWEEP_INPUT_BYTES_MAX);
        return (0..len).map(|_| random.next() as u8).collect();
    }
    let mut input = seeds[random.below(seeds.len() as u64)].1.clone();
    for _ in 0..random.below(4) {
        let at = random.below(input.len() as u64);
        input[at] = random.next() as u8;
    }
    if random.below(4) == 0 {
        input.truncate(random.below(input.len() as u64 + 1));
    }
    input
}

#[test]
fn every_target_survives_its_corpus() {
    for target in TARGETS {
        let seeds = inputs("corpus", target.0);
        assert!(!seeds.is_empty(), "{} has no seeds", target.0);
        for (path, input) in seeds {
            let is_small = (1..=SEED_BYTES_MAX).contains(&input.len());
            assert!(is_small, "{} has {} bytes", path.display(), input.len());
            run(target, &input, &path);
        }
    }
}

/// What a fuzzer found once, and must never find again.
#[test]
fn every_target_survives_what_was_found() {
    for target in TARGETS {
        for (path, input) in inputs("findings", target.0) {
            run(target, &input, &path);
        }
    }
}

#[test]
fn every_target_survives_a_sweep_around_its_corpus() {
    for target in TARGETS {
        let mut seeds = inputs("corpus", target.0);
        seeds.extend(inputs("findings", target.0));
        let mut random = Random(0x5eed_5eed_5eed_5eed);
        let is_slow = SLOW_TARGETS.contains(&target.0);
        for _ in 0..if is_slow { SLOW_SWEEP_INPUTS } else { SWEEP_INPUTS } {
            run(target, &made(&mut random, &seeds), Path::new("a made input"));
        }
    }
}

#[test]
fn every_corpus_and_every_binary_belongs_to_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_target = |name: &str| TARGETS.iter().any(|(target, _)| *target == name);
    for folder in ["corpus", "findings"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(is_target(&name), "{folder}/{name} has no target");
        }
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS.iter().copied().chain([("canary", fuzz::canary as fn(&[u8]))]) {
        let binary = std::fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("fuzz::{name}(bytes)")), "fuzz_targets/{name}.rs runs another");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
