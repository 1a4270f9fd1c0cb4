//! Between wire messages and the types of the domain: the one place of it for clients.

use crate::ledger::outcome::Logged;
use crate::ledger::policy_steps::Change;
use crate::ledger::row::{EntryRow, HeadRow};
use crate::service::heads::EntryKey;
use crate::service::status::Failure;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{ConsistencyProof, Hash, InclusionProof};

/// 32 bytes of a request.
pub(super) fn digest(field: &str, bytes: &[u8]) -> Result<[u8; 32], Failure> {
    <[u8; 32]>::try_from(bytes)
        .map_err(|_length| Failure::field(Reason::InvalidRequest, field, "must be 32 bytes"))
}

/// An entry named by id or index.
pub(super) fn entry_key(id: Option<&[u8]>, index: Option<u64>) -> Result<EntryKey, Failure> {
    match (id, index) {
        (Some(id), None) => Ok(EntryKey::Id(digest("entry_id", id)?)),
        (None, Some(index)) => Ok(EntryKey::Index(index)),
        _ => Err(Failure::field(
            Reason::InvalidRequest,
            "key",
            "name an entry by id or index",
        )),
    }
}

/// The entry that a request names, whose `key` is a `oneof` of its own module.
macro_rules! key_of {
    ($request:expr, $module:ident) => {
        match &$request.key {
            Some(pb::$module::Key::EntryId(id)) => {
                $crate::service::convert::entry_key(Some(id), None)
            }
            Some(pb::$module::Key::Index(index)) => {
                $crate::service::convert::entry_key(None, Some(*index))
            }
            None => $crate::service::convert::entry_key(None, None),
        }
    };
}
pub(super) use key_of;

/// Milliseconds since 1970 as a protobuf timestamp.
pub(super) fn timestamp(millis: u64) -> prost_types::Timestamp {
    UnixMillis(millis).into()
}

/// Where an entry stands.
pub(super) fn entry_ref(index: u64, entry: &EntryRow) -> pb::EntryRef {
    pb::EntryRef {
        index,
        entry_id: EntryId::of(&entry.statement).as_bytes().to_vec(),
        leaf_hash: entry.leaf_hash.to_vec(),
        registered_at: Some(timestamp(entry.time_ms)),
        register_number: entry.number,
    }
}

/// Where an entry stands, as its outcome said.
pub(super) fn logged_ref(statement: &[u8], logged: &Logged) -> pb::EntryRef {
    pb::EntryRef {
        index: logged.index,
        entry_id: EntryId::of(statement).as_bytes().to_vec(),
        leaf_hash: logged.leaf_hash.to_vec(),
        registered_at: Some(timestamp(logged.time_ms)),
        register_number: logged.number,
    }
}

/// A head with its receipt part.
pub(super) fn signed_head(
    head: &HeadRow,
    receipt: &HeadReceipt,
) -> Result<pb::SignedHead, Failure> {
    let checkpoint = String::from_utf8(head.note.to_vec())
        .map_err(|error| Failure::internal("a stored head is no text", &error))?;
    Ok(pb::SignedHead {
        checkpoint,
        receipt_protected: receipt.protected().to_vec(),
        receipt_signature: receipt.signature().0.to_vec(),
    })
}

fn hashes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect()
}

/// An inclusion proof.
pub(super) fn inclusion(proof: &InclusionProof) -> pb::InclusionProof {
    pb::InclusionProof {
        leaf_index: proof.index().0,
        tree_size: proof.size().0,
        hashes: hashes(proof.hashes()),
    }
}

/// A change of policy.
pub(super) fn policy_step((index, step): Change, statement: Vec<u8>) -> pb::PolicyStep {
    let (checkpoint, proof) = step.map_or_else(Default::default, |step| {
        let hashes = step.proof.iter().map(|hash| hash.as_bytes().to_vec());
        (step.checkpoint, hashes.collect())
    });
    pb::PolicyStep {
        checkpoint,
        index: index.0,
        statement,
        proof,
    }
}

/// A consistency proof.
pub(super) fn consistency(proof: &ConsistencyProof) -> pb::ConsistencyProof {
    pb::ConsistencyProof {
        old_size: proof.old().0,
        new_size: proof.new_size().0,
        hashes: hashes(proof.hashes()),
    }
}

/// Everything that was wrong with a submission.
pub(super) fn refused(violations: &[Violation]) -> pb::Refused {
    let newest = violations
        .iter()
        .find(|violation| violation.reason == Reason::VersionConflict)
        .and_then(|violation| violation.nearest.as_deref())
        .and_then(|text| EntryId::parse(text).ok());
    pb::Refused {
        violations: violations.iter().map(violation).collect(),
        newest_version: newest.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
    }
}

fn violation(violation: &Violation) -> pb::Violation {
    pb::Violation {
        reason: violation.reason.as_str().to_owned(),
        field: violation.field.clone(),
        rule: violation.rule.clone(),
        found: violation.found.clone().unwrap_or_default(),
        nearest: violation.nearest.clone().unwrap_or_default(),
    }
}
