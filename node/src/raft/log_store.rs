//! The Raft database as openraft's log storage.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use futures::{Stream, TryStreamExt, stream};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};

use super::{
    guard::VoteGuard,
    type_config::{
        Entry, LogId, RaftVote, TypeConfig, entry_of, log_id_of, position_of, raft_vote_of,
        record_of, vote_of,
    },
};
use crate::store::{
    fatal::{FatalError, FatalHook},
    raft_codec::Record,
    raft_db::{LogReader as DbReader, RaftDb, RaftDbError},
};

/// What one read for replication returns at most, in bytes. Well below the peer message limit.
pub(super) const READ_BYTES: u64 = 2 << 20;

/// The log of one node, with the guard that sees every vote first.
#[derive(Clone)]
pub(super) struct LogStore {
    db: RaftDb,
    guard: Arc<dyn VoteGuard>,
    fatal: FatalHook,
}

#[derive(Clone)]
pub(super) struct LogReader {
    db: DbReader,
}

impl LogStore {
    pub(super) fn new(db: RaftDb, guard: Arc<dyn VoteGuard>, fatal: FatalHook) -> Self {
        Self { db, guard, fatal }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let ends = self.db.ends();
        Ok(LogState {
            last_purged_log_id: ends.purged.map(log_id_of),
            last_log_id: ends.last.map(log_id_of),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader {
            db: self.db.reader(),
        }
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), io::Error> {
        let vote = vote_of(vote);
        self.db.save_vote(vote).await.map_err(io::Error::other)?;
        let guard = Arc::clone(&self.guard);
        let guarded = tokio::task::spawn_blocking(move || guard.vote_stored(&vote)).await;
        match guarded {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => {
                let cause = io::Error::other(refused.to_string());
                self.fatal
                    .fire(&FatalError::new("recording a vote in the guard", refused));
                Err(cause)
            }
            Err(cancelled) => Err(io::Error::other(cancelled)),
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let committed = committed.as_ref().map(position_of);
        self.db.save_committed(committed).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.db.committed().map(log_id_of))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(record_of).collect();
        let synced = Box::new(|result: Result<(), RaftDbError>| {
            callback.io_completed(result.map_err(io::Error::other));
        });
        self.db.append(records, synced).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.db
            .truncate_after(last.as_ref().map(position_of))
            .map_err(io::Error::other)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.db
            .purge(position_of(&upto))
            .await
            .map_err(io::Error::other)
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        self.read(start, end, u64::MAX).await
    }

    /// In pages: what is read to be applied may be the whole log, which must not be in memory at
    /// once.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let pages = stream::try_unfold((self.clone(), start), move |(reader, next)| async move {
            let page = reader.read(next, end, READ_BYTES).await?;
            let after = page
                .last()
                .map(|entry| entry.log_id.index.saturating_add(1));
            Ok::<_, io::Error>(after.map(|after| (page, (reader, after))))
        });
        Box::pin(
            pages
                .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
                .try_flatten(),
        )
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES).await
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        Ok(self.db.vote().map(raft_vote_of))
    }
}

/// The range as its first index and the index behind its last.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl LogReader {
    async fn read(&self, start: u64, end: u64, limit: u64) -> Result<Vec<Entry>, io::Error> {
        let records = match self.db.read_memory(start, end, limit) {
            Some(records) => records,
            None => self.read_disk(start, end, limit).await?,
        };
        records.into_iter().map(entry_of).collect()
    }

    async fn read_disk(&self, start: u64, end: u64, limit: u64) -> Result<Vec<Record>, io::Error> {
        let db = self.db.clone();
        tokio::task::spawn_blocking(move || db.read(start, end, limit))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests;
