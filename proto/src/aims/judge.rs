//! What header, registry and earlier entries decide about evidence at its position of the log.
//!
//! A node judges by it at apply, and whoever holds the entries of a log repeats every decision with
//! the same functions ([`Replay`](super::replay::Replay)). Content is judged elsewhere
//! ([`record`](super::record)).

use crate::aims::bundle::{BundleDigest, RuleBundle};
use crate::aims::catalog::{Catalogue, CatalogueDigest, ControlClaim};
use crate::aims::kind::{Kind, Signer};
use crate::reason::{Reason, Violation, Violations};
use crate::statement::header::{CatalogRef, Change, ContentType, Family, Revision};
use crate::statement::{EntryId, Header};
use crate::system::registry::{PrincipalRow, Registry};
use crate::system::{OrganizationId, PrincipalId, Role};
use crate::tlog::LeafIndex;

/// Where a statement stands, or would.
#[derive(Debug, Clone, Copy)]
pub struct Position<'r> {
    /// Who may do what; may know more than what stands before `index`.
    pub registry: &'r Registry,
    /// The rules active at `index`.
    pub bundle: &'static RuleBundle,
    /// The index.
    pub index: LeafIndex,
}

/// The entries in front of a statement, as far as evidence refers to them.
pub trait Logged {
    /// Why an entry could not be looked up.
    type Error;

    /// The organisation and kind of an entry.
    fn target(&self, id: EntryId) -> Result<Option<Target>, Self::Error>;

    /// An entity by the id of its first version.
    fn entity(&self, id: EntryId) -> Result<Option<Entity>, Self::Error>;
}

/// An entry that a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub organization: String,
    /// Its kind, see [`kind_text`].
    pub kind: String,
}

/// An entity as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Whose it is.
    pub organization: String,
    /// Its kind, see [`kind_text`].
    pub kind: String,
    /// Its newest version.
    pub newest: EntryId,
    /// The life-cycle state reached; empty where the kind has none.
    pub state: String,
    /// The newest version retracts it.
    pub retracted: bool,
}

/// What header, registry and rules alone say about a statement.
#[derive(Debug)]
pub struct Signed<'r> {
    /// Whose key it names, if that is valid.
    pub principal: Option<&'r PrincipalRow>,
    /// Its kind, if the active rules have it.
    pub kind: Option<&'static Kind>,
    /// Everything that is wrong.
    pub violations: Vec<Violation>,
}

/// What a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The entity that it continues, as it stood before; `None` opens one.
    pub entity: Option<Entity>,
    /// The state that the entity reaches; empty where the kind has none.
    pub state: String,
    /// Whether it takes the entity back.
    pub retracts: bool,
}

/// The kind as it stands in rows and messages: system kinds with their family, evidence without.
pub fn kind_text(content_type: &ContentType) -> String {
    match content_type.family() {
        Family::Ledger => format!("ledger.{}", content_type.kind()),
        Family::Evidence => content_type.kind().to_owned(),
    }
}

/// Judges signer, role, rule bundle, kind and controls. The signature itself is not checked.
pub fn check_signed<'r>(at: Position<'r>, header: &Header) -> Signed<'r> {
    let signer = at.registry.evidence_signer(at.index, header);
    let mut violations = signer.err().map(Violations::into_vec).unwrap_or_default();
    // Also where the header says something else than its key: what the key's organisation has logged
    // is judged all the same, so that everything is named at once.
    let principal = at.registry.principal_at(&header.key, at.index);
    let (kind, rules) = check_rules((at, principal), header);
    violations.extend(rules);
    if let (Some(principal), Some(kind)) = (principal, kind) {
        violations.extend(check_role(kind, principal, header));
    }
    Signed {
        principal,
        kind,
        violations,
    }
}

/// Judges what the statement says of earlier entries: for whom it was made, links, entity, version
/// and state. `found` gets everything that is wrong.
pub fn check_references<L: Logged>(
    logged: &L,
    (at, organization): (Position<'_>, &OrganizationId),
    (header, kind): (&Header, Option<&Kind>),
    found: &mut Vec<Violation>,
) -> Result<Reached, L::Error> {
    check_behalf(at.registry, (organization, header), found);
    let organization = organization.as_str();
    if let Some(kind) = kind {
        check_links(logged, (organization, header, kind), found)?;
    }
    let entity = match &header.revision {
        None => None,
        Some(revision) => find_entity(logged, (organization, header, revision), found)?,
    };
    let state = match kind {
        Some(kind) => reach_state(kind, header, entity.as_ref(), found),
        None => String::new(),
    };
    Ok(Reached {
        entity,
        state,
        retracts: header
            .revision
            .is_some_and(|revision| revision.change == Change::Retract),
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
fn check_rules(
    (at, principal): (Position<'_>, Option<&PrincipalRow>),
    header: &Header,
) -> (Option<&'static Kind>, Vec<Violation>) {
    let bundle = at.bundle;
    let mut violations = Vec::new();
    let accepted = header
        .rules
        .is_some_and(|digest| bundle.is_accepting(BundleDigest(digest)));
    if !accepted {
        let rule = "made under the active rule bundle, or one that it still accepts";
        violations.push(
            Violation::new(Reason::RulesOutdated, "header.rules", rule)
                .found(header.rules.map_or_else(
                    || "none".to_owned(),
                    |digest| BundleDigest(digest).to_string(),
                ))
                .nearest(bundle.digest().to_string()),
        );
    }
    let own = |scheme: &str| {
        let organization = &principal?.organization;
        at.registry.catalogue_at(organization, scheme, at.index)
    };
    for named in &header.catalogues {
        let catalogue = bundle.schemes().catalogue(&named.scheme);
        let catalogue = catalogue.or_else(|| own(&named.scheme));
        violations.extend(check_catalogue(bundle, catalogue, named));
    }
    for control in &header.controls {
        let (scheme, id) = (&control.scheme, &control.id);
        let is_open = !bundle.schemes().is_closed(scheme);
        let judged = match own(scheme).filter(|_| is_open) {
            Some(catalogue) => catalogue.check("header.controls", id).map(Some),
            None => bundle.check_control(ControlClaim { scheme, id }),
        };
        violations.extend(judged.err());
    }
    match bundle.kind(header.content_type.kind(), header.content_type.version()) {
        Ok(kind) => (Some(kind), violations),
        Err(violation) => {
            violations.push(violation);
            (None, violations)
        }
    }
}

/// A catalogue that the header pins is the one in force there, in this very version.
fn check_catalogue(
    bundle: &RuleBundle,
    catalogue: Option<&Catalogue>,
    named: &CatalogRef,
) -> Option<Violation> {
    const FIELD: &str = "header.catalogues";
    let Some(catalogue) = catalogue else {
        return Some(bundle.schemes().unknown(FIELD, &named.scheme));
    };
    let (found, digest) = (CatalogueDigest(named.digest), catalogue.digest());
    let rule = "the digest of the catalogue that is in force";
    let violation = Violation::new(Reason::UnknownCatalogue, FIELD, rule);
    (found != digest).then(|| violation.found(found).nearest(digest.to_string()))
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
fn check_links<L: Logged>(
    logged: &L,
    (organization, header, kind): (&str, &Header, &Kind),
    violations: &mut Vec<Violation>,
) -> Result<(), L::Error> {
    for link in header.links.iter().filter(|link| link.origin.is_none()) {
        let target = logged.target(link.target)?;
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
fn find_entity<L: Logged>(
    logged: &L,
    (organization, header, revision): (&str, &Header, &Revision),
    violations: &mut Vec<Violation>,
) -> Result<Option<Entity>, L::Error> {
    let entity = logged.entity(revision.entity)?;
    let Some(entity) = entity.filter(|entity| entity.organization == organization) else {
        let rule = "the entity is the first version of a record of the organisation";
        violations.push(
            Violation::new(Reason::MissingLinkTarget, "header.entity", rule).found(revision.entity),
        );
        return Ok(None);
    };
    let kind = kind_text(&header.content_type);
    if entity.kind != kind {
        let rule = "a version is of the kind of its entity";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.content_type", rule)
                .found(kind)
                .nearest(entity.kind.clone()),
        );
    }
    if entity.newest != revision.previous {
        let rule = "previous is the newest version of the entity";
        violations.push(
            Violation::new(Reason::VersionConflict, "header.previous", rule)
                .found(revision.previous)
                .nearest(entity.newest.to_string()),
        );
    }
    if entity.retracted {
        let rule = "a retracted record has no further versions";
        violations.push(Violation::new(
            Reason::InvalidTransition,
            "header.change",
            rule,
        ));
    }
    Ok(Some(entity))
}

/// The state that the entity reaches; empty where the kind has none.
fn reach_state(
    kind: &Kind,
    header: &Header,
    entity: Option<&Entity>,
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
