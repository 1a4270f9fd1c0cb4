//! Statements at apply: what is common to evidence and system records, and how an entry is stored.

use std::sync::Arc;

use aimslog_proto::{
    aims::judge::kind_text,
    limits::ISSUED_AHEAD_SECONDS_MAX,
    reason::{Reason, Violation},
    statement::{
        EntryId, Header, UnverifiedStatement,
        header::{Algorithm, Family, Issuer},
    },
    system::{SystemRecord, registry::Registry},
    time::UnixMillis,
    tlog::LeafIndex,
};
use bytes::Bytes;

use super::{
    apply::{ApplyError, State, known_rules},
    command::Item,
    evidence::{self, Judgement},
    indexes::{self, Indexed},
    outcome::{ItemOutcome, Logged},
    payload::PayloadRow,
    row::{Core, EntryRow},
    state::{Overlay, TypedRows},
    tree,
};
use crate::store::{
    codec,
    state_db::{Rows, StateError},
};

/// Decides one statement and, if nothing speaks against it, makes it the next entry.
pub(super) fn submit<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &mut Core,
    item: &Item,
) -> Result<ItemOutcome, ApplyError> {
    let id = EntryId::of(&item.statement);
    if let Some(index) = state.rows.index(&codec::by_id(id.as_bytes()))? {
        return Ok(ItemOutcome::AlreadyLogged(logged(&state.rows, index)?));
    }
    let accepted = accepted_algorithms(&state.registry);
    let statement = match UnverifiedStatement::parse_accepting(&item.statement, &accepted) {
        Ok(statement) => statement,
        Err(error) => return Ok(ItemOutcome::Refused(error.violations())),
    };
    match statement.header().content_type.family() {
        Family::Ledger => submit_system(state, core, (&statement, item)),
        Family::Evidence => submit_evidence(state, core, (&statement, item)),
    }
}

fn submit_system<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &mut Core,
    (statement, item): (&UnverifiedStatement, &Item),
) -> Result<ItemOutcome, ApplyError> {
    let index = LeafIndex(core.frontier.size().0);
    // Its own handle, so that the registry can be changed below.
    let registry = Arc::clone(&state.registry);
    let header = statement.header();
    let organization = issuing_organization(&registry, header);
    let time = UnixMillis(core.time_ms);
    let mut violations = check_system_claims(&state.rows, (&registry, header), time)?;
    let record = state.registry.check(index, statement);
    match record {
        Ok(record) if violations.is_empty() => {
            if let SystemRecord::Rules(rules) = &record {
                known_rules(rules.bundle)?;
            }
        }
        Ok(_) => return Ok(ItemOutcome::Refused(violations)),
        Err(found) => {
            violations.extend(found.into_vec());
            return Ok(ItemOutcome::Refused(violations));
        }
    }
    Arc::make_mut(&mut state.registry)
        .apply(index, statement)
        .map_err(|source| ApplyError::StoredRecord {
            index: index.0,
            source: Box::new(source),
        })?;
    let facts = Facts {
        statement,
        bytes: &item.statement,
        organization,
        place: None,
    };
    Ok(ItemOutcome::Logged(log_entry(
        &mut state.rows,
        core,
        &facts,
    )?))
}

/// What is wrong with expiry, claimed time and unique id of a system record.
pub(super) fn check_system_claims(
    rows: &(impl Rows + ?Sized),
    (registry, header): (&Registry, &Header),
    time: UnixMillis,
) -> Result<Vec<Violation>, StateError> {
    let organization = issuing_organization(registry, header);
    Claims {
        header,
        organization,
        time,
    }
    .check(rows)
}

fn submit_evidence<R: Rows + ?Sized>(
    state: &mut State<'_, R>,
    core: &mut Core,
    (statement, item): (&UnverifiedStatement, &Item),
) -> Result<ItemOutcome, ApplyError> {
    let judgement = evidence::judge(
        &state.rows,
        &state.registry,
        &evidence::Case {
            statement,
            index: LeafIndex(core.frontier.size().0),
            time: UnixMillis(core.time_ms),
            attachments: &item.attachments,
        },
    )?;
    let accepted = match judgement {
        Judgement::Accepted(accepted) => accepted,
        Judgement::Refused(violations) => return Ok(ItemOutcome::Refused(violations)),
    };
    let index = core.frontier.size().0;
    let place = evidence::take_place(&mut state.rows, &accepted, index)?;
    let facts = Facts {
        statement,
        bytes: &item.statement,
        organization: accepted.organization(),
        place: Some(place),
    };
    let logged = log_entry(&mut state.rows, core, &facts)?;
    let payload = item
        .payload
        .clone()
        .map_or(PayloadRow::Sealed, PayloadRow::Present);
    state.rows.put(codec::payload(index), payload.encode());
    evidence::count_references(&mut state.rows, &accepted, &item.attachments)?;
    Ok(ItemOutcome::Logged(logged))
}

/// Claims that are judged alike for every statement.
pub(super) struct Claims<'a> {
    pub(super) header: &'a Header,
    /// Empty for the service and its operators.
    pub(super) organization: &'a str,
    pub(super) time: UnixMillis,
}

impl Claims<'_> {
    /// Everything that is wrong with expiry, claimed time and unique id.
    pub(super) fn check(&self, rows: &(impl Rows + ?Sized)) -> Result<Vec<Violation>, StateError> {
        let mut violations = check_times(self.header, self.time);
        let key = codec::by_cti(self.organization, self.header.id.as_bytes());
        if let Some(index) = rows.index(&key)? {
            let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
            let rule = "the unique id is used once by an organisation";
            violations.push(
                Violation::new(Reason::IdConflict, "header.cti", rule)
                    .found(EntryId::of(&entry.statement)),
            );
        }
        Ok(violations)
    }
}

/// Everything that is wrong with expiry and claimed time at this registration time.
pub(super) fn check_times(header: &Header, time: UnixMillis) -> Vec<Violation> {
    let now = time.to_seconds();
    let mut violations = Vec::new();
    if let Some(expires) = header.expires
        && expires < now
    {
        let rule = format!("registered not after exp; the registration time is {now}");
        violations.push(Violation::new(Reason::Expired, "header.exp", rule).found(expires));
    }
    if header.issued.0 > now.0.saturating_add(ISSUED_AHEAD_SECONDS_MAX) {
        let rule =
            format!("at most {ISSUED_AHEAD_SECONDS_MAX} seconds after the registration time {now}");
        violations
            .push(Violation::new(Reason::IssuedInFuture, "header.iat", rule).found(header.issued));
    }
    violations
}

/// The organisation that issued the statement; empty for the service, its operators, and issuers of
/// other ledgers, which are refused elsewhere.
fn issuing_organization<'a>(registry: &'a Registry, header: &'a Header) -> &'a str {
    let origin = registry
        .genesis()
        .map_or("", |genesis| genesis.origin.as_str());
    match header.issuer_in(origin) {
        Some(Issuer::Organization { organization, .. }) => organization,
        Some(Issuer::Service { .. }) | None => "",
    }
}

/// The algorithms that genesis accepts.
pub(super) fn accepted_algorithms(registry: &Registry) -> Vec<Algorithm> {
    registry.genesis().map_or_else(Vec::new, |genesis| {
        genesis
            .algorithms
            .iter()
            .filter_map(|id| Algorithm::from_id(*id))
            .collect()
    })
}

/// What an entry is made of.
pub(super) struct Facts<'a> {
    pub(super) statement: &'a UnverifiedStatement,
    pub(super) bytes: &'a Bytes,
    pub(super) organization: &'a str,
    /// Place in its register; `None` for system records.
    pub(super) place: Option<Place>,
}

/// Number and version of an entity in its register, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) version: u32,
    pub(super) entity: EntryId,
    /// The state that it has now.
    pub(super) state: String,
    /// How many versions the register had before this one.
    pub(super) position: u64,
}

/// Stores the next entry with its secondary keys, and appends its leaf.
pub(super) fn log_entry<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    core: &mut Core,
    facts: &Facts<'_>,
) -> Result<Logged, StateError> {
    let header = facts.statement.header();
    let index = core.frontier.size().0;
    let leaf = facts.statement.leaf_hash();
    let place = facts.place.as_ref();
    let entry = EntryRow {
        statement: facts.bytes.clone(),
        organization: facts.organization.to_owned(),
        kind: kind_text(&header.content_type),
        time_ms: core.time_ms,
        number: place.map_or(0, |place| place.number),
        version: place.map_or(0, |place| place.version),
        entity: place.map(|place| place.entity),
        state: place.map(|place| place.state.clone()).unwrap_or_default(),
        leaf_hash: *leaf.as_bytes(),
    };
    rows.put_value(codec::entry(index), &entry);
    if facts.place.is_none() {
        rows.put(codec::system(index), Vec::new());
    }
    let indexed = Indexed {
        entry: &entry,
        statement: facts.statement,
        index,
        position: place.map(|place| place.position),
    };
    indexes::put(rows, indexed)?;
    tree::append(rows, &mut core.frontier, leaf)?;
    Ok(Logged {
        index,
        leaf_hash: entry.leaf_hash,
        time_ms: entry.time_ms,
        number: entry.number,
    })
}

/// Where the entry at `index` stands.
pub(crate) fn logged(rows: &(impl Rows + ?Sized), index: u64) -> Result<Logged, StateError> {
    let entry: EntryRow = rows.expect_value(&codec::entry(index))?;
    Ok(Logged {
        index,
        leaf_hash: entry.leaf_hash,
        time_ms: entry.time_ms,
        number: entry.number,
    })
}
