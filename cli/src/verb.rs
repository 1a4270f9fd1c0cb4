//! The commands, one file each.

pub(crate) mod access;
mod agreed;
pub(crate) mod aims;
pub(crate) mod amend;
pub(crate) mod checkpoint;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod disclose;
pub(crate) mod doctor;
pub(crate) mod engagement;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod operator;
pub(crate) mod org;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod prove;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod replace;
pub(crate) mod role;
pub(crate) mod rotate;
mod statement;
pub(crate) mod submit;
pub(crate) mod template;
pub(crate) mod verify;
pub(crate) mod watch;
pub(crate) mod whoami;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

/// The runtime of commands that talk to a ledger.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")
}
