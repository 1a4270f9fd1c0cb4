//! Evidence files: built from a snapshot under one head, sent in chunks.

use crate::ledger::evidence_file::{
    EvidenceFileError, EvidenceRequest, FieldChoice, evidence_file,
};
use crate::ledger::payload::{self, PayloadRow};
use crate::ledger::row::EntryRow;
use crate::ledger::state::TypedRows;
use crate::limits_server::EVIDENCE_CHUNK_BYTES;
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::convert;
use crate::service::heads::{HeadChoice, beyond, head};
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::limits::{EVIDENCE_CONTENT_BYTES_MAX, EVIDENCE_RECORDS_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::LeafIndex;
use std::collections::BTreeSet;
use std::pin::Pin;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::Stream;
use tonic::Status;

/// A stream of pieces.
pub(super) type ChunkStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a file is to hold.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Positions of the records, ascending.
    pub(super) indices: BTreeSet<u64>,
    /// The fields that are shown.
    pub(super) fields: Fields,
    /// A kept head that the file is to be consistent with; 0 for none.
    pub(super) since: u64,
    /// The head everything stands under.
    pub(super) head: HeadChoice,
}

/// Which fields a file shows.
#[derive(Debug, Clone)]
pub(super) enum Fields {
    /// All that the ledger holds.
    All,
    /// None: whoever asks has not shown a right to the content.
    None,
    /// Those with these names.
    Named(Vec<String>),
}

impl Fields {
    fn choice(&self) -> FieldChoice<'_> {
        match self {
            Self::All => FieldChoice::All,
            Self::None => FieldChoice::None,
            Self::Named(names) => FieldChoice::Named(names),
        }
    }
}

/// The file that a reader asked for; every record must be one that the reader may see.
pub(super) async fn evidence(
    backend: &Backend,
    reader: &Reader,
    request: pb::GetEvidenceRequest,
) -> Result<Vec<u8>, Failure> {
    if request.entry_ids.is_empty() {
        let rule = "name at least one entry";
        return Err(Failure::field(Reason::InvalidRequest, "entry_ids", rule));
    }
    if request.entry_ids.len() > EVIDENCE_RECORDS_MAX {
        let rule = format!("at most {EVIDENCE_RECORDS_MAX} entries");
        return Err(Failure::field(Reason::PageTooLarge, "entry_ids", &rule));
    }
    let mut ids = Vec::with_capacity(request.entry_ids.len());
    for id in &request.entry_ids {
        ids.push(convert::digest("entry_ids", id)?);
    }
    let registry = backend.ledger.registry();
    let sight = backend.sight(reader)?;
    let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
    let file = backend
        .read(move |view| {
            let mut indices = BTreeSet::new();
            for id in ids {
                let index = view.index(&codec::by_id(&id))?.ok_or_else(not_visible)?;
                let entry: EntryRow = view.expect_value(&codec::entry(index))?;
                if !sight.sees(&entry)? {
                    return Err(not_visible().into());
                }
                indices.insert(index);
            }
            let wanted = Wanted {
                indices,
                fields: if request.fields.is_empty() {
                    Fields::All
                } else {
                    Fields::Named(request.fields)
                },
                since: request.since_size,
                head: HeadChoice::from_size(request.tree_size),
            };
            build(view, &registry, &wanted)
        })
        .await?;
    let mut file = file;
    if offset > file.len() {
        let words = format!("the file has {} bytes", file.len());
        return Err(Failure::new(Reason::BeyondTree, words));
    }
    Ok(file.split_off(offset))
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
    let newest = head(rows, wanted.head)?;
    if wanted.indices.iter().any(|index| *index >= newest.size) {
        return Err(beyond(newest.size).into());
    }
    let since = match wanted.since {
        0 => None,
        size => Some(head(rows, HeadChoice::OfSize(size))?),
    };
    let indices: Vec<LeafIndex> = wanted.indices.iter().copied().map(LeafIndex).collect();
    let request = EvidenceRequest {
        indices: &indices,
        fields: wanted.fields.choice(),
        head: &newest,
        since: since.as_ref(),
    };
    let file = evidence_file(rows, registry, &request).map_err(refused)?;
    let text = file
        .print()
        .map_err(|error| Failure::internal("an evidence file cannot be written", &error))?;
    Ok(text.into_bytes())
}

fn refused(error: EvidenceFileError) -> ReadFailure {
    match error {
        EvidenceFileError::SystemRecord { .. } => {
            let rule = "records of organisations; those of the ledger itself stand in every chain";
            Failure::field(Reason::InvalidRequest, "entry_ids", rule).into()
        }
        EvidenceFileError::TooLarge => {
            let rule = format!(
                "statements and shown fields of at most {EVIDENCE_CONTENT_BYTES_MAX} bytes in one \
                 file; ask for fewer entries"
            );
            Failure::field(Reason::PageTooLarge, "entry_ids", &rule).into()
        }
        EvidenceFileError::State(error) => error.into(),
        other => Failure::internal("an evidence file cannot be made", &other).into(),
    }
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

/// The pieces of a file, copied one by one as they are sent. The file holds its `turn` until it is
/// sent.
pub(super) fn chunks(
    file: Vec<u8>,
    turn: OwnedSemaphorePermit,
) -> ChunkStream<pb::GetEvidenceResponse> {
    let starts = (0..file.len()).step_by(EVIDENCE_CHUNK_BYTES);
    let pieces = starts.map(move |start| {
        let _turn = &turn;
        let end = file.len().min(start + EVIDENCE_CHUNK_BYTES);
        let chunk = file.get(start..end).unwrap_or_default().to_vec();
        Ok(pb::GetEvidenceResponse { chunk })
    });
    Box::pin(tokio_stream::iter(pieces))
}

#[cfg(test)]
mod tests;
