//! Mappings: which column feeds which field. A TOML file, or one of those that are built in.

mod check;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use aimslog_proto::aims::nearest::nearest;
use anyhow::Result;
use clap::ValueEnum;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::exit::UserError;
use crate::limited::read_limited;

/// Most bytes of a mapping.
const MAPPING_BYTES_MAX: u64 = 1024 * 1024;

/// A register whose usual headers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Known {
    /// Nonconformities and their corrective actions
    Nc,
    /// AI systems
    Inventory,
    /// Risks
    Risk,
    /// Documents and other evidence, each as documented information
    Evidence,
}

impl Known {
    /// The text of the mapping.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Nc => include_str!("mappings/nc.toml"),
            Self::Inventory => include_str!("mappings/inventory.toml"),
            Self::Risk => include_str!("mappings/risk.toml"),
            Self::Evidence => include_str!("mappings/evidence.toml"),
        }
    }
}

/// How a row becomes records.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// The sheet, where the workbook has several.
    pub(crate) sheet: Option<String>,
    /// The row that names the columns; the first that is not empty where this is absent.
    pub(crate) header_row: Option<u32>,
    /// Columns that are known and not imported: nothing is said about them.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
    /// The opaque id of each person who is named in the register.
    #[serde(default)]
    pub(crate) people: BTreeMap<String, String>,
    /// The records of a row, in this order.
    pub(crate) record: Vec<RecordMap>,
}

/// How a row becomes one record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordMap {
    /// Kind of the record.
    pub(crate) kind: String,
    /// The record is made only of rows in which all these columns say something.
    #[serde(default)]
    pub(crate) when: Vec<String>,
    /// Members of `meta`, by their names.
    #[serde(default)]
    pub(crate) meta: BTreeMap<String, Source>,
    /// Links, each a relation and a text such as `key:{NC ID}`.
    #[serde(default)]
    pub(crate) links: Vec<(String, String)>,
    /// Fields of the record, by their paths: `actor.id`, `evidence[0].description`.
    pub(crate) fields: BTreeMap<String, Source>,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A text that may name columns in braces: `{NC ID}`.
    Text(String),
    /// True or false for every row.
    Truth(bool),
    /// A number for every row.
    Number(i64),
    /// A column with conversions.
    Column(ColumnSource),
}

/// A column and how its cells are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSource {
    /// Name of the column; of several, the first that says something in the row.
    pub(crate) column: OneOrMore,
    /// What the cells say, and what the field takes for it; case does not matter.
    pub(crate) values: Option<BTreeMap<String, String>>,
    /// What the field takes where the cell says something that `values` does not know.
    pub(crate) otherwise: Option<String>,
    /// Where the cell is empty.
    pub(crate) default: Option<String>,
    /// A table without the column is read too.
    #[serde(default)]
    pub(crate) optional: bool,
    /// The cell is a list with this between its elements.
    pub(crate) split: Option<String>,
    /// How the text is read.
    #[serde(rename = "as", default)]
    pub(crate) reading: Reading,
    /// Forms of dates, such as `DD.MM.YYYY`; ISO 8601 is always read.
    #[serde(default)]
    pub(crate) dates: Vec<String>,
    /// Time of day for dates without one.
    pub(crate) time: Option<String>,
    /// Only the first so many characters of the text, for titles.
    pub(crate) first: Option<usize>,
}

/// One name, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "the name of a column, or a list of names of which the first that says something counts"
)]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    /// The names.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::More(names) => names,
        }
    }
}

/// How the text of a cell is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reading {
    /// As it is.
    #[default]
    Text,
    /// A date or a time.
    Date,
    /// A person: an opaque id, or a name that `people` gives one for.
    Person,
    /// An id of a system: lower case, with `-` for what an id cannot hold.
    Id,
    /// A control: `9.2`, `A.9.2`, `Clause 9.2`, `org/SEC.1`.
    Control,
    /// Yes or no.
    Truth,
    /// A digest or another word in lower case.
    Lower,
    /// A name of an enum: upper case, with `_` for what a name cannot hold.
    Name,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Reads each shape for itself, so that what is wrong within one is named.
struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, true or false, a whole number, or a table with `column`")
    }

    fn visit_str<E>(self, text: &str) -> Result<Source, E> {
        Ok(Source::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Source, E> {
        Ok(Source::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Source, E> {
        Ok(Source::Number(number))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        let column = ColumnSource::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Source::Column(column))
    }
}

impl Mapping {
    /// The mapping of a file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bytes = read_limited(file, MAPPING_BYTES_MAX, "a mapping")?;
        let named = |what: String| UserError::usage(format!("{}: {what}", file.display()));
        let text = str::from_utf8(&bytes).map_err(|error| named(error.to_string()))?;
        let mapping = Self::parse(text).map_err(named)?;
        let wrong = check::check(&mapping);
        if wrong.is_empty() {
            Ok(mapping)
        } else {
            Err(named(wrong.join("\n")))
        }
    }

    /// The mapping that a text describes; the error names the line, and the nearest word to one that
    /// means nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let said = error.to_string();
            let said = said.trim_end();
            match nearest_word(error.message()) {
                Some(near) => format!("{said}; nearest: {near}"),
                None => said.to_owned(),
            }
        })
    }

    /// The columns that something is read from, and whether a table must have them.
    pub(crate) fn columns(&self) -> BTreeMap<&str, Wanted> {
        let mut required = Vec::new();
        let mut optional = Vec::new();
        for record in &self.record {
            optional.extend(record.when.iter().map(String::as_str));
            required.extend(record.links.iter().flat_map(|(_, target)| names_in(target)));
            for source in record.meta.values().chain(record.fields.values()) {
                match source {
                    Source::Text(text) => required.extend(names_in(text)),
                    Source::Column(source) => {
                        let names = source.column.names().iter().map(String::as_str);
                        // Of several names, a table has one.
                        if source.optional || source.column.names().len() > 1 {
                            optional.extend(names);
                        } else {
                            required.extend(names);
                        }
                    }
                    Source::Truth(_) | Source::Number(_) => {}
                }
            }
        }
        let optional = optional.into_iter().map(|name| (name, Wanted::Optional));
        let required = required.into_iter().map(|name| (name, Wanted::Required));
        optional.chain(required).collect()
    }
}

/// Whether a table must have a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// Of a message such as "unknown field `colum`, expected one of `column`, `as`": the nearest word that is
/// expected.
fn nearest_word(message: &str) -> Option<&str> {
    let (found, expected) = message
        .strip_prefix("unknown ")
        .and_then(|rest| rest.split_once(", expected"))?;
    nearest(quoted(found).next()?, quoted(expected))
}

/// The words between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The columns that a text names in braces.
pub(crate) fn names_in(text: &str) -> Vec<&str> {
    let after_braces = text.split('{').skip(1);
    after_braces
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mappings_that_are_built_in_are_read() {
        for known in Known::value_variants() {
            let mapping =
                Mapping::parse(known.text()).unwrap_or_else(|error| panic!("{known:?}: {error}"));
            assert!(!mapping.columns().is_empty(), "{known:?}");
            assert_eq!(check::check(&mapping), [""; 0], "{known:?}");
        }
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error_with_its_line_and_the_nearest() {
        let field = |value: &str| {
            format!("[[record]]\nkind = \"finding\"\n[record.fields]\ntitle = {value}\n")
        };
        for (text, words) in [
            (field("{ colum = \"A\" }"), ["line 4", "nearest: column"]),
            (
                field("{ column = \"A\", as = \"dat\" }"),
                ["line 4", "nearest: date"],
            ),
            (field("{ column = 3 }"), ["line 4", "the name of a column"]),
            (field("1.5"), ["line 4", "a whole number"]),
            ("igno = []\n".to_owned(), ["line 1", "nearest: ignore"]),
            ("header_row = -1\n".to_owned(), ["line 1", "header_row"]),
        ] {
            let error = Mapping::parse(&text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{text}: {error}");
            }
        }
    }

    #[test]
    fn columns_are_named_in_braces() {
        assert_eq!(names_in("key:{NC ID}-{Part}"), ["NC ID", "Part"]);
        assert_eq!(names_in("plain } {"), [""; 0]);
    }
}
