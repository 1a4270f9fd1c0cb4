//! Life cycles: which state may follow which, and what must be true before an entity enters one.
//!
//! One table for each kind, in the rule bundle, and one reader of it. It looks at headers, at the
//! registry and at entities that are in the log; so it decides at apply, and whoever has the
//! entries decides again alike. What is asked of content stands in [`record`](super::record).

use super::entity::{Entity, Linking, Standing};
use super::judge::Logged;
use super::kind::{Guard, Kind, LinkNeed, LinkingNeed, Need};
use super::nearest::nearest;
use crate::reason::{Reason, Violation};
use crate::statement::EntryId;
use crate::statement::header::{Header, Origin};
use crate::system::registry::PrincipalRow;

const STATE: &str = "header.transition";
const LINKS: &str = "header.links";

/// The life cycle of a kind.
#[derive(Debug, Clone, Copy)]
pub struct LifeCycle<'k> {
    kind: &'k Kind,
}

/// A version with which an entity enters a state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entering<'a> {
    /// The state.
    pub(super) state: &'a str,
    /// Its header.
    pub(super) header: &'a Header,
    /// Who signs it.
    pub(super) principal: &'a PrincipalRow,
    /// The entity with its id, as it stands before; `None` where this version opens it.
    pub(super) entity: Option<(EntryId, &'a Entity)>,
    /// The entities of this log that its links lead to, with the relation, without itself.
    pub(super) links: &'a [(&'a str, EntryId)],
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

    /// What must be true before an entity enters `state`.
    pub fn guards_of(self, state: &str) -> impl Iterator<Item = &'k Guard> {
        let guards = self.kind.tables.guards.iter();
        guards.filter(move |guard| guard.to.iter().any(|to| to == state))
    }

    /// Whether a guard of `state` asks for links with this relation.
    pub(super) fn asks_for_link(self, state: &str, relation: &str) -> bool {
        self.guards_of(state).any(|guard| match &guard.need {
            Need::Links(needs) => needs.iter().any(|need| need.relation == relation),
            Need::Person | Need::OtherThan(_) | Need::Linking(_) => false,
        })
    }

    /// Judges every guard of the state; `found` gets one violation for each that is not kept.
    pub(super) fn check_guards<L: Logged>(
        self,
        logged: &L,
        entering: &Entering<'_>,
        found: &mut Vec<Violation>,
    ) -> Result<(), L::Error> {
        for guard in self.guards_of(entering.state) {
            let missing = match &guard.need {
                Need::Person => check_person(entering),
                Need::OtherThan(states) => check_signer(entering, states),
                Need::Links(needs) => check_links(logged, entering, needs)?,
                Need::Linking(need) => check_linking(logged, entering, need)?,
            };
            found.extend(missing.map(|missing| missing.violation(guard)));
        }
        Ok(())
    }
}

impl Guard {
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

fn check_person(entering: &Entering<'_>) -> Option<Missing> {
    let (field, found) = if entering.header.origin != Some(Origin::Person) {
        let found = match entering.header.origin {
            Some(Origin::AiAgent) => "an AI agent",
            Some(Origin::System) => "a program",
            Some(Origin::Person) | None => "nothing",
        };
        ("header.origin", found.to_owned())
    } else if let Some(other) = &entering.header.on_behalf_of {
        ("header.on_behalf_of", format!("on behalf of {other}"))
    } else if entering.principal.is_agent() {
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

fn check_signer(entering: &Entering<'_>, states: &[String]) -> Option<Missing> {
    let (_, entity) = entering.entity?;
    let holder = entering.principal.holder.as_str();
    let signed: Vec<&str> = entity
        .signed_in(holder, states)
        .map(String::as_str)
        .collect();
    (!signed.is_empty()).then(|| Missing {
        field: STATE,
        found: format!("{holder}, who has signed it in {}", signed.join(", ")),
        nearest: "the key of another holder".to_owned(),
    })
}

fn check_links<L: Logged>(
    logged: &L,
    entering: &Entering<'_>,
    needs: &[LinkNeed],
) -> Result<Option<Missing>, L::Error> {
    let mut found = Vec::new();
    for (relation, target) in entering.links {
        let asking: Vec<&LinkNeed> = needs
            .iter()
            .filter(|need| need.relation == *relation)
            .collect();
        if asking.is_empty() {
            continue;
        }
        let Some(entity) = logged.entity(*target)? else {
            continue;
        };
        let is_there = asking
            .iter()
            .any(|need| need.states.is_empty() || need.states.contains(&entity.state));
        if is_there && !entity.retracted {
            return Ok(None);
        }
        found.push(format!("{relation} to {}", told(&entity)));
    }
    let nearest: Vec<String> = needs.iter().map(asked).collect();
    Ok(Some(Missing {
        field: LINKS,
        found: if found.is_empty() {
            "no such link".to_owned()
        } else {
            found.join(", ")
        },
        nearest: nearest.join(", or "),
    }))
}

fn told(entity: &Entity) -> String {
    let Entity { kind, state, .. } = entity;
    match (entity.retracted, state.is_empty()) {
        (true, _) => format!("a retracted {kind}"),
        (false, true) => kind.clone(),
        (false, false) => format!("{kind} in {state}"),
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
    entering: &Entering<'_>,
    need: &LinkingNeed,
) -> Result<Option<Missing>, L::Error> {
    let linking = match entering.entity {
        Some((id, _)) => logged.linking(id, (need.kind.as_str(), need.relation.as_str()))?,
        None => Linking::default(),
    };
    let is_good = |standing: &Standing| need.is_met_by(standing);
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
            format!("{count} {} in {}{signer}", need.kind, standing.state)
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
    fn is_met_by(&self, standing: &Standing) -> bool {
        let is_there = self.states.is_empty() || self.states.contains(&standing.state);
        let by_the_same = self
            .other_than
            .iter()
            .any(|state| standing.signed.contains(state));
        is_there && !by_the_same
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
        text
    }
}

#[cfg(test)]
mod tests;
