//! The keys of records that other runs have logged (`--known`): by them, links and later versions reach
//! over runs, also over those that somebody else has signed.

use std::collections::BTreeMap;
use std::path::Path;

use aimslog_client::author::Referred;
use aimslog_client::file::replace_file;
use aimslog_proto::aims::submission::Target;
use aimslog_proto::statement::id::EntryId;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::sign::{Signed, referred};
use super::told::{ALREADY_LOGGED, LOGGED, Told};
use crate::exit::UserError;
use crate::limited::read_if_there;

/// Most bytes of such a file: some hundred thousand keys.
const KNOWN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where a record stands: as it lies in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    entry: String,
    /// The first version of the same record.
    entity: String,
}

/// What the file holds; nothing where it does not exist yet.
pub(super) fn read(path: &Path) -> Result<BTreeMap<Target, Referred>> {
    let places = places(path)?.into_iter();
    let found = places.map(|(key, place)| {
        let id = |text: &str| {
            EntryId::parse(text).map_err(|_found| {
                UserError::usage(format!("{}: {key}: {text} is no entry id", path.display()))
            })
        };
        let referred = Referred {
            entry: id(&place.entry)?,
            entity: id(&place.entity)?,
        };
        Ok((Target::Key(key), referred))
    });
    found.collect()
}

/// Adds what a run has logged. A key that was used again stands for its newest record.
pub(super) fn keep(path: &Path, signed: &[Signed], told: &[Told]) -> Result<()> {
    let mut places = places(path)?;
    for (signed, told) in signed.iter().zip(told) {
        let is_there = [LOGGED, ALREADY_LOGGED].contains(&told.status);
        if let Some(key) = signed.record.submission.key.as_ref().filter(|_| is_there) {
            let Referred { entry, entity } = referred(&signed.statement.statement)?;
            let place = Place {
                entry: entry.to_string(),
                entity: entity.to_string(),
            };
            places.insert(key.clone(), place);
        }
    }
    let text = serde_json::to_string_pretty(&places)?;
    replace_file(path, format!("{text}\n").as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn places(path: &Path) -> Result<BTreeMap<String, Place>> {
    match read_if_there(path, KNOWN_BYTES_MAX, "a file of known keys")? {
        Some(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot read {}", path.display())),
        None => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_knows_nothing_and_a_wrong_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        assert!(read(&path).unwrap().is_empty());
        let id = EntryId::of(b"one").to_string();
        for (text, is_good) in [
            (
                format!(r#"{{"a":{{"entry":"{id}","entity":"{id}"}}}}"#),
                true,
            ),
            (format!(r#"{{"a":{{"entry":"{id}","entity":"x"}}}}"#), false),
            (format!(r#"{{"a":{{"entry":"{id}"}}}}"#), false),
            ("[]".to_owned(), false),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read(&path).is_ok(), is_good, "{text}");
        }
    }
}
