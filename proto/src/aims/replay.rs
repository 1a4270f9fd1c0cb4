//! Repeats what a ledger decided, from the entries of its log alone.
//!
//! [`Replay`] takes the entries in order and judges each as a node does at apply: signature, key
//! state, role, audience, unique id, links, versions, life cycle, and who may sign which registry
//! statement. With disclosures it judges the content as well. Two things are not in the entries and
//! are not judged: registration times, so whether a statement had expired, and whether attachments
//! were stored. Replay keeps the registry, the tree and every entity as they are after the last
//! entry.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::aims::bundle::{BundleDigest, RuleBundle};
use crate::aims::content::check_content;
use crate::aims::entity::{Entity, Linking};
use crate::aims::judge::{
    Logged, Position, Reached, Target, Version, check_references, check_signed,
};
use crate::aims::kind::Kind;
use crate::reason::{Reason, Violation, Violations};
use crate::statement::header::{Algorithm, Family, Issuer};
use crate::statement::{EntryId, StatementId, UnverifiedStatement};
use crate::system::PrincipalId;
use crate::system::registry::Registry;
use crate::tlog::{Frontier, LeafIndex};

/// A log, repeated up to some entry.
#[derive(Debug)]
pub struct Replay {
    registry: Registry,
    tree: Frontier,
    known: Known,
    /// Unique ids by organisation, which is empty for the service.
    ids: BTreeSet<(String, StatementId)>,
    counts: Counts,
}

/// The entries so far, as later ones refer to them.
#[derive(Debug, Default)]
struct Known {
    targets: BTreeMap<EntryId, Target>,
    entities: BTreeMap<EntryId, Entity>,
    /// By target, kind and relation.
    linking: BTreeMap<(EntryId, String, String), Linking>,
}

impl Logged for Known {
    type Error = Infallible;

    fn target(&self, id: EntryId) -> Result<Option<Target>, Infallible> {
        Ok(self.targets.get(&id).cloned())
    }

    fn entity(&self, id: EntryId) -> Result<Option<Entity>, Infallible> {
        Ok(self.entities.get(&id).cloned())
    }

    fn linking(&self, to: EntryId, (kind, relation): (&str, &str)) -> Result<Linking, Infallible> {
        let key = (to, kind.to_owned(), relation.to_owned());
        Ok(self.linking.get(&key).cloned().unwrap_or_default())
    }
}

/// What was repeated, and what could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Registry statements.
    pub system: u64,
    /// Evidence.
    pub evidence: u64,
    /// Evidence whose fields were judged as well.
    pub content: u64,
    /// Evidence whose fields were not there: withheld, sealed or erased.
    pub content_not_checked: u64,
}

/// What is known of the content of an entry.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// All its disclosures.
    Shown(&'a [Vec<u8>]),
    /// It is withheld, sealed or erased.
    NotShown,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            registry: Registry::new(),
            tree: Frontier::EMPTY,
            known: Known::default(),
            ids: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// Who may do what after the last entry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Size and root of the tree over all entries so far.
    pub fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// What was judged.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next entry of the log, or says everything that speaks against its place there, and
    /// then takes nothing.
    pub fn push(&mut self, entry: &[u8], content: Content<'_>) -> Result<(), Vec<Violation>> {
        let index = LeafIndex(self.tree.size().0);
        let accepted: Vec<Algorithm> = match self.registry.genesis() {
            Some(genesis) => genesis
                .algorithms
                .iter()
                .filter_map(|id| Algorithm::from_id(*id))
                .collect(),
            None => vec![Algorithm::EdDsa],
        };
        let statement = UnverifiedStatement::parse_accepting(entry, &accepted)
            .map_err(|error| error.violations())?;
        let mut tree = self.tree.clone();
        tree.push(statement.leaf_hash()).map_err(|_full| {
            vec![Violation::new(
                Reason::InvalidRequest,
                "entry",
                "a tree has 2^64 - 1 leaves",
            )]
        })?;
        match statement.header().content_type.family() {
            Family::Ledger => self.push_system(index, &statement)?,
            Family::Evidence => self.push_evidence(index, &statement, content)?,
        }
        self.tree = tree;
        Ok(())
    }

    fn push_system(
        &mut self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
    ) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        let id = self.unique(statement, &mut found);
        // What is refused for its id changes nothing either.
        let judged = if found.is_empty() {
            self.registry.apply(index, statement)
        } else {
            self.registry.check(index, statement)
        };
        found.extend(judged.err().into_iter().flat_map(Violations::into_vec));
        if !found.is_empty() {
            return Err(found);
        }
        self.ids.insert(id);
        self.counts.system += 1;
        Ok(())
    }

    fn push_evidence(
        &mut self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
        content: Content<'_>,
    ) -> Result<(), Vec<Violation>> {
        let header = statement.header();
        let mut found = Vec::new();
        let at = Position {
            registry: &self.registry,
            bundle: self.bundle(index).map_err(|violation| vec![violation])?,
            index,
        };
        let signed = check_signed(at, header);
        found.extend(signed.violations);
        if let Some(row) = self.registry.key_at(&header.key, index)
            && let Err(error) = statement.clone().verify(&row.key)
        {
            found.extend(error.violations());
        }
        let Some(principal) = signed.principal else {
            return Err(found);
        };
        let id = self.unique(statement, &mut found);
        let version = Version {
            id: statement.entry_id(),
            header,
            kind: signed.kind,
            principal,
        };
        let Ok(reached) = check_references(&self.known, at, &version, &mut found);
        let shown = (content, &principal.principal);
        let shown = check_shown(signed.kind, statement, shown, &mut found);
        if !found.is_empty() {
            return Err(found);
        }
        self.ids.insert(id);
        self.counts.evidence += 1;
        if shown {
            self.counts.content += 1;
        } else {
            self.counts.content_not_checked += 1;
        }
        self.known.take(reached);
        Ok(())
    }

    /// The rules of a position, if this program has them.
    fn bundle(&self, index: LeafIndex) -> Result<&'static RuleBundle, Violation> {
        let digest = self.registry.rules_at(index).ok_or_else(|| {
            let rule = "the first entry is genesis";
            Violation::new(Reason::NotPermitted, "statement", rule)
        })?;
        let bundle = RuleBundle::v1();
        if bundle.digest() == BundleDigest(digest) {
            return Ok(bundle);
        }
        let rule = "a rule bundle that this program has";
        let violation = Violation::new(Reason::RulesOutdated, "rules", rule);
        Err(violation
            .found(BundleDigest(digest))
            .nearest(bundle.digest().to_string()))
    }

    /// The unique id with its organisation; refuses one that was used.
    fn unique(
        &self,
        statement: &UnverifiedStatement,
        found: &mut Vec<Violation>,
    ) -> (String, StatementId) {
        let header = statement.header();
        let origin = self
            .registry
            .genesis()
            .map_or("", |genesis| genesis.origin.as_str());
        let organization = match header.issuer_in(origin) {
            Some(Issuer::Organization { organization, .. }) => organization.to_owned(),
            Some(Issuer::Service { .. }) | None => String::new(),
        };
        let id = (organization, header.id);
        if self.ids.contains(&id) {
            let rule = "the unique id is used once by an organisation";
            found.push(Violation::new(Reason::IdConflict, "header.cti", rule).found(header.id));
        }
        id
    }
}

impl Known {
    fn take(&mut self, reached: Reached) {
        let Reached {
            id, after, linking, ..
        } = reached;
        let target = Target {
            organization: after.organization.clone(),
            kind: after.kind.clone(),
            entity: Some(id),
        };
        self.targets.insert(after.newest, target);
        for (link, linking) in linking {
            let key = (link.target, after.kind.clone(), link.relation);
            self.linking.insert(key, linking);
        }
        self.entities.insert(id, after);
    }
}

/// Judges the content where it is there, and says whether it was.
fn check_shown(
    kind: Option<&Kind>,
    statement: &UnverifiedStatement,
    (content, signer): (Content<'_>, &PrincipalId),
    found: &mut Vec<Violation>,
) -> bool {
    let (Some(kind), Content::Shown(disclosures)) = (kind, content) else {
        return false;
    };
    if disclosures.is_empty() {
        return false;
    }
    found.extend(
        check_content(kind, statement, disclosures, Some(signer))
            .err()
            .into_iter()
            .flatten(),
    );
    true
}
