//! The fields of sealed records. The ledger never had them, so what lies here is the only copy: without
//! it nobody can ever show what the record says.

use std::fs;
use std::path::PathBuf;

use aimslog_client::FinishedStatement;
use aimslog_client::file::replace_private_file;
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::statement::evidence::{EvidenceFile, FileRecord, Held, Shown};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::context::{Context, make_private};
use crate::exit::UserError;

/// The folder of those that were refused.
const REFUSED: &str = "refused";

/// The sealed records of one context.
#[derive(Debug)]
pub(crate) struct SealedFields {
    folder: PathBuf,
}

/// A file: the disclosures as they were committed to, in the order of the field list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    disclosures: Vec<String>,
}

impl SealedFields {
    /// Those of this context.
    pub(crate) fn of(context: &Context) -> Self {
        Self {
            folder: context.state_path("sealed"),
        }
    }

    fn path(&self, entry: EntryId) -> PathBuf {
        self.folder.join(format!("{entry}.json"))
    }

    fn path_aside(&self, entry: EntryId) -> PathBuf {
        self.folder.join(REFUSED).join(format!("{entry}.json"))
    }

    /// Where the fields of a record are, if they are here.
    pub(crate) fn path_of(&self, entry: EntryId) -> Option<PathBuf> {
        let places = [self.path(entry), self.path_aside(entry)];
        places.into_iter().find(|path| path.exists())
    }

    /// Keeps the fields of a statement that is about to be sealed.
    pub(crate) fn keep(&self, statement: &FinishedStatement) -> Result<()> {
        let path = self.path(statement.entry_id());
        let disclosures = statement.disclosures.iter().cloned();
        let text = Text {
            disclosures: disclosures
                .map(String::from_utf8)
                .collect::<Result<_, _>>()?,
        };
        make_private(&self.folder)?;
        replace_private_file(&path, &serde_json::to_vec_pretty(&text)?)
            .with_context(|| path.display().to_string())
    }

    /// Puts the fields of a statement that was refused aside. A refusal is the word of one node: where
    /// the statement is in the log all the same, this stays the only copy of what it says.
    pub(crate) fn set_aside(&self, entry: EntryId) -> Result<()> {
        let (path, aside) = (self.path(entry), self.path_aside(entry));
        if !path.exists() {
            return Ok(());
        }
        make_private(&self.folder.join(REFUSED))?;
        fs::rename(&path, &aside).with_context(|| path.display().to_string())
    }

    /// The disclosures of a record, if they are here.
    pub(crate) fn disclosures(&self, entry: EntryId) -> Result<Option<Vec<Vec<u8>>>> {
        let Some(path) = self.path_of(entry) else {
            return Ok(None);
        };
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let text: Text = serde_json::from_slice(&text).map_err(|error| {
            UserError::usage(format!(
                "the fields of a sealed record in {} are damaged: {error}",
                path.display()
            ))
        })?;
        let disclosures = text.disclosures.into_iter().map(String::into_bytes);
        Ok(Some(disclosures.collect()))
    }

    /// Puts these fields (all, where none is named) of the sealed records into an evidence file. Says
    /// whether there were any.
    pub(crate) fn open(&self, file: &mut EvidenceFile, fields: &[String]) -> Result<bool> {
        let mut opened = false;
        for record in &mut file.records {
            if !record.fields.is_empty() {
                continue;
            }
            if let Some(disclosures) = self.disclosures(EntryId::of(&record.statement))? {
                *record = shown(record, &disclosures, fields)?;
                opened = true;
            }
        }
        Ok(opened)
    }
}

fn shown(record: &FileRecord, disclosures: &[Vec<u8>], fields: &[String]) -> Result<FileRecord> {
    let held = Held {
        index: record.index,
        statement: &record.statement,
        disclosures,
        registered_at: record.registered_at,
        register_number: record.register_number,
    };
    if fields.is_empty() {
        return Ok(FileRecord::show(&held, Shown::All)?);
    }
    let statement = UnverifiedStatement::parse(&record.statement)?;
    let content_type = &statement.header().content_type;
    let kind = RuleBundle::v1()
        .kind(content_type.kind(), content_type.version())
        .map_err(|violation| UserError::usage(violation.to_string()))?;
    let mut positions: Vec<u64> = fields
        .iter()
        .filter_map(|name| kind.field_index(name))
        .filter_map(|position| u64::try_from(position).ok())
        .collect();
    positions.sort_unstable();
    positions.dedup();
    Ok(FileRecord::show(&held, Shown::Only(&positions))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn fields_stay_here_readable_by_nobody_else_whatever_the_ledger_answers() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = SealedFields {
            folder: folder.path().join("sealed"),
        };
        let statement = FinishedStatement {
            statement: vec![1, 2, 3],
            disclosures: vec![b"[\"salt\",\"a\",1]".to_vec()],
            digest_only: Vec::new(),
        };
        let entry = statement.entry_id();
        assert_eq!(sealed.disclosures(entry).unwrap(), None);
        assert_eq!(sealed.path_of(entry), None);
        sealed.keep(&statement).unwrap();
        assert_eq!(
            sealed.disclosures(entry).unwrap(),
            Some(statement.disclosures.clone())
        );
        let mode = fs::metadata(&sealed.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        for _twice in 0..2 {
            sealed.set_aside(entry).unwrap();
            let aside = sealed.path_of(entry).unwrap();
            assert!(aside.starts_with(folder.path().join("sealed/refused")));
            assert_eq!(
                sealed.disclosures(entry).unwrap(),
                Some(statement.disclosures.clone())
            );
        }
    }
}
