//! What is told of each record: where it ended up, and what to do where it did not.

use std::path::PathBuf;

use serde::Serialize;

use super::sign::Signed;
use crate::broken::Broken;

/// Where a record ended up.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) record: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) status: &'static str,
    /// None of a record that is not signed to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<PathBuf>,
    /// Where the fields of a sealed record stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fields_kept: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<Broken>,
}

pub(crate) const LOGGED: &str = "logged";
pub(crate) const ALREADY_LOGGED: &str = "already logged";
pub(crate) const PENDING: &str = "pending";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const VALID: &str = "valid";

impl Told {
    pub(super) fn of(signed: &Signed, status: &'static str) -> Self {
        Self {
            record: signed.record.name(),
            key: signed.record.submission.key.clone(),
            status,
            entry_id: Some(signed.statement.entry_id().to_string()),
            index: signed.known,
            evidence: None,
            fields_kept: None,
            violations: Vec::new(),
        }
    }

    /// For people: a line, and one for each thing that there is to say.
    pub(crate) fn text(&self) -> String {
        let index = self
            .index
            .map_or_else(String::new, |index| format!(" at index {index}"));
        let entry = self.entry_id.as_ref();
        let entry = entry.map_or_else(String::new, |id| format!("{id}{index}  "));
        let mut lines = vec![format!("{:<14} {entry}{}", self.status, self.record)];
        let violations = self.violations.iter();
        lines.extend(violations.map(|violation| format!("    {violation}")));
        if let Some(path) = &self.evidence {
            lines.push(format!("    evidence in {}", path.display()));
        }
        if let Some(path) = &self.fields_kept {
            lines.push(format!("    its fields stay in {}", path.display()));
        }
        lines.join("\n")
    }
}

/// All of them for people, and the sum of many.
pub(crate) fn table(told: &[Told]) -> String {
    let mut lines: Vec<String> = told.iter().map(Told::text).collect();
    if told.len() > 1 {
        lines.push(summary(told));
    }
    lines.join("\n")
}

/// How many records ended up in which way: `104 records: 100 logged, 4 refused`.
fn summary(told: &[Told]) -> String {
    let counts = [LOGGED, ALREADY_LOGGED, VALID, REFUSED, PENDING].map(|status| {
        let count = told.iter().filter(|told| told.status == status).count();
        (count > 0).then(|| format!("{count} {status}"))
    });
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    format!("{} records: {}", told.len(), counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &'static str) -> Told {
        Told {
            record: "a.jsonl:1".to_owned(),
            key: None,
            status,
            entry_id: Some("id".to_owned()),
            index: None,
            evidence: None,
            fields_kept: None,
            violations: Vec::new(),
        }
    }

    #[test]
    fn many_records_are_summed_up_and_one_is_not() {
        let many = [told(LOGGED), told(REFUSED), told(LOGGED)];
        assert!(table(&many).ends_with("3 records: 2 logged, 1 refused"));
        assert!(!table(&many[..1]).contains("records:"));
    }
}
