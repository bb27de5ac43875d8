//! Plays every fuzz target over its corpus and over inputs made from it, on stable Rust.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use fuzz::TARGETS;

/// Made inputs for each target.
const SWEEP_INPUTS: usize = 2_000;
/// Large enough for every optional field, small enough to be quick.
const SWEEP_INPUT_BYTES_MAX: u64 = 200;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut inputs: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    inputs.sort();
    inputs
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
    for (name, run) in TARGETS {
        let seeds = corpus(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (path, input) in seeds {
            assert!(!input.is_empty(), "{} is empty", path.display());
            run(&input);
        }
    }
}

#[test]
fn every_target_survives_a_sweep_around_its_corpus() {
    for (name, run) in TARGETS {
        let seeds = corpus(name);
        let mut random = Random(0x5eed_5eed_5eed_5eed);
        for _ in 0..SWEEP_INPUTS {
            run(&made(&mut random, &seeds));
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name:?} has no target");
    }
}
