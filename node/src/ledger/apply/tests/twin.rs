//! A ledger and, beside it, its log repeated from the entries: both must decide alike.

use aimslog_proto::{
    aims::{
        bundle::RuleBundle,
        kind::{Kind, LinkNeed, LinkingNeed, Need},
    },
    reason::Violation,
};

use super::*;

/// Principals that sign in turn, so that no two versions of an entity have one holder.
const POOL: std::ops::Range<u8> = 150..166;
/// Deeper than this one entity does not need another one.
const DEPTH_MAX: usize = 12;

/// A ledger whose every decision is made a second time from its entries alone.
pub(super) struct Twin {
    pub(super) world: World,
    pub(super) engine: Engine,
    replay: Replay,
    next: u64,
}

impl Twin {
    /// The ledger of [`world`], with [`POOL`] in every role.
    pub(super) fn new() -> Self {
        let (world, engine) = world();
        let mut replay = Replay::new();
        for index in (0..engine.core().frontier.size().0).map(LeafIndex) {
            let entry = reader::entry(&engine.rows, index).unwrap().unwrap();
            replay.push(&entry.statement, Content::NotShown).unwrap();
        }
        let mut twin = Self {
            world,
            engine,
            replay,
            next: 1_000,
        };
        let mut roles: Vec<&str> = RuleBundle::v1()
            .roles()
            .iter()
            .map(|role| role.name.as_str())
            .collect();
        roles.sort_unstable();
        for seed in POOL {
            twin.admit(&format!("w-{seed}"), seed, &roles);
        }
        twin
    }

    pub(super) fn admit(&mut self, name: &str, seed: u8, roles: &[&str]) {
        let change = Change::Admit {
            name,
            seed,
            roles,
            acts_for: None,
        };
        let record = self.world.principal("acme", change, 10);
        self.submit(record).unwrap();
    }

    /// What apply decides, which the repetition decides as well.
    pub(super) fn submit(&mut self, statement: Bytes) -> Result<Logged, Vec<Violation>> {
        let repeated = self.replay.push(&statement, Content::NotShown);
        match self.engine.submit(statement) {
            ItemOutcome::Logged(logged) => {
                assert_eq!(repeated, Ok(()), "logged at {}", logged.index);
                Ok(logged)
            }
            ItemOutcome::Refused(violations) => {
                assert_eq!(repeated, Err(violations.clone()));
                Err(violations)
            }
            again @ ItemOutcome::AlreadyLogged(_) => panic!("{again:?}"),
        }
    }

    /// The header of a version of this kind in this state.
    pub(super) fn header(&mut self, seed: u8, (kind, state): (&Kind, &str)) -> Header {
        self.next += 1;
        Header {
            content_type: evidence(kind.name(), kind.version()),
            transition: kind.status_field().map(|_| state.to_owned()),
            ..self.world.header(seed, self.next)
        }
    }

    /// The end: registry and tree of both are the same.
    pub(super) fn finish(self) -> u64 {
        assert_eq!(*self.replay.tree(), self.engine.core().frontier);
        replayed(&self.engine).counts().evidence
    }
}

/// An entity that was led somewhere.
#[derive(Debug, Clone)]
pub(super) struct Led {
    pub(super) kind: &'static Kind,
    pub(super) first: EntryId,
    pub(super) newest: EntryId,
    pub(super) state: String,
    /// In each of its versions from now on.
    pub(super) links: Vec<Link>,
    versions: u8,
}

/// Leads entities through their life cycles, and others with them where guards ask for that.
pub(super) struct Walker {
    pub(super) twin: Twin,
    entities: Vec<Led>,
}

/// An entity in front of a state, with all that the guards of the state ask for, and the links of the
/// version that will enter it.
pub(super) struct Ready {
    entity: Option<usize>,
    links: Vec<Link>,
}

impl Walker {
    pub(super) fn new() -> Self {
        Self {
            twin: Twin::new(),
            entities: Vec::new(),
        }
    }

    /// A new entity in a state; its versions have these links and more.
    fn lead(
        &mut self,
        (kind, state): (&'static Kind, &str),
        links: &[Link],
        depth: usize,
    ) -> usize {
        assert!(depth < DEPTH_MAX, "{} {state} needs itself", kind.name());
        let path = path_between(kind, None, state);
        let ready = self.prepare(kind, (None, &path[0]), links, depth);
        let at = self.enter(kind, &path[0], ready);
        for step in &path[1..] {
            self.step(at, step, depth);
        }
        at
    }

    fn advance(&mut self, at: usize, state: &str, depth: usize) {
        let entity = self.entities[at].clone();
        for step in path_between(entity.kind, Some(&entity.state), state) {
            self.step(at, &step, depth);
        }
    }

    fn step(&mut self, at: usize, state: &str, depth: usize) {
        let Led { kind, links, .. } = self.entities[at].clone();
        let ready = self.prepare(kind, (Some(at), state), &links, depth);
        self.enter(kind, state, ready);
    }

    /// An entity in front of `state`, reached by the shortest way from `from`, with its guards met.
    pub(super) fn ready(&mut self, kind: &'static Kind, from: Option<&str>, state: &str) -> Ready {
        let at = from.map(|from| self.lead((kind, from), &[], 0));
        let links = at.map_or_else(Vec::new, |at| self.entities[at].links.clone());
        self.prepare(kind, (at, state), &links, 0)
    }

    /// The version of `ready` that enters the state, by the key of `seed`.
    pub(super) fn statement(
        &mut self,
        ready: &Ready,
        (kind, state): (&Kind, &str),
        seed: u8,
    ) -> Bytes {
        let mut header = self.twin.header(seed, (kind, state));
        header.links.clone_from(&ready.links);
        header.links.sort();
        header.links.dedup();
        header.revision = ready.entity.map(|at| Revision {
            entity: self.entities[at].first,
            previous: self.entities[at].newest,
            change: Differs::Amend,
        });
        signed(&header, seed)
    }

    /// Enters the state by somebody who has not signed the entity yet.
    pub(super) fn enter(&mut self, kind: &'static Kind, state: &str, ready: Ready) -> usize {
        let versions = ready.entity.map_or(0, |at| self.entities[at].versions);
        let seed = POOL.start + versions % u8::try_from(POOL.len()).unwrap();
        let statement = self.statement(&ready, (kind, state), seed);
        let newest = id_of(&statement);
        if let Err(found) = self.twin.submit(statement) {
            panic!("{} {state}: {found:#?}", kind.name());
        }
        let led = Led {
            kind,
            first: ready.entity.map_or(newest, |at| self.entities[at].first),
            newest,
            state: state.to_owned(),
            links: ready.links,
            versions: versions + 1,
        };
        if let Some(at) = ready.entity {
            self.entities[at] = led;
            at
        } else {
            self.entities.push(led);
            self.entities.len() - 1
        }
    }

    /// Meets the guards of a state. What is made for one may stand in the way of another, which is put
    /// right in the next round.
    fn prepare(
        &mut self,
        kind: &'static Kind,
        (at, state): (Option<usize>, &str),
        links: &[Link],
        depth: usize,
    ) -> Ready {
        let mut links = links.to_vec();
        for _round in 0..4 {
            for guard in kind.life_cycle().guards_of(state) {
                match &guard.need {
                    // Everybody here is a person, and each signs an entity once.
                    Need::Person | Need::OtherThan(_) => {}
                    Need::Links(needs) => self.meet_links(kind, needs, &mut links, depth),
                    Need::Linking(need) => {
                        let at = at.expect("nothing links to what is not there");
                        let same = kind.life_cycle().guards_of(state);
                        let same: Vec<&LinkingNeed> = same
                            .filter_map(|guard| match &guard.need {
                                Need::Linking(need) => Some(need),
                                _ => None,
                            })
                            .filter(|other| {
                                (&other.kind, &other.relation) == (&need.kind, &need.relation)
                            })
                            .collect();
                        self.meet_linking(at, need, &same, depth);
                    }
                }
            }
        }
        Ready { entity: at, links }
    }

    fn meet_links(&mut self, kind: &Kind, needs: &[LinkNeed], links: &mut Vec<Link>, depth: usize) {
        let is_met = |link: &Link| {
            let target = self.entities.iter().find(|led| led.first == link.target);
            needs.iter().any(|need| {
                let is_there =
                    |led: &Led| need.states.is_empty() || need.states.contains(&led.state);
                need.relation == link.relation && target.is_some_and(is_there)
            })
        };
        if links.iter().any(is_met) {
            return;
        }
        for need in needs {
            for name in &kind.check_relation(&need.relation).unwrap().kinds {
                let Ok(target) = RuleBundle::v1().newest_kind(name) else {
                    continue;
                };
                let mut states = target.states().iter();
                let Some(state) =
                    states.find(|state| need.states.is_empty() || need.states.contains(state))
                else {
                    continue;
                };
                let at = self.lead((target, state), &[], depth + 1);
                links.push(Link {
                    relation: need.relation.clone(),
                    target: self.entities[at].first,
                    origin: None,
                });
                return;
            }
        }
        panic!("{}: no kind is there for {needs:?}", kind.name());
    }

    fn meet_linking(&mut self, at: usize, need: &LinkingNeed, same: &[&LinkingNeed], depth: usize) {
        let kind = RuleBundle::v1().newest_kind(&need.kind).unwrap();
        let link = Link {
            relation: need.relation.clone(),
            target: self.entities[at].first,
            origin: None,
        };
        let is_asked = |state: &str, need: &LinkingNeed| {
            need.states.is_empty() || need.states.iter().any(|asked| asked == state)
        };
        let good = kind
            .states()
            .iter()
            .find(|state| is_asked(state, need) && same.iter().all(|other| is_asked(state, other)));
        let good = good.unwrap_or_else(|| panic!("{same:?} contradict each other"));
        let linking: Vec<usize> = (0..self.entities.len())
            .filter(|other| {
                let led = &self.entities[*other];
                led.kind.name() == need.kind && led.links.contains(&link)
            })
            .collect();
        let mut met = false;
        for other in linking {
            if need.every && !is_asked(&self.entities[other].state, need) {
                self.advance(other, good, depth + 1);
            }
            met |= is_asked(&self.entities[other].state, need);
        }
        if !met {
            self.lead((kind, good), &[link], depth + 1);
        }
    }
}

/// The shortest way from a state, or from nothing, to another one; without the state itself.
pub(super) fn path_between(kind: &Kind, from: Option<&str>, to: &str) -> Vec<String> {
    if from == Some(to) {
        return Vec::new();
    }
    let is_move = |from: Option<&str>, to: &str| kind.check_transition(from, to).is_ok();
    let mut ways: Vec<Vec<String>> = vec![Vec::new()];
    for _ in 0..kind.states().len() {
        let longer = ways.iter().flat_map(|way| {
            let last = way.last().map(String::as_str).or(from);
            let next = kind.states().iter();
            let next = next.filter(move |next| !way.contains(next) && is_move(last, next));
            next.map(|next| [way.as_slice(), std::slice::from_ref(next)].concat())
        });
        ways = longer.collect();
        if let Some(way) = ways
            .iter()
            .find(|way| way.last().is_some_and(|last| last == to))
        {
            return way.clone();
        }
    }
    panic!("{} {to} is not reached from {from:?}", kind.name());
}
