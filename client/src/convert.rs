//! From messages of the wire to typed values: the only place of this crate that does it.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{ConsistencyProof, Hash, InclusionProof, LeafHash, LeafIndex, TreeSize};

use crate::error::ClientError;

/// Where an entry stands, as the service says. Index and leaf hash are proven by an inclusion proof,
/// time and register number stay its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRef {
    /// Position in the log.
    pub index: LeafIndex,
    /// SHA-256 of the entry.
    pub entry_id: EntryId,
    /// RFC 6962 leaf hash of the entry.
    pub leaf_hash: LeafHash,
    /// When the service says that it took the entry in.
    pub registered_at: UnixMillis,
    /// The entity's number in its register; 0 for system records.
    pub register_number: u64,
}

pub(crate) fn array<const N: usize>(
    bytes: &[u8],
    what: &'static str,
) -> Result<[u8; N], ClientError> {
    bytes
        .try_into()
        .map_err(|_wrong_length| ClientError::Malformed { what })
}

pub(crate) fn entry_ref(message: Option<v1::EntryRef>) -> Result<EntryRef, ClientError> {
    let message = message.ok_or(ClientError::Malformed { what: "entry" })?;
    let time = message.registered_at.ok_or(ClientError::Malformed {
        what: "registered_at",
    })?;
    let millis = time.seconds.checked_mul(1000).and_then(|millis| {
        u64::try_from(millis.checked_add(i64::from(time.nanos / 1_000_000))?).ok()
    });
    Ok(EntryRef {
        index: LeafIndex(message.index),
        entry_id: EntryId::from_bytes(array(&message.entry_id, "entry_id of 32 bytes")?),
        leaf_hash: LeafHash::from_hash(Hash::from_bytes(array(
            &message.leaf_hash,
            "leaf_hash of 32 bytes",
        )?)),
        registered_at: UnixMillis(millis.ok_or(ClientError::Malformed {
            what: "registered_at",
        })?),
        register_number: message.register_number,
    })
}

fn hashes(messages: &[Vec<u8>]) -> Result<Vec<Hash>, ClientError> {
    messages
        .iter()
        .map(|bytes| array(bytes, "proof hashes of 32 bytes").map(Hash::from_bytes))
        .collect()
}

pub(crate) fn inclusion(
    message: Option<v1::InclusionProof>,
) -> Result<InclusionProof, ClientError> {
    let message = message.ok_or(ClientError::Malformed {
        what: "inclusion proof",
    })?;
    let (index, size) = (LeafIndex(message.leaf_index), TreeSize(message.tree_size));
    InclusionProof::new(index, size, hashes(&message.hashes)?).map_err(|_not_a_proof| {
        ClientError::Malformed {
            what: "a well-formed inclusion proof",
        }
    })
}

pub(crate) fn consistency(
    message: Option<v1::ConsistencyProof>,
) -> Result<ConsistencyProof, ClientError> {
    let message = message.ok_or(ClientError::Malformed {
        what: "consistency proof",
    })?;
    let (old, new) = (TreeSize(message.old_size), TreeSize(message.new_size));
    ConsistencyProof::new(old, new, hashes(&message.hashes)?).map_err(|_not_a_proof| {
        ClientError::Malformed {
            what: "a well-formed consistency proof",
        }
    })
}
