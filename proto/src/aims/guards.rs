//! Checks that the guards of a bundle name nothing that does not exist, can be met, and cannot be
//! walked around.

use super::bundle::{BundleError, GuardFault};
use super::cross::{signer_id, when_id};
use super::kind::{Guard, Kind, LinkNeed, LinkingNeed, Need};
use std::collections::{BTreeMap, BTreeSet};

/// All kinds by name and version.
type Kinds = BTreeMap<(String, u32), Kind>;

/// Kind and relation of the links that guards of their targets ask for.
pub(super) fn counted(kinds: &Kinds) -> BTreeSet<(String, String)> {
    let guards = kinds.values().flat_map(|kind| &kind.tables.guards);
    let pairs = guards.filter_map(|guard| match &guard.need {
        Need::Linking(need) => Some((need.kind.clone(), need.relation.clone())),
        Need::Person | Need::OtherThan(_) | Need::Links(_) => None,
    });
    pairs.collect()
}

/// Checks every guard of every kind; `names` are those of all kinds, also of those that are not
/// defined yet.
pub(super) fn check(kinds: &Kinds, names: &BTreeSet<String>) -> Result<(), BundleError> {
    check_ids(kinds)?;
    for kind in kinds.values() {
        for guard in &kind.tables.guards {
            let place = Place {
                kinds,
                names,
                kind,
                guard,
            };
            place.check()?;
        }
    }
    Ok(())
}

/// A name stands for one guard of one kind in all versions of that kind, and for no other rule.
fn check_ids(kinds: &Kinds) -> Result<(), BundleError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let mut derived = BTreeSet::new();
    for kind in kinds.values() {
        let mut own = BTreeSet::new();
        for guard in &kind.tables.guards {
            let owner = owners.entry(&guard.id).or_insert_with(|| kind.name());
            if *owner != kind.name() || !own.insert(&guard.id) {
                return Err(BundleError::Duplicate(guard.id.clone()));
            }
        }
        let when = kind.tables.when.iter();
        derived.extend(when.flat_map(|rule| {
            let values = rule.values.iter();
            values.map(|value| when_id(kind, rule, value))
        }));
        derived.extend(
            kind.tables
                .signer
                .keys()
                .map(|state| signer_id(kind, state)),
        );
    }
    match owners.keys().find(|id| derived.contains(**id)) {
        Some(id) => Err(BundleError::Duplicate((*id).to_owned())),
        None => Ok(()),
    }
}

/// A guard where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    kinds: &'a Kinds,
    names: &'a BTreeSet<String>,
    kind: &'a Kind,
    guard: &'a Guard,
}

impl<'a> Place<'a> {
    fn check(self) -> Result<(), BundleError> {
        let Guard {
            id,
            to,
            rule,
            on_entry,
            need,
        } = self.guard;
        let is_empty = match need {
            Need::Person => false,
            Need::OtherThan(states) => states.is_empty(),
            Need::Links(needs) => needs.is_empty(),
            Need::Linking(need) => need.kind.is_empty() || need.relation.is_empty(),
        };
        if id.is_empty() || to.is_empty() || rule.is_empty() || is_empty {
            return Err(self.fault(GuardFault::Empty));
        }
        if *on_entry && matches!(need, Need::Linking(_)) {
            return Err(self.fault(GuardFault::OnEntry));
        }
        self.check_states(self.kind, to)?;
        match need {
            Need::Person => Ok(()),
            Need::OtherThan(states) => {
                self.check_opening()?;
                self.check_states(self.kind, states)?;
                self.check_compared(self.kind, to, states)
            }
            Need::Links(needs) => needs.iter().try_for_each(|need| self.check_link(need)),
            Need::Linking(need) => {
                self.check_opening()?;
                self.check_since(need)?;
                self.check_linking(need)
            }
        }
    }

    fn fault(self, fault: GuardFault) -> BundleError {
        let id = self.guard.id.clone();
        BundleError::Guard { id, fault }
    }

    fn undefined(self, name: &str) -> BundleError {
        BundleError::Undefined {
            place: format!("kind {}, guard {}", self.kind.name(), self.guard.id),
            name: name.to_owned(),
        }
    }

    fn check_states(self, kind: &Kind, states: &[String]) -> Result<(), BundleError> {
        let known = kind.states();
        match states.iter().find(|state| !known.contains(state)) {
            Some(state) => Err(self.undefined(state)),
            None => Ok(()),
        }
    }

    /// In a first version nobody has signed before and nothing links here: such a guard would let
    /// everybody pass, or nobody.
    fn check_opening(self) -> Result<(), BundleError> {
        let initial = &self.kind.tables.initial;
        match self.guard.to.iter().find(|state| initial.contains(state)) {
            Some(state) => Err(self.fault(GuardFault::Opening(state.clone()))),
            None => Ok(()),
        }
    }

    /// Whoever is compared with has signed on every way into the states, or the comparison is with
    /// nobody.
    fn check_compared(
        self,
        kind: &Kind,
        states: &[String],
        compared: &[String],
    ) -> Result<(), BundleError> {
        if let Some(state) = states.iter().find(|state| compared.contains(state)) {
            return Err(self.fault(GuardFault::SameState(state.clone())));
        }
        let reached = reached_without(kind, compared);
        match states.iter().find(|state| reached.contains(state.as_str())) {
            Some(state) => Err(self.fault(GuardFault::Bypass(state.clone()))),
            None => Ok(()),
        }
    }

    /// What is counted since a state is reached after it: not all that ever linked here, and not in the
    /// step into that state. A first version is the start anyway.
    fn check_since(self, need: &LinkingNeed) -> Result<(), BundleError> {
        self.check_states(self.kind, &need.since)?;
        let initial = &self.kind.tables.initial;
        let mut since = need.since.iter();
        let is_wrong = |state: &&String| {
            need.every || self.guard.to.contains(state) || initial.contains(state)
        };
        match since.find(is_wrong) {
            Some(state) => Err(self.fault(GuardFault::Since(state.clone()))),
            None => Ok(()),
        }
    }

    /// The relation is one of the kind, and each state one of a kind that it leads to. What is not
    /// defined yet may have any.
    fn check_link(self, need: &LinkNeed) -> Result<(), BundleError> {
        let Some(link) = self
            .kind
            .links()
            .iter()
            .find(|link| link.relation == need.relation)
        else {
            return Err(self.undefined(&need.relation));
        };
        let targets: Vec<Vec<&Kind>> = link.kinds.iter().map(|name| self.versions(name)).collect();
        if targets.iter().any(Vec::is_empty) {
            return Ok(());
        }
        let is_known = |state: &String| {
            let mut kinds = targets.iter().flatten();
            kinds.any(|kind| kind.states().contains(state))
        };
        match need.states.iter().find(|state| !is_known(state)) {
            Some(state) => Err(self.undefined(state)),
            None => Ok(()),
        }
    }

    /// The other kind has the relation, which leads here, and the states.
    fn check_linking(self, need: &LinkingNeed) -> Result<(), BundleError> {
        if !self.names.contains(&need.kind) {
            return Err(self.undefined(&need.kind));
        }
        for kind in self.versions(&need.kind) {
            if kind.check_link(&need.relation, self.kind.name()).is_err() {
                return Err(self.undefined(&need.relation));
            }
            self.check_states(kind, &need.states)?;
            self.check_states(kind, &need.other_than)?;
            if !need.other_than.is_empty() {
                let states = match need.states.as_slice() {
                    [] => kind.states(),
                    states => states,
                };
                self.check_compared(kind, states, &need.other_than)?;
            }
        }
        Ok(())
    }

    /// All versions of a kind; none where it is not defined yet.
    fn versions(self, name: &str) -> Vec<&'a Kind> {
        let kinds = self.kinds.values();
        kinds.filter(|kind| kind.name() == name).collect()
    }
}

/// The states that an entity can come into without ever having been in one of `avoided`.
fn reached_without<'k>(kind: &'k Kind, avoided: &[String]) -> BTreeSet<&'k str> {
    let tables = &kind.tables;
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = tables.initial.iter().collect();
    while let Some(state) = open.pop() {
        if !avoided.contains(state) && reached.insert(state.as_str()) {
            open.extend(tables.moves.get(state).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests;
