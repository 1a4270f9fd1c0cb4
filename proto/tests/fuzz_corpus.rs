//! Runs every fuzz target over its committed corpus, over that with each byte changed and left out,
//! and over 20,000 seeded mutations of it.
//!
//! The long runs of `make fuzz` find new inputs; what they find joins the corpus and is then
//! checked here for ever. The mutations are the same on every machine: a failure prints its input.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy sees tests only in functions that bear the attribute"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use aimslog_proto::fuzz::{TARGETS, verdict};
use aimslog_proto::statement::evidence::Code;

const MUTATIONS: usize = 20_000;

/// Longer inputs are cut: the parsers' limits have tests of their own.
const INPUT_BYTES_MAX: usize = 64 * 1024;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The corpus of a target in the order of its file names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = fuzz_dir().join("corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths: BTreeSet<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    paths
        .into_iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// Marsaglia's xorshift64*: enough to choose mutations, the same everywhere.
struct Random(u64);

impl Random {
    /// Seeded by the name of the target, so that a new target changes nothing for the others.
    fn of(target: &str) -> Self {
        let fnv = |seed: u64, byte: u8| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(target.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, or 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap().max(1);
        usize::try_from((self.next() >> 11) % end).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Bytes that mean something to one of the formats are tried more often than others.
        const TELLING: &[u8] =
            b"\n\n  0019af+/=\"\\,:[]{}\xe2\x80\x94\x00\x01\x18\x1f\x40\x5f\x7f\x80\xa0\xd2\xff";
        if self.below(2) == 0 {
            TELLING[self.below(TELLING.len())]
        } else {
            self.next().to_be_bytes()[0]
        }
    }

    /// A part of `bytes`, at most 64 long.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.below(bytes.len());
        let end = (start + 1 + self.below(64)).min(bytes.len());
        bytes.get(start..end).unwrap_or_default()
    }
}

/// One to four small changes to one input of the corpus.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = random.byte();
                }
            }
            2 => input.insert(at, random.byte()),
            3 => {
                let end = (at + 1 + random.below(8)).min(input.len());
                input.drain(at.min(end)..end);
            }
            4 => {
                let part = random.part(&input).to_vec();
                input.splice(at..at, part);
            }
            5 => {
                let other = &corpus[random.below(corpus.len())];
                let part = random.part(other);
                let end = if random.below(2) == 0 {
                    at
                } else {
                    (at + part.len()).min(input.len())
                };
                input.splice(at..end, part.iter().copied());
            }
            _ => input.truncate(at),
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn run(target: &str, function: fn(&[u8]), input: &[u8]) {
    let holds = catch_unwind(AssertUnwindSafe(|| function(input))).is_ok();
    assert!(
        holds,
        "fuzz target {target} fails for b\"{}\"",
        input.escape_ascii()
    );
}

#[test]
fn every_target_holds_for_its_corpus_and_its_mutations() {
    for (target, function) in TARGETS {
        let corpus = corpus(target);
        for input in &corpus {
            run(target, *function, input);
        }
        run(target, *function, b"");
        let mut random = Random::of(target);
        for _ in 0..MUTATIONS {
            run(target, *function, &mutate(&mut random, &corpus));
        }
    }
}

#[test]
fn every_target_holds_for_each_byte_changed_and_left_out() {
    for (target, function) in TARGETS {
        for input in corpus(target) {
            for at in 0..input.len() {
                let mut changed = input.clone();
                // The lowest bit: a digit stays a digit, a length stays near, a hash is another one.
                changed[at] ^= 1;
                run(target, *function, &changed);
                changed.remove(at);
                run(target, *function, &changed);
            }
        }
    }
}

/// A corpus that no parser accepts would test the first line of each alone.
#[test]
fn the_files_for_the_verdict_reach_one() {
    for (input, codes) in [
        ("evidence_file", vec![Code::HeldByNobodyOutside]),
        ("checkpoint", vec![Code::HeldByNobodyOutside]),
        ("tlog_proof", vec![Code::StatementMissing]),
        ("receipt", vec![Code::StatementMissing]),
    ] {
        let bytes = fs::read(fuzz_dir().join("corpus/verify").join(input)).unwrap();
        let found: Vec<Code> = verdict(&bytes)
            .unwrap()
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect();
        assert_eq!(found, codes, "{input}");
    }
}

/// `make fuzz` runs the files, this test runs the list: they must name the same targets.
#[test]
fn every_target_has_its_fuzzer_and_its_corpus() {
    let listed: BTreeSet<String> = TARGETS
        .iter()
        .map(|(target, _)| (*target).to_owned())
        .collect();
    assert_eq!(listed.len(), TARGETS.len(), "a target is listed twice");
    let names = |dir: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz_dir().join(dir)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        files.map(|file| stem(file.unwrap().path())).collect()
    };
    assert_eq!(names("fuzz_targets"), listed);
    assert_eq!(names("corpus"), listed);
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for target in listed {
        assert!(
            manifest.contains(&format!("\"fuzz_targets/{target}.rs\"")),
            "{target}"
        );
    }
}
