//! Evidence files: built from a snapshot under one head, sent in chunks.

use crate::ledger::evidence_file::{
    EvidenceFileError, EvidenceRequest, FieldChoice, RequestedRecord, Signers, evidence_file,
};
use crate::ledger::payload::{self, PayloadRow};
use crate::ledger::row::EntryRow;
use crate::ledger::state::TypedRows;
use crate::limits_server::{CALL_DEADLINE_MAX, EVIDENCE_CHUNK_BYTES};
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::file_turns::FileTurn;
use crate::service::heads::{EntryKey, HeadChoice, beyond, head};
use crate::service::records;
use crate::service::sight::{Sight, View, parse};
use crate::service::status::Failure;
use crate::service::{convert, outside};
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::limits::{EVIDENCE_CONTENT_BYTES_MAX, EVIDENCE_RECORDS_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::system::AccessRead;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::LeafIndex;
use futures::StreamExt as _;
use std::collections::{BTreeMap, btree_map};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

/// A stream of pieces.
pub(super) type ChunkStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a file is to hold.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The records by their positions.
    pub(super) records: BTreeMap<u64, WantedRecord>,
    /// A kept head that the file is to be consistent with; 0 for none.
    pub(super) since: u64,
    /// The head everything stands under.
    pub(super) head: HeadChoice,
    /// How much is told of those who signed.
    pub(super) signers: Signers,
}

/// A record that is to stand in a file, as it was read.
#[derive(Debug, Clone)]
pub(super) struct WantedRecord {
    pub(super) entry: EntryRow,
    /// The key that its statement names.
    pub(super) signer: Thumbprint,
    /// The fields that are shown of it.
    pub(super) fields: Fields,
}

impl WantedRecord {
    /// The record at this position, which the log has.
    pub(super) fn at(rows: &impl Rows, index: u64, fields: Fields) -> Result<Self, ReadFailure> {
        let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
        let signer = parse(&entry)?.header().key;
        Ok(Self {
            entry,
            signer,
            fields,
        })
    }
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
    /// Those of these names that the reader sees, of all where none is named. `None` where an engagement
    /// shows none of them.
    fn of(seen: &View, asked: &[String]) -> Option<Self> {
        let shown = match seen {
            View::Own => None,
            View::Engaged(engaged) => engaged.fields.as_ref(),
        };
        let Some(shown) = shown else {
            return Some(if asked.is_empty() {
                Self::All
            } else {
                Self::Named(asked.to_vec())
            });
        };
        let asks = |name: &String| asked.is_empty() || asked.contains(name);
        let names: Vec<String> = shown.iter().filter(|name| asks(name)).cloned().collect();
        (!names.is_empty()).then_some(Self::Named(names))
    }

    fn choice(&self) -> FieldChoice<'_> {
        match self {
            Self::All => FieldChoice::All,
            Self::None => FieldChoice::None,
            Self::Named(names) => FieldChoice::Named(names),
        }
    }
}

/// The file that a reader asked for, and the turn, which was held while it was made; every record must be
/// one that the reader may see.
pub(super) async fn evidence(
    backend: &Backend,
    reader: &Reader,
    (request, turn): (pb::GetEvidenceRequest, FileTurn),
) -> Result<(Vec<u8>, FileTurn), Failure> {
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
    let ((mut file, reads), turn) = backend
        .read_in(turn, move |view| {
            let (records, reads) = seen(view, &sight, (&ids, &request.fields))?;
            let wanted = Wanted {
                records,
                since: request.since_size,
                head: HeadChoice::from_size(request.tree_size),
                signers: Signers::UntilHead,
            };
            Ok((build(view, &registry, &wanted)?, reads))
        })
        .await?;
    outside::journal(backend, reader, reads).await?;
    if offset > file.len() {
        let words = format!("the file has {} bytes", file.len());
        return Err(Failure::new(Reason::BeyondTree, words));
    }
    Ok((file.split_off(offset), turn))
}

/// These records with the fields of these names that the reader sees, and what the journal is to hold of
/// that.
fn seen(
    rows: &impl Rows,
    sight: &Sight,
    (ids, fields): (&[[u8; 32]], &[String]),
) -> Result<(BTreeMap<u64, WantedRecord>, Vec<AccessRead>), ReadFailure> {
    let (mut records, mut reads, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
    for id in ids {
        let named = records::named(rows, sight, EntryKey::Id(*id))?;
        let shown = Fields::of(&named.seen, fields).ok_or_else(not_visible)?;
        if let btree_map::Entry::Vacant(free) = records.entry(named.index) {
            // Not even the statements may lie in memory beyond what one file has.
            bytes += named.entry.statement.len();
            if bytes > EVIDENCE_CONTENT_BYTES_MAX {
                return Err(refused(EvidenceFileError::TooLarge));
            }
            let record = (named.index, &named.entry);
            reads.extend(outside::reads(sight, record, (&named.seen, fields))?);
            free.insert(WantedRecord {
                entry: named.entry,
                signer: named.signer,
                fields: shown,
            });
        }
    }
    Ok((records, reads))
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
    let last = wanted.records.last_key_value().map(|(index, _)| *index);
    if last.is_some_and(|last| last >= newest.size) {
        return Err(beyond(newest.size).into());
    }
    let since = match wanted.since {
        0 => None,
        size => Some(head(rows, HeadChoice::OfSize(size))?),
    };
    let records = wanted.records.iter();
    let records: Vec<RequestedRecord<'_>> = records
        .map(|(index, wanted)| RequestedRecord {
            index: LeafIndex(*index),
            entry: &wanted.entry,
            signer: wanted.signer,
            fields: wanted.fields.choice(),
        })
        .collect();
    let request = EvidenceRequest {
        records: &records,
        head: &newest,
        since: since.as_ref(),
        signers: wanted.signers,
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

/// The disclosures in a stored payload; none of system records, sealed and erased ones.
pub(super) fn disclosures(payload: Option<&PayloadRow>) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(bytes) = payload.and_then(PayloadRow::disclosures) else {
        return Ok(Vec::new());
    };
    payload::decode(bytes).map_err(|error| Failure::internal("a stored payload is damaged", &error))
}

/// The pieces of a file, copied one by one as they are sent. The file holds its `turn` until it is
/// sent, or the caller has had its time.
pub(super) fn chunks(
    backend: &Backend,
    file: Vec<u8>,
    turn: FileTurn,
) -> ChunkStream<pb::GetEvidenceResponse> {
    let starts = (0..file.len()).step_by(EVIDENCE_CHUNK_BYTES);
    let pieces = starts.map(move |start| {
        let end = file.len().min(start + EVIDENCE_CHUNK_BYTES);
        let chunk = file.get(start..end).unwrap_or_default().to_vec();
        pb::GetEvidenceResponse { chunk }
    });
    sending((&backend.tasks, &backend.stop), pieces, turn)
}

/// Sends pieces as the caller takes them, and holds its place until then. Whoever takes them too slowly, or
/// not at all, is cut off with an error, and what it held is free again.
pub(super) fn sending<T: Send + 'static>(
    (tasks, stop): (&TaskTracker, &CancellationToken),
    pieces: impl Iterator<Item = T> + Send + 'static,
    place: impl Send + 'static,
) -> ChunkStream<T> {
    let (sender, stream) = mpsc::channel(1);
    let complete = Arc::new(AtomicBool::new(false));
    let is_complete = Arc::clone(&complete);
    let feeding = async move {
        let _place = place;
        let taken = async move {
            for piece in pieces {
                // The caller may have gone away.
                if sender.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            // While the stream is still open: its end must find it.
            is_complete.store(true, Ordering::Release);
        };
        // Whoever is late has been told so by the end of the stream.
        drop(timeout(CALL_DEADLINE_MAX, taken).await);
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(feeding));
    // The end of the pieces must not look like the end of the file.
    let end = futures::stream::once(async move {
        let is_cut_off = !complete.load(Ordering::Acquire);
        is_cut_off.then(|| {
            let words =
                "the file was not taken in time, or the node stops; go on where it broke off";
            Err(Status::from(Failure::new(Reason::Overloaded, words)))
        })
    });
    Box::pin(ReceiverStream::new(stream).chain(end.filter_map(std::future::ready)))
}

#[cfg(test)]
mod tests;
