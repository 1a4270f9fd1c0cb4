//! All versions of one entity, page by page, each under a head.

use crate::ledger::payload::PayloadRow;
use crate::ledger::reader::{self, RegisterName};
use crate::ledger::registers::{Version, newest_before, place_before};
use crate::ledger::row::EntryRow;
use crate::service::backend::ReadFailure;
use crate::service::convert::key_of;
use crate::service::heads::{EntryKey, beyond};
use crate::service::paging::{self, Bound};
use crate::service::records::{self, Named, payload_status};
use crate::service::registers::Page;
use crate::service::sight::Sight;
use crate::service::status::Failure;
use crate::store::state_db::Rows;
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::registry::Registry;

/// A checked request for a page of versions.
#[derive(Debug)]
pub(super) struct HistoryQuery {
    key: EntryKey,
    /// In front of which entry; `None` for the newest head.
    at: Option<u64>,
    limit: usize,
    /// Version at which the page begins.
    first: u64,
    bound: Bound,
}

impl HistoryQuery {
    /// Checks key, page size and token.
    pub(super) fn new(mut request: pb::GetHistoryRequest) -> Result<Self, Failure> {
        let key = key_of!(request, get_history_request)?;
        let limit = paging::limit(request.page_size, "versions")?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let bound = Bound::to("GetHistory", &request);
        let (at, first) = match bound.places(&token)? {
            Some([at, first]) => (Some(at), first),
            None => (request.at, 1),
        };
        Ok(Self {
            key,
            at,
            limit,
            first,
            bound,
        })
    }
}

/// The versions of one page that the reader may see.
pub(super) fn page(
    rows: &impl Rows,
    registry: &Registry,
    (query, sight): (&HistoryQuery, &Sight),
) -> Result<pb::GetHistoryResponse, ReadFailure> {
    let (named_at, named) = named(rows, query.key, sight)?;
    let name = RegisterName {
        organization: &named.organization,
        kind: &named.kind,
    };
    let mut page = Page::new(rows, query.limit)?;
    let at = page.place(query.at)?;
    // Without the version that was named it would be no answer; a head covers it soon.
    if named_at >= page.head.size {
        return Err(beyond(page.head.size).into());
    }
    let mut response = pb::GetHistoryResponse {
        at: at.0,
        ..pb::GetHistoryResponse::default()
    };
    if sight.sees_all(name.organization, name.kind) {
        let newest = newest_before(rows, name, named.number, at)?;
        response.count = Some(newest.map_or(0, |(version, _)| version));
    }
    let mut version = query.first;
    while let Ok(known) = u32::try_from(version)
        && let Some(index) = place_before(rows, name, (named.number, known), at)?
    {
        if page.is_full() {
            response.next_page_token = query.bound.token([at.0, version]);
            break;
        }
        let row = if index.0 == named_at {
            Version::of(index, named.clone())?
        } else {
            page.version(index)?
        };
        if let Some(seen) = sight.view(&row.entry)? {
            let payload = reader::payload(rows, index)?;
            // What was read of it counts, although it does not travel.
            let bytes = payload.as_ref().and_then(PayloadRow::disclosures);
            page.count(bytes.map_or(0, <[u8]>::len));
            response.versions.push(pb::HistoryVersion {
                version: Some(page.show(row)),
                payload_status: payload_status(payload.as_ref(), &seen).into(),
            });
        }
        version += 1;
    }
    response.proof = Some(page.proof(registry)?);
    Ok(response)
}

/// Index and entry of the version that was named, if the reader may see it.
fn named(rows: &impl Rows, key: EntryKey, sight: &Sight) -> Result<(u64, EntryRow), ReadFailure> {
    let Named { index, entry, .. } = records::named(rows, sight, key)?;
    if entry.entity.is_none() {
        let rule = "a version of a record; records of the ledger itself have none";
        return Err(Failure::field(Reason::InvalidRequest, "key", rule).into());
    }
    Ok((index, entry))
}
