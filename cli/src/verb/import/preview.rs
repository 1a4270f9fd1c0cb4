//! What an import would send: every row, and every cell that is wrong.

use aimslog_proto::aims::submission::Alias;
use serde::Serialize;

use crate::broken::Broken;
use crate::describe::counted;
use crate::import::rows::{Columns, Made};
use crate::import::shown::form_of;
use crate::sheet::table::{Hidden, Table};

/// Most lines of each kind that people are shown; programs get all.
const LINES_MAX: usize = 40;
const UNFINISHED: &str = "an earlier run was cut off: up to 64 of its rows may be logged without this \
                          program knowing it; import the same file once more before rows are edited";

/// The preview.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    sheet: String,
    rows: usize,
    columns: Columns,
    /// What spreadsheet programs do not show, and what is imported nevertheless.
    hidden: Hidden,
    /// An earlier run did not come to its end.
    unfinished: bool,
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
    /// Ids of controls that stand for others, and what is logged in their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    /// The whole record as a form in YAML, of the first ones that are valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<String>,
}

/// The preview, in which the first `whole` valid records are shown whole.
pub(super) fn preview(
    table: &Table,
    columns: Columns,
    (made, unfinished): (&[Made], bool),
    whole: usize,
) -> Preview {
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
        hidden: table.hidden.clone(),
        unfinished,
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
                aliases: submission.aliases.iter().map(told).collect(),
                form: None,
            },
            Err(violations) => Self {
                row,
                kind,
                key: None,
                state: None,
                ok: false,
                violations: violations.clone(),
                aliases: Vec::new(),
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
            ("not imported, as the mapping says", &self.columns.ignored),
            ("not in the sheet", &self.columns.absent),
            ("without a name, not imported", &self.columns.unnamed),
        ] {
            if !names.is_empty() {
                lines.push(format!("columns {what}: {}", names.join(", ")));
            }
        }
        if !self.hidden.columns.is_empty() {
            let names = self.hidden.columns.join(", ");
            lines.push(format!(
                "columns that the sheet hides, read as the others: {names}"
            ));
        }
        if !self.hidden.rows.is_empty() {
            let rows = ranges(&self.hidden.rows);
            lines.push(format!(
                "rows that the sheet hides, imported as the others: {rows}"
            ));
        }
        if self.unfinished {
            lines.push(UNFINISHED.to_owned());
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
            let aliases = record.aliases.iter();
            lines.extend(aliases.map(|alias| format!("  alias    {:<12} {alias}", record.row)));
        }
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

/// Says what became of an id that stands for others: what is signed is not what was written.
fn told(alias: &Alias) -> String {
    let controls = alias.controls.join(", ");
    format!("{} ({}) is logged as {controls}", alias.given, alias.title)
}

/// `3, 5-9`: numbers that ascend.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words = ranges.into_iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

fn limited(lines: &mut Vec<String>, shown: Vec<String>) {
    let more = shown.len().saturating_sub(LINES_MAX);
    lines.extend(shown.into_iter().take(LINES_MAX));
    if more > 0 {
        lines.push(format!("  … and {more} more (--json has all)"));
    }
}
