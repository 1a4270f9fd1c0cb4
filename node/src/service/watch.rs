//! Streams of an organisation's records, as they are applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::LeafIndex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::ledger::reader;
use crate::limits_server::{WATCH_LIFE_MAX, WATCHES_MAX, WATCHES_OF_ONE_MAX};
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::files::ChunkStream;
use crate::service::records;
use crate::service::sight::Sight;
use crate::service::status::Failure;
use crate::store::state_db::Rows;

/// Entries that a watch reads at a time.
const WATCH_STRETCH: usize = 64;

/// The streams that are open: so many in all, and so many of one organisation.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<BTreeMap<String, usize>>>);

/// One open stream; gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    organization: String,
}

impl Slots {
    /// A place for one more stream of this organisation.
    pub(super) fn take(&self, organization: &str) -> Result<Slot, Failure> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.get(organization).copied().unwrap_or(0);
        if all >= WATCHES_MAX || own >= WATCHES_OF_ONE_MAX {
            let words = format!(
                "{own} watches of this organisation and {all} in all are open on this node; \
                 {WATCHES_OF_ONE_MAX} and {WATCHES_MAX} may be"
            );
            return Err(Failure::new(Reason::Overloaded, words));
        }
        open.insert(organization.to_owned(), own + 1);
        Ok(Slot {
            slots: self.clone(),
            organization: organization.to_owned(),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.organization) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.organization);
            }
        }
    }
}

/// Streams the organisation's records from `start` on, as they are applied; ends when the node stops,
/// and the reader goes on at another one.
pub(super) fn watch(
    backend: Backend,
    reader: Reader,
    start: u64,
    slot: Slot,
) -> ChunkStream<pb::WatchResponse> {
    let (records, stream) = mpsc::channel(WATCH_STRETCH);
    let (tasks, stop) = (backend.tasks.clone(), backend.stop.clone());
    let feeding = async move {
        let _slot = slot;
        if let Err(failure) = feed(&backend, &reader, start, &records).await {
            // The reader may have gone away.
            drop(records.send(Err(Status::from(failure))).await);
        }
    };
    tasks.spawn(stop.run_until_cancelled_owned(feeding));
    Box::pin(ReceiverStream::new(stream))
}

async fn feed(
    backend: &Backend,
    reader: &Reader,
    start: u64,
    records: &mpsc::Sender<Result<pb::WatchResponse, Status>>,
) -> Result<(), Failure> {
    let until = Instant::now() + WATCH_LIFE_MAX;
    let mut progress = backend.ledger.progress();
    let mut next = start;
    loop {
        // What the reader may see may change while the stream is open.
        let sight = backend.sight(reader)?;
        let stretch = backend
            .read(move |view| stretch(view, &sight, next))
            .await?;
        next = stretch.next;
        // Who was revoked meanwhile gets nothing of what was read.
        backend.sight(reader)?;
        for record in stretch.records {
            let response = pb::WatchResponse {
                record: Some(record),
            };
            if records.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        if Instant::now() >= until {
            return Ok(());
        }
        if stretch.more {
            continue;
        }
        let grown = progress.wait_for(|now| now.tree.size.0 > next);
        let waited = tokio::select! {
            () = records.closed() => return Ok(()),
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
struct Stretch {
    records: Vec<pb::Record>,
    next: u64,
    more: bool,
}

fn stretch(rows: &impl Rows, sight: &Sight, from: u64) -> Result<Stretch, ReadFailure> {
    let entries = reader::entries(rows, LeafIndex(from), WATCH_STRETCH)?;
    let more = entries.len() == WATCH_STRETCH;
    let mut records = Vec::new();
    let mut next = from;
    for (index, entry) in entries {
        next = index.0 + 1;
        if sight.sees(&entry)? {
            records.push(records::record(rows, index.0, &entry)?);
        }
    }
    Ok(Stretch {
        records,
        next,
        more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_organisation_leaves_room_for_others() {
        let slots = Slots::default();
        let greedy: Vec<Slot> = (0..WATCHES_OF_ONE_MAX)
            .map(|_| slots.take("greedy").unwrap())
            .collect();
        let refused = slots.take("greedy").unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        slots.take("other").unwrap();
        drop(greedy);
        slots.take("greedy").unwrap();
        assert!(slots.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_node_has_an_end_too() {
        let slots = Slots::default();
        let open: Vec<Slot> = (0..WATCHES_MAX)
            .map(|place| {
                slots
                    .take(&format!("org-{}", place / WATCHES_OF_ONE_MAX))
                    .unwrap()
            })
            .collect();
        assert!(slots.take("one-more").is_err());
        drop(open);
        slots.take("one-more").unwrap();
    }
}
