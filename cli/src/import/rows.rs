//! From rows to records: every row is read, and everything that is wrong has its cell.

use std::collections::{BTreeMap, BTreeSet};

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::nearest::nearest;
use aimslog_proto::aims::submission::{Submission, locate, read, status_path};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::json::Json;
use anyhow::Result;
use serde::Serialize;

use super::mapping::{Mapping, RecordMap, Source, Wanted, names_in};
use super::path::{constant, is_known, put, record_path, unknown_in};
use super::value::{self, Refused};
use crate::attach::Shelf;
use crate::broken::Broken;
use crate::sheet::Row;
use crate::sheet::table::Table;

/// What became of a row for one of the records that it is to give.
#[derive(Debug)]
pub(crate) struct Made {
    /// `Sheet1!7`.
    pub(crate) place: String,
    /// The kind.
    pub(crate) kind: String,
    /// Which cell feeds which path of the wrapper.
    cells: Vec<(String, String)>,
    /// The record, or everything that is wrong with it.
    pub(crate) result: std::result::Result<Submission, Vec<Broken>>,
}

/// How the columns of a table and those of a mapping fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Columns {
    /// In the table, and not imported.
    pub(crate) unused: Vec<String>,
    /// In the table, and not imported because the mapping says so.
    pub(crate) ignored: Vec<String>,
    /// In the mapping, not in the table, and not needed.
    pub(crate) absent: Vec<String>,
    /// In the mapping, not in the table, and needed; each with the nearest that is not imported.
    pub(crate) missing: Vec<String>,
    /// Without a name, each with the first cell in which something stands.
    pub(crate) unnamed: Vec<String>,
    /// In the mapping, and named more than once in the table: nobody knows which is meant.
    pub(crate) doubled: Vec<String>,
}

/// A value for every record, from the command line: the path of a field or of a member of `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Constant {
    /// `actor.id`, `meta.subject`.
    pub(crate) path: String,
    /// The value.
    pub(crate) value: String,
}

/// Which columns fit.
pub(crate) fn columns(table: &Table, mapping: &Mapping) -> Columns {
    let wanted = mapping.columns();
    let without = |asked: Wanted| {
        let names = wanted
            .iter()
            .filter(move |(name, wanted)| **wanted == asked && table.column(name).is_none());
        names.map(|(name, _)| *name)
    };
    let ignored = mapping.ignore.iter().map(String::as_str);
    let known = wanted.keys().copied().chain(ignored);
    let known: BTreeSet<u32> = known.filter_map(|name| table.column(name)).collect();
    let unused = table
        .columns
        .iter()
        .filter(|(column, _)| !known.contains(column));
    let unused: Vec<&str> = unused.map(|(_, name)| name.as_str()).collect();
    let with_nearest = |name: &str| match nearest(name, unused.iter().copied()) {
        Some(near) => format!("{name} (nearest: {near})"),
        None => name.to_owned(),
    };
    let doubled = wanted.keys().filter_map(|name| {
        let places = table.doubled(name)?;
        Some(format!("{name} ({})", places.join(", ")))
    });
    // What feeds a field is imported, whatever `ignore` says.
    let ignored = mapping.ignore.iter();
    let ignored = ignored.filter(|name| !wanted.contains_key(name.as_str()));
    let ignored = ignored.filter_map(|name| table.columns.get(&table.column(name)?));
    Columns {
        ignored: ignored.cloned().collect(),
        absent: without(Wanted::Optional).map(ToOwned::to_owned).collect(),
        missing: without(Wanted::Required).map(with_nearest).collect(),
        unnamed: table.unnamed(),
        doubled: doubled.collect(),
        unused: unused.into_iter().map(ToOwned::to_owned).collect(),
    }
}

/// Constants for fields that no record of the mapping has, each with the nearest: they would be lost
/// without a word.
pub(crate) fn unknown_constants(mapping: &Mapping, constants: &[Constant]) -> Vec<String> {
    let bundle = RuleBundle::v1();
    let unknown = |constant: &Constant| {
        let path = record_path(&constant.path);
        let kinds = mapping.record.iter();
        let mut kinds = kinds.filter_map(|record| bundle.newest_kind(&record.kind).ok());
        let mut near = None;
        let is_unknown = kinds.all(|kind| match unknown_in(kind, &path) {
            None => false,
            Some(unknown) => {
                near = near.take().or(unknown.nearest);
                true
            }
        });
        is_unknown.then(|| match near {
            Some(near) => format!("{} (nearest: {near})", constant.path),
            None => constant.path.clone(),
        })
    };
    constants.iter().filter_map(unknown).collect()
}

/// The records of all rows, in order. Files that they name as attachments are looked for, and what the
/// row does not say of them is filled in.
pub(crate) fn make(
    table: &Table,
    mapping: &Mapping,
    (constants, shelf): (&[Constant], &mut Shelf),
) -> Result<Vec<Made>> {
    let bundle = RuleBundle::v1();
    let mut made = Vec::new();
    for row in &table.rows {
        for record in &mapping.record {
            let maker = Maker {
                table,
                row,
                mapping,
                record,
                cells: Vec::new(),
                found: Vec::new(),
            };
            if maker.is_asked() {
                made.push(maker.make(bundle, constants, shelf)?);
            }
        }
    }
    refuse_doubled(&mut made);
    Ok(made)
}

/// Makes one record of one row.
struct Maker<'a> {
    table: &'a Table,
    row: &'a Row,
    mapping: &'a Mapping,
    record: &'a RecordMap,
    /// Which cell feeds which path of the wrapper.
    cells: Vec<(String, String)>,
    found: Vec<Broken>,
}

impl<'a> Maker<'a> {
    /// Whether the row has what the record is made of.
    fn is_asked(&self) -> bool {
        let says = |name: &String| {
            let column = self.table.column(name);
            column.is_some_and(|column| self.row.cells.contains_key(&column))
        };
        self.record.when.iter().all(says)
    }

    fn make(
        mut self,
        bundle: &RuleBundle,
        constants: &[Constant],
        shelf: &mut Shelf,
    ) -> Result<Made> {
        let mut wrapper = Json::Object(Vec::new());
        let kind = Json::Text(self.record.kind.clone());
        self.put(&mut wrapper, "meta.kind", kind);
        self.put(&mut wrapper, "record", Json::Object(Vec::new()));
        let record = self.record;
        self.check_asked();
        for (area, sources) in [("meta", &record.meta), ("record", &record.fields)] {
            for (name, source) in sources {
                let path = format!("{area}.{name}");
                if let Some(value) = self.value(&path, source) {
                    self.put(&mut wrapper, &path, value);
                }
            }
        }
        self.links(&mut wrapper);
        for Constant { path, value } in constants {
            let path = record_path(path);
            // Of several kinds in a row, each takes the constants for the fields that it has.
            if is_known(bundle, &record.kind, &path) {
                let value = constant(bundle, &record.kind, &path, value);
                self.put(&mut wrapper, &path, value);
            }
        }
        let status = status_path(bundle, &wrapper);
        let mut violations = shelf.complete(&mut wrapper)?;
        let read = read(bundle, wrapper);
        violations.extend(read.as_ref().err().into_iter().flatten().cloned());
        for violation in violations {
            self.add(&violation, status.as_deref());
        }
        Ok(Made {
            place: self.table.row_place(self.row.number),
            kind: self.record.kind.clone(),
            result: match read {
                Ok(submission) if self.found.is_empty() => Ok(submission),
                _ => Err(self.found),
            },
            cells: self.cells,
        })
    }

    /// The value for a path; what a cell does not give is said and left out.
    fn value(&mut self, path: &str, source: &Source) -> Option<Json> {
        match source {
            Source::Truth(truth) => Some(Json::Bool(*truth)),
            Source::Number(number) => Some(Json::Integer(*number)),
            Source::Text(text) => self.text(path, text).map(Json::Text),
            Source::Column(source) => {
                let columns = source.column.names().iter();
                let columns: Vec<u32> =
                    columns.filter_map(|name| self.table.column(name)).collect();
                let says = |column: &&u32| self.row.cells.contains_key(*column);
                let column = columns.iter().find(says).or_else(|| columns.first());
                if let Some(column) = column {
                    let place = self.table.place(*column, self.row.number);
                    self.cells.push((path.to_owned(), place));
                }
                let cell = column.and_then(|column| self.row.cells.get(column));
                match value::read(source, &self.mapping.people, cell) {
                    Ok(value) => value,
                    Err(refused) => {
                        self.refuse(path, refused);
                        None
                    }
                }
            }
        }
    }

    /// Puts a value at a path. One that leads nowhere is refused: the value would be lost.
    fn put(&mut self, wrapper: &mut Json, path: &str, value: Json) {
        if !put(wrapper, path, value) {
            let rule = "a path is names and [index] up to 100, and what it leads to is there once";
            self.refuse(path, Refused::new(rule, path));
        }
    }

    /// What a row is asked for by is read, although it may feed nothing.
    fn check_asked(&mut self) {
        for name in &self.record.when {
            let column = self.table.column(name);
            let cell = column.and_then(|column| self.row.cells.get(&column));
            if let (Some(column), Some(Err(refused))) = (column, cell.map(value::text_of)) {
                let place = self.table.place(column, self.row.number);
                self.cells.push(("when".to_owned(), place));
                self.refuse("when", refused);
            }
        }
    }

    /// A text with the cells that it names. Nothing where it names cells, and all of them are empty.
    /// What a cell says is not looked at for names again.
    fn text(&mut self, path: &str, text: &str) -> Option<String> {
        let mut says = names_in(text).is_empty();
        let mut pieces = text.split('{');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let Some((name, rest)) = piece.split_once('}') else {
                filled.push('{');
                filled.push_str(piece);
                continue;
            };
            let words = self.words(path, name);
            says |= !words.is_empty();
            filled.push_str(words);
            filled.push_str(rest);
        }
        let filled = filled.trim();
        (says && !filled.is_empty()).then(|| filled.to_owned())
    }

    /// What the cell in a column says; nothing where there is none, or where it is refused.
    fn words(&mut self, path: &str, name: &str) -> &'a str {
        let Some(column) = self.table.column(name) else {
            return "";
        };
        let place = self.table.place(column, self.row.number);
        self.cells.push((path.to_owned(), place));
        match self.row.cells.get(&column).map(value::text_of) {
            Some(Ok(words)) => words,
            Some(Err(refused)) => {
                self.refuse(path, refused);
                ""
            }
            None => "",
        }
    }

    fn links(&mut self, wrapper: &mut Json) {
        let mut links = Vec::new();
        for (relation, target) in &self.record.links {
            let path = format!("meta.links[{}]", links.len());
            if let Some(target) = self.text(&path, target) {
                let pair = [relation.clone(), target].map(Json::Text);
                links.push(Json::Array(pair.into()));
            }
        }
        if !links.is_empty() {
            self.put(wrapper, "meta.links", Json::Array(links));
        }
    }

    fn refuse(&mut self, path: &str, refused: Refused) {
        let Refused {
            rule,
            found,
            nearest,
            advice,
        } = refused;
        let field = path.to_owned();
        let violation = Violation::new(Reason::InvalidField, field, rule).found(found);
        let violation = match nearest {
            Some(nearest) => violation.nearest(nearest),
            None => violation,
        };
        let place = self
            .cell_of(path)
            .unwrap_or_else(|| self.table.row_place(self.row.number));
        let broken = Broken::from(&violation).written_at(place);
        self.found.push(match advice {
            Some(advice) => broken.with_advice(advice),
            None => broken,
        });
    }

    /// What the rules say of the record that was made. What a cell did not give has been said.
    fn add(&mut self, violation: &Violation, status: Option<&str>) {
        let is_said = self
            .found
            .iter()
            .any(|found| found.field() == violation.field);
        if is_said {
            return;
        }
        // A cell that feeds some other field of the record says nothing of this one.
        let place = locate(&violation.field, status, |path| {
            self.cell_of(path).filter(|_| path != "record")
        });
        let is_fed = place.is_some();
        let place = place.unwrap_or_else(|| self.table.row_place(self.row.number));
        let broken = Broken::from(violation).written_at(place);
        let is_missing = violation.reason == Reason::MissingField && !is_fed;
        let field = violation.field.strip_prefix("record.");
        self.found.push(match field.filter(|_| is_missing) {
            Some(field) => broken.with_advice(format!(
                "no column feeds it: --set '{field}=VALUE', or a line in the mapping"
            )),
            None => broken,
        });
    }

    fn cell_of(&self, path: &str) -> Option<String> {
        cell_of(&self.cells, path)
    }
}

impl Made {
    /// The cell that feeds a path, or else the row.
    pub(crate) fn place_of(&self, path: &str) -> String {
        cell_of(&self.cells, path).unwrap_or_else(|| self.place.clone())
    }
}

/// The cell that feeds a path, or the first that feeds a part of it.
fn cell_of(cells: &[(String, String)], path: &str) -> Option<String> {
    let exact = cells.iter().find(|(fed, _)| fed == path);
    let inside = |fed: &str| {
        fed.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    let cell = exact.or_else(|| cells.iter().find(|(fed, _)| inside(fed)));
    cell.map(|(_, cell)| cell.clone())
}

/// Two rows with one key would be two records of one thing.
fn refuse_doubled(made: &mut [Made]) {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for one in made {
        let Ok(Submission { key: Some(key), .. }) = &one.result else {
            continue;
        };
        let Some(earlier) = first.get(key) else {
            first.insert(key.clone(), one.place.clone());
            continue;
        };
        let rule = format!("each row has a key of its own; this one stands in {earlier} too");
        let violation = Violation::new(Reason::DuplicateField, "meta.key", rule).found(key);
        one.result = Err(vec![Broken::from(&violation).written_at(one.place.clone())]);
    }
}

#[cfg(test)]
#[path = "rows/tests.rs"]
mod tests;
