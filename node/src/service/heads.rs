//! Published heads, and what stands under them, from a snapshot of the state.

use crate::ledger::evidence_file;
use crate::ledger::progress::newest_head;
use crate::ledger::reader;
use crate::ledger::row::{EntryRow, HeadRow};
use crate::ledger::state::TypedRows;
use crate::service::backend::ReadFailure;
use crate::service::status::Failure;
use crate::store::codec;
use crate::store::state_db::Rows;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::TreeSize;

/// Which head a proof is asked under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadChoice {
    /// The one with the largest tree.
    Newest,
    /// A kept one of exactly this size.
    OfSize(u64),
}

impl HeadChoice {
    /// 0 asks for the newest.
    pub fn from_size(size: u64) -> Self {
        if size == 0 {
            Self::Newest
        } else {
            Self::OfSize(size)
        }
    }
}

/// The head that was asked for.
pub fn head(rows: &impl Rows, choice: HeadChoice) -> Result<HeadRow, ReadFailure> {
    let newest = newest_head(rows)?
        .ok_or_else(|| Failure::new(Reason::NoHead, "no head has been published yet"))?;
    let size = match choice {
        HeadChoice::Newest => return Ok(newest),
        HeadChoice::OfSize(size) => size,
    };
    if size > newest.size {
        return Err(beyond(newest.size).into());
    }
    reader::head_at_or_below(rows, TreeSize(size))?
        .filter(|head| head.size == size)
        .ok_or_else(|| {
            Failure::new(
                Reason::HeadNotFound,
                "no head of that size was published and kept",
            )
            .into()
        })
}

/// A size or index that no published head covers.
pub fn beyond(published: u64) -> Failure {
    Failure::new(
        Reason::BeyondTree,
        format!("the newest published head covers {published} entries"),
    )
    .with("published_size", published)
}

/// How an entry is named in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKey {
    /// By what it is.
    Id([u8; 32]),
    /// By where it stands.
    Index(u64),
}

/// The entry and its index, if the head covers it.
pub fn entry_under(
    rows: &impl Rows,
    key: EntryKey,
    head: &HeadRow,
) -> Result<(u64, EntryRow), ReadFailure> {
    let index = match key {
        EntryKey::Index(index) => index,
        EntryKey::Id(id) => rows
            .index(&codec::by_id(&id))?
            .ok_or_else(|| Failure::new(Reason::NotFound, "there is no such entry"))?,
    };
    if index >= head.size {
        return Err(beyond(head.size).into());
    }
    Ok((index, rows.expect_value(&codec::entry(index))?))
}

/// The receipt part of a head.
pub fn head_receipt(registry: &Registry, head: &HeadRow) -> Result<HeadReceipt, Failure> {
    evidence_file::head_receipt(registry, head).map_err(|_missing| {
        Failure::new(Reason::NoHead, "the log names no receipt key for this head")
    })
}
