//! What of registers and histories is checked before it is handed on.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::{Hash, LeafHash, LeafIndex, MultiProof, TreeHead};

use super::{RegisterCount, RegisterVersion};
use crate::convert;
use crate::error::ClientError;
use crate::filter::{is_of, kind_of};
use crate::ledger::Ledger;
use crate::trust::{SignedHead, chain};

/// What a version was asked for as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Whose.
    pub(crate) organization: &'a str,
    /// Of which kind; `None` for whatever it is.
    pub(crate) kind: Option<&'a str>,
    /// In front of this entry.
    pub(crate) before: LeafIndex,
}

/// A version from the answer of a node.
pub(crate) fn version(
    endpoint: &str,
    asked: Asked<'_>,
    message: v1::RegisterVersion,
) -> Result<RegisterVersion, ClientError> {
    let entity = convert::array(&message.entity_id, "entity_id of 32 bytes")?;
    let entry = convert::entry_ref(message.entry)?;
    let unverified = |why: String| ClientError::Unverified {
        endpoint: endpoint.to_owned(),
        why,
    };
    let statement = UnverifiedStatement::parse(&message.statement)
        .map_err(|error| unverified(chain(&error)))?;
    let version = RegisterVersion {
        entry,
        header: statement.header().clone(),
        statement: message.statement,
        entity: EntryId::from_bytes(entity),
        version: message.version,
        state: message.state,
    };
    match misfit(asked, &version) {
        None => Ok(version),
        Some(why) => Err(unverified(format!("a version {why}"))),
    }
}

/// What is wrong with a version, as far as its bytes and its header tell.
fn misfit(asked: Asked<'_>, version: &RegisterVersion) -> Option<&'static str> {
    let RegisterVersion { entry, header, .. } = version;
    let revision = header.revision;
    let entity = revision.map_or(entry.entry_id, |revision| revision.entity);
    let state = header.transition.as_ref();
    if EntryId::of(&version.statement) != entry.entry_id {
        Some("does not hash to its entry id")
    } else if LeafHash::of(&version.statement) != entry.leaf_hash {
        Some("does not hash to its leaf hash")
    } else if !is_of(header, asked.organization) {
        Some("is of another organisation than was asked for")
    } else if asked.kind.is_some_and(|kind| kind_of(header) != kind) {
        Some("is of another kind than was asked for")
    } else if entry.index >= asked.before {
        Some("stands behind the place that was asked for")
    } else if entity != version.entity {
        Some("is of another entity than the service says")
    } else if version.version == 0 || revision.is_none() != (version.version == 1) {
        Some("has another number than its header allows")
    } else if state.is_some_and(|state| *state != version.state) {
        Some("is in another state than its header says")
    } else {
        None
    }
}

/// Whether a number follows the last one: the next where all are shown, else any later one.
pub(super) fn follows(last: u64, number: u64, count: Option<RegisterCount>) -> Result<(), String> {
    let is_good = match count {
        Some(count) => last.checked_add(1) == Some(number) && number <= count.entities,
        None => number > last,
    };
    if is_good {
        Ok(())
    } else {
        Err(format!(
            "number {number} of a register came behind number {last}"
        ))
    }
}

/// The head of a page, once it is checked against the policy and the head remembered, covers the place
/// that was asked for, and proves these entries.
pub(crate) async fn proven(
    ledger: &Ledger,
    endpoint: &str,
    (proof, leaves, at): (Option<v1::PageProof>, Vec<(LeafIndex, LeafHash)>, LeafIndex),
) -> Result<SignedHead, ClientError> {
    let proof = proof.ok_or(ClientError::Malformed {
        what: "the proof of a page",
    })?;
    let head = ledger.check_head(endpoint, proof.head)?;
    let hashes = proof.hashes.iter();
    let hashes = hashes
        .map(|hash| convert::array(hash, "proof hashes of 32 bytes").map(Hash::from_bytes))
        .collect::<Result<Vec<_>, _>>()?;
    check_leaves(head.head(), (hashes, leaves, at)).map_err(|why| ClientError::Unverified {
        endpoint: endpoint.to_owned(),
        why,
    })?;
    ledger.learn(endpoint, head.clone()).await?;
    Ok(head)
}

fn check_leaves(
    head: &TreeHead,
    (hashes, mut leaves, at): (Vec<Hash>, Vec<(LeafIndex, LeafHash)>, LeafIndex),
) -> Result<(), String> {
    if head.size.0 < at.0 {
        return Err(format!("{head} does not cover the place {at}"));
    }
    leaves.sort_unstable();
    leaves.dedup();
    if leaves.is_empty() {
        return Ok(());
    }
    let (indices, leaves): (Vec<LeafIndex>, Vec<LeafHash>) = leaves.into_iter().unzip();
    let proof = MultiProof::new(indices, head.size, hashes).map_err(|error| chain(&error))?;
    proof
        .verify(&leaves, head)
        .map_err(|error| format!("the entries of a page: {}", chain(&error)))
}

#[cfg(test)]
mod tests;
