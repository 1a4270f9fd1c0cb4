//! Records for their owner: one, or a page.

use crate::ledger::payload::PayloadRow;
use crate::ledger::reader;
use crate::ledger::row::EntryRow;
use crate::ledger::selection::{self, Selection};
use crate::ledger::state::TypedRows;
use crate::service::auth::Reader;
use crate::service::backend::ReadFailure;
use crate::service::convert;
use crate::service::files::{self, not_visible};
use crate::service::filter::Query;
use crate::service::heads::EntryKey;
use crate::service::paging::ROWS_PER_PAGE;
use crate::service::sight::{Sight, View, parse};
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::limits::PAGE_BYTES_GOAL;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::tlog::LeafIndex;
use prost::Message as _;

/// Whether the organisation of a request is the caller's own, as for attachments and streams.
pub(super) fn own(reader: &Reader, organization: &str) -> Result<(), Failure> {
    if reader.organization == organization {
        Ok(())
    } else {
        Err(not_visible())
    }
}

/// One record that the reader may see.
pub(super) fn one(
    rows: &impl Rows,
    sight: &Sight,
    key: EntryKey,
) -> Result<pb::Record, ReadFailure> {
    let named = named(rows, sight, key)?;
    record(rows, (named.index, &named.entry), &named.seen)
}

/// An entry that a reader named and sees.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) index: u64,
    pub(super) entry: EntryRow,
    /// The key that its statement names.
    pub(super) signer: Thumbprint,
    /// How the reader sees it.
    pub(super) seen: View,
}

/// The entry that is named, read and parsed once, if the reader sees it.
pub(super) fn named(rows: &impl Rows, sight: &Sight, key: EntryKey) -> Result<Named, ReadFailure> {
    let index = match key {
        EntryKey::Index(index) => index,
        EntryKey::Id(id) => rows.index(&codec::by_id(&id))?.ok_or_else(not_visible)?,
    };
    let entry: EntryRow = rows.value(&codec::entry(index))?.ok_or_else(not_visible)?;
    let statement = parse(&entry)?;
    let header = statement.header();
    let seen = sight.view_by(&entry, header).ok_or_else(not_visible)?;
    Ok(Named {
        index,
        signer: header.key,
        entry,
        seen,
    })
}

/// A record as the reader sees it. What engagements show comes in evidence files alone, where each
/// read is journalled.
pub(super) fn record(
    rows: &impl Rows,
    (index, entry): (u64, &EntryRow),
    seen: &View,
) -> Result<pb::Record, ReadFailure> {
    let payload = reader::payload(rows, LeafIndex(index))?;
    Ok(pb::Record {
        entry: Some(convert::entry_ref(index, entry)),
        statement: entry.statement.to_vec(),
        payload_status: payload_status(payload.as_ref(), seen).into(),
        disclosures: match seen {
            View::Own => files::disclosures(payload.as_ref())?,
            View::Engaged(_) => Vec::new(),
        },
    })
}

/// What became of an entry's disclosures, as far as this reader is concerned.
pub(super) fn payload_status(payload: Option<&PayloadRow>, seen: &View) -> pb::PayloadStatus {
    match (payload, seen) {
        (None, _) => pb::PayloadStatus::Public,
        (Some(PayloadRow::Sealed), _) => pb::PayloadStatus::Sealed,
        (Some(PayloadRow::Erased), _) => pb::PayloadStatus::Erased,
        (Some(PayloadRow::Present(_)), View::Own) => pb::PayloadStatus::Present,
        (Some(PayloadRow::Present(_)), View::Engaged(_)) => pb::PayloadStatus::Withheld,
    }
}

/// The records of one page that the reader may see; the token is empty at the end.
pub(super) fn page(
    rows: &impl Rows,
    query: &Query,
    sight: &Sight,
) -> Result<pb::ListRecordsResponse, ReadFailure> {
    let selection = &query.selection;
    let stretch = selection::walk(rows, selection, LeafIndex(query.from), ROWS_PER_PAGE)?;
    let mut indices = stretch.indices.iter().peekable();
    let mut records = Vec::new();
    let (mut bytes, mut next) = (0, query.from);
    while let Some(index) =
        indices.next_if(|_| records.len() < query.limit && bytes < PAGE_BYTES_GOAL)
    {
        let entry: EntryRow = rows.expect_value(&codec::entry(index.0))?;
        next = index.0.saturating_add(1);
        if admits(selection, &entry)?
            && let Some(seen) = sight.view(&entry)?
        {
            let record = record(rows, (index.0, &entry), &seen)?;
            bytes += record.encoded_len();
            records.push(record);
        }
    }
    let is_last = stretch.is_last && indices.peek().is_none();
    Ok(pb::ListRecordsResponse {
        records,
        next_page_token: if is_last {
            String::new()
        } else {
            query.bound.token([next])
        },
    })
}

/// Whether the entry fits every filter that the walk has not looked at.
fn admits(selection: &Selection, entry: &EntryRow) -> Result<bool, Failure> {
    if !selection.admits_row(entry) {
        return Ok(false);
    }
    if !selection.asks_headers() {
        return Ok(true);
    }
    Ok(selection.admits_header(parse(entry)?.header()))
}
