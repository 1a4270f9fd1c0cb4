//! Records for their owner: one, or a page.

use crate::ledger::payload::PayloadRow;
use crate::ledger::reader;
use crate::ledger::row::EntryRow;
use crate::ledger::state::TypedRows;
use crate::service::auth::Reader;
use crate::service::backend::ReadFailure;
use crate::service::convert;
use crate::service::files::{self, not_visible};
use crate::service::heads::EntryKey;
use crate::service::sight::{Sight, View};
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::{Range, Rows};
use aimslog_proto::limits::{PAGE_BYTES_GOAL, PAGE_DEFAULT, PAGE_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::tlog::LeafIndex;
use prost::Message as _;

/// Rows that one page looks at, so that a filter that fits nothing costs a bounded time.
const ROWS_PER_PAGE: usize = 4_096;

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
    let index = match key {
        EntryKey::Index(index) => index,
        EntryKey::Id(id) => rows.index(&codec::by_id(&id))?.ok_or_else(not_visible)?,
    };
    let entry: EntryRow = rows.value(&codec::entry(index))?.ok_or_else(not_visible)?;
    let seen = sight.view(&entry)?.ok_or_else(not_visible)?;
    record(rows, (index, &entry), &seen)
}

/// A record as the reader sees it. What engagements show comes in evidence files alone, where each
/// read is journalled.
pub(super) fn record(
    rows: &impl Rows,
    (index, entry): (u64, &EntryRow),
    seen: &View,
) -> Result<pb::Record, ReadFailure> {
    let payload = reader::payload(rows, LeafIndex(index))?;
    let status = match payload {
        None => pb::PayloadStatus::Public,
        Some(PayloadRow::Sealed) => pb::PayloadStatus::Sealed,
        Some(PayloadRow::Present(_)) => pb::PayloadStatus::Present,
        Some(PayloadRow::Erased) => pb::PayloadStatus::Erased,
    };
    let (status, disclosures) = match (seen, status) {
        (View::Own, status) => (status, files::disclosures(rows, index)?),
        (View::Engaged(_), pb::PayloadStatus::Present) => (pb::PayloadStatus::Withheld, Vec::new()),
        (View::Engaged(_), other) => (other, Vec::new()),
    };
    Ok(pb::Record {
        entry: Some(convert::entry_ref(index, entry)),
        statement: entry.statement.to_vec(),
        payload_status: status.into(),
        disclosures,
    })
}

/// A checked request for a page.
#[derive(Debug)]
pub(super) struct Query {
    organization: String,
    kind: String,
    system: String,
    limit: usize,
    /// Registration time and index of the last row of the page before.
    after: Option<(u64, u64)>,
}

impl Query {
    /// Checks owner, page size and token.
    pub(super) fn new(sight: &Sight, request: pb::ListRecordsRequest) -> Result<Self, Failure> {
        if !sight.reaches(&request.organization) {
            return Err(not_visible());
        }
        let limit = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
            0 => PAGE_DEFAULT,
            size if size <= PAGE_MAX => size,
            _ => {
                let rule = format!("at most {PAGE_MAX} records");
                return Err(Failure::field(Reason::PageTooLarge, "page_size", &rule));
            }
        };
        let mut query = Self {
            organization: request.organization,
            kind: request.kind,
            system: request.system,
            limit,
            after: None,
        };
        if !request.page_token.is_empty() {
            let after = query.read_token(&request.page_token).ok_or_else(|| {
                let rule = "next_page_token of the same request";
                Failure::field(Reason::InvalidRequest, "page_token", rule)
            })?;
            query.after = Some(after);
        }
        Ok(query)
    }

    /// A token is a place and the filters that it belongs to.
    fn token(&self, (time, index): (u64, u64)) -> String {
        format!("v1/{time}/{index}/{}/{}", self.kind, self.system)
    }

    fn read_token(&self, token: &str) -> Option<(u64, u64)> {
        let mut parts = token.strip_prefix("v1/")?.split('/');
        let place = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (self.token(place) == token).then_some(place)
    }

    fn wants(&self, entry: &EntryRow) -> Result<bool, Failure> {
        if !self.kind.is_empty() && self.kind != entry.kind {
            return Ok(false);
        }
        if self.system.is_empty() {
            return Ok(true);
        }
        let statement = UnverifiedStatement::parse_submitted(&entry.statement)
            .map_err(|error| Failure::internal("a stored entry is no statement", &error))?;
        let subject = format!("urn:aimslog:{}:system:{}", self.organization, self.system);
        Ok(statement.header().subject == subject)
    }
}

/// The records of one page that the reader may see; the token is empty at the end.
pub(super) fn page(
    rows: &impl Rows,
    query: &Query,
    sight: &Sight,
) -> Result<pb::ListRecordsResponse, ReadFailure> {
    let any = codec::by_time(&query.organization, 0, 0);
    let mut prefix = any.clone();
    prefix.bytes.truncate(prefix.bytes.len().saturating_sub(16));
    let start = match query.after {
        None => any,
        Some((time, index)) => codec::by_time(&query.organization, time, index.saturating_add(1)),
    };
    let found = rows.scan(&Range::of(&prefix).starting_at(&start), ROWS_PER_PAGE)?;
    let complete = found.len() < ROWS_PER_PAGE;
    let mut records = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    for (key, _) in &found {
        let Some(index) = codec::trailing_u64(key) else {
            continue;
        };
        let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
        last = Some((entry.time_ms, index));
        if query.wants(&entry)?
            && let Some(seen) = sight.view(&entry)?
        {
            let record = record(rows, (index, &entry), &seen)?;
            bytes += record.encoded_len();
            records.push(record);
        }
        if records.len() == query.limit || bytes >= PAGE_BYTES_GOAL {
            break;
        }
    }
    let full = records.len() == query.limit || bytes >= PAGE_BYTES_GOAL;
    let next_page_token = match last {
        Some(place) if full || !complete => query.token(place),
        _ => String::new(),
    };
    Ok(pb::ListRecordsResponse {
        records,
        next_page_token,
    })
}
