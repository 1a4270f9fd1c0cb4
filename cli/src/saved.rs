//! Heads that the user saved earlier (`aimslog checkpoint --save`), maybe under an earlier policy.

use std::fs;
use std::path::{Path, PathBuf};

use aimslog_client::trust::KeptHead;
use aimslog_proto::statement::evidence::SavedHead;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Checkpoint, Note, Policy};
use anyhow::{Context as _, Result};

use crate::context::{read, read_policy};
use crate::exit::UserError;

/// A saved head: signed by the log of the policy, and perhaps accepted by one of the policies.
pub(crate) fn read_saved(path: &Path, policy: &Policy, earlier: &[Policy]) -> Result<KeptHead> {
    let bytes = read(path)?;
    let is_checkpoint =
        Note::parse(&bytes).is_ok_and(|note| Checkpoint::parse(note.text()).is_ok());
    let Some(note) = str::from_utf8(&bytes).ok().filter(|_| is_checkpoint) else {
        return Err(UserError::usage(format!(
            "{} is no checkpoint: name a file that `aimslog checkpoint --save` wrote",
            path.display()
        )));
    };
    KeptHead::check(note, policy, earlier)
        .map_err(|why| UserError::not_verified(format!("{}: {why}", path.display())))
}

/// The same with the time of the file, as verification takes it.
pub(crate) fn read_dated(path: &Path, policy: &Policy, earlier: &[Policy]) -> Result<SavedHead> {
    let head = read_saved(path, policy, earlier)?;
    // The earliest it can have been saved is what its cosigners say; the file's own time is no
    // proof, but it is the reader's own.
    let cosigners = head.cosigned().map_or(&[][..], |head| head.cosigners());
    let cosigned = cosigners.iter().map(|cosigner| cosigner.time.0).max();
    let modified = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("cannot read {}", path.display()))?;
    let modified = modified
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Ok(SavedHead {
        head: *head.head(),
        saved_at: UnixSeconds(modified.max(cosigned.unwrap_or(0))),
        quorum: head.cosigned().is_some(),
    })
}

/// The policies in these files.
pub(crate) fn read_policies(paths: &[PathBuf]) -> Result<Vec<Policy>> {
    paths.iter().map(|path| read_policy(path)).collect()
}
