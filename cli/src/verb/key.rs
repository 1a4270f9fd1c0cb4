//! `aimslog key`: makes keys and shows their public half.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use aimslog_proto::statement::key::PublicKey;

use crate::args::Connection;
use crate::context::Context;
use crate::exit::Exit;
use crate::keyfile;
use crate::output::Output;

/// Make a key, or show the public half of one.
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a new Ed25519 key in a file that only you can read
    Generate {
        /// Where to write the seed file; it must not exist
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Show the public key and thumbprint of a seed file [default: the key of the context]
    Show {
        /// The seed file
        file: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Shown {
    file: Option<PathBuf>,
    public_key: String,
    thumbprint: String,
}

impl Key {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let (public, file) = match &self.action {
            Action::Generate { output: file } => {
                (keyfile::generate(file)?.public_key(), Some(file.clone()))
            }
            Action::Show { file: Some(file) } => {
                (keyfile::load(file)?.public_key(), Some(file.clone()))
            }
            Action::Show { file: None } => (Context::resolve(flags)?.key()?.public_key(), None),
        };
        show(&public, file, output)?;
        Ok(Exit::Ok)
    }
}

fn show(public: &PublicKey, file: Option<PathBuf>, output: Output) -> Result<()> {
    let shown = Shown {
        file,
        public_key: hex(public.as_bytes()),
        thumbprint: public.thumbprint().to_string(),
    };
    let text = format!(
        "public key  {}\nthumbprint  {}",
        shown.public_key, shown.thumbprint
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
