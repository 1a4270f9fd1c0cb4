//! Streams of an organisation's records, as they are applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::tlog::LeafIndex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::ledger::reader;
use crate::limits_server::{
    WATCH_LIFE_MAX, WATCHES_MAX, WATCHES_OF_ORGANIZATION_MAX, WATCHES_OF_PRINCIPAL_MAX,
};
use crate::service::auth::Reader;
use crate::service::backend::{Backend, ReadFailure};
use crate::service::files::ChunkStream;
use crate::service::records;
use crate::service::sight::{Sight, View};
use crate::service::status::Failure;
use crate::store::state_db::Rows;

/// Entries that a watch reads at a time.
const WATCH_STRETCH: usize = 64;

/// The streams that are open: so many in all, so many of one organisation and of one principal.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<BTreeMap<(String, Thumbprint), usize>>>);

/// One open stream; gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    reader: (String, Thumbprint),
}

impl Slots {
    /// A place for one more stream of this reader.
    pub(super) fn take(&self, reader: &Reader) -> Result<Slot, Failure> {
        let reader = (reader.organization.clone(), reader.key);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let of_organization = open.iter().filter(|((other, _), _)| *other == reader.0);
        let of_organization: usize = of_organization.map(|(_, open)| open).sum();
        let own = open.get(&reader).copied().unwrap_or(0);
        if all >= WATCHES_MAX
            || of_organization >= WATCHES_OF_ORGANIZATION_MAX
            || own >= WATCHES_OF_PRINCIPAL_MAX
        {
            let words = format!(
                "{own} watches of this principal, {of_organization} of its organisation and {all} in \
                 all are open on this node; {WATCHES_OF_PRINCIPAL_MAX}, \
                 {WATCHES_OF_ORGANIZATION_MAX} and {WATCHES_MAX} may be"
            );
            return Err(Failure::new(Reason::Overloaded, words));
        }
        open.insert(reader.clone(), own + 1);
        Ok(Slot {
            slots: self.clone(),
            reader,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.reader) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.reader);
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
        // Of the reader's own organisation alone: others come by pages and evidence files.
        if let Some(seen @ View::Own) = sight.view(&entry)? {
            records.push(records::record(rows, (index.0, &entry), &seen)?);
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
    use aimslog_proto::statement::key::SigningKey;

    fn reader(organization: &str, number: usize) -> Reader {
        let seed = [u8::try_from(number).unwrap(); 32];
        Reader {
            organization: organization.to_owned(),
            principal: format!("p-{number}"),
            key: SigningKey::from_seed(&seed).public_key().thumbprint(),
        }
    }

    #[test]
    fn one_principal_and_one_organisation_leave_room_for_others() {
        let slots = Slots::default();
        let take = |organization, principal| slots.take(&reader(organization, principal));
        let greedy: Vec<Slot> = (0..WATCHES_OF_PRINCIPAL_MAX)
            .map(|_| take("greedy", 1).unwrap())
            .collect();
        assert_eq!(take("greedy", 1).unwrap_err().reason(), Reason::Overloaded);
        let others: Vec<Slot> = (WATCHES_OF_PRINCIPAL_MAX..WATCHES_OF_ORGANIZATION_MAX)
            .map(|number| take("greedy", number).unwrap())
            .collect();
        let refused = take("greedy", 99).unwrap_err();
        assert_eq!(refused.reason(), Reason::Overloaded);
        take("other", 1).unwrap();
        drop(greedy);
        take("greedy", 1).unwrap();
        drop(others);
        assert!(slots.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_node_has_an_end_too() {
        let slots = Slots::default();
        let open: Vec<Slot> = (0..WATCHES_MAX)
            .map(|place| {
                let organization = format!("org-{}", place / WATCHES_OF_ORGANIZATION_MAX);
                let principal = place % WATCHES_OF_ORGANIZATION_MAX;
                slots.take(&reader(&organization, principal)).unwrap()
            })
            .collect();
        let one_more = reader("one-more", 1);
        assert!(slots.take(&one_more).is_err());
        drop(open);
        slots.take(&one_more).unwrap();
    }
}
