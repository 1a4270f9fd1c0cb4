//! `aimslog key`: makes keys, protects them, and shows their public half.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use aimslog_proto::statement::key::{PublicKey, SigningKey};

use crate::args::Connection;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::{self, KeyRef, Keys, Protection, SecretFiles};
use crate::output::Output;

/// Make a key, protect it, or show its public half.
#[derive(Debug, Args)]
#[command(after_help = KEY_REFERENCES)]
pub(crate) struct Key {
    #[command(subcommand)]
    action: Action,
}

const KEY_REFERENCES: &str = "\
A key is named by a file, plain or encrypted, or by the PKCS#11 URI of a private key in a token:

  my.seed
  pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so

wherever a command takes one. Passphrases come from --passphrase-file or the terminal, PINs from
pin-source=file:PATH in the URI, --pin-file or the terminal.";

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new Ed25519 key in a file that only you can read, or in a token
    #[command(after_help = "\
Examples: aimslog key generate -o my.seed --encrypt
          aimslog key generate --in 'pkcs11:token=aims;object=office?module-path=/usr/lib/softhsm/libsofthsm2.so'")]
    Generate(Generate),
    /// Encrypt a key file with a passphrase, in its place
    ///
    /// The plain file is replaced. What backups, snapshots or the disk keep of it stays plain: a key
    /// that was made with `key generate --encrypt` was never plain on a disk.
    #[command(after_help = "Example: aimslog key encrypt my.seed")]
    Encrypt {
        /// The plain key file
        file: PathBuf,
    },
    /// Write an encrypted key file plain, in its place
    #[command(after_help = "Example: aimslog key decrypt my.seed --passphrase-file pass.txt")]
    Decrypt {
        /// The encrypted key file
        file: PathBuf,
    },
    /// Change the passphrase of an encrypted key file
    ///
    /// The key stays the same. Copies of the old file still open with the old passphrase.
    #[command(after_help = "Example: aimslog key passphrase my.seed")]
    Passphrase {
        /// The encrypted key file
        file: PathBuf,
        /// File that holds the new passphrase [default: ask for it]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Show the public key and thumbprint of a key [default: the key of the context]
    #[command(after_help = "\
Examples: aimslog key show my.seed
          aimslog key show 'pkcs11:token=aims;object=office?module-path=/usr/lib/softhsm/libsofthsm2.so'")]
    Show {
        /// The key file, or the PKCS#11 URI of a key in a token
        key: Option<KeyRef>,
    },
}

#[derive(Debug, Args)]
struct Generate {
    /// Where to write the key file; it must not exist
    #[arg(short, long, value_name = "FILE", required_unless_present = "token")]
    output: Option<PathBuf>,
    /// Encrypt the file with a passphrase
    #[arg(long, requires = "output")]
    encrypt: bool,
    /// Make the key in a token, under the label of this PKCS#11 URI; it never leaves the token
    #[arg(
        long = "in",
        id = "token",
        value_name = "URI",
        conflicts_with = "output"
    )]
    token: Option<KeyRef>,
}

#[derive(Serialize)]
struct Shown {
    /// File or PKCS#11 URI.
    key: KeyRef,
    protection: Protection,
    public_key: String,
    thumbprint: String,
}

impl Key {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let secrets = flags.secret_files();
        let of_file = |key: SigningKey, file: &Path| (key.public_key(), file.to_owned().into());
        let (public, key) = match &self.action {
            Action::Generate(generate) => generate.run(&secrets)?,
            Action::Encrypt { file } => {
                of_file(keys::encrypt(file, secrets.passphrase.as_deref())?, file)
            }
            Action::Decrypt { file } => of_file(keys::decrypt(file, &secrets)?, file),
            Action::Passphrase {
                file,
                new_passphrase_file,
            } => {
                let new = new_passphrase_file.as_deref();
                of_file(keys::change_passphrase(file, &secrets, new)?, file)
            }
            Action::Show { key: Some(key) } => {
                (Keys::new(secrets).open(key)?.public_key(), key.clone())
            }
            Action::Show { key: None } => {
                let context = Context::resolve(flags)?;
                (context.key()?.public_key(), context.key_ref()?.clone())
            }
        };
        show(&public, key, output)?;
        Ok(Exit::Ok)
    }
}

impl Generate {
    fn run(&self, secrets: &SecretFiles) -> Result<(PublicKey, KeyRef)> {
        if let Some(token) = &self.token {
            let key = Keys::new(secrets.clone()).generate_in(token)?;
            return Ok((key.public_key(), token.clone()));
        }
        let file = self
            .output
            .as_deref()
            .ok_or_else(|| UserError::usage("say where: -o FILE or --in URI"))?;
        let passphrase = if self.encrypt {
            Some(keys::ask_new(file, secrets.passphrase.as_deref())?)
        } else {
            None
        };
        let key = keys::generate(file, passphrase.as_ref())?;
        Ok((key.public_key(), file.to_owned().into()))
    }
}

fn show(public: &PublicKey, key: KeyRef, output: Output) -> Result<()> {
    let protection = key.protection()?;
    let shown = Shown {
        key,
        protection,
        public_key: hex(public.as_bytes()),
        thumbprint: public.thumbprint().to_string(),
    };
    let text = format!(
        "public key  {}\nthumbprint  {}\nprotection  {}",
        shown.public_key,
        shown.thumbprint,
        match protection {
            Protection::None => "none: whoever has the file has the key",
            Protection::Passphrase => "encrypted with a passphrase",
            Protection::Token => "in a token",
        }
    );
    output.data(&shown, text)
}

/// Lower-case hexadecimal, the form in which public keys are given to `org add` and `principal add`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
