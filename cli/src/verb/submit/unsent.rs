//! Records that are refused before anything is sent.

use anyhow::Result;
use serde::Serialize;

use super::sign::Purpose;
use crate::broken::Broken;
use crate::describe::counted;
use crate::exit::UserError;
use crate::output::Output;
use crate::records::Invalid;

/// A record that was refused before anything was sent.
#[derive(Debug, Serialize)]
pub(super) struct Unsent {
    pub(super) record: String,
    pub(super) violations: Vec<Broken>,
}

/// Nothing is sent where one record of the run is invalid: all of them are named at once.
pub(crate) fn refuse_invalid(invalid: &[Invalid], purpose: Purpose, output: Output) -> Result<()> {
    let at = |record: &Invalid, line: usize| format!("{}:{line}", record.file.display());
    let unsent = invalid.iter().map(|record| Unsent {
        record: at(record, record.line),
        violations: record
            .violations
            .iter()
            .map(|found| Broken::from(&found.violation).written_at(at(record, found.line)))
            .collect(),
    });
    refuse(&unsent.collect::<Vec<_>>(), purpose, output)
}

/// Says what is wrong with records, if there are any, and that nothing was sent where something was to be.
pub(super) fn refuse(unsent: &[Unsent], purpose: Purpose, output: Output) -> Result<()> {
    if unsent.is_empty() {
        return Ok(());
    }
    if output.is_json() {
        output.data(&serde_json::json!({ "invalid": unsent }), "")?;
    } else {
        for Unsent { record, violations } in unsent {
            for violation in violations {
                let place = violation.place().unwrap_or(record);
                output.say(format!("{place}: {violation}"));
            }
        }
    }
    let invalid = counted(unsent.len(), "invalid record");
    Err(UserError::usage(match purpose {
        Purpose::Send => format!("{invalid}; nothing was sent"),
        Purpose::Look => invalid,
    }))
}
