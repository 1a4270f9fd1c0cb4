//! Random logs of two organisations, with versions, states, retractions and new keys, for the tests of
//! indexes and registers.

use aimslog_proto::{
    aims::kind::Kind,
    statement::{
        UnverifiedStatement,
        header::{Change as Differs, ControlRef, Revision},
    },
    tlog::LeafIndex,
};
use proptest::prelude::*;

use super::*;
use crate::ledger::{reader, row::EntryRow};

/// What the payload of every record of these logs says, and nothing else.
pub(crate) const CONTENT: &[u8] = b"what-nobody-may-find-in-an-index";

/// Organisations, each with its administrator and two others that submit.
pub(crate) const ORGANIZATIONS: [&str; 2] = ["acme", "rival"];
/// Principals that submit, in each organisation.
pub(crate) const SUBMITTERS: [&str; 2] = ["worker", "clerk"];
/// Kinds of the records.
pub(crate) const KINDS: [&str; 2] = ["oversight_decision", "nonconformity"];
/// What they are about.
pub(crate) const SUBJECTS: [&str; 2] = ["system:triage", "system:billing"];
/// Controls that they may name.
pub(crate) const CONTROLS: [&str; 3] = ["A.9.2", "A.9.3", "A.6.2.6"];

/// One thing that happens. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Open {
        organization: usize,
        kind: usize,
        by: usize,
        subject: usize,
        controls: [bool; 3],
    },
    Continue {
        entity: usize,
        by: usize,
        state: usize,
        retracts: bool,
    },
    /// A submitter gets a new key.
    Rotate { organization: usize, who: usize },
    /// Time passes.
    Wait { ms: u64 },
}

/// Up to so many steps.
pub(crate) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let open = (
        0..2_usize,
        0..2_usize,
        0..2_usize,
        0..2_usize,
        any::<[bool; 3]>(),
    );
    let open = open.prop_map(|(organization, kind, by, subject, controls)| Step::Open {
        organization,
        kind,
        by,
        subject,
        controls,
    });
    let proceed = (any::<usize>(), 0..2_usize, any::<usize>(), 0..8_u8);
    let proceed = proceed.prop_map(|(entity, by, state, retracts)| Step::Continue {
        entity,
        by,
        state,
        retracts: retracts == 0,
    });
    let rotate = (0..2_usize, 0..2_usize);
    let rotate = rotate.prop_map(|(organization, who)| Step::Rotate { organization, who });
    let wait = (0_u64..40_000).prop_map(|ms| Step::Wait { ms });
    let step = prop_oneof![5 => open, 6 => proceed, 1 => rotate, 2 => wait];
    proptest::collection::vec(step, 1..count)
}

struct Entity {
    organization: usize,
    kind: usize,
    subject: usize,
    first: EntryId,
    newest: EntryId,
    state: Option<String>,
}

/// A ledger on which steps happen.
pub(crate) struct RandomLog {
    pub(crate) world: World,
    pub(crate) engine: Engine,
    entities: Vec<Entity>,
    /// Seed of the key of each submitter.
    seeds: [[u8; 2]; 2],
    next_seed: u8,
    next_id: u64,
}

impl RandomLog {
    /// After these steps.
    pub(crate) fn of(steps: &[Step]) -> Self {
        let world = World::new();
        let mut engine = Engine::with_acme(&world);
        let mut log = |record| {
            let outcome = engine.submit(record);
            assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        };
        let admit = |name, seed| Change::Admit {
            name,
            seed,
            roles: &["internal_auditor", "process_owner", "submitter"],
            acts_for: None,
        };
        log(world.principal("acme", admit("clerk", 12), 10));
        log(world.organization("rival", 60));
        log(world.principal("rival", admit("worker", 61), 60));
        log(world.principal("rival", admit("clerk", 62), 60));
        // A system record in the middle of it, by an administrator.
        let role = RoleChange::Grant(Role::new("monitor").unwrap());
        log(world.role("clerk", role, (70, 10)));
        let mut log = Self {
            world,
            engine,
            entities: Vec::new(),
            seeds: [[11, 12], [61, 62]],
            next_seed: 100,
            next_id: 1,
        };
        for step in steps {
            log.run(step);
        }
        log
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Open {
                organization,
                kind,
                by,
                subject,
                controls,
            } => self.open((organization, kind, subject), by, controls),
            Step::Continue {
                entity,
                by,
                state,
                retracts,
            } => self.proceed(entity, (by, state), retracts),
            Step::Rotate { organization, who } => self.rotate(organization, who),
            Step::Wait { ms } => {
                self.engine.time_ms += ms;
                let time_ms = self.engine.time_ms;
                let outcome = self.engine.run(&Command::Tick { time_ms });
                assert_eq!(outcome, Outcome::Done);
            }
        }
    }

    fn header(
        &mut self,
        (organization, kind, subject): (usize, usize, usize),
        by: usize,
    ) -> Header {
        let id = self.next_id;
        self.next_id += 1;
        let name = ORGANIZATIONS[organization];
        let header = self.world.header(self.seeds[organization][by], id);
        Header {
            issuer: header.issuer.replace("acme", name),
            subject: format!("urn:aimslog:{name}:{}", SUBJECTS[subject]),
            content_type: ContentType::new(Family::Evidence, KINDS[kind], 1).unwrap(),
            ..header
        }
    }

    fn open(&mut self, place: (usize, usize, usize), by: usize, controls: [bool; 3]) {
        let (organization, kind, subject) = place;
        let mut header = self.header(place, by);
        header.transition = first_state(kind_of(kind));
        header.controls = CONTROLS
            .iter()
            .zip(controls)
            .filter(|(_, named)| *named)
            .map(|(id, _)| ControlRef {
                scheme: "iso42001-2023".to_owned(),
                id: (*id).to_owned(),
            })
            .collect();
        header.controls.sort();
        let statement = signed(&header, self.seeds[organization][by]);
        let id = id_of(&statement);
        let outcome = self.submit(statement);
        assert!(matches!(outcome, ItemOutcome::Logged(_)), "{outcome:?}");
        self.entities.push(Entity {
            organization,
            kind,
            subject,
            first: id,
            newest: id,
            state: header.transition,
        });
    }

    /// What a rule of the life cycle refuses does not happen.
    fn proceed(&mut self, entity: usize, (by, choice): (usize, usize), retracts: bool) {
        if self.entities.is_empty() {
            return;
        }
        let at = entity % self.entities.len();
        let place = {
            let entity = &self.entities[at];
            (entity.organization, entity.kind, entity.subject)
        };
        let mut header = self.header(place, by);
        let entity = &self.entities[at];
        header.revision = Some(Revision {
            entity: entity.first,
            previous: entity.newest,
            change: if retracts {
                Differs::Retract
            } else {
                Differs::Amend
            },
        });
        header.transition = next_state(kind_of(place.1), entity.state.as_deref(), choice);
        let statement = signed(&header, self.seeds[place.0][by]);
        let id = id_of(&statement);
        if let ItemOutcome::Logged(_) = self.submit(statement) {
            let entity = &mut self.entities[at];
            entity.newest = id;
            entity.state = header.transition.or_else(|| entity.state.take());
        }
    }

    fn rotate(&mut self, organization: usize, who: usize) {
        let change = Change::Rotate {
            name: SUBMITTERS[who],
            seed: self.next_seed,
        };
        let boss = [10, 60][organization];
        let record = self
            .world
            .principal(ORGANIZATIONS[organization], change, boss);
        if let ItemOutcome::Logged(_) = self.submit(record) {
            self.seeds[organization][who] = self.next_seed;
        }
        self.next_seed += 1;
    }

    fn submit(&mut self, statement: Bytes) -> ItemOutcome {
        let item = Item {
            payload: Some(Bytes::from_static(CONTENT)),
            ..item(statement)
        };
        self.engine.batch(vec![item]).remove(0)
    }

    /// All entries in order, with their statements.
    pub(crate) fn entries(&self) -> Vec<(LeafIndex, EntryRow, UnverifiedStatement)> {
        let size = self.engine.core().frontier.size().0;
        let entry = |index| {
            let entry = reader::entry(&self.engine.rows, LeafIndex(index)).unwrap();
            let entry: EntryRow = entry.unwrap();
            let statement = UnverifiedStatement::parse(&entry.statement).unwrap();
            (LeafIndex(index), entry, statement)
        };
        (0..size).map(entry).collect()
    }
}

fn kind_of(kind: usize) -> &'static Kind {
    RuleBundle::v1().kind(KINDS[kind], 1).unwrap()
}

/// A state in which a first version may be; none where the header need not name one.
fn first_state(kind: &Kind) -> Option<String> {
    kind.status_field()?;
    let mut states = kind.states().iter();
    states
        .find(|state| kind.check_transition(None, state).is_ok())
        .cloned()
}

/// One of the states that may follow; where the header need not name one, sometimes none.
fn next_state(kind: &Kind, from: Option<&str>, choice: usize) -> Option<String> {
    let follows = |state: &&String| kind.check_transition(from, state).is_ok();
    let states: Vec<&String> = kind.states().iter().filter(follows).collect();
    if kind.status_field().is_none() && choice.is_multiple_of(2) {
        return None;
    }
    states
        .get(choice / 2 % states.len())
        .map(|state| (*state).clone())
}
