//! Evidence at apply: signer, rules, links, entities, life cycle and registers.
//!
//! [`judge`] reads and finds everything that speaks against a statement at once; it writes nothing
//! and so also serves a dry run on a snapshot. [`take_place`] writes what an accepted statement
//! changes besides its entry.

use std::collections::BTreeSet;

use aimslog_proto::{
    aims::{
        bundle::{BundleDigest, RuleBundle},
        catalog::ControlClaim,
        kind::{Kind, Signer},
    },
    reason::{Reason, Violation, Violations},
    statement::{
        EntryId, Header, UnverifiedStatement,
        header::{Change, Revision},
    },
    system::{
        OrganizationId, PrincipalId, Role,
        registry::{PrincipalRow, Registry},
    },
    time::UnixMillis,
    tlog::{Frontier, LeafHash, LeafIndex},
};

use super::{
    apply::{ApplyError, hex, rules_at},
    blobs::{self, BlobName},
    entries::{Claims, Place, kind_text},
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
    let signed = check_signed_rules(registry, case.index, case.statement)?;
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
    check_behalf(registry, (&principal.organization, header), &mut violations);
    if let Some(kind) = kind {
        check_links(rows, (organization, header, kind), &mut violations)?;
    }
    for digest in case.attachments {
        if blobs::complete(
            rows,
            BlobName {
                organization,
                digest,
            },
        )?
        .is_none()
        {
            let rule = "the attachment is stored before the record that names it";
            violations.push(
                Violation::new(Reason::MissingLinkTarget, "attachments", rule).found(hex(digest)),
            );
        }
    }
    let entity = match &header.revision {
        None => None,
        Some(revision) => find_entity(rows, (organization, header, revision), &mut violations)?,
    };
    let state = match kind {
        Some(kind) => reach_state(kind, header, entity.as_ref(), &mut violations),
        None => String::new(),
    };
    if !violations.is_empty() {
        return Ok(Judgement::Refused(violations));
    }
    let entity = header.revision.map(|revision| revision.entity).zip(entity);
    Ok(Judgement::Accepted(Box::new(Accepted {
        organization: organization.to_owned(),
        kind: kind_text(header),
        entity,
        state,
        retracts: header
            .revision
            .is_some_and(|revision| revision.change == Change::Retract),
    })))
}

/// What header, registry and rules alone say about a statement.
#[derive(Debug)]
pub(super) struct SignedRules<'r> {
    /// Whose key it names, if that is valid.
    pub(super) principal: Option<&'r PrincipalRow>,
    /// Its kind, if the active rules have it.
    pub(super) kind: Option<&'static Kind>,
    /// Everything that is wrong.
    pub(super) violations: Vec<Violation>,
}

/// Judges signer, role, rule bundle, kind and controls. The signature itself is not checked.
pub(super) fn check_signed_rules<'r>(
    registry: &'r Registry,
    index: LeafIndex,
    statement: &UnverifiedStatement,
) -> Result<SignedRules<'r>, ApplyError> {
    let header = statement.header();
    let bundle = rules_at(registry, index)?;
    let signer = registry.evidence_signer(index, header);
    let problems = signer.err().map(Violations::into_vec).unwrap_or_default();
    // Also where the header says something else than its key: what the key's organisation has logged
    // is judged all the same, so that everything is named at once.
    let principal = registry.principal_at(&header.key, index);
    let (kind, rules) = check_rules(bundle, header);
    let mut violations: Vec<Violation> = problems.into_iter().chain(rules).collect();
    if let (Some(principal), Some(kind)) = (principal, kind) {
        violations.extend(check_role(kind, principal, header));
    }
    Ok(SignedRules {
        principal,
        kind,
        violations,
    })
}

/// Whether the principal may sign this kind in the state that the header names.
fn check_role(kind: &Kind, principal: &PrincipalRow, header: &Header) -> Vec<Violation> {
    let roles: Vec<&str> = principal.roles.iter().map(Role::as_str).collect();
    let signer = Signer {
        roles: &roles,
        is_agent: principal.is_agent(),
    };
    kind.check_signer(header.transition.as_deref(), signer)
}

/// Rule bundle, kind, version and controls.
fn check_rules<'b>(bundle: &'b RuleBundle, header: &Header) -> (Option<&'b Kind>, Vec<Violation>) {
    let mut violations = Vec::new();
    let accepted = header
        .rules
        .is_some_and(|digest| bundle.is_accepting(BundleDigest(digest)));
    if !accepted {
        let rule = "made under the active rule bundle, or one that it still accepts";
        violations.push(
            Violation::new(Reason::RulesOutdated, "header.rules", rule)
                .found(
                    header
                        .rules
                        .map_or_else(|| "none".to_owned(), |digest| hex(&digest)),
                )
                .nearest(hex(&bundle.digest().0)),
        );
    }
    for control in &header.controls {
        let claim = ControlClaim {
            scheme: &control.scheme,
            id: &control.id,
        };
        violations.extend(bundle.check_control(claim).err());
    }
    match bundle.kind(header.content_type.kind(), header.content_type.version()) {
        Ok(kind) => (Some(kind), violations),
        Err(violation) => {
            violations.push(violation);
            (None, violations)
        }
    }
}

/// Whoever the record was made for is a principal of the same organisation.
fn check_behalf(
    registry: &Registry,
    (organization, header): (&OrganizationId, &Header),
    violations: &mut Vec<Violation>,
) {
    let Some(claimed) = &header.on_behalf_of else {
        return;
    };
    let known = PrincipalId::new(claimed)
        .is_ok_and(|claimed| registry.principal(organization, &claimed).is_some());
    if !known {
        let rule = "a principal of the same organisation";
        violations
            .push(Violation::new(Reason::NotPermitted, "header.on_behalf_of", rule).found(claimed));
    }
}

/// Links within this log lead to entries of the same organisation and of an allowed kind. An entry
/// of somebody else is reported as missing: nobody learns what others have logged.
fn check_links(
    rows: &(impl Rows + ?Sized),
    (organization, header, kind): (&str, &Header, &Kind),
    violations: &mut Vec<Violation>,
) -> Result<(), StateError> {
    for link in header.links.iter().filter(|link| link.origin.is_none()) {
        let target = match rows.index(&codec::by_id(link.target.as_bytes()))? {
            Some(index) => Some(rows.expect_value::<EntryRow>(&codec::entry(index))?),
            None => None,
        };
        if let Some(target) = target.filter(|target| target.organization == organization) {
            violations.extend(kind.check_link(&link.relation, &target.kind).err());
        } else {
            violations.extend(kind.check_relation(&link.relation).err());
            let rule = "the target of a link is an earlier entry of the organisation";
            violations.push(
                Violation::new(Reason::MissingLinkTarget, "header.links", rule).found(link.target),
            );
        }
    }
    Ok(())
}

/// The entity that the statement continues, if it may.
fn find_entity(
    rows: &(impl Rows + ?Sized),
    (organization, header, revision): (&str, &Header, &Revision),
    violations: &mut Vec<Violation>,
) -> Result<Option<EntityRow>, StateError> {
    let row: Option<EntityRow> = rows.value(&codec::entity(revision.entity.as_bytes()))?;
    let Some(row) = row.filter(|row| row.organization == organization) else {
        let rule = "the entity is the first version of a record of the organisation";
        violations.push(
            Violation::new(Reason::MissingLinkTarget, "header.entity", rule).found(revision.entity),
        );
        return Ok(None);
    };
    if row.kind != kind_text(header) {
        let rule = "a version is of the kind of its entity";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.content_type", rule)
                .found(kind_text(header))
                .nearest(row.kind.clone()),
        );
    }
    if row.newest != *revision.previous.as_bytes() {
        let rule = "previous is the newest version of the entity";
        violations.push(
            Violation::new(Reason::VersionConflict, "header.previous", rule)
                .found(revision.previous)
                .nearest(EntryId::from_bytes(row.newest).to_string()),
        );
    }
    if row.retracted {
        let rule = "a retracted record has no further versions";
        violations.push(Violation::new(
            Reason::InvalidTransition,
            "header.change",
            rule,
        ));
    }
    Ok(Some(row))
}

/// The state that the entity reaches; empty where the kind has none.
fn reach_state(
    kind: &Kind,
    header: &Header,
    entity: Option<&EntityRow>,
    violations: &mut Vec<Violation>,
) -> String {
    let from = entity
        .map(|entity| entity.state.as_str())
        .filter(|state| !state.is_empty());
    if let Some(to) = &header.transition {
        violations.extend(kind.check_transition(from, to).err());
        to.clone()
    } else {
        if kind.status_field().is_some() {
            let rule = "the header names the state that the record is in";
            violations.push(Violation::new(
                Reason::MissingHeader,
                "header.transition",
                rule,
            ));
        }
        from.unwrap_or_default().to_owned()
    }
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
