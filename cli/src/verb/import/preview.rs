//! What an import would send: every row, and every cell that is wrong.

use serde::Serialize;

use crate::broken::Broken;
use crate::describe::counted;
use crate::import::rows::{Columns, Made};
use crate::import::shown::form_of;
use crate::sheet::table::Table;

/// Most lines of each kind that people are shown; programs get all.
const LINES_MAX: usize = 40;

/// The preview.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    sheet: String,
    rows: usize,
    columns: Columns,
    records: Vec<Shown>,
    valid: usize,
    invalid: usize,
}

/// A record of a row.
#[derive(Debug, Serialize)]
struct Shown {
    row: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Broken>,
    /// The whole record as a form in YAML, of the first ones that are valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<String>,
}

/// The preview, in which the first `whole` valid records are shown whole.
pub(super) fn preview(table: &Table, columns: Columns, made: &[Made], whole: usize) -> Preview {
    let mut records: Vec<Shown> = made.iter().map(Shown::of).collect();
    let valid = records.iter_mut().zip(made);
    let valid = valid.filter_map(|(shown, made)| Some((shown, made.result.as_ref().ok()?)));
    for (shown, submission) in valid.take(whole) {
        shown.form = form_of(submission);
    }
    let valid = records.iter().filter(|record| record.ok).count();
    Preview {
        sheet: table.name.clone(),
        rows: table.rows.len(),
        columns,
        invalid: records.len() - valid,
        valid,
        records,
    }
}

impl Shown {
    fn of(made: &Made) -> Self {
        let (row, kind) = (made.place.clone(), made.kind.clone());
        match &made.result {
            Ok(submission) => Self {
                row,
                kind,
                key: submission.key.clone(),
                state: submission.transition.clone(),
                ok: true,
                violations: Vec::new(),
                form: None,
            },
            Err(violations) => Self {
                row,
                kind,
                key: None,
                state: None,
                ok: false,
                violations: violations.clone(),
                form: None,
            },
        }
    }
}

impl Preview {
    pub(super) fn name(&self) -> &str {
        &self.sheet
    }

    pub(super) fn is_valid(&self) -> bool {
        self.invalid == 0
    }

    /// How many records are refused.
    pub(super) fn refused(&self) -> usize {
        self.invalid
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!(
            "{}: {}, {}",
            self.sheet,
            counted(self.rows, "row"),
            counted(self.records.len(), "record")
        )];
        for (what, names) in [
            ("not imported", &self.columns.unused),
            ("not in the sheet", &self.columns.absent),
            ("without a name, not imported", &self.columns.unnamed),
        ] {
            if !names.is_empty() {
                lines.push(format!("columns {what}: {}", names.join(", ")));
            }
        }
        let valid = self
            .records
            .iter()
            .filter(|record| record.ok)
            .map(|record| {
                let (key, state) = (record.key.as_deref(), record.state.as_deref());
                let (key, state) = (key.unwrap_or_default(), state.unwrap_or_default());
                format!(
                    "  ok       {:<12} {} {key} {state}",
                    record.row, record.kind
                )
            });
        limited(
            &mut lines,
            valid.map(|line| line.trim_end().to_owned()).collect(),
        );
        let refused = self.records.iter().flat_map(|record| &record.violations);
        let refused = refused.map(|broken| {
            format!(
                "  refused  {:<12} {broken}",
                broken.place().unwrap_or_default()
            )
        });
        limited(&mut lines, refused.collect());
        for record in &self.records {
            if let Some(form) = &record.form {
                lines.push(format!("{}, whole:", record.row));
                lines.extend(form.lines().map(|line| format!("  {line}")));
            }
        }
        lines.push(format!("{} valid, {} refused", self.valid, self.invalid));
        lines.join("\n")
    }
}

fn limited(lines: &mut Vec<String>, shown: Vec<String>) {
    let more = shown.len().saturating_sub(LINES_MAX);
    lines.extend(shown.into_iter().take(LINES_MAX));
    if more > 0 {
        lines.push(format!("  … and {more} more (--json has all)"));
    }
}
