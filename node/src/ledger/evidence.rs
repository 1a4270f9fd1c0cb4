//! Evidence at apply: signer, rules, links, entities, life cycle and registers.
//!
//! [`judge`] reads and finds everything that speaks against a statement at once; it writes nothing
//! and so also serves a dry run on a snapshot. [`take_place`] writes what an accepted statement
//! changes besides its entry.

use std::collections::BTreeSet;

use aimslog_proto::{
    aims::judge::{Entity, Logged, Position, Target, check_references, check_signed, kind_text},
    reason::{Reason, Violation},
    statement::{EntryId, UnverifiedStatement},
    system::registry::Registry,
    time::UnixMillis,
    tlog::{Frontier, LeafHash, LeafIndex},
};

use super::{
    apply::{ApplyError, hex, rules_at},
    blobs::{self, BlobName},
    entries::{Claims, Place},
    row::{EntityRow, EntryRow, RegisterRow},
    state::{Overlay, TypedRows},
};
use crate::store::{
    codec,
    state_db::{Rows, StateError},
};

/// A statement that asks to be the entry at `index` at this registration time.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The statement; its signature is not judged here.
    pub statement: &'a UnverifiedStatement,
    /// The index that it would get.
    pub index: LeafIndex,
    /// The registration time.
    pub time: UnixMillis,
    /// Digests of the stored attachments that its record names.
    pub attachments: &'a [[u8; 32]],
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing speaks against it.
    Accepted(Box<Accepted>),
    /// Everything that does.
    Refused(Vec<Violation>),
}

/// What an accepted statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whose it is.
    pub organization: String,
    /// Its kind.
    pub kind: String,
    /// The entity that it continues; `None` opens one.
    entity: Option<(EntryId, EntityRow)>,
    /// The state that the entity reaches.
    state: String,
    retracts: bool,
}

/// Judges a statement against rows and registry. Pure: reads headers and state alone.
///
/// # Errors
/// When rows are damaged, or the active rules are not part of this program.
pub fn judge(
    rows: &(impl Rows + ?Sized),
    registry: &Registry,
    case: &Case<'_>,
) -> Result<Judgement, ApplyError> {
    let header = case.statement.header();
    let at = position(registry, case.index)?;
    let signed = check_signed(at, header);
    let (kind, mut violations) = (signed.kind, signed.violations);
    // Without a key there is no organisation whose rows could be looked at.
    let Some(principal) = signed.principal else {
        return Ok(Judgement::Refused(violations));
    };
    let organization = principal.organization.as_str();
    violations.extend(
        Claims {
            header,
            organization,
            time: case.time,
        }
        .check(rows)?,
    );
    let place = (at, &principal.organization);
    let reached = check_references(&LoggedRows(rows), place, (header, kind), &mut violations)?;
    check_attachments(rows, (organization, case.attachments), &mut violations)?;
    if !violations.is_empty() {
        return Ok(Judgement::Refused(violations));
    }
    let entity = match &header.revision {
        None => None,
        Some(revision) => {
            let key = codec::entity(revision.entity.as_bytes());
            Some((revision.entity, rows.expect_value(&key)?))
        }
    };
    Ok(Judgement::Accepted(Box::new(Accepted {
        organization: organization.to_owned(),
        kind: kind_text(&header.content_type),
        entity,
        state: reached.state,
        retracts: reached.retracts,
    })))
}

/// Where a statement stands, or would, with the rules of this position.
pub(super) fn position(registry: &Registry, index: LeafIndex) -> Result<Position<'_>, ApplyError> {
    Ok(Position {
        registry,
        bundle: rules_at(registry, index)?,
        index,
    })
}

/// The entries of the rows.
struct LoggedRows<'a, R: ?Sized>(&'a R);

impl<R: Rows + ?Sized> Logged for LoggedRows<'_, R> {
    type Error = StateError;

    fn target(&self, id: EntryId) -> Result<Option<Target>, StateError> {
        let Some(index) = self.0.index(&codec::by_id(id.as_bytes()))? else {
            return Ok(None);
        };
        let entry: EntryRow = self.0.expect_value(&codec::entry(index))?;
        Ok(Some(Target {
            organization: entry.organization,
            kind: entry.kind,
        }))
    }

    fn entity(&self, id: EntryId) -> Result<Option<Entity>, StateError> {
        let row: Option<EntityRow> = self.0.value(&codec::entity(id.as_bytes()))?;
        Ok(row.map(|row| Entity {
            organization: row.organization,
            kind: row.kind,
            newest: EntryId::from_bytes(row.newest),
            state: row.state,
            retracted: row.retracted,
        }))
    }
}

/// Attachments are stored before the record that names them.
fn check_attachments(
    rows: &(impl Rows + ?Sized),
    (organization, attachments): (&str, &[[u8; 32]]),
    violations: &mut Vec<Violation>,
) -> Result<(), StateError> {
    for digest in attachments {
        let name = BlobName {
            organization,
            digest,
        };
        if blobs::complete(rows, name)?.is_none() {
            let rule = "the attachment is stored before the record that names it";
            violations.push(
                Violation::new(Reason::MissingLinkTarget, "attachments", rule).found(hex(digest)),
            );
        }
    }
    Ok(())
}

/// Writes entity and register of an accepted statement that becomes the entry `id` at `index`.
pub(super) fn take_place<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    accepted: &Accepted,
    (id, index): (EntryId, u64),
) -> Result<Place, StateError> {
    let key = codec::register(&accepted.organization, &accepted.kind);
    let mut register = rows.value(&key)?.unwrap_or(RegisterRow {
        entities: 0,
        frontier: Frontier::EMPTY,
    });
    let (entity_id, mut entity) = if let Some((entity_id, entity)) = &accepted.entity {
        (*entity_id, entity.clone())
    } else {
        register.entities += 1;
        let entity = EntityRow {
            organization: accepted.organization.clone(),
            kind: accepted.kind.clone(),
            number: register.entities,
            versions: 0,
            newest: *id.as_bytes(),
            newest_index: index,
            state: String::new(),
            retracted: false,
        };
        (id, entity)
    };
    entity.versions += 1;
    entity.newest = *id.as_bytes();
    entity.newest_index = index;
    entity.state.clone_from(&accepted.state);
    entity.retracted |= accepted.retracts;
    let position = register.frontier.size().0;
    register
        .frontier
        .push(LeafHash::of(&index.to_be_bytes()))
        .map_err(|_full| StateError::Contradiction {
            what: "a register has 2^64 - 1 versions",
        })?;
    rows.put_value(key, &register);
    rows.put_value(codec::entity(entity_id.as_bytes()), &entity);
    Ok(Place {
        number: entity.number,
        version: entity.versions,
        position,
    })
}

/// Counts the entry among those that name these attachments.
pub(super) fn count_references<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    accepted: &Accepted,
    attachments: &[[u8; 32]],
) -> Result<(), StateError> {
    // Named twice by one record, it is still named by one entry.
    for digest in attachments.iter().collect::<BTreeSet<_>>() {
        blobs::reference(
            rows,
            BlobName {
                organization: &accepted.organization,
                digest,
            },
        )?;
    }
    Ok(())
}
