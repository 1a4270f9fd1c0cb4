//! Evidence at apply: signer, rules, links, entities, life cycle and registers.
//!
//! [`judge`] reads and finds everything that speaks against a statement at once; it writes nothing
//! and so also serves a dry run on a snapshot. [`take_place`] writes what an accepted statement
//! changes besides its entry.

use std::collections::BTreeSet;

use aimslog_proto::{
    aims::{
        entity::{Entity, Linking},
        judge::{
            Logged, Position, Reached, Signed, Target, Version, check_references, check_signed,
        },
    },
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
    row::{EntityRow, EntryRow, LinkingRow, RegisterRow},
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
    /// Its entity, and those that it links to.
    reached: Reached,
    /// The row of the entity that it continues; `None` opens one.
    row: Option<EntityRow>,
}

impl Accepted {
    /// Whose it is.
    pub fn organization(&self) -> &str {
        &self.reached.after.organization
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        &self.reached.after.kind
    }
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
    let at = position(registry, case.index)?;
    let signed = check_signed(at, case.statement.header());
    judge_signed(rows, at, (case, signed))
}

/// The same behind what header, registry and rules say alone.
pub(super) fn judge_signed(
    rows: &(impl Rows + ?Sized),
    at: Position<'_>,
    (case, signed): (&Case<'_>, Signed<'_>),
) -> Result<Judgement, ApplyError> {
    let header = case.statement.header();
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
    let version = Version {
        id: case.statement.entry_id(),
        header,
        kind,
        principal,
    };
    let row: Option<EntityRow> = match &header.revision {
        Some(revision) => rows.value(&codec::entity(revision.entity.as_bytes()))?,
        None => None,
    };
    let logged = LoggedRows {
        rows,
        continued: header.revision.map(|revision| revision.entity),
        row: row.as_ref(),
    };
    let reached = check_references(&logged, at, &version, &mut violations)?;
    check_attachments(rows, (organization, case.attachments), &mut violations)?;
    if !violations.is_empty() {
        return Ok(Judgement::Refused(violations));
    }
    Ok(Judgement::Accepted(Box::new(Accepted { reached, row })))
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
struct LoggedRows<'a, R: ?Sized> {
    rows: &'a R,
    /// The entity that the statement continues, with its row, which has been read.
    continued: Option<EntryId>,
    row: Option<&'a EntityRow>,
}

impl<R: Rows + ?Sized> Logged for LoggedRows<'_, R> {
    type Error = StateError;

    fn target(&self, id: EntryId) -> Result<Option<Target>, StateError> {
        let Some(index) = self.rows.index(&codec::by_id(id.as_bytes()))? else {
            return Ok(None);
        };
        let entry: EntryRow = self.rows.expect_value(&codec::entry(index))?;
        Ok(Some(Target {
            organization: entry.organization,
            kind: entry.kind,
            entity: entry.entity,
        }))
    }

    fn entity(&self, id: EntryId) -> Result<Option<Entity>, StateError> {
        if self.continued == Some(id) {
            return Ok(self.row.map(|row| row.entity.clone()));
        }
        let row: Option<EntityRow> = self.rows.value(&codec::entity(id.as_bytes()))?;
        Ok(row.map(|row| row.entity))
    }

    fn linking(&self, to: EntryId, by: (&str, &str)) -> Result<Linking, StateError> {
        let row: Option<LinkingRow> = self.rows.value(&codec::linking(to.as_bytes(), by))?;
        Ok(row.map(|row| row.0).unwrap_or_default())
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

/// Writes entity, register and links of an accepted statement that becomes the entry at `index`.
pub(super) fn take_place<R: Rows + ?Sized>(
    rows: &mut Overlay<'_, R>,
    accepted: &Accepted,
    index: u64,
) -> Result<Place, StateError> {
    let Reached {
        id, after, linking, ..
    } = &accepted.reached;
    let key = codec::register(&after.organization, &after.kind);
    let mut register = rows.value(&key)?.unwrap_or(RegisterRow {
        entities: 0,
        frontier: Frontier::EMPTY,
    });
    let (number, version) = if let Some(row) = &accepted.row {
        (row.number, row.versions + 1)
    } else {
        register.entities += 1;
        (register.entities, 1)
    };
    let position = register.frontier.size().0;
    register
        .frontier
        .push(LeafHash::of(&index.to_be_bytes()))
        .map_err(|_full| StateError::Contradiction {
            what: "a register has 2^64 - 1 versions",
        })?;
    rows.put_value(key, &register);
    let row = EntityRow {
        entity: after.clone(),
        number,
        versions: version,
        newest_index: index,
    };
    rows.put_value(codec::entity(id.as_bytes()), &row);
    for (link, linking) in linking {
        let by = (after.kind.as_str(), link.relation.as_str());
        let key = codec::linking(link.target.as_bytes(), by);
        if linking.is_empty() {
            rows.remove(key);
        } else {
            rows.put_value(key, &LinkingRow(linking.clone()));
        }
    }
    Ok(Place {
        number,
        version,
        entity: *id,
        state: row.entity.state,
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
                organization: accepted.organization(),
                digest,
            },
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
