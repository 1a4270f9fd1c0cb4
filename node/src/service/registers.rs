//! Registers and histories as they stood in front of an entry, page by page, each under a head.

use crate::ledger::reader::{self, Listing, RegisterName};
use crate::ledger::registers::{self, Count, Version, count_before, newest_before, place_before};
use crate::ledger::row::HeadRow;
use crate::ledger::tree;
use crate::service::backend::ReadFailure;
use crate::service::convert;
use crate::service::files::not_visible;
use crate::service::heads::{HeadChoice, beyond, head, head_receipt};
use crate::service::paging::{self, Bound, ROWS_PER_PAGE};
use crate::service::sight::Sight;
use crate::service::status::Failure;
use crate::store::state_db::Rows;
use aimslog_proto::limits::{PAGE_BYTES_GOAL, WORD_BYTES_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use prost::Message as _;
use std::collections::BTreeSet;

/// What the kinds of the ledger's own records begin with.
const SYSTEM_KINDS: &str = "ledger.";

/// A checked request for a page of a register.
#[derive(Debug)]
pub(super) struct RegisterQuery {
    organization: String,
    kind: String,
    /// In front of which entry; `None` for the newest head.
    at: Option<u64>,
    limit: usize,
    /// Number at which the page begins.
    first: u64,
    bound: Bound,
}

/// A checked request for a page of what changed in a register.
#[derive(Debug)]
pub(super) struct DiffQuery {
    organization: String,
    kind: String,
    from: u64,
    to: Option<u64>,
    limit: usize,
    /// Index at which the page begins.
    first: u64,
    bound: Bound,
}

/// Whose register of which kind, if the reader may ask for it.
fn check_name(sight: &Sight, organization: &str, kind: &str) -> Result<(), Failure> {
    if !sight.reaches(organization) {
        return Err(not_visible());
    }
    if kind.is_empty() || kind.len() > WORD_BYTES_MAX {
        let rule = format!("the name of a kind of evidence, of at most {WORD_BYTES_MAX} bytes");
        return Err(Failure::field(Reason::InvalidRequest, "kind", &rule));
    }
    if kind.starts_with(SYSTEM_KINDS) {
        let rule = "a kind of evidence: records of the ledger itself, `ledger.*`, form no register";
        return Err(Failure::field(Reason::InvalidRequest, "kind", rule));
    }
    Ok(())
}

impl RegisterQuery {
    /// Checks owner, kind, page size and token.
    pub(super) fn new(
        sight: &Sight,
        mut request: pb::ListRegisterRequest,
    ) -> Result<Self, Failure> {
        check_name(sight, &request.organization, &request.kind)?;
        let limit = paging::limit(request.page_size, "entities")?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let bound = Bound::to("ListRegister", &request);
        let (at, first) = match bound.places(&token)? {
            Some([at, first]) => (Some(at), first),
            None => (request.at, 1),
        };
        Ok(Self {
            organization: request.organization,
            kind: request.kind,
            at,
            limit,
            first,
            bound,
        })
    }
}

impl DiffQuery {
    /// Checks owner, kind, range, page size and token.
    pub(super) fn new(
        sight: &Sight,
        mut request: pb::DiffRegisterRequest,
    ) -> Result<Self, Failure> {
        check_name(sight, &request.organization, &request.kind)?;
        let limit = paging::limit(request.page_size, "changed entities")?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let bound = Bound::to("DiffRegister", &request);
        let (to, first) = match bound.places(&token)? {
            Some([to, first]) => (Some(to), first),
            None => (request.to, request.from),
        };
        if to.is_some_and(|to| to < request.from) {
            let rule = "not behind `to`";
            return Err(Failure::field(Reason::InvalidRequest, "from", rule));
        }
        Ok(Self {
            organization: request.organization,
            kind: request.kind,
            from: request.from,
            to,
            limit,
            first: first.max(request.from),
            bound,
        })
    }
}

/// A page that is being filled.
pub(super) struct Page<'a, R> {
    pub(super) rows: &'a R,
    pub(super) head: HeadRow,
    limit: usize,
    results: usize,
    bytes: usize,
    /// Entries that may still be looked at.
    budget: usize,
    shown: BTreeSet<LeafIndex>,
}

impl<'a, R: Rows> Page<'a, R> {
    /// An empty one under the newest head.
    pub(super) fn new(rows: &'a R, limit: usize) -> Result<Self, ReadFailure> {
        Ok(Self {
            rows,
            head: head(rows, HeadChoice::Newest)?,
            limit,
            results: 0,
            bytes: 0,
            budget: ROWS_PER_PAGE,
            shown: BTreeSet::new(),
        })
    }

    /// In front of which entry, where this was asked for; the head covers it.
    pub(super) fn place(&self, asked: Option<u64>) -> Result<LeafIndex, Failure> {
        match asked {
            None => Ok(LeafIndex(self.head.size)),
            Some(at) if at <= self.head.size => Ok(LeafIndex(at)),
            Some(_) => Err(beyond(self.head.size)),
        }
    }

    /// Whether nothing more goes into it.
    pub(super) fn is_full(&self) -> bool {
        self.results >= self.limit || self.bytes >= PAGE_BYTES_GOAL || self.budget == 0
    }

    /// One more result, which took so many bytes besides its versions.
    pub(super) fn count(&mut self, bytes: usize) {
        self.results += 1;
        self.bytes += bytes;
    }

    /// The entity's version at this index, read; it counts as looked at.
    pub(super) fn version(&mut self, index: LeafIndex) -> Result<Version, ReadFailure> {
        self.budget = self.budget.saturating_sub(1);
        Ok(registers::version(self.rows, index)?)
    }

    /// The version as it travels; it is part of what the page proves.
    pub(super) fn show(&mut self, version: Version) -> pb::RegisterVersion {
        let Version {
            index,
            entity,
            entry,
        } = version;
        self.shown.insert(index);
        let message = pb::RegisterVersion {
            entry: Some(convert::entry_ref(index.0, &entry)),
            statement: entry.statement.to_vec(),
            entity_id: entity.as_bytes().to_vec(),
            version: entry.version,
            state: entry.state,
        };
        self.bytes += message.encoded_len();
        message
    }

    /// The head, and the proof of everything that was shown.
    pub(super) fn proof(self, registry: &Registry) -> Result<pb::PageProof, ReadFailure> {
        let receipt = head_receipt(registry, &self.head)?;
        let mut proof = pb::PageProof {
            head: Some(convert::signed_head(&self.head, &receipt)?),
            hashes: Vec::new(),
        };
        if !self.shown.is_empty() {
            let size = TreeSize(self.head.size);
            let shown = self.shown.into_iter().collect();
            let multi = tree::multi(self.rows, shown, size)?;
            let multi = multi.ok_or_else(|| beyond(size.0))?;
            let hashes = multi.hashes().iter();
            proof.hashes = hashes.map(|hash| hash.as_bytes().to_vec()).collect();
        }
        Ok(proof)
    }
}

/// What the reader may be told of how much there is.
fn count(
    rows: &impl Rows,
    sight: &Sight,
    (name, at): (RegisterName<'_>, LeafIndex),
) -> Result<Option<pb::RegisterCount>, ReadFailure> {
    if !sight.sees_all(name.organization, name.kind) {
        return Ok(None);
    }
    let Count { entities, versions } = count_before(rows, name, at)?;
    Ok(Some(pb::RegisterCount { entities, versions }))
}

/// The entities of one page that the reader may see.
pub(super) fn list(
    rows: &impl Rows,
    registry: &Registry,
    (query, sight): (&RegisterQuery, &Sight),
) -> Result<pb::ListRegisterResponse, ReadFailure> {
    let mut page = Page::new(rows, query.limit)?;
    let at = page.place(query.at)?;
    let name = RegisterName {
        organization: &query.organization,
        kind: &query.kind,
    };
    let mut response = pb::ListRegisterResponse {
        at: at.0,
        count: count(rows, sight, (name, at))?,
        ..pb::ListRegisterResponse::default()
    };
    let mut number = query.first;
    while let Some((_, index)) = newest_before(rows, name, number, at)? {
        if page.is_full() {
            response.next_page_token = query.bound.token([at.0, number]);
            break;
        }
        let version = page.version(index)?;
        if sight.view(&version.entry)?.is_some() {
            response.entities.push(page.show(version));
            page.count(0);
        }
        number = number.saturating_add(1);
    }
    response.proof = Some(page.proof(registry)?);
    Ok(response)
}

/// The changed entities of one page that the reader may see.
pub(super) fn diff(
    rows: &impl Rows,
    registry: &Registry,
    (query, sight): (&DiffQuery, &Sight),
) -> Result<pb::DiffRegisterResponse, ReadFailure> {
    let mut page = Page::new(rows, query.limit)?;
    let to = page.place(query.to)?;
    // Where `to` was absent it is known only now.
    let from = LeafIndex(query.from);
    if from > to {
        return Err(beyond(page.head.size).into());
    }
    let name = RegisterName {
        organization: &query.organization,
        kind: &query.kind,
    };
    let mut response = pb::DiffRegisterResponse {
        to: to.0,
        count_from: count(rows, sight, (name, from))?,
        count_to: count(rows, sight, (name, to))?,
        ..pb::DiffRegisterResponse::default()
    };
    let listing = Listing::Kind {
        organization: name.organization,
        kind: name.kind,
    };
    let found = reader::list(rows, listing, LeafIndex(query.first), ROWS_PER_PAGE)?;
    // Behind `to` nothing is asked for.
    let is_last = found.len() < ROWS_PER_PAGE || found.last().is_some_and(|last| *last >= to);
    let mut left = found.into_iter().filter(|index| *index < to).peekable();
    let mut next = query.first;
    while let Some(index) = left.next_if(|_| !page.is_full()) {
        next = index.0.saturating_add(1);
        let version = page.version(index)?;
        let entry = &version.entry;
        let later = (entry.number, entry.version.saturating_add(1));
        // An entity comes once, with its newest version.
        let is_newest = place_before(rows, name, later, to)?.is_none();
        if is_newest && sight.view(entry)?.is_some() {
            let change = change((&mut page, sight), name, (version, from))?;
            response.changes.push(change);
        }
    }
    if left.peek().is_some() || !is_last {
        response.next_page_token = query.bound.token([to.0, next]);
    }
    response.proof = Some(page.proof(registry)?);
    Ok(response)
}

/// An entity with its newest version, and the one in front of `from`.
fn change<R: Rows>(
    (page, sight): (&mut Page<'_, R>, &Sight),
    name: RegisterName<'_>,
    (newest, from): (Version, LeafIndex),
) -> Result<pb::RegisterChange, ReadFailure> {
    let number = newest.entry.number;
    let mut change = pb::RegisterChange {
        after: Some(page.show(newest)),
        ..pb::RegisterChange::default()
    };
    page.count(0);
    if let Some((_, before)) = newest_before(page.rows, name, number, from)? {
        let before = page.version(before)?;
        if sight.view(&before.entry)?.is_some() {
            change.before = Some(page.show(before));
        } else {
            change.before_withheld = true;
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests;
