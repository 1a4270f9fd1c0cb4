//! Streams of an organisation's records, as they are applied.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::LeafIndex;
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::ledger::progress::LedgerProgress;
use crate::ledger::reader;
use crate::ledger::row::EntryRow;
use crate::limits_server::WATCH_LIFE_MAX;
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::files::{ChunkStream, not_visible};
use crate::service::records;
use crate::service::sight::Sight;
use crate::service::slots::Slot;
use crate::service::status::Failure;
use crate::store::state_db::Rows;

/// Entries that a watch reads at a time.
const WATCH_STRETCH: usize = 64;
/// With so many bytes of records it reads no further before they are taken.
const WATCH_STRETCH_BYTES: usize = 256 << 10;
/// How long a record waits for its reader.
const WATCH_PATIENCE: Duration = Duration::from_mins(1);

/// Whose records are followed by whom, from which index on.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) reader: Reader,
    pub(super) organization: String,
    pub(super) start: u64,
}

/// What a watch asks of the node.
pub(super) trait Source: Send + Sync + 'static {
    /// What the reader may see now.
    fn sight(&self, reader: &Reader) -> Result<Sight, Failure>;

    /// The next stretch of what it sees of this organisation.
    fn stretch(
        &self,
        sight: Sight,
        organization: String,
        from: u64,
    ) -> impl Future<Output = Result<Stretch, Failure>> + Send;

    /// How far the ledger is.
    fn progress(&self) -> watch::Receiver<LedgerProgress>;
}

impl Source for Backend {
    fn sight(&self, reader: &Reader) -> Result<Sight, Failure> {
        Self::sight(self, reader)
    }

    async fn stretch(
        &self,
        sight: Sight,
        organization: String,
        from: u64,
    ) -> Result<Stretch, Failure> {
        self.read(move |view| stretch(view, (&sight, &organization), from))
            .await
    }

    fn progress(&self) -> watch::Receiver<LedgerProgress> {
        self.ledger.progress()
    }
}

/// What the reader may see of the organisation now. An engagement may end while the stream is open, and
/// so may the reader's roles and its key.
fn sight(source: &impl Source, followed: &Followed) -> Result<Sight, Failure> {
    let sight = source.sight(&followed.reader)?;
    if sight.reaches(&followed.organization) {
        Ok(sight)
    } else {
        Err(not_visible())
    }
}

/// Streams the organisation's records, as they are applied; ends when the node stops, and the reader goes
/// on at another one.
///
/// # Errors
/// When the reader sees nothing of the organisation.
pub(super) fn watch(
    source: impl Source,
    (tasks, stop): (&TaskTracker, &CancellationToken),
    (followed, slot): (Followed, Slot),
) -> Result<ChunkStream<pb::WatchResponse>, Failure> {
    sight(&source, &followed)?;
    let (sender, stream) = mpsc::channel(1);
    let failed = Arc::new(OnceLock::new());
    let taken = Outlet {
        sender,
        failed: Arc::clone(&failed),
    };
    let feeding = async move {
        let _slot = slot;
        if let Err(failure) = feed(&source, &followed, &taken).await {
            // While the stream is still open: its end must find it.
            taken.failed.get_or_init(|| Status::from(failure));
        }
    };
    tasks.spawn(stop.clone().run_until_cancelled_owned(feeding));
    // Behind the records, so that it needs no room among them.
    let end = futures::stream::once(async move { failed.get().cloned().map(Err) });
    let end = end.filter_map(std::future::ready);
    Ok(Box::pin(ReceiverStream::new(stream).chain(end)))
}

/// Where records go to the reader, one at a time.
struct Outlet {
    sender: mpsc::Sender<Result<pb::WatchResponse, Status>>,
    /// Why the stream ends.
    failed: Arc<OnceLock<Status>>,
}

impl Outlet {
    /// Whether the reader has taken the record; it may have gone away.
    ///
    /// # Errors
    /// When it takes nothing: what nobody takes is not kept.
    async fn send(&self, record: pb::Record) -> Result<bool, Failure> {
        let response = pb::WatchResponse {
            record: Some(record),
        };
        match timeout(WATCH_PATIENCE, self.sender.send(Ok(response))).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_elapsed) => {
                let words = "the records were not taken in time; go on behind the last one";
                Err(Failure::new(Reason::Overloaded, words))
            }
        }
    }
}

async fn feed(source: &impl Source, followed: &Followed, outlet: &Outlet) -> Result<(), Failure> {
    let until = Instant::now() + WATCH_LIFE_MAX;
    let mut progress = source.progress();
    let mut next = followed.start;
    loop {
        let seen = sight(source, followed)?;
        let organization = followed.organization.clone();
        let stretch = source.stretch(seen, organization, next).await?;
        next = stretch.next;
        for (entry, record) in stretch.records {
            // The one before may have waited for a minute: who may not read any more, or less, gets
            // nothing more of what was read before.
            let is_seen = sight(source, followed)?.view(&entry)?.is_some();
            if is_seen && !outlet.send(record).await? {
                return Ok(());
            }
        }
        // Also where nothing is sent for long: nobody is left to read on for.
        if Instant::now() >= until || outlet.sender.is_closed() {
            return Ok(());
        }
        if stretch.more {
            continue;
        }
        let grown = progress.wait_for(|now| now.tree.size.0 > next);
        let waited = tokio::select! {
            () = outlet.sender.closed() => return Ok(()),
            waited = timeout_at(until, grown) => waited,
        };
        match waited {
            Ok(Ok(_)) => {}
            // The reader goes on from its index with a fresh token.
            Ok(Err(_)) | Err(_) => return Ok(()),
        }
    }
}

/// What a watch reads at a time.
pub(super) struct Stretch {
    /// Each with its row.
    records: Vec<(EntryRow, pb::Record)>,
    next: u64,
    more: bool,
}

/// The records of the organisation among the next entries, as pages show them: of another one than the
/// reader's the statements alone, for fields come in evidence files.
fn stretch(
    rows: &impl Rows,
    (sight, organization): (&Sight, &str),
    from: u64,
) -> Result<Stretch, ReadFailure> {
    let entries = reader::entries(rows, LeafIndex(from), WATCH_STRETCH)?;
    let mut more = entries.len() == WATCH_STRETCH;
    let mut records = Vec::new();
    let (mut next, mut bytes) = (from, 0);
    for (index, entry) in entries {
        if bytes >= WATCH_STRETCH_BYTES {
            more = true;
            break;
        }
        next = index.0 + 1;
        if entry.organization == organization
            && let Some(seen) = sight.view(&entry)?
        {
            let record = records::record(rows, (index.0, &entry), &seen)?;
            bytes += record.encoded_len();
            records.push((entry, record));
        }
    }
    Ok(Stretch {
        records,
        next,
        more,
    })
}

#[cfg(test)]
mod tests;
