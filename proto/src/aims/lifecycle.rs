//! Life cycles: which state may follow which, and what must be true of a version in one.
//!
//! One table for each kind, in the rule bundle, and one reader of it. It looks at headers, at the
//! registry and at entities that are in the log; so it decides at apply, and whoever has the
//! entries decides again alike. What is asked of content stands in [`record`](super::record).

use super::entity::{Entity, EntityLink, Linking, Standing};
use super::judge::Logged;
use super::kind::{Guard, Kind, LinkNeed, LinkingNeed, Need};
use super::nearest::nearest;
use crate::reason::{Reason, Violation};
use crate::statement::EntryId;
use crate::statement::header::{Header, Origin};
use crate::system::registry::PrincipalRow;
use std::collections::{BTreeMap, BTreeSet};

const STATE: &str = "header.transition";
const LINKS: &str = "header.links";

/// The life cycle of a kind.
#[derive(Debug, Clone, Copy)]
pub struct LifeCycle<'k> {
    kind: &'k Kind,
}

/// A version with which an entity comes into a state, or stays in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaching<'a> {
    /// The state.
    pub(super) state: &'a str,
    /// It was in another one before, or opens in this one.
    pub(super) is_move: bool,
    /// Its header.
    pub(super) header: &'a Header,
    /// Whose key signs it.
    pub(super) principal: &'a PrincipalRow,
    /// Who signs it, as [`Entity::entered_by`] tells them.
    pub(super) holders: &'a BTreeSet<String>,
    /// The entity with its id, as it stands before; `None` where this version opens it.
    pub(super) entity: Option<(EntryId, &'a Entity)>,
    /// The entities that its links lead to.
    pub(super) links: &'a [Linked],
}

/// An entity of this log that a version links to: another one than its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Linked {
    /// The link.
    pub(super) link: EntityLink,
    /// What it leads to, as that stands.
    pub(super) entity: Entity,
    /// Guards of what it leads to count it, and did not before this version.
    pub(super) counts_anew: bool,
}

impl<'k> LifeCycle<'k> {
    pub(super) fn of(kind: &'k Kind) -> Self {
        Self { kind }
    }

    /// Whether a version in state `to` may follow `from`, where `None` stands for no version yet.
    /// Staying in a state is always allowed.
    pub fn check_move(self, from: Option<&str>, to: &str) -> Result<(), Violation> {
        let tables = &self.kind.tables;
        if !tables.states.iter().any(|state| state == to) {
            let rule = format!("the state is one of {}", tables.states.join(", "));
            let violation = Violation::new(Reason::InvalidTransition, STATE, rule).found(to);
            let states = tables.states.iter().map(String::as_str);
            return Err(match nearest(to, states) {
                Some(state) => violation.nearest(state),
                None => violation,
            });
        }
        let none = Vec::new();
        let allowed = match from {
            None => &tables.initial,
            Some(from) if from == to => return Ok(()),
            Some(from) => tables.moves.get(from).unwrap_or(&none),
        };
        if allowed.iter().any(|state| state == to) {
            return Ok(());
        }
        let after = from.unwrap_or("the start");
        let rule = format!("after {after} may come: {}", allowed.join(", "));
        Err(Violation::new(Reason::InvalidTransition, STATE, rule).found(to))
    }

    /// What must be true of a version in `state`; see [`Guard::is_for_staying`].
    pub fn guards_of(self, state: &str) -> impl Iterator<Item = &'k Guard> {
        let guards = self.kind.tables.guards.iter();
        guards.filter(move |guard| guard.to.iter().any(|to| to == state))
    }

    /// Whether whoever comes into `state` begins again: some guard counts what others have reached since.
    pub(super) fn begins_again(self, state: &str) -> bool {
        let guards = self.kind.tables.guards.iter();
        guards.into_iter().any(|guard| match &guard.need {
            Need::Linking(need) => need.since.iter().any(|since| since == state),
            Need::Person | Need::OtherThan(_) | Need::Links(_) => false,
        })
    }

    /// Whether a guard of `state` asks for links with this relation.
    pub(super) fn asks_for_link(self, state: &str, relation: &str) -> bool {
        let mut asked = self.asked_links(state);
        asked.any(|need| need.relation == relation)
    }

    /// The links that guards of `state` ask for.
    fn asked_links(self, state: &str) -> impl Iterator<Item = &'k LinkNeed> {
        let needs = self.guards_of(state).filter_map(|guard| match &guard.need {
            Need::Links(needs) => Some(needs),
            Need::Person | Need::OtherThan(_) | Need::Linking(_) => None,
        });
        needs.flatten()
    }

    /// On what an entity rests that reaches `state` with these links; `stayed` is the entity before,
    /// where it was in that state already.
    pub(super) fn grounds(
        self,
        state: &str,
        (subject, links): (&str, &[Linked]),
        stayed: Option<&Entity>,
    ) -> BTreeMap<EntityLink, String> {
        let mut grounds = BTreeMap::new();
        for one in links {
            let known = stayed.and_then(|before| before.grounds.get(&one.link));
            let is_met = |need: &LinkNeed| need.is_met_by(one, subject);
            if let Some(known) = known {
                grounds.insert(one.link.clone(), known.clone());
            } else if self.asked_links(state).any(is_met) {
                grounds.insert(one.link.clone(), one.entity.state.clone());
            }
        }
        grounds
    }

    /// Judges every guard of the state; `found` gets one violation for each that is not kept. A version
    /// that stays is held to who signs it, and to the links on which its state rests, whatever has become
    /// since of what they lead to; who linked here was asked when the entity came.
    pub(super) fn check_guards<L: Logged>(
        self,
        logged: &L,
        reaching: &Reaching<'_>,
        found: &mut Vec<Violation>,
    ) -> Result<(), L::Error> {
        let guards = self.guards_of(reaching.state);
        for guard in guards.filter(|guard| reaching.is_move || guard.is_for_staying()) {
            let missing = match &guard.need {
                Need::Person => check_person(reaching),
                Need::OtherThan(states) => check_signer(reaching, states),
                Need::Links(needs) => check_links(reaching, needs),
                Need::Linking(need) => check_linking(logged, reaching, need)?,
            };
            found.extend(missing.map(|missing| missing.violation(guard)));
        }
        Ok(())
    }
}

impl Guard {
    /// Whether it is asked as well of a version that stays in the state, and not only of the one with
    /// which the entity comes there.
    pub fn is_for_staying(&self) -> bool {
        !self.on_entry && !matches!(self.need, Need::Linking(_))
    }

    /// Whether it is the guard that this violation speaks of.
    pub fn is_behind(&self, violation: &Violation) -> bool {
        let rest = violation.rule.strip_prefix(self.id.as_str());
        violation.reason == Reason::GuardFailed && rest.is_some_and(|rest| rest.starts_with(": "))
    }
}

/// Why a guard is not kept.
struct Missing {
    field: &'static str,
    found: String,
    nearest: String,
}

impl Missing {
    fn violation(self, guard: &Guard) -> Violation {
        let rule = format!("{}: {}", guard.id, guard.rule);
        Violation::new(Reason::GuardFailed, self.field, rule)
            .found(self.found)
            .nearest(self.nearest)
    }
}

fn check_person(reaching: &Reaching<'_>) -> Option<Missing> {
    let (field, found) = if reaching.header.origin != Some(Origin::Person) {
        let found = match reaching.header.origin {
            Some(Origin::AiAgent) => "an AI agent",
            Some(Origin::System) => "a program",
            Some(Origin::Person) | None => "nothing",
        };
        ("header.origin", found.to_owned())
    } else if let Some(other) = &reaching.header.on_behalf_of {
        ("header.on_behalf_of", format!("on behalf of {other}"))
    } else if reaching.principal.is_agent() {
        ("header.origin", "the key of an AI agent".to_owned())
    } else {
        return None;
    };
    Some(Missing {
        field,
        found,
        nearest: "a person, for itself".to_owned(),
    })
}

fn check_signer(reaching: &Reaching<'_>, states: &[String]) -> Option<Missing> {
    let (_, entity) = reaching.entity?;
    let mut holders = reaching.holders.iter();
    holders.find_map(|holder| {
        let signed: Vec<&str> = entity
            .signed_in(holder, states)
            .map(String::as_str)
            .collect();
        (!signed.is_empty()).then(|| Missing {
            field: STATE,
            found: format!("{holder}, who has signed it in {}", signed.join(", ")),
            nearest: "the key of another holder".to_owned(),
        })
    })
}

/// One good link is enough. But what counts at its target from now on is good itself: it would be counted
/// there on the word of another.
fn check_links(reaching: &Reaching<'_>, needs: &[LinkNeed]) -> Option<Missing> {
    let subject = reaching.header.subject.as_str();
    let asked_for = |one: &&Linked| needs.iter().any(|need| need.relation == one.link.relation);
    let linked: Vec<&Linked> = reaching.links.iter().filter(asked_for).collect();
    let is_good = |one: &Linked| {
        let mut needs = needs.iter();
        needs.any(|need| need.is_met_by(one, subject) || need.was_met_by(one, reaching))
    };
    let any = linked.iter().any(|one| is_good(one));
    let unfit = linked
        .iter()
        .filter(|one| !is_good(one) && (!any || one.counts_anew));
    let unfit: Vec<String> = unfit
        .map(|one| format!("{} to {}", one.link.relation, told(&one.entity, subject)))
        .collect();
    if any && unfit.is_empty() {
        return None;
    }
    let nearest: Vec<String> = needs.iter().map(asked).collect();
    let nearest = nearest.join(", or ");
    Some(Missing {
        field: LINKS,
        found: match unfit.as_slice() {
            [] => "no such link".to_owned(),
            unfit => unfit.join(", "),
        },
        nearest: if any {
            format!("{nearest}: each that is added, because what it leads to counts on it")
        } else {
            nearest
        },
    })
}

impl LinkNeed {
    /// Whether this link of a version about `subject` is what is needed, as its target stands now.
    fn is_met_by(&self, one: &Linked, subject: &str) -> bool {
        self.takes(&one.link, &one.entity.state) && can_vouch(&one.entity, subject)
    }

    /// Whether it was when the entity came into the state in which it stays, or later linked there.
    fn was_met_by(&self, one: &Linked, reaching: &Reaching<'_>) -> bool {
        let stayed = reaching.entity.filter(|_| !reaching.is_move);
        let ground = stayed.and_then(|(_, entity)| entity.grounds.get(&one.link));
        let subject = reaching.header.subject.as_str();
        ground.is_some_and(|state| self.takes(&one.link, state)) && can_vouch(&one.entity, subject)
    }

    fn takes(&self, link: &EntityLink, state: &str) -> bool {
        let is_there = self.states.is_empty() || self.states.iter().any(|asked| asked == state);
        self.relation == link.relation && is_there
    }
}

fn can_vouch(entity: &Entity, subject: &str) -> bool {
    !entity.retracted && entity.is_about(subject)
}

fn told(entity: &Entity, subject: &str) -> String {
    let Entity { kind, state, .. } = entity;
    let about = if entity.is_about(subject) {
        ""
    } else {
        " about another system"
    };
    match (entity.retracted, state.is_empty()) {
        (true, _) => format!("a retracted {kind}{about}"),
        (false, true) => format!("{kind}{about}"),
        (false, false) => format!("{kind} in {state}{about}"),
    }
}

fn asked(need: &LinkNeed) -> String {
    match need.states.as_slice() {
        [] => format!("a link {}", need.relation),
        states => format!("a link {} to one in {}", need.relation, states.join(" or ")),
    }
}

fn check_linking<L: Logged>(
    logged: &L,
    reaching: &Reaching<'_>,
    need: &LinkingNeed,
) -> Result<Option<Missing>, L::Error> {
    let linking = match reaching.entity {
        Some((id, _)) => logged.linking(id, (need.kind.as_str(), need.relation.as_str()))?,
        None => Linking::default(),
    };
    let round = reaching.entity.map_or(0, |(_, entity)| entity.round);
    let is_good = |standing: &Standing| need.is_met_by(standing, round);
    let any = linking.iter().any(|(standing, _)| is_good(standing));
    let all = linking.iter().all(|(standing, _)| is_good(standing));
    if any && (all || !need.every) {
        return Ok(None);
    }
    let bad = linking.iter().filter(|(standing, _)| !is_good(standing));
    let bad: Vec<String> = bad
        .map(|(standing, count)| {
            let same = need
                .other_than
                .iter()
                .find(|state| standing.signed.contains(*state));
            let signer = same.map_or_else(String::new, |state| {
                format!(" by who had signed it in {state}")
            });
            let early = if need.is_in_time(standing, round) {
                String::new()
            } else {
                format!(" since before it was {}", need.since.join(" or "))
            };
            format!("{count} {} in {}{signer}{early}", need.kind, standing.state)
        })
        .collect();
    Ok(Some(Missing {
        field: STATE,
        found: if bad.is_empty() {
            format!("no {} that links here as {}", need.kind, need.relation)
        } else {
            bad.join(", ")
        },
        nearest: need.told(),
    }))
}

impl LinkingNeed {
    /// Whether an entity that stands so is what is needed.
    fn is_met_by(&self, standing: &Standing, round: u32) -> bool {
        let is_there = self.states.is_empty() || self.states.contains(&standing.state);
        let by_the_same = self
            .other_than
            .iter()
            .any(|state| standing.signed.contains(state));
        is_there && !by_the_same && self.is_in_time(standing, round)
    }

    fn is_in_time(&self, standing: &Standing, round: u32) -> bool {
        self.since.is_empty() || standing.round == round
    }

    fn told(&self) -> String {
        let Self { kind, relation, .. } = self;
        let who = if self.every { "every" } else { "a" };
        let mut text = format!("{who} {kind} that links here as {relation}");
        if !self.states.is_empty() {
            text.push_str(" in ");
            text.push_str(&self.states.join(" or "));
        }
        if !self.other_than.is_empty() {
            text.push_str(", by another than signed it in ");
            text.push_str(&self.other_than.join(" or "));
        }
        if !self.since.is_empty() {
            text.push_str(", since this was last ");
            text.push_str(&self.since.join(" or "));
        }
        text
    }
}

#[cfg(test)]
mod tests;
