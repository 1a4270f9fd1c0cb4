//! Takes the journal of this node's reads from outside to the log, in batches.

use std::sync::Arc;
use std::time::Duration;

use aimslog_proto::limits::ACCESS_READS_MAX;
use aimslog_proto::pb::admin::v1 as admin;
use aimslog_proto::statement::id::StatementId;
use aimslog_proto::time::UnixSeconds;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::identity::KeyRing;
use crate::ledger::access_journal::AccessJournal;
use crate::ledger::access_record::access_statement;
use crate::service::backend::Backend;
use crate::service::status::{Chain, Failure, code};
use crate::service::submit;

/// Reads are gathered so long before they are logged together.
const GATHER: Duration = Duration::from_secs(1);
/// How long one batch may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a batch that was not logged.
const PAUSE: Duration = Duration::from_millis(500);

/// A batch that was handed in and whose outcome may not be known.
struct Batch {
    reads: usize,
    statement: Vec<u8>,
}

/// Logs what the journal holds, until `stop`.
pub async fn run(
    backend: Backend,
    journal: Arc<AccessJournal>,
    ring: Arc<KeyRing>,
    stop: CancellationToken,
) {
    let mut batch: Option<Batch> = None;
    let reporting = async {
        loop {
            if batch.is_none() {
                batch = next(&backend, &journal, &ring);
            }
            let Some(under_way) = &batch else {
                tokio::select! {
                    () = journal.arrived() => {}
                    () = sleep(PAUSE) => {}
                }
                continue;
            };
            let request = admin::SubmitSystemRequest {
                statement: under_way.statement.clone(),
            };
            match submit::system(&backend, request, Instant::now() + PATIENCE).await {
                Ok(_) => {
                    let is_full = under_way.reads == ACCESS_READS_MAX;
                    settled(&journal, under_way.reads).await;
                    batch = None;
                    if !is_full {
                        sleep(GATHER).await;
                    }
                }
                Err(failure) => {
                    // Sent again with the same bytes, it is logged once; what the log refuses is not
                    // in it and is made anew, for example under the next number.
                    if is_refused(&failure) {
                        batch = None;
                        tracing::info!(error = %failure, "a batch of reads was refused by the log");
                    } else {
                        tracing::debug!(error = %failure, "reads from outside are not logged yet");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(reporting).await;
}

/// The next batch, if anything waits and this node can sign for the service.
fn next(backend: &Backend, journal: &AccessJournal, ring: &KeyRing) -> Option<Batch> {
    let reads = journal.oldest();
    let keys = ring.keys()?;
    if reads.is_empty() {
        return None;
    }
    let count = reads.len();
    let now = UnixSeconds(backend.clock.unix_seconds());
    let id = StatementId::from_bytes(rand::random());
    match access_statement(&keys, &backend.ledger.registry(), reads, (now, id)) {
        Ok(statement) => Some(Batch {
            reads: count,
            statement: statement?,
        }),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "reads from outside cannot be signed");
            None
        }
    }
}

async fn settled(journal: &Arc<AccessJournal>, reads: usize) {
    let journal = Arc::clone(journal);
    let settled = tokio::task::spawn_blocking(move || journal.logged(reads)).await;
    match settled {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "logged reads may be told again"),
        Err(error) => tracing::warn!(%error, "logged reads may be told again"),
    }
}

/// Whether the log has judged the record, and not taken it; anything else may pass by itself.
fn is_refused(failure: &Failure) -> bool {
    !matches!(
        code(failure.reason()),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Internal
    )
}
