//! Reads from outside the organisation: what of an evidence file or an attachment is one, and that each is
//! in the journal before it is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use aimslog_proto::reason::Reason;
use aimslog_proto::system::{AccessRead, EngagementId, OrganizationId};
use aimslog_proto::tlog::LeafIndex;
use tokio::time::Instant;

use crate::ledger::access_journal::{AccessJournal, JournalError, OVERDUE};
use crate::ledger::row::EntryRow;
use crate::service::auth::Reader;
use crate::service::backend::Backend;
use crate::service::quotas::Charge;
use crate::service::sight::{Sight, View};
use crate::service::status::Failure;

/// What the journal is to hold of this record: nothing where it is the reader's own organisation's, else
/// one read for each engagement that shows something of the fields asked for; none asks for all.
pub(super) fn reads(
    sight: &Sight,
    (index, entry): (u64, &EntryRow),
    (seen, asked): (&View, &[String]),
) -> Result<Vec<AccessRead>, Failure> {
    let View::Engaged(engaged) = seen else {
        return Ok(Vec::new());
    };
    let organization = OrganizationId::new(&entry.organization)
        .map_err(|error| Failure::internal("a stored entry has no organisation", &error))?;
    let read = |engagement: &EngagementId| AccessRead {
        organization: organization.clone(),
        engagement: engagement.clone(),
        principal: sight.principal().clone(),
        entry: LeafIndex(index),
        time: sight.time(),
    };
    let shows = |fields: &Option<BTreeSet<String>>| {
        let fields = fields.as_ref();
        fields
            .is_none_or(|fields| asked.is_empty() || asked.iter().any(|name| fields.contains(name)))
    };
    let showing = engaged
        .engagements
        .iter()
        .filter(|(_, fields)| shows(fields));
    Ok(showing.map(|(engagement, _)| read(engagement)).collect())
}

/// Keeps these reads, before anything of them is answered; on success they are on disk and will be in the
/// log. They are charged to the reader: each is an entry's worth of the log, and the call itself was
/// charged.
pub(super) async fn journal(
    backend: &Backend,
    reader: &Reader,
    reads: Vec<AccessRead>,
) -> Result<(), Failure> {
    if reads.is_empty() {
        return Ok(());
    }
    let charge = Charge {
        calls: reads.len() as u64,
        bytes: 0,
    };
    backend.quotas.charge(reader.charged(), charge)?;
    refuse_when_overdue(&backend.journal, Instant::now())?;
    let journal = Arc::clone(&backend.journal);
    match tokio::task::spawn_blocking(move || journal.append(&reads)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ JournalError::Full { .. })) => {
            Err(Failure::new(Reason::Overloaded, error.to_string()))
        }
        Ok(Err(error)) => Err(Failure::internal("a read cannot be journalled", &error)),
        Err(error) => Err(Failure::internal("a read was not journalled", &error)),
    }
}

fn refuse_when_overdue(journal: &AccessJournal, now: Instant) -> Result<(), Failure> {
    match journal.waiting_for(now) {
        Some(waiting) if waiting >= OVERDUE => {
            let words = format!(
                "reads from outside are written to the log, and that was not possible for {} s; \
                 until it is, none is answered",
                waiting.as_secs()
            );
            Err(Failure::new(Reason::NoQuorum, words))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::system::PrincipalId;
    use aimslog_proto::time::UnixSeconds;

    #[tokio::test(start_paused = true)]
    async fn what_the_log_does_not_take_for_a_minute_stops_further_reads() {
        let folder = tempfile::tempdir().unwrap();
        let journal = AccessJournal::open(folder.path()).unwrap();
        assert!(refuse_when_overdue(&journal, Instant::now()).is_ok());
        let read = AccessRead {
            organization: OrganizationId::new("hospital").unwrap(),
            engagement: EngagementId::new("stage-1").unwrap(),
            principal: PrincipalId::new("auditor-1").unwrap(),
            entry: LeafIndex(7),
            time: UnixSeconds(1_800_000_000),
        };
        journal.append(&[read]).unwrap();
        tokio::time::advance(OVERDUE / 2).await;
        assert!(refuse_when_overdue(&journal, Instant::now()).is_ok());
        tokio::time::advance(OVERDUE / 2).await;
        let refused = refuse_when_overdue(&journal, Instant::now()).unwrap_err();
        assert_eq!(refused.reason(), Reason::NoQuorum);
        journal.logged(1).unwrap();
        assert!(refuse_when_overdue(&journal, Instant::now()).is_ok());
    }
}
