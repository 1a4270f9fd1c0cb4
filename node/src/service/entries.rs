//! Pages of the log: consecutive entries under the newest published head.

use crate::ledger::reader;
use crate::ledger::row::EntryRow;
use crate::ledger::state::TypedRows;
use crate::service::backend::ReadFailure;
use crate::service::heads::{HeadChoice, beyond, head};
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::limits::{PAGE_BYTES_GOAL, PAGE_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::LeafIndex;
use prost::Message as _;

/// The page that was asked for.
pub(super) fn page(
    rows: &impl Rows,
    request: &pb::GetEntriesRequest,
) -> Result<pb::GetEntriesResponse, ReadFailure> {
    let limit = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
        0 => PAGE_MAX,
        size if size <= PAGE_MAX => size,
        _ => {
            let rule = format!("at most {PAGE_MAX} entries");
            return Err(Failure::field(Reason::PageTooLarge, "page_size", &rule).into());
        }
    };
    let published = head(rows, HeadChoice::Newest)?.size;
    if request.start_index >= published {
        return Err(beyond(published).into());
    }
    let from = LeafIndex(request.start_index);
    let found: Vec<(LeafIndex, EntryRow)> = if request.system_only {
        let indices = reader::system_indices(rows, from, limit)?.into_iter();
        indices
            .map(|index| Ok((index, rows.expect_value(&codec::entry(index.0))?)))
            .collect::<Result<_, ReadFailure>>()?
    } else {
        reader::entries(rows, from, limit)?
    };
    // What is behind the published head is nobody's business yet.
    let covered = found.into_iter().filter(|(index, _)| index.0 < published);
    let mut page = pb::GetEntriesResponse::default();
    let mut bytes = 0;
    for (index, entry) in covered {
        let entry = pb::LogEntry {
            index: index.0,
            statement: entry.statement.to_vec(),
        };
        bytes += entry.encoded_len();
        page.entries.push(entry);
        if bytes >= PAGE_BYTES_GOAL {
            break;
        }
    }
    let full = page.entries.len() == limit || bytes >= PAGE_BYTES_GOAL;
    let next = page.entries.last().map_or(0, |entry| entry.index + 1);
    if full && next < published {
        page.next_index = next;
    }
    Ok(page)
}
