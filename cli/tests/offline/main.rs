//! Goal: the program verifies on a machine without network and configuration, with the exit codes
//! that it promises, and each command teaches itself.
//!
//! Method: the built program, a policy and an evidence file of fixed keys in an empty folder.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files has nothing to test"
)]

mod aims;
mod controls;
mod forms;
mod import;
mod import_golden;
mod import_refused;
mod keys;
mod world;
mod xlsx;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use world::World;

/// Every command with its subcommands.
const COMMANDS: [&[&str]; 68] = [
    &["access", "list"],
    &["aims", "check"],
    &["aims", "init"],
    &["amend"],
    &["checkpoint"],
    &["cluster", "init"],
    &["cluster", "move-leader"],
    &["cluster", "replace"],
    &["cluster", "rotate-log-key"],
    &["cluster", "rotate-node"],
    &["cluster", "rotate-receipt-key"],
    &["cluster", "snapshot"],
    &["cluster", "status"],
    &["cluster"],
    &["completions"],
    &["context"],
    &["control", "add"],
    &["control", "catalogue"],
    &["control", "lint"],
    &["control", "list"],
    &["control", "lookup"],
    &["demo"],
    &["disclose"],
    &["doctor"],
    &["engagement", "end"],
    &["engagement", "grant"],
    &["get"],
    &["history"],
    &["import"],
    &["init"],
    &["key", "decrypt"],
    &["key", "encrypt"],
    &["key", "generate"],
    &["key", "passphrase"],
    &["key", "show"],
    &["list"],
    &["operator", "add"],
    &["operator", "revoke"],
    &["operator", "rotate"],
    &["org", "add"],
    &["org", "resume"],
    &["org", "suspend"],
    &["policy", "add-witness"],
    &["policy", "fingerprint"],
    &["policy", "remove-witness"],
    &["policy", "show"],
    &["principal", "add"],
    &["principal", "auth-key"],
    &["principal", "revoke"],
    &["principal", "rotate"],
    &["prove", "consistency"],
    &["prove", "inclusion"],
    &["prove", "order"],
    &["prove", "receipt"],
    &["register", "diff"],
    &["register", "show"],
    &["registry", "replay"],
    &["registry", "show"],
    &["registry", "watch"],
    &["retract"],
    &["role", "grant"],
    &["role", "withdraw"],
    &["submit"],
    &["template"],
    &["validate"],
    &["verify"],
    &["watch"],
    &["whoami"],
];

/// Commands whose help ends with an example.
const TAUGHT: [&[&str]; 47] = [
    &["aims", "check"],
    &["aims", "init"],
    &["amend"],
    &["checkpoint"],
    &["cluster", "replace"],
    &["cluster", "rotate-log-key"],
    &["cluster", "rotate-node"],
    &["cluster", "rotate-receipt-key"],
    &["completions"],
    &["control", "add"],
    &["control", "catalogue"],
    &["control", "lint"],
    &["control", "list"],
    &["control", "lookup"],
    &["disclose"],
    &["doctor"],
    &["engagement", "end"],
    &["engagement", "grant"],
    &["get"],
    &["history"],
    &["import"],
    &["key", "decrypt"],
    &["key", "encrypt"],
    &["key", "generate"],
    &["key", "passphrase"],
    &["key", "show"],
    &["list"],
    &["operator", "add"],
    &["operator", "revoke"],
    &["operator", "rotate"],
    &["org", "resume"],
    &["org", "suspend"],
    &["policy", "add-witness"],
    &["policy", "remove-witness"],
    &["policy", "show"],
    &["principal", "add"],
    &["principal", "auth-key"],
    &["principal", "revoke"],
    &["principal", "rotate"],
    &["prove"],
    &["register", "diff"],
    &["register", "show"],
    &["role", "grant"],
    &["role", "withdraw"],
    &["submit"],
    &["template"],
    &["watch"],
];

fn aimslog(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aimslog"));
    command.args(arguments).current_dir(folder).env_clear();
    command.env("AIMSLOG_HOME", folder.join("home"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with the policy, the evidence file and the head.
fn auditor() -> TempDir {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in [
        ("policy.txt", &world.policy),
        ("audit.evidence.json", &world.evidence),
        ("head.checkpoint", &world.checkpoint),
    ] {
        fs::write(folder.path().join(file), content).unwrap();
    }
    folder
}

fn verify(folder: &TempDir, file: &str) -> Output {
    aimslog(folder.path(), &["verify", file, "--policy", "policy.txt"])
}

#[test]
fn an_evidence_file_verifies_with_the_policy_alone() {
    let folder = auditor();
    let answer = verify(&folder, "audit.evidence.json");
    let said = text(&answer.stdout);
    assert_eq!(
        answer.status.code(),
        Some(0),
        "{said}{}",
        text(&answer.stderr)
    );
    assert!(said.starts_with("VERIFIED\n"), "{said}");
    assert!(said.contains("at index 3 of 4"), "{said}");
    assert!(said.contains("admin-1 of hospital"), "{said}");
}

#[test]
fn json_says_the_same_to_programs() {
    let folder = auditor();
    let arguments = [
        "verify",
        "audit.evidence.json",
        "--policy",
        "policy.txt",
        "--json",
    ];
    let answer = aimslog(folder.path(), &arguments);
    let report: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(report["verdict"], "VERIFIED");
    assert_eq!(report["records"][0]["index"], 3);
    assert_eq!(report["head"]["size"], 4);
}

#[test]
fn a_saved_head_verifies_and_is_what_the_evidence_extends() {
    let folder = auditor();
    let answer = verify(&folder, "head.checkpoint");
    assert_eq!(answer.status.code(), Some(0), "{}", text(&answer.stdout));
    let since = ["--since", "head.checkpoint"];
    let arguments = ["verify", "audit.evidence.json", "--policy", "policy.txt"];
    let answer = aimslog(folder.path(), &[&arguments[..], &since[..]].concat());
    assert_eq!(answer.status.code(), Some(0), "{}", text(&answer.stdout));
}

/// Every place would take minutes; the core tests each byte of each part. Here one byte of each
/// line shows that the program gives the core's answer and its exit code.
#[test]
fn one_changed_byte_in_any_line_is_refused() {
    let folder = auditor();
    let path = folder.path().join("audit.evidence.json");
    let honest = fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = honest.split_inclusive(|byte| *byte == b'\n').collect();
    let mut start = 0;
    let mut tried = 0;
    for (number, line) in lines.iter().enumerate() {
        let at = start + line.len() * 2 / 3;
        start += line.len();
        // Claims of the ledger stand in no leaf and under no signature, and say so.
        let claim =
            text(line).contains("registered_at_ms") || text(line).contains("register_number");
        let letter = honest.get(at).copied().unwrap_or(b' ');
        if number % 5 != 0 || claim || !letter.is_ascii_alphanumeric() {
            continue;
        }
        let mut changed = honest.clone();
        changed[at] = if letter == b'A' { b'B' } else { b'A' };
        fs::write(&path, &changed).unwrap();
        let answer = verify(&folder, "audit.evidence.json");
        let said = text(&answer.stdout);
        assert_eq!(answer.status.code(), Some(1), "line {number}: {said}");
        assert!(!said.starts_with("VERIFIED"), "line {number}: {said}");
        tried += 1;
    }
    assert!(tried > 5, "only {tried} lines were tried");
}

#[test]
fn exit_codes_tell_files_from_usage() {
    let folder = auditor();
    assert_eq!(verify(&folder, "nowhere.json").status.code(), Some(3));
    let no_policy = aimslog(folder.path(), &["verify", "audit.evidence.json"]);
    assert_eq!(no_policy.status.code(), Some(2));
    assert!(text(&no_policy.stderr).contains("--policy"));
    let unknown = aimslog(folder.path(), &["verifi", "audit.evidence.json"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn another_policy_verifies_nothing() {
    let folder = auditor();
    let path = folder.path().join("policy.txt");
    let policy = fs::read_to_string(&path).unwrap();
    // Without the witness the quorum is another one, and the key of the log is still the same.
    let foreign = policy.replace("ledger.example.com/offline+", "ledger.example.com/other+");
    fs::write(&path, foreign).unwrap();
    let answer = verify(&folder, "audit.evidence.json");
    assert_ne!(answer.status.code(), Some(0), "{}", text(&answer.stdout));
}

#[test]
fn every_command_has_help() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let answer = aimslog(folder.path(), &[command, &["--help"]].concat());
        let said = text(&answer.stdout);
        assert_eq!(answer.status.code(), Some(0), "{command:?}");
        let first = said.lines().next().unwrap_or_default();
        assert!(
            first.len() > 20 && said.contains("Usage:"),
            "{command:?}: {said}"
        );
    }
    for command in TAUGHT {
        let answer = aimslog(folder.path(), &[command, &["--help"]].concat());
        assert!(text(&answer.stdout).contains("Example"), "{command:?}");
    }
}

#[test]
fn what_operators_are_to_sign_is_read_before_anybody_is_asked() {
    let folder = auditor();
    for (command, words) in [
        (&["policy", "add-witness", "nonsense"][..], "NAME+VKEY"),
        (
            &["cluster", "rotate-node", "3", "--possession", "policy.txt"],
            "--possession policy.txt",
        ),
        (
            &[
                "cluster",
                "rotate-receipt-key",
                "--possession",
                "policy.txt",
            ],
            "--possession policy.txt",
        ),
        (
            &["cluster", "rotate-log-key", "--possession", "policy.txt"],
            "--possession policy.txt",
        ),
    ] {
        let more = ["--policy", "policy.txt", "--operator-key", "op.seed"];
        let answer = aimslog(folder.path(), &[command, &more].concat());
        let said = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains(words), "{command:?}: {said}");
    }
}

#[test]
fn the_list_of_commands_above_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&aimslog(folder.path(), &["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap();
    let names = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let mut found = 0;
    for name in names.filter(|name| *name != "help") {
        let known = COMMANDS
            .iter()
            .any(|command| command.first() == Some(&name));
        assert!(known, "{name} is not tested");
        found += 1;
    }
    assert!(found >= 18, "only {found} commands were found in {help}");
}

#[test]
fn json_is_json_where_no_network_is_needed() {
    let folder = auditor();
    for arguments in [
        &["context", "list"][..],
        &["key", "generate", "-o", "a.seed"],
        &["key", "show", "a.seed"],
        &["policy", "show", "policy.txt"],
        &["policy", "fingerprint", "policy.txt"],
        &["control", "catalogue"],
        &["control", "list"],
        &["control", "lookup", "9.1", "--scheme", "guide"],
        &["init", "here", "--policy", "policy.txt"],
        &["context", "show"],
        &["doctor"],
    ] {
        let answer = aimslog(folder.path(), &[arguments, &["--json"]].concat());
        let parsed = serde_json::from_slice::<serde_json::Value>(&answer.stdout);
        assert!(parsed.is_ok(), "{arguments:?}: {}", text(&answer.stderr));
    }
}

#[test]
fn completions_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let answer = aimslog(folder.path(), &["completions", shell]);
        assert_eq!(answer.status.code(), Some(0), "{shell}");
        assert!(text(&answer.stdout).contains("disclose"), "{shell}");
    }
}

#[test]
fn nobody_at_the_other_end_is_told_from_a_wrong_setting() {
    let folder = auditor();
    // A port that was free a moment ago: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    fs::write(folder.path().join("ca.pem"), "").unwrap();
    let arguments = ["checkpoint", "--policy", "policy.txt"];
    let unset = aimslog(folder.path(), &arguments);
    assert_eq!(unset.status.code(), Some(2), "{}", text(&unset.stderr));
    let reach = ["--endpoint", &address, "--ca", "ca.pem", "--timeout", "1"];
    let nobody = aimslog(folder.path(), &[&arguments[..], &reach[..]].concat());
    let code = nobody.status.code();
    assert!(
        code == Some(2) || code == Some(3),
        "{}",
        text(&nobody.stderr)
    );
}
