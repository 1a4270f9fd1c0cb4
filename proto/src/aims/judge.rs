//! What header, registry and earlier entries decide about evidence at its position of the log.
//!
//! A node judges by it at apply, and whoever holds the entries of a log repeats every decision with
//! the same functions ([`Replay`](super::replay::Replay)). Content is judged elsewhere
//! ([`record`](super::record)).

mod links;
mod version;

use links::{check_counted, check_links, count, counted, resolve};
use version::{Reach, find_entity, reach_state};

use std::collections::BTreeSet;

use crate::aims::bundle::{BundleDigest, RuleBundle};
use crate::aims::catalog::{Catalogue, CatalogueDigest, ControlClaim};
use crate::aims::entity::{Entity, EntityLink, Linking, NewVersion};
use crate::aims::kind::{Kind, Signer};
use crate::aims::lifecycle::Reaching;
use crate::reason::{Reason, Violation};
use crate::statement::header::{CatalogRef, ContentType, Family};
use crate::statement::{EntryId, Header};
use crate::system::registry::{EvidenceSigner, PrincipalRow, Registry};
use crate::system::{PrincipalId, Role};
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
    pub linking: Vec<(EntityLink, Linking)>,
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
    // Also where the header says something else than its key: what the key's organisation has logged
    // is judged all the same, so that everything is named at once.
    let EvidenceSigner {
        principal,
        mut violations,
        ..
    } = at.registry.judge_evidence_signer(at.index, header);
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
    holders.extend(check_behalf(at, (version.principal, header), found));
    let links = kind.map(|kind| check_links(logged, (organization.as_str(), header, kind), found));
    let links = links.transpose()?.unwrap_or_default();
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
    let links = resolve(
        logged,
        (at.bundle, id),
        (version, before.as_ref(), &state),
        links,
    )?;
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
    let counted = counted(at.bundle, (version, before.as_ref(), &state), &links);
    found.extend(check_counted(
        at.bundle,
        (version, before.as_ref()),
        (&links, &counted),
    ));
    let stayed = before.as_ref().filter(|_| !state.is_move);
    let grounds = kind.map(|kind| {
        let links = (header.subject.as_str(), links.as_slice());
        kind.life_cycle().grounds(&state.state, links, stayed)
    });
    let next = NewVersion {
        id: version.id,
        organization: organization.as_str(),
        links: counted,
        grounds: grounds.unwrap_or_default(),
        kind: kind_text(&header.content_type),
        kind_version: header.content_type.version(),
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

/// The holder for whom an AI agent signs. For whom a record is made is a principal of the same
/// organisation; but where a person or a program names it, it has not signed: anybody could keep it from
/// being the second person.
fn check_behalf(
    at: Position<'_>,
    (signer, header): (&PrincipalRow, &Header),
    violations: &mut Vec<Violation>,
) -> Option<String> {
    let claimed = header.on_behalf_of.as_ref()?;
    let row = PrincipalId::new(claimed).ok().and_then(|claimed| {
        let history = at.registry.history(&signer.organization, &claimed)?;
        history.at(at.index)
    });
    if row.is_none() {
        let rule = "a principal of the same organisation";
        violations
            .push(Violation::new(Reason::NotPermitted, "header.on_behalf_of", rule).found(claimed));
    }
    row.filter(|row| signer.acts_for.as_ref() == Some(&row.principal))
        .map(|row| row.holder.as_str().to_owned())
}
