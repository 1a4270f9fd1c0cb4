//! An entity as the log has made it, and what its next version changes in it and around it.
//!
//! Guards ask who signed an entity in which state, and how those entities stand that link to it.
//! Both are kept as the log grows, so that a guard reads a few rows however long the log is: an
//! entity knows its signers, and where entities link to it, how many of them stand alike
//! ([`Linking`]). Everything here follows from headers and registry.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::ENTITY_SIGNINGS_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::EntryId;

/// An entity as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Whose it is.
    pub organization: String,
    /// Its kind, see [`kind_text`](super::judge::kind_text).
    pub kind: String,
    /// Its newest version.
    pub newest: EntryId,
    /// The life-cycle state reached; empty where no version has named one.
    pub state: String,
    /// The holder who signed the version with which it entered this state.
    pub entered_by: String,
    /// The newest version retracts it.
    pub retracted: bool,
    /// Who has signed it in which state.
    pub signings: BTreeSet<Signing>,
    /// The links of the newest version that count at their targets; none once it is retracted.
    pub links: BTreeSet<CountedLink>,
}

/// That somebody has signed a version in a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signing {
    /// The state that the version reached.
    pub state: String,
    /// The holder of the key, as the registry said at that position.
    pub holder: String,
}

/// A link by which the guards of its target decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountedLink {
    /// Name of the relation in the header.
    pub relation: String,
    /// The entity that it leads to, whichever version the header names.
    pub target: EntryId,
}

/// How an entity stands to those that it links to: all that their guards ask.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The state that it is in.
    pub state: String,
    /// The other states in which the holder who brought it there has signed it.
    pub signed: BTreeSet<String>,
}

/// The entities of one kind that link to one entity with one relation, without retracted ones: how
/// many of them stand alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Linking(BTreeMap<Standing, u64>);

/// How an entity stood to one that it links to, and how it stands now; `None`: it did not link there,
/// or does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// The link.
    pub link: CountedLink,
    /// Before.
    pub from: Option<Standing>,
    /// Now.
    pub to: Option<Standing>,
}

/// What a statement makes of an entity.
#[derive(Debug)]
pub(super) struct NewVersion<'a> {
    pub(super) id: EntryId,
    pub(super) organization: &'a str,
    pub(super) kind: String,
    pub(super) holder: &'a str,
    pub(super) state: String,
    pub(super) retracts: bool,
    pub(super) links: BTreeSet<CountedLink>,
}

impl Entity {
    /// The entity behind its next version; `before` is `None` where that opens it.
    pub(super) fn after(before: Option<&Self>, version: NewVersion<'_>) -> Self {
        let holder = version.holder.to_owned();
        let mut signings = before.map_or_else(BTreeSet::new, |entity| entity.signings.clone());
        if !version.state.is_empty() {
            signings.insert(Signing {
                state: version.state.clone(),
                holder: holder.clone(),
            });
        }
        let entered_by = match before {
            Some(entity) if entity.state == version.state => entity.entered_by.clone(),
            Some(_) | None => holder,
        };
        let retracted = version.retracts || before.is_some_and(|entity| entity.retracted);
        Self {
            organization: version.organization.to_owned(),
            kind: version.kind,
            newest: version.id,
            state: version.state,
            entered_by,
            retracted,
            signings,
            links: if retracted {
                BTreeSet::new()
            } else {
                version.links
            },
        }
    }

    /// Refuses what would have to remember too much.
    pub(super) fn check_size(&self) -> Option<Violation> {
        let count = self.signings.len();
        (count > ENTITY_SIGNINGS_MAX).then(|| {
            let rule = format!(
                "an entity has at most {ENTITY_SIGNINGS_MAX} pairs of a state and a holder who \
                 signed in it: whoever signed in this state before can go on, or retract it"
            );
            Violation::new(Reason::InvalidTransition, "header.transition", rule).found(count)
        })
    }

    /// The states of `among` in which this holder has signed it, in their order there.
    pub fn signed_in<'s>(
        &self,
        holder: &str,
        among: &'s [String],
    ) -> impl Iterator<Item = &'s String> {
        among.iter().filter(move |state| {
            let mut signings = self.signings.iter();
            signings.any(|signing| signing.holder == holder && signing.state == **state)
        })
    }

    /// How it stands to those that it links to.
    pub fn standing(&self) -> Standing {
        let by_the_same =
            |signing: &&Signing| signing.holder == self.entered_by && signing.state != self.state;
        let signed = self.signings.iter().filter(by_the_same);
        Standing {
            state: self.state.clone(),
            signed: signed.map(|signing| signing.state.clone()).collect(),
        }
    }

    /// What its new version changes for those that it linked to and links to.
    pub(super) fn shifts(before: Option<&Self>, after: &Self) -> Vec<Shift> {
        let none = BTreeSet::new();
        let old = before.map_or(&none, |entity| &entity.links);
        let (from, to) = (before.map(Self::standing), after.standing());
        let shifts = old.union(&after.links).map(|link| Shift {
            link: link.clone(),
            from: from.clone().filter(|_| old.contains(link)),
            to: after.links.contains(link).then(|| to.clone()),
        });
        shifts.filter(|shift| shift.from != shift.to).collect()
    }
}

impl Linking {
    /// These counts, none of them 0; each standing once.
    pub fn new(counts: BTreeMap<Standing, u64>) -> Self {
        Self(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// How many stand how.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Standing, u64)> {
        self.0.iter().map(|(standing, count)| (standing, *count))
    }

    /// Whether nobody links here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Follows an entity that links here. What it leaves was counted when it came.
    pub(super) fn shift(&mut self, shift: &Shift) {
        if let Some(from) = &shift.from
            && let Some(count) = self.0.get_mut(from)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(from);
            }
        }
        if let Some(to) = &shift.to {
            let count = self.0.entry(to.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
