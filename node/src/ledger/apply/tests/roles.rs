//! Every role against every kind in every state that an entity can reach, on a whole ledger.

use aimslog_proto::aims::{
    bundle::RuleBundle,
    kind::{Kind, Signer},
};

use super::*;

/// A ledger on which entities are led from state to state by `worker`, who holds every role it needs.
struct Ledger {
    world: World,
    engine: Engine,
    next: u64,
}

/// An entity, its newest version and the state it is in.
#[derive(Clone, Copy)]
struct Entity<'a> {
    first: EntryId,
    newest: EntryId,
    state: &'a str,
}

impl Ledger {
    fn header(&mut self, seed: u8, (kind, state): (&Kind, &str)) -> Header {
        self.next += 1;
        Header {
            content_type: ContentType::new(Family::Evidence, kind.name(), kind.version()).unwrap(),
            transition: kind.status_field().map(|_| state.to_owned()),
            ..self.world.header(seed, self.next)
        }
    }

    fn version(&mut self, seed: u8, (kind, state): (&Kind, &str), of: Entity<'_>) -> Bytes {
        let mut header = self.header(seed, (kind, state));
        header.revision = Some(Revision {
            entity: of.first,
            previous: of.newest,
            change: Differs::Amend,
        });
        signed(&header, seed)
    }

    /// An entity in a state from which `state` is one step, or none where it is a first one.
    fn before<'k>(&mut self, kind: &'k Kind, state: &str) -> Option<Entity<'k>> {
        let path = path_to(kind, state);
        let mut entity: Option<Entity<'k>> = None;
        for step in &path[..path.len() - 1] {
            let statement = match entity {
                None => {
                    let header = self.header(11, (kind, step));
                    signed(&header, 11)
                }
                Some(of) => self.version(11, (kind, step), of),
            };
            let newest = id_of(&statement);
            logged(self.engine.submit(statement));
            entity = Some(Entity {
                first: entity.map_or(newest, |entity| entity.first),
                newest,
                state: step,
            });
        }
        entity
    }

    fn submit(&mut self, seed: u8, to: (&Kind, &str), entity: Option<Entity<'_>>) -> ItemOutcome {
        let statement = match entity {
            None => signed(&self.header(seed, to), seed),
            Some(of) => self.version(seed, to, of),
        };
        self.engine.submit(statement)
    }
}

/// The shortest way from nothing to a state.
fn path_to<'k>(kind: &'k Kind, state: &str) -> Vec<&'k str> {
    let states: Vec<&str> = kind.states().iter().map(String::as_str).collect();
    let mut ways: Vec<Vec<&str>> = states
        .iter()
        .filter(|first| kind.check_transition(None, first).is_ok())
        .map(|first| vec![*first])
        .collect();
    for _ in 0..states.len() {
        if let Some(way) = ways.iter().find(|way| way.last() == Some(&state)) {
            return way.clone();
        }
        let longer: Vec<Vec<&str>> = ways
            .iter()
            .flat_map(|way| {
                let open = states.iter().filter(|to| {
                    !way.contains(*to) && kind.check_transition(way.last().copied(), to).is_ok()
                });
                open.map(|to| [way.as_slice(), &[*to]].concat())
            })
            .collect();
        ways = longer;
    }
    panic!("{} {state} is reached by nobody", kind.name());
}

#[test]
fn each_role_signs_what_the_bundle_gives_it_and_nothing_else() {
    let (world, engine) = world();
    let mut ledger = Ledger {
        world,
        engine,
        next: 1_000,
    };
    let bundle = RuleBundle::v1();
    let mut counted = [0, 0];
    for (place, role) in bundle.roles().iter().enumerate() {
        let role = role.name.as_str();
        let seed = 100 + u8::try_from(place).unwrap();
        let admit = Change::Admit {
            name: &format!("p-{place}"),
            seed,
            roles: &[role],
            acts_for: None,
        };
        logged(
            ledger
                .engine
                .submit(ledger.world.principal("acme", admit, 10)),
        );
        for kind in bundle.kinds() {
            for state in kind.states() {
                let signer = Signer {
                    roles: &[role],
                    is_agent: false,
                };
                let may = kind.check_signer(Some(state), signer).is_empty();
                let entity = ledger.before(kind, state);
                let from = entity.map_or("nothing", |entity| entity.state);
                let outcome = ledger.submit(seed, (kind, state), entity);
                let found = match &outcome {
                    ItemOutcome::Logged(_) => vec![],
                    _ => reasons(&outcome),
                };
                let expected = if may {
                    vec![]
                } else {
                    vec![Reason::NotPermitted]
                };
                let name = kind.name();
                assert_eq!(found, expected, "{role}: {name} from {from} to {state}");
                counted[usize::from(may)] += 1;
            }
        }
    }
    assert!(replayed(&ledger.engine).counts().evidence > 300);
    assert!(counted.iter().all(|count| *count > 30), "{counted:?}");
}
