//! Where passphrases and PINs come from: a file, or whoever sits at the terminal. Never from the
//! command line or the environment, which other processes and logs can show.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::exit::UserError;

/// Bytes of such a file at most.
const BYTES_MAX: usize = 4096;

/// The files, where they are set.
#[derive(Debug, Clone, Default)]
pub(crate) struct SecretFiles {
    /// Holds the passphrase of key files.
    pub(crate) passphrase: Option<PathBuf>,
    /// Holds the PIN of tokens.
    pub(crate) pin: Option<PathBuf>,
}

impl SecretFiles {
    /// The passphrase of the key in `file`.
    pub(crate) fn passphrase(&self, file: &Path) -> Result<Passphrase> {
        let text = match &self.passphrase {
            Some(path) => read(path)?,
            None => ask(&format!("Passphrase of {}: ", file.display()), PASSPHRASE)?,
        };
        Ok(Passphrase::of(text))
    }

    /// The PIN of a token: the file that its URI names counts before the other.
    pub(super) fn pin(&self, token: &str, named: Option<&Path>) -> Result<Zeroizing<String>> {
        match named.or(self.pin.as_deref()) {
            Some(path) => read(path),
            None => ask(&format!("PIN of the token {token}: "), PIN),
        }
    }
}

/// A passphrase that is new: from the file, or asked for twice.
pub(super) fn new_passphrase(from: Option<&Path>, file: &Path) -> Result<Zeroizing<String>> {
    if let Some(path) = from {
        return read(path);
    }
    let text = ask(
        &format!("New passphrase for {}: ", file.display()),
        PASSPHRASE,
    )?;
    if ask("The same again: ", PASSPHRASE)? != text {
        return Err(UserError::usage(
            "the two passphrases differ: nothing was changed",
        ));
    }
    Ok(text)
}

/// What a secret is called, and how else it can be given.
struct Sort {
    what: &'static str,
    otherwise: &'static str,
}

const PASSPHRASE: &Sort = &Sort {
    what: "the passphrase",
    otherwise: "--passphrase-file FILE or set AIMSLOG_PASSPHRASE_FILE",
};
const PIN: &Sort = &Sort {
    what: "the PIN",
    otherwise: "--pin-file FILE or set AIMSLOG_PIN_FILE",
};

fn ask(prompt: &str, sort: &Sort) -> Result<Zeroizing<String>> {
    match rpassword::prompt_password(prompt) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => Err(UserError::usage(format!(
            "there is no terminal to ask for {} at ({error}): give {}",
            sort.what, sort.otherwise
        ))),
    }
}

/// The first line of the file, which must be the only one. What others may read is no secret.
fn read(path: &Path) -> Result<Zeroizing<String>> {
    let about = || format!("cannot read {}", path.display());
    let wrong = |rule: &str| UserError::usage(format!("{} {rule}", path.display()));
    let mut file = File::open(path).with_context(about)?;
    let metadata = file.metadata().with_context(about)?;
    check_mode(&metadata).map_err(|mode| {
        wrong(&format!(
            "holds a secret and can be read by others (mode {mode:o}): chmod 600 it"
        ))
    })?;
    // Room for all of it at once: growing would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0; BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).with_context(about)? {
            0 => break,
            read => length += read,
        }
    }
    if length > BYTES_MAX {
        return Err(wrong("is longer than a passphrase or PIN can be"));
    }
    let text = std::str::from_utf8(bytes.get(..length).unwrap_or_default());
    let Ok(text) = text else {
        return Err(wrong("is not text"));
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains('\n') {
        return Err(wrong("must hold one line, the secret, and nothing else"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// Pipes and terminals have no mode that says anything.
fn check_mode(metadata: &fs::Metadata) -> Result<(), u32> {
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(mode);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_gives_its_line() {
        for content in [&b"corr ect"[..], b"corr ect\n", b"corr ect\r\n"] {
            let (_folder, path) = file(content, 0o600);
            assert_eq!(read(&path).unwrap().as_str(), "corr ect");
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let long = vec![b'a'; BYTES_MAX + 1];
        for (content, rule) in [
            (&b""[..], "one line"),
            (b"\n", "one line"),
            (b"a\nb\n", "one line"),
            (b"\xff\xfe", "not text"),
            (&long, "longer"),
        ] {
            let (_folder, path) = file(content, 0o600);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(rule), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o622] {
            let (_folder, path) = file(b"secret", mode);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }
}
