//! Goal: a principal whose key lies in a token, let in by an administrator whose key file is
//! encrypted, logs evidence like any other.
//!
//! Method: the built program against a cluster of real processes, with a token of `SoftHSM` in the
//! folder of the desk. `.ci/setup` installs `SoftHSM`; where it is missing the test fails.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of a test end it where something they need is missing"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use aimslog_tests::desk::{Desk, length, text};
use serde_json::Value;

const LIBRARIES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/// The desk with a token `aims` and files that hold its PIN and a passphrase.
struct Safe(Desk);

impl Safe {
    async fn new() -> Self {
        let desk = Desk::new().await;
        let tokens = desk.file("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = format!("directories.tokendir = {}\n", tokens.display());
        desk.write("softhsm2.conf", conf.as_bytes());
        for (name, secret) in [("pin", "4321"), ("pass", "correct horse battery")] {
            desk.write(name, secret.as_bytes());
            fs::set_permissions(desk.file(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "aims"])
            .args(["--so-pin", "87654321", "--pin", "4321"])
            .env("SOFTHSM2_CONF", desk.file("softhsm2.conf"))
            .output();
        let made = made.expect("SoftHSM is not installed: run .ci/setup");
        assert!(made.status.success(), "{made:?}");
        Self(desk)
    }

    fn uri(object: &str) -> String {
        let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
        let library = library.expect("SoftHSM is not installed: run .ci/setup");
        format!("pkcs11:token=aims;object={object}?module-path={library}")
    }

    /// What a command that must end well says.
    fn data(&self, arguments: &[&str]) -> Value {
        let ran = self
            .0
            .command(&[arguments, &["--json"]].concat())
            .env("SOFTHSM2_CONF", self.0.file("softhsm2.conf"))
            .env("AIMSLOG_PIN_FILE", self.0.file("pin"))
            .env("AIMSLOG_PASSPHRASE_FILE", self.0.file("pass"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_token_logs_evidence_that_verifies() {
    let safe = Safe::new().await;
    let uri = Safe::uri("reviewer");
    let made = safe.data(&["key", "generate", "--in", &uri]);
    safe.data(&["key", "encrypt", "admin.seed"]);
    let add = [
        &["principal", "add", "reviewer-7", "--principal-key", &uri][..],
        &["--key", "admin.seed", "--holder", "holder-7"],
        &["--role", "submitter", "--role", "process_owner"],
    ];
    let added = safe.data(&add.concat());
    assert_eq!(added["key"], made["thumbprint"]);

    safe.0.write_decision("one.json", 1);
    let submit = ["submit", "one.json", "--key", &uri, "--wait", "receipt"];
    let told = safe.data(&submit);
    assert_eq!(text(&told, "/0/status"), "logged", "{told}");
    let id = text(&told, "/0/entry_id");
    // The token derives the same id for the same record.
    let again = safe.data(&submit);
    assert_eq!(text(&again, "/0/status"), "already logged", "{again}");

    let disclose = ["disclose", id, "-o", "one.evidence.json", "--key", &uri];
    safe.data(&disclose);
    let report = safe.data(&["verify", "one.evidence.json"]);
    assert_eq!(length(&report, "/records"), 1, "{report}");
    assert_eq!(report["records"][0]["entry_id"], id, "{report}");
}
