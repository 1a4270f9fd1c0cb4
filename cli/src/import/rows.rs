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
    /// The cell that says what it links to, if one does.
    pub(crate) link_place: Option<String>,
    /// The record, or everything that is wrong with it.
    pub(crate) result: std::result::Result<Submission, Vec<Broken>>,
}

/// How the columns of a table and those of a mapping fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Columns {
    /// In the table, and not imported.
    pub(crate) unused: Vec<String>,
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
    Columns {
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

impl Maker<'_> {
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
        put(&mut wrapper, "meta.kind", kind);
        put(&mut wrapper, "record", Json::Object(Vec::new()));
        let record = self.record;
        for (area, sources) in [("meta", &record.meta), ("record", &record.fields)] {
            for (name, source) in sources {
                let path = format!("{area}.{name}");
                if let Some(value) = self.value(&path, source)
                    && !put(&mut wrapper, &path, value)
                {
                    self.refuse(
                        &path,
                        Refused::new("a path of the mapping is names and [index]", name),
                    );
                }
            }
        }
        self.links(&mut wrapper);
        for Constant { path, value } in constants {
            let path = record_path(path);
            // Of several kinds in a row, each takes the constants for the fields that it has.
            if is_known(bundle, &record.kind, &path) {
                put(
                    &mut wrapper,
                    &path,
                    constant(bundle, &record.kind, &path, value),
                );
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
            link_place: self.cell_of("meta.links"),
            result: match read {
                Ok(submission) if self.found.is_empty() => Ok(submission),
                _ => Err(self.found),
            },
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

    /// A text with the cells that it names. Nothing where it names cells, and all of them are empty.
    fn text(&mut self, path: &str, text: &str) -> Option<String> {
        let names = names_in(text);
        let mut filled = text.to_owned();
        let mut says = names.is_empty();
        for name in names {
            let Some(column) = self.table.column(name) else {
                filled = filled.replace(&format!("{{{name}}}"), "");
                continue;
            };
            let place = self.table.place(column, self.row.number);
            self.cells.push((path.to_owned(), place));
            let words = match self.row.cells.get(&column).map(value::text_of) {
                Some(Ok(words)) => words,
                Some(Err(refused)) => {
                    self.refuse(path, refused);
                    ""
                }
                None => "",
            };
            says |= !words.is_empty();
            filled = filled.replace(&format!("{{{name}}}"), words);
        }
        let filled = filled.trim();
        (says && !filled.is_empty()).then(|| filled.to_owned())
    }

    fn links(&mut self, wrapper: &mut Json) {
        let mut links = Vec::new();
        for (relation, target) in &self.record.links {
            if let Some(target) = self.text("meta.links", target) {
                let pair = [relation.clone(), target].map(Json::Text);
                links.push(Json::Array(pair.into()));
            }
        }
        if !links.is_empty() {
            put(wrapper, "meta.links", Json::Array(links));
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

    /// The cell that feeds a path, or the first that feeds a part of it.
    fn cell_of(&self, path: &str) -> Option<String> {
        let exact = self.cells.iter().find(|(fed, _)| fed == path);
        let inside = |fed: &str| {
            fed.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let cell = exact.or_else(|| self.cells.iter().find(|(fed, _)| inside(fed)));
        cell.map(|(_, cell)| cell.clone())
    }
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
