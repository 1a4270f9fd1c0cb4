//! Evidence files: built from a snapshot under one head, sent in chunks.

use crate::ledger::payload::{self, PayloadRow};
use crate::ledger::policy_steps::{policy_changes, policy_steps};
use crate::ledger::row::{EntryRow, HeadRow};
use crate::ledger::state::TypedRows;
use crate::ledger::tree;
use crate::limits_server::EVIDENCE_CHUNK_BYTES;
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::convert;
use crate::service::heads::{HeadChoice, beyond, head, head_receipt};
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::evidence::{
    EvidenceFile, FileEntry, FileHead, FileRecord, Held, OtherHead, Shown,
};
use aimslog_proto::system::registry::Registry;
use aimslog_proto::time::UnixMillis;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use tokio_stream::Stream;
use tonic::Status;

/// Most records in one call.
const RECORDS_MAX: usize = 10_000;

/// A stream of pieces.
pub(super) type ChunkStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a file is to hold.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Positions of the records, ascending.
    pub(super) indices: BTreeSet<u64>,
    /// Names of the fields that are shown; empty shows all.
    pub(super) fields: Vec<String>,
    /// A kept head that the file is to be consistent with; 0 for none.
    pub(super) since: u64,
    /// The head everything stands under.
    pub(super) head: HeadChoice,
}

/// The file that a reader asked for; every record must be the reader's.
pub(super) async fn evidence(
    backend: &Backend,
    reader: &Reader,
    request: pb::GetEvidenceRequest,
) -> Result<Vec<u8>, Failure> {
    if request.entry_ids.is_empty() || request.entry_ids.len() > RECORDS_MAX {
        let rule = "1 to 10000 entry ids";
        return Err(Failure::field(Reason::PageTooLarge, "entry_ids", rule));
    }
    let mut ids = Vec::with_capacity(request.entry_ids.len());
    for id in &request.entry_ids {
        ids.push(convert::digest("entry_ids", id)?);
    }
    let registry = backend.ledger.registry();
    let organization = reader.organization.clone();
    let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
    let file = backend
        .read(move |view| {
            let mut indices = BTreeSet::new();
            for id in ids {
                let index = view.index(&codec::by_id(&id))?.ok_or_else(not_visible)?;
                let entry: EntryRow = view.expect_value(&codec::entry(index))?;
                if entry.organization != organization {
                    return Err(not_visible().into());
                }
                indices.insert(index);
            }
            let wanted = Wanted {
                indices,
                fields: request.fields,
                since: request.since_size,
                head: HeadChoice::from_size(request.tree_size),
            };
            build(view, &registry, &wanted)
        })
        .await?;
    let rest = file.get(offset..).map(<[u8]>::to_vec);
    rest.ok_or_else(|| {
        Failure::new(
            Reason::BeyondTree,
            format!("the file has {} bytes", file.len()),
        )
    })
}

/// What is absent and what is not for the caller look alike.
pub(super) fn not_visible() -> Failure {
    Failure::new(
        Reason::NotVisible,
        "there is no such record for this caller",
    )
}

/// The text of the file.
pub(super) fn build(
    rows: &impl Rows,
    registry: &Registry,
    wanted: &Wanted,
) -> Result<Vec<u8>, ReadFailure> {
    let head = head(rows, wanted.head)?;
    if wanted.indices.iter().any(|index| *index >= head.size) {
        return Err(beyond(head.size).into());
    }
    let mut chain = BTreeMap::new();
    let mut records = Vec::with_capacity(wanted.indices.len());
    for index in &wanted.indices {
        let entry: EntryRow = rows.expect_value(&codec::entry(*index))?;
        follow(rows, registry, &entry.statement, &mut chain)?;
        records.push(record(rows, *index, &entry, &wanted.fields)?);
    }
    // The records that the verifier needs whoever signed: genesis and receipt keys.
    for index in [0, 1] {
        add(rows, index, &mut chain)?;
    }
    for change in policy_changes(registry, TreeSize(head.size)) {
        let entry: EntryRow = rows.expect_value(&codec::entry(change.0))?;
        follow(rows, registry, &entry.statement, &mut chain)?;
        add(rows, change.0, &mut chain)?;
    }
    let indices: Vec<LeafIndex> = wanted
        .indices
        .iter()
        .chain(chain.keys())
        .copied()
        .collect::<BTreeSet<u64>>()
        .into_iter()
        .map(LeafIndex)
        .collect();
    let chain: Vec<FileEntry> = chain
        .into_iter()
        .filter(|(index, _)| !wanted.indices.contains(index))
        .map(|(index, statement)| FileEntry {
            index: LeafIndex(index),
            statement,
        })
        .collect();
    let proof =
        tree::multi(rows, indices, TreeSize(head.size))?.ok_or_else(|| beyond(head.size))?;
    let origin = registry
        .genesis()
        .map(|genesis| genesis.origin.clone())
        .ok_or_else(|| Failure::new(Reason::NotInitialized, "the cluster has no genesis yet"))?;
    let file = EvidenceFile {
        origin,
        head: FileHead {
            checkpoint: text(&head)?,
            receipt: head_receipt(registry, &head)?,
        },
        records,
        chain,
        proof: proof.hashes().to_vec(),
        heads: other_heads(rows, wanted.since, &head)?,
        policy_steps: policy_steps(rows, registry, TreeSize(head.size))?,
    };
    let text = file
        .print()
        .map_err(|error| Failure::internal("an evidence file cannot be written", &error))?;
    Ok(text.into_bytes())
}

fn text(head: &HeadRow) -> Result<String, Failure> {
    String::from_utf8(head.note.to_vec())
        .map_err(|error| Failure::internal("a stored head is no text", &error))
}

/// Adds the system records that lead from genesis to the signer of a statement.
fn follow(
    rows: &impl Rows,
    registry: &Registry,
    statement: &[u8],
    chain: &mut BTreeMap<u64, Vec<u8>>,
) -> Result<(), ReadFailure> {
    let mut next = Some(statement.to_vec());
    while let Some(bytes) = next.take() {
        let parsed = UnverifiedStatement::parse_submitted(&bytes)
            .map_err(|error| Failure::internal("a stored entry is no statement", &error))?;
        let Some(row) = registry.key(&parsed.header().key) else {
            continue;
        };
        // Each key was registered by an earlier record, so this ends at genesis.
        if add(rows, row.registered_at.0, chain)? {
            next = chain.get(&row.registered_at.0).cloned();
        }
    }
    Ok(())
}

/// Adds an entry to the chain; false where it is there already.
fn add(
    rows: &impl Rows,
    index: u64,
    chain: &mut BTreeMap<u64, Vec<u8>>,
) -> Result<bool, ReadFailure> {
    if chain.contains_key(&index) {
        return Ok(false);
    }
    let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
    chain.insert(index, entry.statement.to_vec());
    Ok(true)
}

fn record(
    rows: &impl Rows,
    index: u64,
    entry: &EntryRow,
    fields: &[String],
) -> Result<FileRecord, ReadFailure> {
    let disclosures = disclosures(rows, index)?;
    let positions = positions(&disclosures, fields)?;
    let held = Held {
        index: LeafIndex(index),
        statement: &entry.statement,
        disclosures: &disclosures,
        registered_at: Some(UnixMillis(entry.time_ms)),
        register_number: (entry.number > 0).then_some(entry.number),
    };
    let shown = if fields.is_empty() {
        Shown::All
    } else {
        Shown::Only(&positions)
    };
    Ok(FileRecord::show(&held, shown)
        .map_err(|error| Failure::internal("stored disclosures cannot be shown", &error))?)
}

/// The stored disclosures; none for system records, sealed and erased ones.
pub(super) fn disclosures(rows: &impl Rows, index: u64) -> Result<Vec<Vec<u8>>, ReadFailure> {
    let Some(row) = rows.row(&codec::payload(index))? else {
        return Ok(Vec::new());
    };
    let damaged = |error| Failure::internal("a stored payload is damaged", &error);
    match PayloadRow::decode(&row).map_err(damaged)? {
        PayloadRow::Present(bytes) => Ok(payload::decode(&bytes).map_err(damaged)?),
        PayloadRow::Sealed | PayloadRow::Erased => Ok(Vec::new()),
    }
}

/// Positions of the fields with these names; a name that the record does not have is not shown.
fn positions(disclosures: &[Vec<u8>], fields: &[String]) -> Result<Vec<u64>, Failure> {
    let mut positions = Vec::new();
    for (position, bytes) in (0..).zip(disclosures) {
        let disclosure = aimslog_proto::statement::Disclosure::parse(bytes)
            .map_err(|error| Failure::internal("a stored disclosure is damaged", &error))?;
        if fields.iter().any(|field| field == disclosure.name()) {
            positions.push(position);
        }
    }
    Ok(positions)
}

/// The older head that the caller kept, with the proof that this one extends it.
fn other_heads(
    rows: &impl Rows,
    since: u64,
    newer: &HeadRow,
) -> Result<Vec<OtherHead>, ReadFailure> {
    if since == 0 || since == newer.size {
        return Ok(Vec::new());
    }
    let older = head(rows, HeadChoice::OfSize(since))?;
    let sizes = [TreeSize(older.size), TreeSize(newer.size)];
    let proof = tree::consistency(rows, sizes)?.ok_or_else(|| beyond(newer.size))?;
    Ok(vec![OtherHead {
        checkpoint: text(&older)?,
        consistency: proof.hashes().to_vec(),
    }])
}

/// The pieces of a file.
pub(super) fn chunks(file: &[u8]) -> ChunkStream<pb::GetEvidenceResponse> {
    let pieces: Vec<_> = file
        .chunks(EVIDENCE_CHUNK_BYTES)
        .map(|chunk| {
            Ok(pb::GetEvidenceResponse {
                chunk: chunk.to_vec(),
            })
        })
        .collect();
    Box::pin(tokio_stream::iter(pieces))
}

#[cfg(test)]
mod tests;
