//! The demo as a user runs it: one program, one folder, under a minute.

use std::process::Command;

use aimslog_tests::cluster::program;
use tokio::time::{Duration, Instant};

#[test]
fn the_demo_tells_its_story_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let demo = folder.path().join("demo");
    let began = Instant::now();
    let ran = Command::new(program("aimslog"))
        .args(["demo", "--json", "--dir"])
        .arg(&demo)
        .env("AIMSLOG_HOME", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "the demo took {:?}",
        began.elapsed()
    );
    let data: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(data["records"].as_u64().unwrap() >= 100);
    assert_eq!(data["records"], data["verified"]);
    assert_eq!(data["fields_shown"], 2);
    for step in 1..=7 {
        assert!(
            told.contains(&format!("{step}. ")),
            "step {step} is missing:\n{told}"
        );
    }
    // What it leaves verifies without it, and what it flipped does not.
    for (file, code) in [("hospital", 0), ("two-fields", 0), ("flipped", 1)] {
        let verified = Command::new(program("aimslog"))
            .arg("verify")
            .arg(demo.join(format!("auditor/{file}.evidence.json")))
            .arg("--policy")
            .arg(demo.join("auditor/policy.txt"))
            .output()
            .unwrap();
        assert_eq!(verified.status.code(), Some(code), "{file}");
    }
    // A folder that is no demo is not touched.
    let refused = Command::new(program("aimslog"))
        .args(["demo", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
}
