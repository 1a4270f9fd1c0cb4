//! Goal: each mapping that is built in reads a register with the headers that it is for. Method: the
//! whole preview of a small register of fictional rows, against a golden file.

use std::fs;
use std::path::{Path, PathBuf};

use super::{aimslog, text};

/// The mappings, what their registers do not say, and a state that is not a first one of the kind.
const REGISTERS: [(&str, &[&str], &str); 4] = [
    ("evidence", &[], "approved"),
    ("inventory", &[], "retired"),
    ("nc", &["source=AUDIT", "grade=MINOR"], "closed"),
    (
        "risk",
        &[
            "identified_at=2026-03-02T00:00:00Z",
            "occurred_at=2026-03-02T00:00:00Z",
            "category=OTHER",
        ],
        "closed",
    ),
];

fn registers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/registers")
}

/// Exit code and preview of the register of a mapping.
fn preview(name: &str, constants: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{name}.csv");
    fs::copy(registers().join(&file), folder.path().join(&file)).unwrap();
    let mut arguments = vec!["import", &file, "--like", name, "--preview=9"];
    for constant in constants {
        arguments.extend(["--set", constant]);
    }
    let answer = aimslog(folder.path(), &arguments);
    let said = text(&answer.stdout) + &text(&answer.stderr);
    (answer.status.code(), said)
}

#[test]
fn each_mapping_reads_the_register_that_it_is_for() {
    for (name, constants, _) in REGISTERS {
        let (code, said) = preview(name, constants);
        let golden = fs::read_to_string(registers().join(format!("{name}.txt"))).unwrap();
        assert_eq!((code, said), (Some(0), golden), "{name}");
    }
}

/// The ledger takes a first version in a first state only.
#[test]
fn states_in_which_nothing_begins_are_told_at_their_row() {
    for (name, constants, state) in REGISTERS {
        let state = format!("meta.transition={state}");
        let constants = [constants, &[state.as_str()]].concat();
        let (code, said) = preview(name, &constants);
        assert_eq!(code, Some(2), "{name}: {said}");
        // Only an inventory says the state in a cell; elsewhere it is a matter of the whole row.
        let place = if name == "inventory" { "K2" } else { "2" };
        let refused = format!("refused  {name}.csv!{place} ");
        assert!(said.contains(&refused), "{name}: {said}");
        assert!(said.contains("after the start may come"), "{name}: {said}");
    }
}
