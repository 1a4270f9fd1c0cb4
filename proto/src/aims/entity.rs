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
    /// The version of the kind that its newest version is of: never less than before.
    pub kind_version: u32,
    /// What it is about: the subject of its first version, which no later one changes.
    pub subject: String,
    /// Its newest version.
    pub newest: EntryId,
    /// The life-cycle state reached; empty where no version has named one.
    pub state: String,
    /// Who brought it into this state: the holder of the key, and of an AI agent's key also the holder for
    /// whom it acts.
    pub entered_by: BTreeSet<String>,
    /// The newest version retracts it.
    pub retracted: bool,
    /// Who has signed it in which state.
    pub signings: BTreeSet<Signing>,
    /// How often it was begun again: came into a state since which guards count
    /// ([`LinkingNeed::since`](super::kind::LinkingNeed)).
    pub round: u32,
    /// The links of the newest version that count at their targets, with the round that the target was in
    /// when this entity came into its state; none once it is retracted.
    pub links: BTreeMap<EntityLink, u32>,
    /// On what its state rests: the links of the newest version that guards of the state ask for, each with
    /// the asked state that its target was in when this entity came into its own, or when it linked there
    /// later. None once it is retracted.
    pub grounds: BTreeMap<EntityLink, String>,
}

/// That somebody has signed a version in a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signing {
    /// The state that the version reached.
    pub state: String,
    /// The holder of the key, or of the principal for whom an AI agent signed, as the registry said at
    /// that position.
    pub holder: String,
}

/// A link to another entity of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityLink {
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
    /// The other states in which those who brought it there have signed it.
    pub signed: BTreeSet<String>,
    /// The round that the other one was in when it came there.
    pub round: u32,
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
    pub link: EntityLink,
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
    pub(super) kind_version: u32,
    pub(super) subject: &'a str,
    /// Who signs, as [`Entity::entered_by`].
    pub(super) holders: &'a BTreeSet<String>,
    pub(super) state: String,
    pub(super) retracts: bool,
    /// It comes into a state since which guards count.
    pub(super) begins_again: bool,
    pub(super) links: BTreeMap<EntityLink, u32>,
    pub(super) grounds: BTreeMap<EntityLink, String>,
}

impl Entity {
    /// The entity behind its next version; `before` is `None` where that opens it.
    pub(super) fn after(before: Option<&Self>, version: NewVersion<'_>) -> Self {
        let mut signings = before.map_or_else(BTreeSet::new, |entity| entity.signings.clone());
        if !version.state.is_empty() {
            signings.extend(version.holders.iter().map(|holder| Signing {
                state: version.state.clone(),
                holder: holder.clone(),
            }));
        }
        let entered_by = match before {
            Some(entity) if entity.state == version.state => entity.entered_by.clone(),
            Some(_) | None => version.holders.clone(),
        };
        let retracted = version.retracts || before.is_some_and(|entity| entity.retracted);
        Self {
            organization: version.organization.to_owned(),
            kind: version.kind,
            kind_version: version.kind_version,
            subject: version.subject.to_owned(),
            newest: version.id,
            state: version.state,
            entered_by,
            retracted,
            signings,
            round: before
                .map_or(0, |entity| entity.round)
                .saturating_add(u32::from(version.begins_again)),
            links: kept(version.links, retracted),
            grounds: kept(version.grounds, retracted),
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

    /// Whether a guard of an entity about `subject` may count on this one: two systems do not vouch for
    /// each other, and what is about the management system holds for all of them.
    pub fn is_about(&self, subject: &str) -> bool {
        let is_system = |subject: &str| subject.split(':').nth(3) == Some("system");
        self.subject == subject || !is_system(&self.subject) || !is_system(subject)
    }

    /// The links by which guards count that the next version would not have any more.
    pub(super) fn dropped_links<'l>(
        &'l self,
        next: &'l BTreeMap<EntityLink, u32>,
    ) -> impl Iterator<Item = &'l EntityLink> {
        self.links.keys().filter(|link| !next.contains_key(*link))
    }

    /// How it stands to one that it links to, which was in this round when it came into its state.
    pub(super) fn standing(&self, round: u32) -> Standing {
        let by_the_same = |signing: &&Signing| {
            self.entered_by.contains(&signing.holder) && signing.state != self.state
        };
        let signed = self.signings.iter().filter(by_the_same);
        Standing {
            state: self.state.clone(),
            signed: signed.map(|signing| signing.state.clone()).collect(),
            round,
        }
    }

    /// What its new version changes for those that it linked to and links to.
    pub(super) fn shifts(before: Option<&Self>, after: &Self) -> Vec<Shift> {
        let stands = |entity: &Self, link: &EntityLink| {
            let round = entity.links.get(link)?;
            Some(entity.standing(*round))
        };
        let old = before.into_iter().flat_map(|entity| entity.links.keys());
        let links: BTreeSet<&EntityLink> = old.chain(after.links.keys()).collect();
        let shifts = links.into_iter().map(|link| Shift {
            link: link.clone(),
            from: before.and_then(|before| stands(before, link)),
            to: stands(after, link),
        });
        shifts.filter(|shift| shift.from != shift.to).collect()
    }
}

/// What a retracted entity has none of.
fn kept<V>(links: BTreeMap<EntityLink, V>, retracted: bool) -> BTreeMap<EntityLink, V> {
    if retracted { BTreeMap::new() } else { links }
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
