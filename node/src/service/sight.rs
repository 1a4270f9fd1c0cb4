//! What a reader may see of an organisation's records, by the roles that the registry gives it now.

use std::sync::Arc;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Signer;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::system::Role;
use aimslog_proto::system::registry::{PrincipalRow, Registry};

use crate::ledger::row::EntryRow;
use crate::service::status::Failure;

/// The records that one reader may see. Absent and forbidden look alike: whoever answers leaves out
/// what is not seen, or says `NOT_VISIBLE`.
#[derive(Debug, Clone)]
pub struct Sight {
    organization: String,
    principal: String,
    reads: Reads,
    registry: Arc<Registry>,
}

impl Sight {
    /// What this principal may see, by this registry and these rules.
    pub fn of(registry: Arc<Registry>, bundle: &RuleBundle, row: &PrincipalRow) -> Self {
        let roles: Vec<&str> = row.roles.iter().map(Role::as_str).collect();
        let signer = Signer {
            roles: &roles,
            is_agent: row.is_agent(),
        };
        Self {
            organization: row.organization.to_string(),
            principal: row.principal.to_string(),
            reads: bundle.reads(signer),
            registry,
        }
    }

    /// The organisation of the reader.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// Whether the reader sees anything at all.
    pub fn is_blind(&self) -> bool {
        self.reads == Reads::None
    }

    /// Whether the reader sees this entry with its fields.
    pub fn sees(&self, entry: &EntryRow) -> Result<bool, Failure> {
        if entry.organization != self.organization {
            return Ok(false);
        }
        match self.reads {
            Reads::All => Ok(true),
            Reads::None => Ok(false),
            Reads::Signed => self.has_signed(entry),
        }
    }

    /// Whether one of the reader's keys, also an earlier one, signed it.
    fn has_signed(&self, entry: &EntryRow) -> Result<bool, Failure> {
        let statement = UnverifiedStatement::parse_submitted(&entry.statement)
            .map_err(|error| Failure::internal("a stored entry is no statement", &error))?;
        let signer = self.registry.key(&statement.header().key);
        Ok(signer.and_then(|row| row.principal()).is_some_and(|owner| {
            owner.organization.as_str() == self.organization
                && owner.principal.as_str() == self.principal
        }))
    }
}

#[cfg(test)]
mod tests {
    use aimslog_proto::tlog::LeafIndex;

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
            Sight::of(Arc::clone(&engine.registry), bundle, row.unwrap())
        };
        let sees = |seed: u8, index: u64| {
            let entry = reader::entry(&engine.rows, LeafIndex(index))
                .unwrap()
                .unwrap();
            sight(seed).sees(&entry).unwrap()
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
}
