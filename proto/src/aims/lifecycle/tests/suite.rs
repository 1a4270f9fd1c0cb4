//! The tests of all life cycles of a bundle, made from its tables: no kind has tests of its own.
//!
//! For each kind and each pair of states: that a move which the table does not have is refused, that a
//! move of the table, or staying, is allowed where all guards of its state are met, and for each guard,
//! that it alone refuses where what it asks for is missing, in every way in which that can be missing.
//! Whoever stays is asked less: not who links here, not what is for the entry alone, and of a link on which
//! its state rests not how that stands to which it leads.

use super::world::{Attempt, OTHER, SIGNER, World, entity, signing};
use crate::aims::bundle::RuleBundle;
use crate::aims::kind::{Guard, Kind, LinkNeed, LinkingNeed, Need};
use crate::reason::{Reason, Violation};
use crate::statement::EntryId;
use crate::statement::header::Origin;

/// More combinations of ways than this are not tried for one test.
const TRIES_MAX: usize = 4_096;

/// What a version asks for, and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) kind: String,
    world: World,
    attempt: Attempt,
    expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Allowed,
    /// The table does not have the move.
    NoMove,
    /// This guard and no other refuses.
    Guard(String),
}

impl Case {
    /// Whether these rules decide as the tables say from which the case was made.
    pub(super) fn holds(&self, bundle: &'static RuleBundle) -> Result<(), String> {
        let found = self.attempt.refusals(bundle, &self.world);
        let is_as_expected = match (&self.expected, found.as_slice()) {
            (Expected::Allowed, []) => true,
            (Expected::NoMove, [one]) => one.reason == Reason::InvalidTransition,
            (Expected::Guard(id), [one]) => is_guard(one, id),
            _ => false,
        };
        if is_as_expected {
            Ok(())
        } else {
            Err(format!(
                "{}: expected {:?}, found {found:?}",
                self.name, self.expected
            ))
        }
    }
}

/// It names the guard, its rule, the field, what there is and what is missing.
fn is_guard(violation: &Violation, id: &str) -> bool {
    violation.reason == Reason::GuardFailed
        && violation.rule.starts_with(&format!("{id}: "))
        && violation.field.starts_with("header.")
        && violation.found.is_some()
        && violation.nearest.is_some()
}

/// One thing that is so in the world of a test.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// The version does not say that a person made it.
    Program,
    /// The entity was signed in a state.
    Signed(String, &'static str),
    /// The version links to an entity.
    Link {
        relation: String,
        kind: String,
        state: String,
        retracted: bool,
        /// The state that the entity was in when this one came to rest on it.
        ground: Option<String>,
    },
    /// An entity links to this one.
    Source {
        kind: String,
        relation: String,
        state: String,
        retracted: bool,
        signed: Vec<(String, &'static str)>,
        /// It came into its state before this one was begun again.
        is_early: bool,
    },
}

impl Part {
    fn early(self) -> Self {
        match self {
            Self::Source {
                kind,
                relation,
                state,
                retracted,
                signed,
                is_early: _,
            } => Self::Source {
                kind,
                relation,
                state,
                retracted,
                signed,
                is_early: true,
            },
            other => other,
        }
    }
}

/// What can be true of a guard: each a way to meet it, or to miss it.
struct Ways {
    met: Vec<Vec<Part>>,
    missed: Vec<Vec<Part>>,
}

/// All cases of a bundle, or why there can be none for some move or guard.
pub(super) fn of(bundle: &'static RuleBundle) -> Result<Vec<Case>, Vec<String>> {
    let (mut cases, mut faults) = (Vec::new(), Vec::new());
    for kind in bundle.kinds() {
        let suite = Suite { bundle, kind };
        let starts = std::iter::once(None).chain(kind.states().iter().map(Some));
        for from in starts {
            for to in kind.states() {
                suite.add((from.map(String::as_str), to), &mut cases, &mut faults);
            }
        }
    }
    if faults.is_empty() {
        Ok(cases)
    } else {
        Err(faults)
    }
}

#[derive(Clone, Copy)]
struct Suite {
    bundle: &'static RuleBundle,
    kind: &'static Kind,
}

type Move<'a> = (Option<&'a str>, &'a str);

impl Suite {
    fn add(self, step: Move<'_>, cases: &mut Vec<Case>, faults: &mut Vec<String>) {
        let (from, to) = step;
        let is_move = from != Some(to);
        let guards = self.kind.life_cycle().guards_of(to);
        let is_judged = |guard: &&Guard| is_move || guard.is_for_staying();
        let guards: Vec<&Guard> = guards.filter(is_judged).collect();
        let ways: Vec<Ways> = guards
            .iter()
            .map(|guard| self.ways(guard, is_move))
            .collect();
        let all_met = combinations(ways.iter().map(|ways| ways.met.as_slice()));
        if self.kind.check_transition(from, to).is_err() {
            let parts = all_met.first().cloned().unwrap_or_default();
            cases.push(self.case(step, &parts, Expected::NoMove));
            return;
        }
        let allowed = all_met
            .into_iter()
            .map(|parts| self.case(step, &parts, Expected::Allowed));
        match allowed
            .into_iter()
            .find(|case| case.holds(self.bundle).is_ok())
        {
            Some(case) => cases.push(case),
            None => faults.push(format!("{}: nothing meets all guards", self.name(step))),
        }
        for (place, guard) in guards.iter().enumerate() {
            let is_alone = !guards
                .iter()
                .any(|other| other.id != guard.id && overlap(&other.need, &guard.need));
            let mut refused = 0;
            for missed in &ways[place].missed {
                let others = ways.iter().enumerate().filter(|(other, _)| *other != place);
                let worlds = combinations(others.map(|(_, ways)| ways.met.as_slice()));
                let expected = Expected::Guard(guard.id.clone());
                let mut tried = worlds.into_iter().map(|parts| {
                    self.case(
                        step,
                        &[missed.as_slice(), &parts].concat(),
                        expected.clone(),
                    )
                });
                match tried.find(|case| case.holds(self.bundle).is_ok()) {
                    Some(case) => {
                        cases.push(case);
                        refused += 1;
                    }
                    // Where guards look at the same things, one way to miss this one may miss others too.
                    None if !is_alone => {}
                    None => faults.push(format!(
                        "{}: {} does not refuse {missed:?}",
                        self.name(step),
                        guard.id
                    )),
                }
            }
            // Whoever stays is asked for the link alone, which guards can have in common.
            if refused == 0 && (is_move || is_alone) {
                faults.push(format!(
                    "{}: {} never refuses alone",
                    self.name(step),
                    guard.id
                ));
            }
        }
    }

    fn name(self, (from, to): Move<'_>) -> String {
        format!(
            "{} from {} to {to}",
            self.kind.name(),
            from.unwrap_or("nothing")
        )
    }

    fn case(self, step: Move<'_>, parts: &[Part], expected: Expected) -> Case {
        let (from, to) = step;
        let mut world = World::default();
        let kind = (self.kind.name(), self.kind.version());
        let own = from.map(|state| {
            let mut own = entity(kind.0, state);
            own.signings.insert(signing(state, OTHER));
            for part in parts {
                if let Part::Signed(state, holder) = part {
                    own.signings.insert(signing(state, holder));
                }
            }
            world.add(own)
        });
        let mut attempt = Attempt::of(kind, own, to);
        for part in parts {
            lay(part, (&mut world, &mut attempt), own);
        }
        Case {
            name: format!("{} ({parts:?})", self.name(step)),
            kind: kind.0.to_owned(),
            world,
            attempt,
            expected,
        }
    }

    fn ways(self, guard: &Guard, is_move: bool) -> Ways {
        match &guard.need {
            Need::Person => Ways {
                met: vec![Vec::new()],
                missed: vec![vec![Part::Program]],
            },
            Need::OtherThan(states) => Ways {
                met: vec![signed_by(states, OTHER)],
                missed: states
                    .iter()
                    .map(|state| vec![Part::Signed(state.clone(), SIGNER)])
                    .collect(),
            },
            Need::Links(needs) => self.ways_of_links(needs, is_move),
            Need::Linking(need) => self.ways_of_linking(need),
        }
    }

    fn states_of(self, kind: &str) -> Vec<String> {
        let newest = self.bundle.newest_kind(kind);
        newest.map_or_else(|_| Vec::new(), |kind| kind.states().to_vec())
    }

    /// Links to each kind in each state that is asked for, and for who stays one that was good once; and
    /// none, one to another state, one to what was retracted, and where targets count on the link, a bad one
    /// beside a good one.
    fn ways_of_links(self, needs: &[LinkNeed], is_move: bool) -> Ways {
        let (mut met, mut missed) = (Vec::new(), vec![Vec::new()]);
        for need in needs {
            let rule = self
                .kind
                .check_relation(&need.relation)
                .expect("a relation of the kind");
            for kind in &rule.kinds {
                let known = self.states_of(kind);
                let link = |state: &String, retracted, ground: Option<&String>| Part::Link {
                    relation: need.relation.clone(),
                    kind: kind.clone(),
                    state: state.clone(),
                    retracted,
                    ground: ground.cloned(),
                };
                let is_asked = |state: &&String| {
                    let mut same = needs.iter().filter(|other| other.relation == need.relation);
                    same.any(|need| need.states.is_empty() || need.states.contains(state))
                };
                // Of a kind that is not defined yet nobody knows the states.
                let some = if known.is_empty() {
                    need.states.clone()
                } else {
                    known
                };
                let (good, bad): (Vec<&String>, Vec<&String>) = some.iter().partition(is_asked);
                met.extend(good.iter().map(|state| vec![link(state, false, None)]));
                missed.extend(good.iter().map(|state| vec![link(state, true, None)]));
                missed.extend(bad.iter().map(|state| vec![link(state, false, None)]));
                let Some(first) = good.first() else {
                    continue;
                };
                for state in &bad {
                    let beside = vec![link(first, false, None), link(state, false, None)];
                    if self.bundle.is_counted((self.kind.name(), &need.relation)) {
                        missed.push(beside);
                    } else {
                        met.push(beside);
                    }
                    if !is_move {
                        met.push(vec![link(state, false, Some(first))]);
                        missed.push(vec![link(state, true, Some(first))]);
                    }
                }
            }
        }
        Ways { met, missed }
    }

    /// One that links here in each state that is asked for; and none, one in another state, one that was
    /// retracted, one in the same hands, one that came too early, and a bad one beside a good one.
    fn ways_of_linking(self, need: &LinkingNeed) -> Ways {
        let known = self.states_of(&need.kind);
        let known = if known.is_empty() {
            need.states.clone()
        } else {
            known
        };
        let is_asked = |state: &&String| need.states.is_empty() || need.states.contains(state);
        let source =
            |state: &String, retracted, signed: Vec<(String, &'static str)>| Part::Source {
                kind: need.kind.clone(),
                relation: need.relation.clone(),
                state: state.clone(),
                retracted,
                signed,
                is_early: false,
            };
        // Whoever brought it there is `OTHER`; before that, another one signed.
        let earlier: Vec<_> = need
            .other_than
            .iter()
            .map(|state| (state.clone(), SIGNER))
            .collect();
        let good: Vec<Part> = known
            .iter()
            .filter(is_asked)
            .map(|state| source(state, false, earlier.clone()))
            .collect();
        let mut bad: Vec<Part> = known
            .iter()
            .filter(|state| !is_asked(state))
            .map(|state| source(state, false, Vec::new()))
            .collect();
        for state in known.iter().filter(is_asked) {
            let same = need
                .other_than
                .iter()
                .map(|earlier| (earlier.clone(), OTHER));
            bad.extend(same.map(|signed| source(state, false, vec![signed])));
        }
        if !need.since.is_empty() {
            bad.extend(good.iter().cloned().map(Part::early));
        }
        let mut missed = vec![Vec::new()];
        missed.extend(bad.iter().map(|part| vec![part.clone()]));
        missed.extend(
            known
                .iter()
                .filter(is_asked)
                .map(|state| vec![source(state, true, earlier.clone())]),
        );
        if need.every
            && let Some(good) = good.first()
        {
            missed.extend(bad.iter().map(|part| vec![good.clone(), part.clone()]));
        }
        let mut met: Vec<Vec<Part>> = good.iter().map(|part| vec![part.clone()]).collect();
        if !need.every
            && let (Some(good), Some(bad)) = (good.first(), bad.first())
        {
            met.push(vec![good.clone(), bad.clone()]);
        }
        Ways { met, missed }
    }
}

fn signed_by(states: &[String], holder: &'static str) -> Vec<Part> {
    states
        .iter()
        .map(|state| Part::Signed(state.clone(), holder))
        .collect()
}

/// Makes the world so.
fn lay(part: &Part, (world, attempt): (&mut World, &mut Attempt), own: Option<EntryId>) {
    match part {
        Part::Program => attempt.origin = Origin::System,
        // Done when the entity was made.
        Part::Signed(..) => {}
        Part::Link {
            relation,
            kind,
            state,
            retracted,
            ground,
        } => {
            let mut target = entity(kind, state);
            target.retracted = *retracted;
            let target = world.add(target);
            attempt.links.push((relation.clone(), target));
            if let (Some(own), Some(ground)) = (own, ground) {
                world.rest((own, relation), target, ground);
            }
        }
        Part::Source {
            kind,
            relation,
            state,
            retracted,
            signed,
            is_early,
        } => {
            let mut source = entity(kind, state);
            source.retracted = *retracted;
            source.signings.insert(signing(state, OTHER));
            source
                .signings
                .extend(signed.iter().map(|(state, holder)| signing(state, holder)));
            if let Some(own) = own {
                world.add_linking_in(u32::from(!is_early), source, (relation, own));
            }
        }
    }
}

/// Whether two guards look at the same things.
fn overlap(one: &Need, other: &Need) -> bool {
    match (one, other) {
        (Need::Person, Need::Person) => true,
        (Need::OtherThan(one), Need::OtherThan(other)) => {
            one.iter().any(|state| other.contains(state))
        }
        (Need::Links(one), Need::Links(other)) => one
            .iter()
            .any(|need| other.iter().any(|also| also.relation == need.relation)),
        (Need::Linking(one), Need::Linking(other)) => {
            (&one.kind, &one.relation) == (&other.kind, &other.relation)
        }
        _ => false,
    }
}

/// One way of each, in every combination, as parts.
fn combinations<'p>(choices: impl Iterator<Item = &'p [Vec<Part>]>) -> Vec<Vec<Part>> {
    let mut all: Vec<Vec<Part>> = vec![Vec::new()];
    for choice in choices {
        let longer = all.iter().flat_map(|parts| {
            choice
                .iter()
                .map(move |more| [parts.as_slice(), more.as_slice()].concat())
        });
        all = longer.take(TRIES_MAX).collect();
    }
    all
}
