//! Engagements of the registry: who may read of whom, at a position of the log and a time.

use super::Registry;
use crate::system::{EngagementId, Grant, OrganizationId};
use crate::time::UnixSeconds;
use crate::tlog::LeafIndex;

/// An engagement that was ever granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngagementRow {
    /// Whose records they are.
    pub organization: OrganizationId,
    /// What that organisation calls it.
    pub engagement: EngagementId,
    /// Who may read what, and how long.
    pub grant: Grant,
    /// The record that granted it.
    pub granted_at: LeafIndex,
    /// The record that ended it.
    pub ended_at: Option<LeafIndex>,
}

impl EngagementRow {
    /// Whether the body may read at this time, by the log in front of the entry at `index`. The
    /// record that grants counts for what comes behind it, and so does the one that ends.
    pub fn is_held_at(&self, index: LeafIndex, time: UnixSeconds) -> bool {
        let is_granted = self.granted_at < index;
        let is_ended = self.ended_at.is_some_and(|ended| ended < index);
        let valid = self.grant.valid_from..=self.grant.valid_to;
        is_granted && !is_ended && valid.contains(&time)
    }
}

/// Who reads of whom.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    /// The organisation that reads.
    pub body: &'a OrganizationId,
    /// The organisation whose records they are.
    pub organization: &'a OrganizationId,
}

impl Registry {
    /// The engagements that one organisation holds on another at this time, by the log in front of
    /// the entry at `index`. Cost: one step for each engagement that the other ever granted.
    pub fn engagements_held<'r>(
        &'r self,
        between: Between<'_>,
        (index, time): (LeafIndex, UnixSeconds),
    ) -> impl Iterator<Item = &'r EngagementRow> {
        let Between { body, organization } = between;
        let granted = self.engagements_of(organization);
        granted.filter(move |row| row.grant.body == *body && row.is_held_at(index, time))
    }

    /// Every engagement that the organisation ever granted, by id.
    pub fn engagements_of(
        &self,
        organization: &OrganizationId,
    ) -> impl Iterator<Item = &EngagementRow> {
        let granted = self.engagements.get(organization);
        granted.into_iter().flat_map(|rows| rows.values())
    }

    /// The engagement that the organisation calls so.
    pub fn engagement(
        &self,
        organization: &OrganizationId,
        engagement: &EngagementId,
    ) -> Option<&EngagementRow> {
        self.engagements.get(organization)?.get(engagement)
    }
}
