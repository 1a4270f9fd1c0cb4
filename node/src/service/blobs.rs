//! Attachments: received whole, digest checked, then logged in chunks.

use crate::ledger::blobs::{BlobName, complete, content as stored};
use crate::ledger::command::BlobChunk;
use crate::ledger::outcome::Outcome;
use crate::ledger::reader;
use crate::ledger::sequencer::Control;
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::evidence::carried_out;
use crate::service::files::{ChunkStream, not_visible, sending};
use crate::service::heads::EntryKey;
use crate::service::quotas::{Charge, Charged};
use crate::service::records::Named;
use crate::service::sight::Sight;
use crate::service::slots::Slot;
use crate::service::status::Failure;
use crate::service::{convert, files, forward, outside, records, submit};
use crate::store::state_db::Rows;
use aimslog_proto::aims::content::fields_naming;
use aimslog_proto::limits::{BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX};
use aimslog_proto::pb::raft::v1::{ForwardedBlob, ForwardedCall};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::system::AccessRead;
use aimslog_proto::tlog::LeafIndex;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

/// A whole attachment of an organisation, whose digest fits.
#[derive(Debug)]
pub(super) struct Upload {
    organization: String,
    /// The key of whoever stores it.
    key: Thumbprint,
    digest: [u8; 32],
    bytes: Bytes,
}

impl Upload {
    /// An attachment whose size and digest are the announced ones, of the reader's organisation.
    fn checked(reader: &Reader, header: &pb::BlobHeader, bytes: Bytes) -> Result<Self, Failure> {
        let size = announced(reader, header)?;
        let digest = convert::digest("header.digest", &header.digest)?;
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if bytes.len() != size || found != digest || bytes.is_empty() {
            let rule = "size and SHA-256 of the bytes are the announced ones, and there are bytes";
            return Err(Failure::field(Reason::BlobMismatch, "header.digest", rule));
        }
        Ok(Self {
            organization: reader.organization.clone(),
            key: reader.key,
            digest,
            bytes,
        })
    }
}

/// How many bytes are to come, if the reader may store so many there.
fn announced(reader: &Reader, header: &pb::BlobHeader) -> Result<usize, Failure> {
    records::own(reader, &header.organization)?;
    convert::digest("header.digest", &header.digest)?;
    if header.size > BLOB_BYTES_MAX {
        let rule = format!("at most {BLOB_BYTES_MAX} bytes");
        return Err(Failure::field(Reason::BlobTooLarge, "header.size", &rule));
    }
    Ok(usize::try_from(header.size).unwrap_or(usize::MAX))
}

/// Receives an attachment of the reader's organisation.
pub(super) async fn receive(
    reader: &Reader,
    mut parts: Streaming<pb::PutBlobRequest>,
    until: Instant,
) -> Result<Upload, Failure> {
    let header = match next(&mut parts, until).await? {
        Some(pb::put_blob_request::Part::Header(header)) => header,
        Some(pb::put_blob_request::Part::Chunk(_)) | None => {
            let rule = "the first message is the header";
            return Err(Failure::field(Reason::InvalidRequest, "header", rule));
        }
    };
    let size = announced(reader, &header)?;
    let mut bytes = Vec::with_capacity(size);
    while let Some(part) = next(&mut parts, until).await? {
        let pb::put_blob_request::Part::Chunk(chunk) = part else {
            return Err(Failure::field(
                Reason::InvalidRequest,
                "header",
                "comes once",
            ));
        };
        if chunk.len() > BLOB_CHUNK_BYTES_MAX || chunk.len() > size.saturating_sub(bytes.len()) {
            let rule =
                format!("at most {BLOB_CHUNK_BYTES_MAX} bytes, and the announced size in all");
            return Err(Failure::field(Reason::BlobMismatch, "chunk", &rule));
        }
        bytes.extend_from_slice(&chunk);
    }
    Upload::checked(reader, &header, bytes.into())
}

async fn next(
    parts: &mut Streaming<pb::PutBlobRequest>,
    until: Instant,
) -> Result<Option<pb::put_blob_request::Part>, Failure> {
    let message = timeout_at(until, parts.message())
        .await
        .map_err(|_elapsed| {
            Failure::new(
                Reason::InvalidRequest,
                "the file did not arrive in time; nothing is stored",
            )
        })?;
    let message = message
        .map_err(|_broken| Failure::new(Reason::InvalidRequest, "the stream of chunks broke"))?;
    match message {
        None => Ok(None),
        Some(pb::PutBlobRequest { part: Some(part) }) => Ok(Some(part)),
        Some(pb::PutBlobRequest { part: None }) => Err(Failure::field(
            Reason::InvalidRequest,
            "part",
            "header or chunk",
        )),
    }
}

/// Stores an attachment on whichever node leads.
///
/// The caller's token travels along: the leader judges it itself and takes no node's word for whose
/// file it is.
pub(super) async fn store(
    backend: &Backend,
    upload: Upload,
    token: String,
    until: Instant,
) -> Result<pb::PutBlobResponse, Failure> {
    if backend.leads() {
        return here(backend, upload, until).await;
    }
    let request = ForwardedBlob {
        authorization: token,
        organization: upload.organization,
        digest: upload.digest.to_vec(),
        content: upload.bytes.into(),
    };
    forward::to_leader(backend, ForwardedCall::PutBlob, &request, until).await
}

/// Stores an attachment that another node received, here, on the leader.
pub(super) async fn forwarded(
    backend: &Backend,
    request: ForwardedBlob,
    until: Instant,
) -> Result<pb::PutBlobResponse, Failure> {
    let reader = backend.reader_by(&request.authorization)?;
    let header = pb::BlobHeader {
        organization: request.organization,
        digest: request.digest,
        size: request.content.len() as u64,
    };
    let upload = Upload::checked(&reader, &header, request.content.into())?;
    here(backend, upload, until).await
}

async fn here(
    backend: &Backend,
    upload: Upload,
    until: Instant,
) -> Result<pb::PutBlobResponse, Failure> {
    submit::has_room(backend)?;
    let already_stored = propose(backend, upload, until).await?;
    Ok(pb::PutBlobResponse { already_stored })
}

/// Stores an attachment through raft; true where it was stored before.
async fn propose(backend: &Backend, upload: Upload, until: Instant) -> Result<bool, Failure> {
    let (organization, digest) = (upload.organization.clone(), upload.digest);
    let known = backend
        .read(move |view| {
            let name = BlobName {
                organization: &organization,
                digest: &digest,
            };
            Ok::<_, ReadFailure>(complete(view, name)?.is_some())
        })
        .await?;
    if known {
        return Ok(true);
    }
    let charged = Charged {
        key: &upload.key,
        organization: &upload.organization,
    };
    let charge = Charge {
        calls: 0,
        bytes: upload.bytes.len() as u64,
    };
    backend.quotas.charge(charged, charge)?;
    let total = upload.bytes.len();
    let mut offset = 0;
    while offset < total {
        let end = total.min(offset + BLOB_CHUNK_BYTES_MAX);
        let chunk = BlobChunk {
            time_ms: 0,
            organization: upload.organization.clone(),
            digest: upload.digest,
            offset: offset as u64,
            total: total as u64,
            bytes: upload.bytes.slice(offset..end),
        };
        let proposed = backend.sequencer.control(Control::Blob(chunk));
        let outcome = timeout_at(until, proposed).await.map_err(|_elapsed| {
            Failure::new(
                Reason::OutcomeUnknown,
                "not stored in time; send the file again",
            )
        })?;
        match carried_out(outcome.map_err(|error| submit::failure(&error))?)? {
            Outcome::Blob { complete: true, .. } => return Ok(offset == 0 && end < total),
            _ => offset = end,
        }
    }
    Err(Failure::new(
        Reason::OutcomeUnknown,
        "the file is not complete; send it again",
    ))
}

/// A checked request for an attachment.
#[derive(Debug)]
pub(super) struct Asked {
    organization: String,
    digest: [u8; 32],
    /// The record that names it; `None` for one of the reader's own organisation.
    record: Option<[u8; 32]>,
}

impl Asked {
    /// Checks owner, digest and record.
    pub(super) fn new(sight: &Sight, request: pb::GetBlobRequest) -> Result<Self, Failure> {
        let digest = convert::digest("digest", &request.digest)?;
        let is_own = request.organization == sight.organization().as_str();
        // A digest is told by a record alone; who sees no record is told none.
        if !sight.reaches(&request.organization) || (is_own && sight.is_blind()) {
            return Err(not_visible());
        }
        let record = (!is_own).then(|| convert::digest("entry_id", &request.entry_id));
        Ok(Self {
            organization: request.organization,
            digest,
            record: record.transpose()?,
        })
    }
}

/// The bytes of a stored attachment, and what the journal is to hold of that: of an attachment of
/// another organisation, a read of the record under each engagement that shows a field which names it.
pub(super) fn content(
    rows: &impl Rows,
    sight: &Sight,
    asked: &Asked,
) -> Result<(Vec<u8>, Vec<AccessRead>), ReadFailure> {
    let reads = match asked.record {
        None => Vec::new(),
        Some(record) => naming(rows, sight, (asked, record))?,
    };
    let name = BlobName {
        organization: &asked.organization,
        digest: &asked.digest,
    };
    let content = stored(rows, name)?.ok_or_else(not_visible)?;
    Ok((content, reads))
}

/// The reads of a record by whoever gets the attachment that it names: at least one.
fn naming(
    rows: &impl Rows,
    sight: &Sight,
    (asked, record): (&Asked, [u8; 32]),
) -> Result<Vec<AccessRead>, ReadFailure> {
    let Named {
        index, entry, seen, ..
    } = records::named(rows, sight, EntryKey::Id(record))?;
    if entry.organization != asked.organization {
        return Err(not_visible().into());
    }
    let payload = reader::payload(rows, LeafIndex(index))?;
    let fields = fields_naming(&asked.digest, &files::disclosures(payload.as_ref())?);
    // None would stand for all.
    if fields.is_empty() {
        return Err(not_visible().into());
    }
    let reads = outside::reads(sight, (index, &entry), (&seen, &fields))?;
    if reads.is_empty() {
        return Err(not_visible().into());
    }
    Ok(reads)
}

/// The pieces of an attachment, as the caller takes them.
pub(super) fn chunks(
    backend: &Backend,
    content: Vec<u8>,
    slot: Slot,
) -> ChunkStream<pb::GetBlobResponse> {
    let starts = (0..content.len()).step_by(BLOB_CHUNK_BYTES_MAX);
    let pieces = starts.map(move |start| {
        let end = content.len().min(start + BLOB_CHUNK_BYTES_MAX);
        let chunk = content.get(start..end).unwrap_or_default().to_vec();
        pb::GetBlobResponse { chunk }
    });
    sending((&backend.tasks, &backend.stop), pieces, slot)
}

#[cfg(test)]
mod tests;
