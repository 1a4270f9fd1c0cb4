//! What a reader may see: of its own organisation by the roles that the registry gives it now, of
//! others by the engagements that they have granted to its organisation.

use std::collections::BTreeSet;
use std::sync::Arc;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Signer;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::header::Header;
use aimslog_proto::system::registry::{Between, EngagementRow, PrincipalRow, Registry};
use aimslog_proto::system::{EngagementId, Grant, OrganizationId, PrincipalId, Role};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;

use crate::ledger::row::EntryRow;
use crate::service::status::Failure;

/// The records that one reader may see. Absent and forbidden look alike: whoever answers leaves out
/// what is not seen, or says `NOT_VISIBLE`.
#[derive(Debug, Clone)]
pub struct Sight {
    organization: OrganizationId,
    principal: PrincipalId,
    reads: Reads,
    /// Whether its roles read under engagements.
    is_engaged: bool,
    /// Until when in the log and on the clock it was made.
    moment: (LeafIndex, UnixSeconds),
    registry: Arc<Registry>,
}

/// How much of a record a reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// All of it: it is of the reader's own organisation.
    Own,
    /// What engagements show.
    Engaged(Engaged),
}

/// What engagements show of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engaged {
    /// Those that show something of it, each with its fields; at least one.
    pub engagements: Vec<(EngagementId, Option<BTreeSet<String>>)>,
    /// The fields that they show together; `None` for all.
    pub fields: Option<BTreeSet<String>>,
}

impl Sight {
    /// What this principal may see, by this registry and these rules, at this position of the log and
    /// this time.
    pub fn of(
        registry: Arc<Registry>,
        bundle: &RuleBundle,
        row: &PrincipalRow,
        moment: (LeafIndex, UnixSeconds),
    ) -> Self {
        let roles: Vec<&str> = row.roles.iter().map(Role::as_str).collect();
        let signer = Signer {
            roles: &roles,
            is_agent: row.is_agent(),
        };
        Self {
            organization: row.organization.clone(),
            principal: row.principal.clone(),
            reads: bundle.reads(signer),
            is_engaged: bundle.is_engaged(signer),
            moment,
            registry,
        }
    }

    /// The organisation of the reader.
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// The principal that reads.
    pub fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The clock of this node when the sight was taken.
    pub fn time(&self) -> UnixSeconds {
        self.moment.1
    }

    /// Whether the reader sees nothing of its own organisation.
    pub fn is_blind(&self) -> bool {
        self.reads == Reads::None
    }

    /// Whether records of this organisation can be asked for: it is the reader's own, or has engaged
    /// the reader's.
    pub fn reaches(&self, organization: &str) -> bool {
        organization == self.organization.as_str() || self.engaged_by(organization).next().is_some()
    }

    /// Whether the reader sees every record of this kind of an organisation, so that it may be told how
    /// many there are.
    pub fn sees_all(&self, organization: &str, kind: &str) -> bool {
        if organization == self.organization.as_str() {
            return self.reads == Reads::All;
        }
        self.engaged_by(organization).any(|row| {
            let grant = &row.grant;
            let kinds = grant.kinds.as_ref();
            kinds.is_none_or(|kinds| kinds.iter().any(|listed| listed == kind))
                && grant.subjects.is_none()
                && grant.claimed_from.is_none()
                && grant.claimed_to.is_none()
        })
    }

    /// Whether and how much the reader sees of this entry.
    pub fn view(&self, entry: &EntryRow) -> Result<Option<View>, Failure> {
        // Where the row says enough the statement is not parsed.
        if entry.organization == self.organization.as_str() {
            match self.reads {
                Reads::All => return Ok(Some(View::Own)),
                Reads::None => return Ok(None),
                Reads::Signed => {}
            }
        } else if self.engaged_by(&entry.organization).next().is_none() {
            return Ok(None);
        }
        Ok(self.view_by(entry, parse(entry)?.header()))
    }

    /// The same by the header of the entry's statement, for whoever has parsed it.
    pub(super) fn view_by(&self, entry: &EntryRow, header: &Header) -> Option<View> {
        if entry.organization == self.organization.as_str() {
            let sees = match self.reads {
                Reads::All => true,
                Reads::None => false,
                Reads::Signed => self.has_signed(header),
            };
            return sees.then_some(View::Own);
        }
        let granted = self.engaged_by(&entry.organization);
        union(granted.filter(|row| covers(&row.grant, (entry, header)))).map(View::Engaged)
    }

    /// The engagements under which the reader may read of this organisation now.
    fn engaged_by(&self, organization: &str) -> impl Iterator<Item = &EngagementRow> {
        let organization = OrganizationId::new(organization).ok();
        // A suspended body does nothing in this ledger, so it is shown nothing of others either.
        let is_suspended = self
            .registry
            .is_suspended_at(&self.organization, self.moment.0);
        let organization = organization.filter(|_| self.is_engaged && !is_suspended);
        organization.into_iter().flat_map(|organization| {
            let between = Between {
                body: &self.organization,
                organization: &organization,
            };
            let held: Vec<_> = self
                .registry
                .engagements_held(between, self.moment)
                .collect();
            held
        })
    }

    /// Whether one of the reader's keys, also an earlier one, signed it.
    fn has_signed(&self, header: &Header) -> bool {
        let signer = self.registry.key(&header.key);
        signer.and_then(|row| row.principal()).is_some_and(|owner| {
            owner.organization == self.organization && owner.principal == self.principal
        })
    }
}

/// The statement of a stored entry.
pub(super) fn parse(entry: &EntryRow) -> Result<UnverifiedStatement, Failure> {
    UnverifiedStatement::parse_submitted(&entry.statement)
        .map_err(|error| Failure::internal("a stored entry is no statement", &error))
}

/// Whether an engagement is about this record.
fn covers(grant: &Grant, (entry, header): (&EntryRow, &Header)) -> bool {
    let names = |list: &Option<Vec<String>>, name: &str| {
        let list = list.as_ref();
        list.is_none_or(|list| list.iter().any(|listed| listed == name))
    };
    names(&grant.kinds, &entry.kind)
        && names(&grant.subjects, &header.subject)
        && grant.claimed_from.is_none_or(|from| from <= header.issued)
        && grant.claimed_to.is_none_or(|to| header.issued <= to)
}

/// What several engagements show together.
fn union<'a>(granted: impl Iterator<Item = &'a EngagementRow>) -> Option<Engaged> {
    let mut engaged: Option<Engaged> = None;
    for row in granted {
        let fields = row.grant.fields.as_ref();
        let fields: Option<BTreeSet<String>> = fields.map(|list| list.iter().cloned().collect());
        match &mut engaged {
            None => {
                engaged = Some(Engaged {
                    engagements: vec![(row.engagement.clone(), fields.clone())],
                    fields,
                });
            }
            Some(known) => {
                known
                    .engagements
                    .push((row.engagement.clone(), fields.clone()));
                known.fields = match (known.fields.take(), fields) {
                    (Some(known), Some(more)) => Some(known.into_iter().chain(more).collect()),
                    (None, _) | (_, None) => None,
                };
            }
        }
    }
    engaged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::outcome::ItemOutcome;
    use crate::ledger::reader;
    use crate::ledger::testing::{Change, Engine, World, public, signed};

    #[test]
    fn each_role_sees_what_the_bundle_gives_it() {
        let world = World::new();
        let mut engine = Engine::with_acme(&world);
        let bundle = RuleBundle::v1();
        // Its own record and somebody else's, seen by each role, by an agent, and from elsewhere.
        let mut readers: Vec<(String, u8, &str, Option<&str>)> = Vec::new();
        for (seed, role) in (100..).zip(bundle.roles()) {
            readers.push((format!("p-{seed}"), seed, role.name.as_str(), None));
        }
        readers.push(("p-agent".to_owned(), 150, "process_owner", Some("worker")));
        for (name, seed, role, acts_for) in &readers {
            let admit = Change::Admit {
                name,
                seed: *seed,
                roles: &[role],
                acts_for: *acts_for,
            };
            let outcome = engine.submit(world.principal("acme", admit, 10));
            assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        }
        let mut log = |seed: u8, id: u64| {
            let outcome = engine.submit(signed(&world.header(seed, id), seed));
            let ItemOutcome::Logged(logged) = outcome else {
                panic!("{outcome:?}")
            };
            logged.index
        };
        let submitter = readers
            .iter()
            .find(|reader| reader.2 == "submitter")
            .unwrap();
        let [others, own] = [log(11, 1), log(submitter.1, 2)];
        let outcome = engine.submit(world.organization("other", 60));
        assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        let sight = |seed: u8| {
            let next = LeafIndex(engine.core().frontier.size().0);
            let row = engine
                .registry
                .principal_at(&public(seed).thumbprint(), next);
            let moment = (next, UnixSeconds(NOW));
            Sight::of(Arc::clone(&engine.registry), bundle, row.unwrap(), moment)
        };
        let sees = |seed: u8, index: u64| {
            let entry = reader::entry(&engine.rows, LeafIndex(index))
                .unwrap()
                .unwrap();
            sight(seed).view(&entry).unwrap() == Some(View::Own)
        };
        for (name, seed, role, acts_for) in &readers {
            let reads = bundle.role(role).unwrap().reads;
            let all = reads == Reads::All && acts_for.is_none();
            assert_eq!(sees(*seed, others), all, "{name} {role}");
            let signed = *seed == submitter.1;
            assert_eq!(sees(*seed, own), all || signed, "{name} {role}");
            assert_eq!(sight(*seed).is_blind(), reads == Reads::None, "{name}");
        }
        assert!(!sees(60, others) && !sees(60, own), "another organisation");
    }

    const NOW: u64 = 1_800_000_000;

    fn grant() -> Grant {
        Grant {
            body: OrganizationId::new("certifier").unwrap(),
            kinds: None,
            subjects: None,
            fields: None,
            claimed_from: None,
            claimed_to: None,
            valid_from: UnixSeconds(NOW),
            valid_to: UnixSeconds(NOW + 10),
        }
    }

    #[test]
    fn each_bound_of_an_engagement_leaves_out_what_is_outside_of_it() {
        let world = World::new();
        let header = world.header(11, 1);
        let entry = EntryRow {
            statement: signed(&header, 11),
            organization: "acme".to_owned(),
            kind: "oversight_decision".to_owned(),
            time_ms: 1,
            number: 1,
            version: 1,
            entity: None,
            state: String::new(),
            leaf_hash: [0; 32],
        };
        let issued = header.issued.0;
        let covered = |change: &dyn Fn(&mut Grant)| {
            let mut grant = grant();
            change(&mut grant);
            covers(&grant, (&entry, &header))
        };
        let list = |name: &str| Some(vec![name.to_owned()]);
        assert!(covered(&|_| {}));
        assert!(covered(&|grant| grant.kinds = list("oversight_decision")));
        assert!(!covered(&|grant| grant.kinds = list("finding")));
        assert!(covered(&|grant| grant.subjects = list(&header.subject)));
        assert!(!covered(
            &|grant| grant.subjects = list("urn:aimslog:acme:system:other")
        ));
        assert!(covered(
            &|grant| grant.claimed_from = Some(UnixSeconds(issued))
        ));
        assert!(!covered(
            &|grant| grant.claimed_from = Some(UnixSeconds(issued + 1))
        ));
        assert!(covered(
            &|grant| grant.claimed_to = Some(UnixSeconds(issued))
        ));
        assert!(!covered(
            &|grant| grant.claimed_to = Some(UnixSeconds(issued - 1))
        ));
    }

    #[test]
    fn engagements_show_together_what_each_of_them_shows() {
        let row = |id: &str, fields: Option<&[&str]>| EngagementRow {
            organization: OrganizationId::new("acme").unwrap(),
            engagement: EngagementId::new(id).unwrap(),
            grant: Grant {
                fields: fields.map(|list| list.iter().map(ToString::to_string).collect()),
                ..grant()
            },
            granted_at: LeafIndex(1),
            ended_at: None,
        };
        let rows = [
            row("a", Some(&["decision"])),
            row("b", Some(&["decision", "reviewer"])),
            row("c", None),
        ];
        assert_eq!(union([].into_iter()), None);
        let two = union(rows[..2].iter()).unwrap();
        let shown: Vec<&str> = two.fields.iter().flatten().map(String::as_str).collect();
        assert_eq!(shown, ["decision", "reviewer"]);
        assert_eq!(two.engagements.len(), 2);
        assert_eq!(union(rows.iter()).unwrap().fields, None);
    }
}
