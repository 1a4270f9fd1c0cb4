//! Goal: a key can be made, protected and used without anybody at the terminal, and whoever forgot
//! to say where the passphrase or the PIN is gets told. Method: the built program, in a session
//! without a terminal (`setsid`), with real key files and a token of `SoftHSM`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const PIN: &str = "4321";

/// A folder with passphrases, a PIN, and a token.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (name, secret) in [
            ("pass", "correct horse"),
            ("next", "other battery"),
            ("pin", PIN),
        ] {
            fs::write(path.join(name), secret).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::create_dir(path.join("tokens")).unwrap();
        let conf = format!("directories.tokendir = {}\n", path.join("tokens").display());
        fs::write(path.join("softhsm2.conf"), conf).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_aimslog"));
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("AIMSLOG_HOME", self.path().join("home"));
        command.env("SOFTHSM2_CONF", self.path().join("softhsm2.conf"));
        command.output().unwrap()
    }

    /// What a command that must succeed says as JSON.
    fn data(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&answer.stdout).unwrap()
    }

    /// What a command says that must be refused as a matter of usage.
    fn refusal(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.status.code(), Some(2), "{arguments:?}: {said}");
        said
    }
}

#[test]
fn a_key_file_is_encrypted_opened_and_decrypted() {
    let desk = Desk::new();
    let pass = ["--passphrase-file", "pass"];
    let with = |arguments: &[&str]| desk.data(&[arguments, &pass[..]].concat());
    let made = with(&["key", "generate", "-o", "a.seed", "--encrypt"]);
    assert_eq!(made["protection"], "passphrase");
    assert_eq!(made["key"], "a.seed");
    assert_eq!(
        with(&["key", "show", "a.seed"])["thumbprint"],
        made["thumbprint"]
    );

    let said = desk.refusal(&["key", "show", "a.seed"]);
    assert!(said.contains("no terminal"), "{said}");
    assert!(said.contains("--passphrase-file"), "{said}");
    let said = desk.refusal(&["key", "show", "a.seed", "--passphrase-file", "next"]);
    assert!(said.contains("the passphrase is wrong"), "{said}");

    with(&[
        "key",
        "passphrase",
        "a.seed",
        "--new-passphrase-file",
        "next",
    ]);
    let said = desk.refusal(&["key", "show", "a.seed", "--passphrase-file", "pass"]);
    assert!(said.contains("the passphrase is wrong"), "{said}");
    let plain = desk.data(&["key", "decrypt", "a.seed", "--passphrase-file", "next"]);
    assert_eq!(plain["protection"], "none");
    assert_eq!(plain["thumbprint"], made["thumbprint"]);
    assert_eq!(
        with(&["key", "encrypt", "a.seed"])["protection"],
        "passphrase"
    );

    // The context remembers where the passphrase is.
    with(&["init", "--key", "a.seed", "--org", "acme"]);
    assert_eq!(
        desk.data(&["key", "show"])["thumbprint"],
        made["thumbprint"]
    );
}

#[test]
fn a_key_is_made_in_a_token_and_named_in_a_context() {
    let desk = Desk::new();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "aims"])
        .args(["--so-pin", "87654321", "--pin", PIN])
        .env("SOFTHSM2_CONF", desk.path().join("softhsm2.conf"))
        .output()
        .expect("SoftHSM is not installed: run .ci/setup");
    assert!(made.status.success(), "{made:?}");
    let libraries = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    ];
    let library = libraries.iter().find(|path| Path::new(path).exists());
    let library = library.expect("SoftHSM is not installed: run .ci/setup");
    let uri = format!("pkcs11:token=aims;object=office?module-path={library}");

    let pin = ["--pin-file", "pin"];
    let made = desk.data(&[&["key", "generate", "--in", &uri][..], &pin].concat());
    assert_eq!(made["protection"], "token");
    let shown = desk.data(&[&["key", "show", &uri][..], &pin].concat());
    assert_eq!(shown["thumbprint"], made["thumbprint"]);
    let said = desk.refusal(&["key", "show", &uri]);
    assert!(said.contains("no terminal"), "{said}");
    assert!(said.contains("--pin-file"), "{said}");
    let said = desk.refusal(&["key", "show", &uri, "--pin-file", "pass"]);
    assert!(
        said.contains("the PIN of the token aims is wrong"),
        "{said}"
    );
    let said = desk.refusal(&["key", "show", "pkcs11:token=aims;object=office"]);
    assert!(said.contains("module-path"), "{said}");
    let said = desk.refusal(&["key", "generate", "--in", "a.seed"]);
    assert!(said.contains("PKCS#11 URI"), "{said}");

    desk.data(&[&["init", "--key", &uri, "--org", "acme"][..], &pin].concat());
    let shown = desk.data(&["key", "show"]);
    assert_eq!(shown["thumbprint"], made["thumbprint"]);
    assert_eq!(shown["key"], uri.as_str());
    let config = fs::read_to_string(desk.path().join("home/config.toml")).unwrap();
    assert!(config.contains(&uri) && !config.contains(PIN), "{config}");
}
