//! What header, registry and earlier entries decide about evidence at its position of the log.
//!
//! A node judges by it at apply, and whoever holds the entries of a log repeats every decision with
//! the same functions ([`Replay`](super::replay::Replay)). Content is judged elsewhere
//! ([`record`](super::record)).

mod links;

use links::{check_kept, check_links, count, counted, resolve};

use std::collections::BTreeSet;

use crate::aims::bundle::{BundleDigest, RuleBundle};
use crate::aims::catalog::{Catalogue, CatalogueDigest, ControlClaim};
use crate::aims::entity::{CountedLink, Entity, Linking, NewVersion};
use crate::aims::kind::{Kind, Signer};
use crate::aims::lifecycle::Reaching;
use crate::reason::{Reason, Violation, Violations};
use crate::statement::header::{CatalogRef, ContentType, Family, Revision};
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

    /// Whose an entry is, of which kind and of which entity.
    fn target(&self, id: EntryId) -> Result<Option<Target>, Self::Error>;

    /// An entity by the id of its first version.
    fn entity(&self, id: EntryId) -> Result<Option<Entity>, Self::Error>;

    /// The entities of a kind that link to an entity with a relation.
    fn linking(&self, to: EntryId, by: (&str, &str)) -> Result<Linking, Self::Error>;
}

/// An entry that a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub organization: String,
    /// Its kind, see [`kind_text`].
    pub kind: String,
    /// The entity that it is a version of; `None` for a registry statement.
    pub entity: Option<EntryId>,
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

/// Evidence in front of the entries that it refers to.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Its entry id.
    pub id: EntryId,
    /// Its header.
    pub header: &'a Header,
    /// Its kind, if the active rules have it.
    pub kind: Option<&'a Kind>,
    /// Whose key it names.
    pub principal: &'a PrincipalRow,
}

/// What a statement changes, if nothing speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The id of its entity.
    pub id: EntryId,
    /// The entity as it stood; `None` where the statement opens it.
    pub before: Option<Entity>,
    /// The entity as it stands then.
    pub after: Entity,
    /// Who links to others then, with the links that have changed: all of this kind.
    pub linking: Vec<(CountedLink, Linking)>,
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

/// Judges what the statement says of earlier entries: for whom it was made, links, entity, version,
/// state and the guards of that state. `found` gets everything that is wrong.
pub fn check_references<L: Logged>(
    logged: &L,
    at: Position<'_>,
    version: &Version<'_>,
    found: &mut Vec<Violation>,
) -> Result<Reached, L::Error> {
    let Version { header, kind, .. } = *version;
    let organization = &version.principal.organization;
    let mut holders = BTreeSet::from([version.principal.holder.as_str().to_owned()]);
    holders.extend(check_behalf(at, (organization, header), found));
    let links = match kind {
        Some(kind) => check_links(logged, (organization.as_str(), header, kind), found)?,
        None => Vec::new(),
    };
    let before = match &header.revision {
        None => None,
        Some(revision) => find_entity(logged, (organization.as_str(), header, revision), found)?,
    };
    let state = match kind {
        Some(kind) => reach_state(kind, header, before.as_ref(), found),
        None => Reach::default(),
    };
    let id = header
        .revision
        .map_or(version.id, |revision| revision.entity);
    let links = resolve(logged, (at.bundle, id), (version, &state, links))?;
    if let (Some(kind), Some(reached)) = (kind, state.guarded(header, before.as_ref())) {
        let reaching = Reaching {
            state: reached,
            is_move: state.is_move,
            header,
            principal: version.principal,
            holders: &holders,
            entity: before.as_ref().map(|entity| (id, entity)),
            links: &links,
        };
        kind.life_cycle().check_guards(logged, &reaching, found)?;
    }
    let links = counted(at.bundle, (version, before.as_ref(), &state), &links);
    if let Some(before) = before.as_ref().filter(|_| !header.is_retraction()) {
        found.extend(check_kept(at.bundle, (before, &links)));
    }
    let next = NewVersion {
        id: version.id,
        organization: organization.as_str(),
        links,
        kind: kind_text(&header.content_type),
        subject: &header.subject,
        holders: &holders,
        begins_again: state.is_move
            && before.is_some()
            && kind.is_some_and(|kind| kind.life_cycle().begins_again(&state.state)),
        state: state.state,
        retracts: header.is_retraction(),
    };
    let after = Entity::after(before.as_ref(), next);
    found.extend(after.check_size());
    let linking = count(logged, (before.as_ref(), &after), found)?;
    Ok(Reached {
        id,
        before,
        after,
        linking,
    })
}

/// The state that a version reaches.
#[derive(Debug, Default)]
struct Reach {
    /// Empty where the kind has none.
    state: String,
    /// It may follow the one before.
    is_allowed: bool,
    /// The one before was another.
    is_move: bool,
}

impl Reach {
    /// The state whose guards are judged, where it is known which entity that is. Whoever may sign it in
    /// this state may take it back.
    fn guarded(&self, header: &Header, before: Option<&Entity>) -> Option<&str> {
        let is_known = match &header.revision {
            None => true,
            Some(_) => before.is_some_and(|entity| entity.kind == kind_text(&header.content_type)),
        };
        let is_judged = self.is_allowed && is_known && !header.is_retraction();
        is_judged.then_some(self.state.as_str())
    }
}

/// Whether the principal may sign this kind in the state that the header names.
fn check_role(kind: &Kind, principal: &PrincipalRow, header: &Header) -> Vec<Violation> {
    let roles: Vec<&str> = principal.roles.iter().map(Role::as_str).collect();
    let signer = Signer {
        roles: &roles,
        is_agent: principal.is_agent(),
    };
    let mut found = kind.check_signer(header.transition.as_deref(), signer);
    if principal.is_agent() && header.is_retraction() {
        let rule = "an AI agent never takes a record back";
        found.push(Violation::new(Reason::NotPermitted, "header.change", rule).found("retract"));
    }
    found
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

/// The holder for whom the record was made: of a principal of the same organisation.
fn check_behalf(
    at: Position<'_>,
    (organization, header): (&OrganizationId, &Header),
    violations: &mut Vec<Violation>,
) -> Option<String> {
    let claimed = header.on_behalf_of.as_ref()?;
    let row = PrincipalId::new(claimed).ok().and_then(|claimed| {
        let history = at.registry.history(organization, &claimed)?;
        history.at(at.index)
    });
    if row.is_none() {
        let rule = "a principal of the same organisation";
        violations
            .push(Violation::new(Reason::NotPermitted, "header.on_behalf_of", rule).found(claimed));
    }
    row.map(|row| row.holder.as_str().to_owned())
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
    if entity.subject != header.subject {
        let rule = "a version is about what its entity is about";
        violations.push(
            Violation::new(Reason::HeaderMismatch, "header.sub", rule)
                .found(&header.subject)
                .nearest(entity.subject.clone()),
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

/// The state that the entity reaches.
fn reach_state(
    kind: &Kind,
    header: &Header,
    entity: Option<&Entity>,
    violations: &mut Vec<Violation>,
) -> Reach {
    let from = entity
        .map(|entity| entity.state.as_str())
        .filter(|state| !state.is_empty());
    let Some(to) = &header.transition else {
        if kind.status_field().is_some() {
            let rule = "the header names the state that the record is in";
            violations.push(Violation::new(
                Reason::MissingHeader,
                "header.transition",
                rule,
            ));
        }
        return Reach {
            state: from.unwrap_or_default().to_owned(),
            is_allowed: false,
            is_move: false,
        };
    };
    let is_move = from != Some(to.as_str());
    let mut moved = kind.check_transition(from, to);
    if let Some(from) = from.filter(|_| moved.is_ok() && is_move && header.is_retraction()) {
        let rule = "a record is retracted in the state that it is in";
        let violation = Violation::new(Reason::InvalidTransition, "header.transition", rule);
        moved = Err(violation.found(to).nearest(from));
    }
    let is_allowed = moved.is_ok();
    violations.extend(moved.err());
    Reach {
        state: to.clone(),
        is_allowed,
        is_move,
    }
}
