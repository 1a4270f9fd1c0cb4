//! What of a version's fields is shown, and what differs between two versions.

use std::collections::BTreeMap;

use aimslog_client::HistoryVersion;
use aimslog_proto::statement::evidence::RecordReport;
use aimslog_proto::statement::statement::UnverifiedStatement;
use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use crate::describe::fields;
use crate::sealed::SealedFields;

/// The fields of a version that are shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    /// By name. Absent ones are `null`.
    fields: BTreeMap<String, Value>,
    /// How many the version has.
    total: u64,
}

/// What differs from the version before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Changes {
    /// Fields that both versions show, with different values.
    pub(super) fields: Vec<Changed>,
    /// Fields that both versions show, with equal values.
    pub(super) same: usize,
    /// Both versions show all their fields. Otherwise whether others changed as well is not known.
    pub(super) is_complete: bool,
}

/// A field with another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Changed {
    pub(super) name: String,
    /// `null` where it was absent.
    pub(super) from: Value,
    /// `null` where it is absent.
    pub(super) to: Value,
}

impl Shown {
    /// What the evidence file shows, or, of a sealed record, the copy that is kept here. Both are held
    /// against the commitment of the statement.
    pub(super) fn of(
        sealed: &SealedFields,
        version: &HistoryVersion,
        report: &RecordReport,
    ) -> Result<Self> {
        let total = report.fields_total;
        let shown = report.fields.iter();
        let shown: BTreeMap<String, Value> = shown
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect();
        if !shown.is_empty() {
            return Ok(Self {
                fields: shown,
                total,
            });
        }
        let kept = sealed.disclosures(version.version.entry.entry_id)?;
        let statement =
            UnverifiedStatement::parse(&version.version.statement).context("a version")?;
        let kept = fields(&statement, &kept.unwrap_or_default())?;
        let kept = kept.into_iter().map(|field| (field.name, field.value));
        Ok(Self {
            fields: kept.collect(),
            total,
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    fn is_whole(&self) -> bool {
        u64::try_from(self.len()) == Ok(self.total)
    }

    /// What differs in `next`, as far as both show it.
    pub(super) fn compare(&self, next: &Self) -> Changes {
        let both = self.fields.iter().filter_map(|(name, from)| {
            let to = next.fields.get(name)?;
            Some((name, from, to))
        });
        let (differing, same): (Vec<_>, Vec<_>) = both.partition(|(_, from, to)| from != to);
        Changes {
            fields: differing
                .into_iter()
                .map(|(name, from, to)| Changed {
                    name: name.clone(),
                    from: from.clone(),
                    to: to.clone(),
                })
                .collect(),
            same: same.len(),
            is_complete: self.is_whole() && next.is_whole(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(fields: &[(&str, Value)]) -> Shown {
        let fields = fields.iter();
        Shown {
            fields: fields
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            total: 3,
        }
    }

    #[test]
    fn what_both_versions_show_is_compared_and_the_rest_is_not() {
        let before = shown(&[("a", json!(1)), ("b", json!(null)), ("c", json!("x"))]);
        let after = shown(&[("a", json!(1)), ("b", json!("new")), ("c", json!(null))]);
        let changes = before.compare(&after);
        let told: Vec<_> = changes
            .fields
            .iter()
            .map(|it| (&*it.name, &it.from, &it.to))
            .collect();
        let (none, new, old) = (json!(null), json!("new"), json!("x"));
        assert_eq!(told, [("b", &none, &new), ("c", &old, &none)]);
        assert_eq!((changes.same, changes.is_complete), (1, true));

        let hidden = before.compare(&shown(&[("a", json!(2))]));
        assert_eq!((hidden.fields.len(), hidden.is_complete), (1, false));
        let nothing = before.compare(&shown(&[]));
        assert_eq!((nothing.fields.len(), nothing.same), (0, 0));
        assert!(!nothing.is_complete);
        // The same part of both.
        let part = shown(&[("a", json!(1))]);
        assert!(!part.compare(&part).is_complete);
    }
}
