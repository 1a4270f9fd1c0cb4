//! Attachments at apply: chunks in order, a digest at the end, references, expiry.
//!
//! An attachment belongs to an organisation and is named by its digest. It is complete once all
//! bytes are there and have that digest; entries can name it from then on. What no entry names is
//! removed a day after its last chunk, by registration time.

use aimslog_proto::{
    limits::{BLOB_BYTES_MAX, BLOB_UNUSED_MS_MAX},
    reason::{Reason, Violation},
    system::OrganizationId,
};
use sha2::{Digest, Sha256};

use super::{
    command::BlobChunk,
    outcome::Outcome,
    row::BlobRow,
    state::{Overlay, TypedRows},
};
use crate::store::{
    codec::{self, Key},
    state_db::{Range, Rows, StateError},
};

/// How many expired attachments one command removes, so that none takes long.
const EXPIRED_PER_COMMAND: usize = 4;
/// The most chunks that an attachment can have: one byte each is allowed, so its size.
const CHUNKS_MAX: usize = 4 << 20;

/// Which attachment.
#[derive(Debug, Clone, Copy)]
pub struct BlobName<'a> {
    /// The owner.
    pub organization: &'a str,
    /// SHA-256 of its bytes.
    pub digest: &'a [u8; 32],
}

impl BlobName<'_> {
    fn key(self) -> Key {
        codec::blob(self.organization, self.digest)
    }

    fn expiry(self, time_ms: u64) -> Key {
        codec::blob_expiry(time_ms, self.organization, self.digest)
    }

    /// Every chunk, in order.
    fn chunks(self) -> Range {
        let mut prefix = codec::chunk(self.organization, self.digest, 0);
        prefix.bytes.truncate(prefix.bytes.len().saturating_sub(8));
        Range::of(&prefix)
    }
}

/// Takes one chunk.
///
/// # Errors
/// Only when rows are damaged; what the caller did wrong is an outcome.
pub fn take<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    chunk: &BlobChunk,
) -> Result<Outcome, StateError> {
    if let Err(violation) = check_shape(chunk) {
        return Ok(Outcome::refused(violation));
    }
    let name = BlobName {
        organization: &chunk.organization,
        digest: &chunk.digest,
    };
    let found: Option<BlobRow> = rows.value(&name.key())?;
    let mut row = found.unwrap_or(BlobRow {
        total: chunk.total,
        received: 0,
        complete: false,
        references: 0,
        expires_ms: 0,
    });
    if row.total != chunk.total {
        let rule = "every chunk states the same size of the whole";
        let violation = Violation::new(Reason::BlobMismatch, "total", rule).found(chunk.total);
        return Ok(Outcome::refused(violation));
    }
    if row.complete || chunk.offset != row.received {
        // A repeated chunk, or one that came too early: the answer says where to go on.
        return Ok(Outcome::Blob {
            received: row.received,
            complete: row.complete,
        });
    }
    let key = codec::chunk(&chunk.organization, &chunk.digest, chunk.offset);
    rows.put(key, chunk.bytes.to_vec());
    row.received += chunk.bytes.len() as u64;
    if row.received == row.total {
        if content_digest(rows, name)? != chunk.digest {
            remove(rows, name, &row)?;
            let rule = "the bytes have the digest that they were announced with";
            return Ok(Outcome::refused(Violation::new(
                Reason::BlobMismatch,
                "digest",
                rule,
            )));
        }
        row.complete = true;
    }
    rows.remove(name.expiry(row.expires_ms));
    row.expires_ms = chunk.time_ms.saturating_add(BLOB_UNUSED_MS_MAX);
    rows.put(name.expiry(row.expires_ms), Vec::new());
    rows.put_value(name.key(), &row);
    Ok(Outcome::Blob {
        received: row.received,
        complete: row.complete,
    })
}

fn check_shape(chunk: &BlobChunk) -> Result<(), Violation> {
    if let Err(error) = OrganizationId::new(&chunk.organization) {
        return Err(Violation::new(
            Reason::InvalidRequest,
            "organization",
            error.to_string(),
        ));
    }
    if chunk.total == 0 || chunk.total > BLOB_BYTES_MAX {
        let rule = format!("an attachment has 1 to {BLOB_BYTES_MAX} bytes");
        return Err(Violation::new(Reason::BlobTooLarge, "total", rule).found(chunk.total));
    }
    let end = chunk.offset.checked_add(chunk.bytes.len() as u64);
    if chunk.bytes.is_empty() || end.is_none_or(|end| end > chunk.total) {
        let rule = "a chunk is not empty and lies within the attachment";
        return Err(Violation::new(Reason::InvalidRequest, "offset", rule).found(chunk.offset));
    }
    Ok(())
}

/// The attachment, if it is complete.
///
/// # Errors
/// When rows are damaged.
pub fn complete(
    rows: &(impl Rows + ?Sized),
    name: BlobName<'_>,
) -> Result<Option<BlobRow>, StateError> {
    Ok(rows
        .value::<BlobRow>(&name.key())?
        .filter(|row| row.complete))
}

/// The bytes of a complete attachment that has not been erased.
///
/// # Errors
/// When rows are damaged.
pub fn content(
    rows: &(impl Rows + ?Sized),
    name: BlobName<'_>,
) -> Result<Option<Vec<u8>>, StateError> {
    let Some(row) = complete(rows, name)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    for (_, chunk) in rows.scan(&name.chunks(), CHUNKS_MAX)? {
        content.extend_from_slice(&chunk);
    }
    Ok((content.len() as u64 == row.total).then_some(content))
}

/// Counts one more entry that names the attachment, which is complete. It does not expire any more.
///
/// # Errors
/// When rows are damaged.
pub fn reference<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    name: BlobName<'_>,
) -> Result<(), StateError> {
    let mut row: BlobRow = rows.expect_value(&name.key())?;
    rows.remove(name.expiry(row.expires_ms));
    row.references += 1;
    rows.put_value(name.key(), &row);
    Ok(())
}

/// Removes some of the attachments whose time has come.
///
/// # Errors
/// When rows are damaged.
pub fn expire<R: Rows + ?Sized>(rows: &mut Overlay<'_, R>, time_ms: u64) -> Result<(), StateError> {
    let from = codec::blob_expiry_from(0);
    let table = Key {
        family: from.family,
        bytes: from.bytes.get(..1).unwrap_or_default().into(),
    };
    let due = Range::of(&table).ending_before(&codec::blob_expiry_from(time_ms));
    for (key, _) in rows.scan(&due, EXPIRED_PER_COMMAND)? {
        let (organization, digest) = expiring(&key).ok_or(StateError::Contradiction {
            what: "an expiry names an attachment",
        })?;
        let name = BlobName {
            organization: &organization,
            digest: &digest,
        };
        let row: BlobRow = rows.expect_value(&name.key())?;
        remove(rows, name, &row)?;
    }
    Ok(())
}

/// The attachment that an expiry key names: behind table and time, length, organisation, digest.
fn expiring(key: &[u8]) -> Option<(String, [u8; 32])> {
    let (organization, digest) = key.get(10..)?.split_last_chunk::<32>()?;
    Some((str::from_utf8(organization).ok()?.to_owned(), *digest))
}

fn remove<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    name: BlobName<'_>,
    row: &BlobRow,
) -> Result<(), StateError> {
    for (key, _) in rows.scan(&name.chunks(), CHUNKS_MAX)? {
        rows.remove(Key {
            family: codec::Family::Payloads,
            bytes: key,
        });
    }
    rows.remove(name.expiry(row.expires_ms));
    rows.remove(name.key());
    Ok(())
}

fn content_digest(rows: &(impl Rows + ?Sized), name: BlobName<'_>) -> Result<[u8; 32], StateError> {
    let mut digest = Sha256::new();
    for (_, chunk) in rows.scan(&name.chunks(), CHUNKS_MAX)? {
        digest.update(&chunk);
    }
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ledger::state::MemoryRows;

    const TIME: u64 = 1_000_000;

    struct Upload {
        rows: MemoryRows,
        content: Vec<u8>,
        digest: [u8; 32],
    }

    impl Upload {
        fn new(content: &[u8]) -> Self {
            Self {
                rows: MemoryRows::default(),
                content: content.to_vec(),
                digest: Sha256::digest(content).into(),
            }
        }

        fn chunk(&self, from: usize, to: usize) -> BlobChunk {
            BlobChunk {
                time_ms: TIME,
                organization: "acme".to_owned(),
                digest: self.digest,
                offset: from as u64,
                total: self.content.len() as u64,
                bytes: Bytes::copy_from_slice(&self.content[from..to]),
            }
        }

        fn take(&mut self, chunk: &BlobChunk) -> Outcome {
            let mut overlay = Overlay::new(&self.rows);
            let outcome = take(&mut overlay, chunk).unwrap();
            let writes = overlay.into_writes();
            self.rows.write(writes);
            outcome
        }

        fn name(&self) -> BlobName<'_> {
            BlobName {
                organization: "acme",
                digest: &self.digest,
            }
        }

        fn expire(&mut self, time_ms: u64) {
            let mut overlay = Overlay::new(&self.rows);
            expire(&mut overlay, time_ms).unwrap();
            let writes = overlay.into_writes();
            self.rows.write(writes);
        }
    }

    #[test]
    fn chunks_in_order_make_the_attachment_and_repeats_change_nothing() {
        let mut upload = Upload::new(b"abcdef");
        let progress = |received, complete| Outcome::Blob { received, complete };
        assert_eq!(
            upload.take(&upload.chunk(2, 4)),
            progress(0, false),
            "too early"
        );
        assert_eq!(upload.take(&upload.chunk(0, 2)), progress(2, false));
        assert_eq!(
            upload.take(&upload.chunk(0, 2)),
            progress(2, false),
            "repeated"
        );
        assert!(complete(&upload.rows, upload.name()).unwrap().is_none());
        assert_eq!(upload.take(&upload.chunk(2, 6)), progress(6, true));
        assert_eq!(upload.take(&upload.chunk(0, 6)), progress(6, true));
        assert_eq!(
            content(&upload.rows, upload.name()).unwrap().unwrap(),
            b"abcdef"
        );
    }

    #[test]
    fn other_bytes_than_announced_leave_nothing_behind() {
        let mut upload = Upload::new(b"abcdef");
        let mut forged = upload.chunk(0, 6);
        forged.bytes = Bytes::from_static(b"abcdeX");
        let Outcome::Refused(violations) = upload.take(&forged) else {
            panic!()
        };
        assert_eq!(violations[0].reason, Reason::BlobMismatch);
        assert_eq!(upload.rows, MemoryRows::default());
    }

    /// A name, what makes the chunk wrong, and the reason.
    type Case = (&'static str, fn(&mut BlobChunk), Reason);

    #[test]
    fn refuses_wrong_sizes() {
        let mut upload = Upload::new(b"abcdef");
        upload.take(&upload.chunk(0, 2));
        let table: [Case; 5] = [
            ("other total", |chunk| chunk.total = 7, Reason::BlobMismatch),
            (
                "empty",
                |chunk| chunk.bytes = Bytes::new(),
                Reason::InvalidRequest,
            ),
            (
                "beyond",
                |chunk| chunk.offset = u64::MAX,
                Reason::InvalidRequest,
            ),
            (
                "too large",
                |chunk| chunk.total = BLOB_BYTES_MAX + 1,
                Reason::BlobTooLarge,
            ),
            (
                "no owner",
                |chunk| chunk.organization.clear(),
                Reason::InvalidRequest,
            ),
        ];
        for (name, change, reason) in table {
            let mut chunk = upload.chunk(2, 4);
            change(&mut chunk);
            let before = upload.rows.clone();
            let Outcome::Refused(violations) = upload.take(&chunk) else {
                panic!("{name}")
            };
            assert_eq!(violations[0].reason, reason, "{name}");
            assert_eq!(upload.rows, before, "{name}");
        }
    }

    #[test]
    fn unused_attachments_expire_and_used_ones_stay() {
        for used in [false, true] {
            let mut upload = Upload::new(b"abcdef");
            upload.take(&upload.chunk(0, 6));
            if used {
                let mut overlay = Overlay::new(&upload.rows);
                reference(&mut overlay, upload.name()).unwrap();
                let writes = overlay.into_writes();
                upload.rows.write(writes);
            }
            upload.expire(TIME + BLOB_UNUSED_MS_MAX);
            assert!(
                complete(&upload.rows, upload.name()).unwrap().is_some(),
                "on the minute"
            );
            upload.expire(TIME + BLOB_UNUSED_MS_MAX + 1);
            assert_eq!(
                complete(&upload.rows, upload.name()).unwrap().is_some(),
                used
            );
            assert_eq!(upload.rows == MemoryRows::default(), !used);
        }
    }
}
