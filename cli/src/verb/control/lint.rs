//! `aimslog control lint`: which control ids a file names, and whether there are such.
//!
//! Files are read in [`source`], ids are found and judged in [`scan`].

mod scan;
mod source;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::catalogues::{CatalogueFiles, DEFAULT, catalogue_of};
use crate::describe::counted;
use crate::exit::Exit;
use crate::output::Output;
use scan::{Judge, Mention, Status};
use source::{Content, Passage, Shape};

/// Check the control ids in spreadsheets and texts.
///
/// Reads CSV (with commas, semicolons or tabs), XLSX and any text (Markdown ...), finds what looks like a
/// control id, and says for each: ok; alias (an id of the guide, with the controls that it stands for); wrong scheme (a number of another
/// catalogue); unknown, with the nearest; formula (a cell whose value nobody can check). Ids with a letter
/// (A.9.2, ORG.SEC.1) or a scheme (guide/9.1) are found everywhere; bare numbers (9.1) behind words like
/// clause and control, and in columns whose heading has such a word, or that --column names; articles
/// where the line speaks of the AI Act. Headings themselves are not checked. Ends with 1 where something is
/// wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog control lint soa.xlsx audit-plan.md
  aimslog control lint register.csv --column Ref --scheme guide --header-row 3
  aimslog control lint soa.xlsx --catalogue iso27001-2022.toml --json")]
pub(super) struct Lint {
    /// Files: .csv, .tsv, .xlsx, or text; - is text on standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The scheme of ids that name none
    #[arg(long, value_name = "SCHEME", default_value = DEFAULT)]
    scheme: String,
    /// A column that holds ids, by its heading; several allowed
    #[arg(long, value_name = "HEADING")]
    column: Vec<String>,
    /// The row of the headings (of a CSV file, its line) [default: the first in which something stands]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    header_row: Option<u32>,
    /// Leave out what is in order
    #[arg(long)]
    wrong: bool,
    #[command(flatten)]
    files_of: CatalogueFiles,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    files: Vec<FileReport>,
    summary: Summary,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    ids: Vec<Line>,
}

/// One id at its place.
#[derive(Serialize)]
struct Line {
    /// `12:5` in a text (line and column), `Sheet1!B3` or `line 3, Control` in a table.
    place: String,
    #[serde(flatten)]
    mention: Mention,
}

#[derive(Default, Serialize)]
struct Summary {
    ids: usize,
    ok: usize,
    alias: usize,
    wrong_scheme: usize,
    unknown: usize,
    formula: usize,
}

impl Lint {
    pub(super) fn run(&self, output: Output) -> Result<Exit> {
        let schemes = self.files_of.schemes()?;
        let judge = Judge {
            schemes: &schemes,
            scheme: catalogue_of(&schemes, &self.scheme)?,
        };
        let mut report = Report {
            files: Vec::new(),
            summary: Summary::default(),
        };
        for file in &self.files {
            let ids = self.file(&judge, file)?;
            for line in &ids {
                report.summary.count(line);
            }
            let kept = |line: &Line| !self.wrong || line.mention.status.is_wrong();
            report.files.push(FileReport {
                file: file.display().to_string(),
                ids: ids.into_iter().filter(kept).collect(),
            });
        }
        output.data(&report, report.text())?;
        let summary = &report.summary;
        let wrong = summary.wrong_scheme + summary.unknown + summary.formula;
        Ok(if wrong == 0 {
            Exit::Ok
        } else {
            Exit::NotVerified
        })
    }

    fn file(&self, judge: &Judge<'_>, file: &Path) -> Result<Vec<Line>> {
        let shape = Shape {
            columns: &self.column,
            header: self.header_row,
        };
        let passages = source::read(file, shape)?;
        let mut lines = Vec::new();
        for Passage {
            place,
            holds_ids,
            content,
        } in passages
        {
            let found = match content {
                Content::Text(text) => judge.mentions(&text, holds_ids),
                Content::Formula(formula) => vec![Mention::formula(formula)],
            };
            lines.extend(found.into_iter().map(|mention| Line {
                place: place.at(mention.column),
                mention,
            }));
        }
        Ok(lines)
    }
}

impl Summary {
    fn count(&mut self, line: &Line) {
        self.ids += 1;
        let count = match line.mention.status {
            Status::Ok => &mut self.ok,
            Status::Alias => &mut self.alias,
            Status::WrongScheme => &mut self.wrong_scheme,
            Status::Unknown => &mut self.unknown,
            Status::Formula => &mut self.formula,
        };
        *count += 1;
    }
}

impl Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for FileReport { file, ids } in &self.files {
            for Line { place, mention } in ids {
                let (status, id) = (mention.status.name(), &mention.id);
                lines.push(format!(
                    "{file}:{place}  {status:<12} {id}  {}",
                    mention.says
                ));
            }
        }
        let summary = &self.summary;
        let parts: Vec<String> = [
            (summary.ok, "ok"),
            (summary.alias, "alias"),
            (summary.wrong_scheme, "wrong scheme"),
            (summary.unknown, "unknown"),
            (summary.formula, "formula"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        let ids = counted(summary.ids, "id");
        lines.push(if parts.is_empty() {
            ids
        } else {
            format!("{ids}: {}", parts.join(", "))
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests;
