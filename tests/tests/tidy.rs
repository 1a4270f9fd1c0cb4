//! What the code base promises about itself: which crate may depend on what, where effects have their
//! homes, and how long a file may be.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest source file in lines; longer ones are split by what they do.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Names of all packages that a crate is built from with these features.
fn built_from(package: &str, features: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--package", package])
        .args(features)
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let names = String::from_utf8(tree.stdout).unwrap();
    names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn assert_none(names: &BTreeSet<String>, banned: &[&str], what: &str) {
    for banned in banned {
        assert!(!names.contains(*banned), "{what} is built from {banned}");
    }
}

#[test]
fn protocol_and_offline_verifier_know_no_network_and_no_database() {
    const BANNED: [&str; 8] = [
        "tokio",
        "tonic",
        "hyper",
        "h2",
        "rocksdb",
        "librocksdb-sys",
        "openraft",
        "rustls",
    ];
    let proto = built_from("aimslog-proto", &[]);
    assert!(
        proto.contains("ed25519-dalek"),
        "the list of packages was not read"
    );
    assert_none(&proto, &BANNED, "the protocol");
    // Randomness and clocks are passed in.
    assert_none(&proto, &["rand", "getrandom", "chrono"], "the protocol");
    let verifier = built_from("aimslog-client", &["--no-default-features"]);
    assert_none(&verifier, &BANNED, "the offline verifier");
}

#[test]
fn dependencies_point_one_way() {
    let client = built_from("aimslog-client", &[]);
    assert_none(
        &client,
        &["aimslog-node", "aimslog-cli", "rocksdb", "openraft"],
        "the client",
    );
    let cli = built_from("aimslog-cli", &[]);
    assert_none(
        &cli,
        &["aimslog-node", "rocksdb", "openraft"],
        "the command line",
    );
    let node = built_from("aimslog-node", &[]);
    assert_none(&node, &["aimslog-client", "aimslog-cli"], "the node");
    // The evil node is made of tests alone.
    for (name, packages) in [("client", client), ("command line", cli), ("node", node)] {
        assert_none(&packages, &["aimslog-tests"], name);
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for member in ["proto", "node", "client", "cli", "benches", "tests"] {
        sources(&root().join(member), &mut found);
    }
    assert!(found.len() > 200, "the sources were not found");
    found
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    for path in all_sources() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_wall_clock_has_one_home_in_each_crate() {
    let pattern = concat!("SystemTime", "::now");
    for path in all_sources() {
        if fs::read_to_string(&path).unwrap().contains(pattern) {
            assert!(
                path.ends_with("clock.rs"),
                "{} reads the clock",
                path.display()
            );
        }
    }
}

#[test]
fn openraft_is_hidden_behind_one_module() {
    for path in all_sources() {
        let text = path.to_string_lossy().replace('\\', "/");
        let is_home = text.contains("/node/src/raft/") || text.contains("/node/src/store/raft_");
        if is_home || text.contains("/node/src/raft.rs") || path.ends_with("tidy.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let names_it = source.lines().any(|line| {
            let code = line.trim_start();
            !code.starts_with("//")
                && (code.contains("openraft::") || code.contains("use openraft"))
        });
        assert!(!names_it, "{} names a type of openraft", path.display());
    }
}

#[test]
fn the_log_is_called_tamper_evident() {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let of_kind = if path.is_dir() {
                &mut folders
            } else {
                &mut pages
            };
            of_kind.push(path);
        }
    }
    for page in pages {
        let text = fs::read_to_string(&page).unwrap().to_lowercase();
        assert!(
            !text.contains(concat!("immu", "table")),
            "{} promises too much",
            page.display()
        );
    }
}
