//! Entities in memory, as if a log had them, and a version that asks to be the next entry behind them.

use crate::aims::bundle::RuleBundle;
use crate::aims::entity::{Entity, EntityLink, Linking, Shift, Signing};
use crate::aims::judge::{Logged, Position, Reached, Target, Version, check_references};
use crate::reason::Violation;
use crate::statement::header::{
    Algorithm, Change, ContentType, Family, Header, Link, Origin, Revision,
};
use crate::statement::key::SigningKey;
use crate::statement::{EntryId, StatementId};
use crate::system::registry::{PrincipalRow, Registry};
use crate::system::{Holder, OrganizationId, PrincipalId};
use crate::time::UnixSeconds;
use crate::tlog::LeafIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// Who signs the version that is judged.
pub(super) const SIGNER: &str = "holder-signer";
/// What all of it is about.
pub(super) const SUBJECT: &str = "urn:aimslog:acme:aims:main";
/// A system, where something is about one.
pub(super) const SYSTEM: &str = "urn:aimslog:acme:system:triage";
/// Somebody else.
pub(super) const OTHER: &str = "holder-other";

/// What the log has.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    entities: BTreeMap<EntryId, Entity>,
    linking: BTreeMap<(EntryId, String, String), Linking>,
}

impl Logged for World {
    type Error = Infallible;

    fn target(&self, id: EntryId) -> Result<Option<Target>, Infallible> {
        let entity = self.entities.get(&id);
        Ok(entity.map(|entity| Target {
            organization: entity.organization.clone(),
            kind: entity.kind.clone(),
            entity: Some(id),
        }))
    }

    fn entity(&self, id: EntryId) -> Result<Option<Entity>, Infallible> {
        Ok(self.entities.get(&id).cloned())
    }

    fn linking(&self, to: EntryId, (kind, relation): (&str, &str)) -> Result<Linking, Infallible> {
        let key = (to, kind.to_owned(), relation.to_owned());
        Ok(self.linking.get(&key).cloned().unwrap_or_default())
    }
}

/// An entity of `acme` in this state, brought there by `OTHER`, signed by nobody before, and begun again
/// once.
pub(super) fn entity(kind: &str, state: &str) -> Entity {
    Entity {
        organization: "acme".to_owned(),
        kind: kind.to_owned(),
        kind_version: 1,
        subject: SUBJECT.to_owned(),
        newest: EntryId::from_bytes([0; 32]),
        state: state.to_owned(),
        entered_by: BTreeSet::from([OTHER.to_owned()]),
        retracted: false,
        signings: BTreeSet::new(),
        round: 1,
        links: BTreeMap::new(),
        grounds: BTreeMap::new(),
    }
}

pub(super) fn signing(state: &str, holder: &str) -> Signing {
    Signing {
        state: state.to_owned(),
        holder: holder.to_owned(),
    }
}

impl World {
    /// Adds an entity, whose one version is its newest, and gives its id.
    pub(super) fn add(&mut self, mut entity: Entity) -> EntryId {
        let id = EntryId::of(&self.entities.len().to_be_bytes());
        entity.newest = id;
        self.entities.insert(id, entity);
        id
    }

    /// Adds an entity that links to another one, and came into its state in the round that this is in.
    pub(super) fn add_linking(&mut self, entity: Entity, by: (&str, EntryId)) {
        let round = self.entities.get(&by.1).map_or(0, |target| target.round);
        self.add_linking_in(round, entity, by);
    }

    /// The same in some round of the other one.
    pub(super) fn add_linking_in(
        &mut self,
        round: u32,
        mut entity: Entity,
        (relation, to): (&str, EntryId),
    ) {
        let link = EntityLink {
            relation: relation.to_owned(),
            target: to,
        };
        if !entity.retracted {
            let key = (to, entity.kind.clone(), relation.to_owned());
            self.linking.entry(key).or_default().shift(&Shift {
                link: link.clone(),
                from: None,
                to: Some(entity.standing(round)),
            });
            entity.links.insert(link, round);
        }
        self.add(entity);
    }

    /// Changes an entity, as later versions would.
    pub(super) fn change(&mut self, id: EntryId, change: impl FnOnce(&mut Entity)) {
        change(self.entities.get_mut(&id).expect("it was added"));
    }

    /// Says that the first entity rests on its link to the other one, which was in this state then.
    pub(super) fn rest(&mut self, (own, relation): (EntryId, &str), target: EntryId, state: &str) {
        let link = EntityLink {
            relation: relation.to_owned(),
            target,
        };
        self.change(own, |own| {
            own.grounds.insert(link, state.to_owned());
        });
    }

    /// Takes what a version changes.
    pub(super) fn take(&mut self, reached: Reached) {
        for (link, linking) in reached.linking {
            let key = (link.target, reached.after.kind.clone(), link.relation);
            self.linking.insert(key, linking);
        }
        self.entities.insert(reached.id, reached.after);
    }
}

/// A version of an entity of `acme`.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) kind: String,
    pub(super) version: u32,
    /// The entity; `None` opens one.
    pub(super) entity: Option<EntryId>,
    pub(super) subject: String,
    /// Empty names none.
    pub(super) state: String,
    pub(super) links: Vec<(String, EntryId)>,
    pub(super) holder: String,
    pub(super) origin: Origin,
    pub(super) change: Change,
}

impl Attempt {
    /// An amendment by a person, `SIGNER`, without links.
    pub(super) fn of((kind, version): (&str, u32), entity: Option<EntryId>, state: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            version,
            entity,
            subject: SUBJECT.to_owned(),
            state: state.to_owned(),
            links: Vec::new(),
            holder: SIGNER.to_owned(),
            origin: Origin::Person,
            change: Change::Amend,
        }
    }

    fn header(&self, world: &World) -> Header {
        let newest = |id: EntryId| world.entities.get(&id).map_or(id, |entity| entity.newest);
        let links = self.links.iter().map(|(relation, target)| Link {
            relation: relation.clone(),
            target: *target,
            origin: None,
        });
        Header {
            algorithm: Algorithm::EdDsa,
            content_type: ContentType::new(Family::Evidence, &self.kind, self.version)
                .expect("a content type"),
            key: SigningKey::from_seed(&[1; 32]).public_key().thumbprint(),
            issuer: "https://ledger.example.com/test/o/acme".to_owned(),
            subject: self.subject.clone(),
            audience: "ledger.example.com/test".to_owned(),
            expires: None,
            issued: UnixSeconds(1_800_000_000),
            id: StatementId::from_bytes([7; 16]),
            rules: None,
            catalogues: Vec::new(),
            revision: self.entity.map(|entity| Revision {
                entity,
                previous: newest(entity),
                change: self.change,
            }),
            transition: (!self.state.is_empty()).then(|| self.state.clone()),
            links: links.collect(),
            origin: Some(self.origin),
            on_behalf_of: None,
            controls: Vec::new(),
        }
    }

    /// What the rules of `bundle` find, and what the version changes if that is nothing.
    pub(super) fn judge(
        &self,
        bundle: &'static RuleBundle,
        world: &World,
    ) -> (Vec<Violation>, Reached) {
        let principal = PrincipalRow {
            organization: OrganizationId::new("acme").expect("an id"),
            principal: PrincipalId::new("p-1").expect("an id"),
            holder: Holder::new(&self.holder).expect("an id"),
            roles: Vec::new(),
            acts_for: None,
        };
        let registry = Registry::new();
        let at = Position {
            registry: &registry,
            bundle,
            index: LeafIndex(0),
        };
        let header = self.header(world);
        let version = Version {
            id: EntryId::of(format!("version {}", world.entities.len()).as_bytes()),
            header: &header,
            kind: Some(
                bundle
                    .kind(&self.kind, self.version)
                    .expect("a kind of the bundle"),
            ),
            principal: &principal,
        };
        let mut found = Vec::new();
        let Ok(reached) = check_references(world, at, &version, &mut found);
        (found, reached)
    }

    pub(super) fn refusals(&self, bundle: &'static RuleBundle, world: &World) -> Vec<Violation> {
        self.judge(bundle, world).0
    }
}
