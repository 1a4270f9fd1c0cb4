//! Goal: a key file is whole or refused, opens with its passphrase alone, and is never lost on the
//! way from plain to encrypted and back. Method: real files in an empty folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::exit::{Exit, exit_of};

/// A folder with the files `right`, `wrong` and `short`, which hold passphrases.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, passphrase) in [
            ("right", "correct horse battery"),
            ("wrong", "correct horse batterz"),
            ("short", "seven77"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, passphrase).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn secrets(&self, name: &str) -> SecretFiles {
        SecretFiles {
            passphrase: Some(self.path(name)),
            pin: None,
        }
    }

    /// An encrypted key file, and its public half.
    fn encrypted(&self) -> (PathBuf, SigningKey) {
        let path = self.path("a.seed");
        let passphrase = ask_new(&path, Some(&self.path("right"))).unwrap();
        let key = generate(&path, Some(&passphrase)).unwrap();
        (path, key)
    }
}

fn refusal(result: Result<SigningKey>) -> String {
    let error = result.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Usage, "{error:#}");
    format!("{error:#}")
}

#[test]
fn a_key_that_is_made_encrypted_opens_with_its_passphrase_alone() {
    let desk = Desk::new();
    let (path, key) = desk.encrypted();
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"),
        "{text}"
    );
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(protection(&path).unwrap(), Protection::Passphrase);
    let loaded = load(&path, &desk.secrets("right")).unwrap();
    assert_eq!(loaded.public_key(), key.public_key());
    let said = refusal(load(&path, &desk.secrets("wrong")));
    assert!(said.contains("the passphrase is wrong"), "{said}");
    let said = refusal(load_plain(&path));
    assert!(said.contains("a key file is one line"), "{said}");
    // Nothing takes its place.
    assert!(generate(&path, None).is_err());
}

#[test]
fn a_plain_key_is_encrypted_and_decrypted_in_its_place() {
    let desk = Desk::new();
    let path = desk.path("a.seed");
    let key = generate(&path, None).unwrap();
    let plain = fs::read(&path).unwrap();
    encrypt(&path, Some(&desk.path("right"))).unwrap();
    assert_eq!(protection(&path).unwrap(), Protection::Passphrase);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let said = refusal(encrypt(&path, Some(&desk.path("right"))));
    assert!(said.contains("encrypted already"), "{said}");
    let said = refusal(decrypt(&path, &desk.secrets("wrong")));
    assert!(said.contains("the passphrase is wrong"), "{said}");
    let opened = decrypt(&path, &desk.secrets("right")).unwrap();
    assert_eq!(opened.public_key(), key.public_key());
    assert_eq!(fs::read(&path).unwrap(), plain);
    let said = refusal(decrypt(&path, &desk.secrets("right")));
    assert!(said.contains("not encrypted"), "{said}");
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 4);
}

#[test]
fn a_changed_passphrase_opens_and_the_old_one_does_not() {
    let desk = Desk::new();
    let (path, key) = desk.encrypted();
    let new = desk.path("wrong");
    change_passphrase(&path, &desk.secrets("right"), Some(&new)).unwrap();
    let opened = load(&path, &desk.secrets("wrong")).unwrap();
    assert_eq!(opened.public_key(), key.public_key());
    refusal(load(&path, &desk.secrets("right")));
}

#[test]
fn a_passphrase_that_is_hardly_one_encrypts_nothing() {
    let desk = Desk::new();
    let path = desk.path("a.seed");
    generate(&path, None).unwrap();
    let said = refusal(encrypt(&path, Some(&desk.path("short"))));
    assert!(said.contains("at least 8 characters"), "{said}");
    assert_eq!(protection(&path).unwrap(), Protection::None);
}

/// Encrypting through a link must not leave the plain key behind it.
#[test]
fn a_link_is_followed_and_stays() {
    let desk = Desk::new();
    let (path, link) = (desk.path("a.seed"), desk.path("link"));
    generate(&path, None).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    encrypt(&link, Some(&desk.path("right"))).unwrap();
    assert_eq!(protection(&path).unwrap(), Protection::Passphrase);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_damaged_file_gives_no_key() {
    let desk = Desk::new();
    let (path, _) = desk.encrypted();
    let honest = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = honest.lines().collect();
    let middle = |changed: &str| honest.replacen(lines[lines.len() - 2], changed, 1);
    let last = lines[lines.len() - 2];
    let flipped: String = last
        .chars()
        .map(|letter| if letter == 'A' { 'B' } else { 'A' })
        .collect();
    for (what, content) in [
        ("cut", lines[..lines.len() / 2].join("\n")),
        ("a line changed", middle(&flipped)),
        ("a line gone", middle("")),
        ("nothing behind the first line", format!("{}\n", lines[0])),
        ("letters that are no base64", middle("!!!!")),
    ] {
        fs::write(&path, &content).unwrap();
        let said = refusal(load(&path, &desk.secrets("right")));
        assert!(said.contains("a.seed"), "{what}: {said}");
    }
}

#[test]
fn what_others_may_read_and_what_is_no_key_is_refused() {
    let desk = Desk::new();
    let (path, _) = desk.encrypted();
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = refusal(load(&path, &desk.secrets("right")));
        assert!(said.contains("chmod 600"), "{said}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let said = refusal(load(&path, &desk.secrets("right")));
    assert!(said.contains("a key file is one line"), "{said}");
    fs::write(&path, vec![b'a'; FILE_BYTES_MAX + 1]).unwrap();
    let said = refusal(load(&path, &desk.secrets("right")));
    assert!(said.contains("longer"), "{said}");
    let error = load(&desk.path("nowhere"), &desk.secrets("right")).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Unreachable);
}

/// The format is that of age, so that a key outlives this program.
#[test]
fn a_file_for_somebody_elses_key_says_so() {
    let desk = Desk::new();
    let path = desk.path("a.seed");
    let other = age::x25519::Identity::generate();
    let sealed = age::encrypt_and_armor(&other.to_public(), b"text").unwrap();
    fs::write(&path, sealed).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let said = refusal(load(&path, &desk.secrets("right")));
    assert!(said.contains("not with a passphrase"), "{said}");
}

#[test]
fn a_file_that_asks_for_too_much_work_is_refused_at_once() {
    let desk = Desk::new();
    let (path, _) = desk.encrypted();
    let passphrase = desk.secrets("right").passphrase(&path).unwrap();
    let armored = fs::read(&path).unwrap();
    let mut binary = Vec::new();
    std::io::copy(
        &mut age::armor::ArmoredReader::new(armored.as_slice()),
        &mut binary,
    )
    .unwrap();
    let at = binary.windows(4).position(|part| part == b" 18\n").unwrap();
    binary[at + 1] = b'3';
    let error = passphrase.decrypt(&binary).unwrap_err();
    assert!(error.to_string().contains("2^38"), "{error}");
}
