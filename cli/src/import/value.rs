//! Reading cells: dates, people, controls, and words that stand for others.

use std::collections::BTreeMap;

use aimslog_proto::aims::is_placeholder;
use aimslog_proto::statement::json::Json;
use time::format_description::{self, well_known::Rfc3339};
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

use super::control::{control, control_parts};
use super::mapping::{ColumnSource, Reading};
use crate::sheet::Cell;

/// Why a cell gives no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The rule.
    pub(super) rule: String,
    /// What the cell says.
    pub(super) found: String,
    /// The nearest that it could say.
    pub(super) nearest: Option<String>,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Refused {
    pub(super) fn new(rule: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            found: found.into(),
            nearest: None,
            advice: None,
        }
    }

    pub(super) fn advice(self, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { advice, ..self }
    }
}

/// What a cell says as a text; formulas and errors say nothing that could be signed.
pub(super) fn text_of(cell: &Cell) -> Result<&str, Refused> {
    match cell {
        Cell::Formula(formula) => {
            let rule = "a cell holds a value, not a formula, whose result depends on other cells";
            Err(Refused::new(rule, formula)
                .advice("copy the column and paste it as values, then import again"))
        }
        Cell::Fault(fault) => Err(Refused::new("a cell holds a value, not an error", fault)),
        Cell::Unsure { found, rule } => Err(Refused::new(*rule, found)
            .advice("write into the cell, as text, what it is to say, then import again")),
        cell => Ok(cell.words()),
    }
}

/// The value that a column gives for a row. Nothing where the cell is empty and nothing stands in for
/// it: what does is read as a cell would be.
pub(super) fn read(
    source: &ColumnSource,
    people: &BTreeMap<String, String>,
    cell: Option<&Cell>,
) -> Result<Option<Json>, Refused> {
    let text = match (cell, &source.default) {
        (Some(cell), _) => text_of(cell)?,
        (None, Some(default)) => default,
        (None, None) => return Ok(None),
    };
    let one = |text: &str| {
        let text = match &source.values {
            Some(values) => match (said(values, text), cell) {
                (Some(value), _) => value,
                // A default may be what the field takes itself.
                (None, None) => text,
                (None, Some(_)) => otherwise(source, values, text)?,
            },
            None => text,
        };
        read_one(source, people, text)
    };
    let Some(separator) = &source.split else {
        return one(text).map(Some);
    };
    let parts = text.split(separator.as_str());
    let parts: Vec<&str> = match source.reading {
        Reading::Control => parts.flat_map(control_parts).collect(),
        _ => parts.collect(),
    };
    let parts = parts.into_iter().map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    let elements = parts.map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Json::Array(elements)))
}

fn read_one(
    source: &ColumnSource,
    people: &BTreeMap<String, String>,
    text: &str,
) -> Result<Json, Refused> {
    let is_word = matches!(
        source.reading,
        Reading::Person | Reading::Id | Reading::Name | Reading::Lower | Reading::Control
    );
    // What is made of it would no longer look like one.
    if is_word && is_placeholder(text) {
        let rule = "a cell says something; a placeholder does not";
        return Err(Refused::new(rule, text).advice("leave it empty where there is nothing to say"));
    }
    let text = match source.reading {
        Reading::Text => match source.first {
            Some(count) => beginning(text, count),
            None => text.to_owned(),
        },
        Reading::Date => date(source, text)?,
        Reading::Person => person(people, text)?,
        Reading::Id => match text.strip_prefix("aims:") {
            Some(scope) => format!("aims:{}", with_for_others(scope, '-').to_lowercase()),
            None => with_for_others(text, '-').to_lowercase(),
        },
        Reading::Name => with_for_others(text, '_').to_uppercase(),
        Reading::Lower => text.to_lowercase(),
        Reading::Control => control(text)?,
        Reading::Truth => return truth(text),
    };
    Ok(Json::Text(text))
}

/// What the mapping takes a word for.
fn said<'v>(values: &'v BTreeMap<String, String>, text: &str) -> Option<&'v str> {
    let wanted = text.to_lowercase();
    let mut values = values.iter();
    let found = values.find(|(said, _)| said.to_lowercase() == wanted);
    found.map(|(_, value)| value.as_str())
}

/// What the mapping takes a word for that it does not know. A placeholder is no word.
fn otherwise<'v>(
    source: &'v ColumnSource,
    values: &BTreeMap<String, String>,
    text: &str,
) -> Result<&'v str, Refused> {
    let otherwise = source.otherwise.as_deref();
    if let Some(value) = otherwise.filter(|_| !is_placeholder(text)) {
        return Ok(value);
    }
    let wanted = text.to_lowercase();
    let known: Vec<&str> = values.keys().map(String::as_str).collect();
    let rule = format!("the mapping knows {}", known.join(", "));
    let near = known.iter().find(|known| {
        let known = known.to_lowercase();
        known.starts_with(&wanted) || wanted.starts_with(&known)
    });
    Err(Refused {
        nearest: near.map(|near| (*near).to_owned()),
        ..Refused::new(rule, text)
    }
    .advice("add it to `values` of the mapping"))
}

/// The beginning of a text, at a word, on one line.
fn beginning(text: &str, count: usize) -> String {
    let mut short = String::new();
    for word in text.split_whitespace() {
        if short.chars().count() + 1 + word.chars().count() > count && !short.is_empty() {
            return short + " …";
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
    }
    short
}

/// A date or time in UTC. Spreadsheets know no zones: a time without one is taken as UTC.
fn date(source: &ColumnSource, text: &str) -> Result<String, Refused> {
    if OffsetDateTime::parse(text, &Rfc3339).is_ok() {
        return Ok(text.to_owned());
    }
    let iso = [
        "YYYY-MM-DDThh:mm:ss",
        "YYYY-MM-DD hh:mm:ss",
        "YYYY-MM-DD hh:mm",
        "YYYY-MM-DD",
    ];
    let forms = iso
        .into_iter()
        .chain(source.dates.iter().map(String::as_str));
    let at = forms
        .clone()
        .find_map(|form| parse_date(form, text, source.time.as_deref()));
    at.ok_or_else(|| {
        let forms: Vec<&str> = forms.collect();
        Refused::new(format!("a date or time as {}", forms.join(", ")), text)
            .advice("`dates` of the mapping adds forms such as \"DD.MM.YYYY\"")
    })
}

/// Reads a text in a form of `YYYY`, `MM`, `DD`, `hh`, `mm`, `ss` and what stands between them.
fn parse_date(form: &str, text: &str, time: Option<&str>) -> Option<String> {
    let mut description = form.replace("YYYY", "[year]");
    for (word, part) in [
        ("MM", "[month padding:none]"),
        ("DD", "[day padding:none]"),
        ("hh", "[hour padding:none]"),
        ("mm", "[minute]"),
        ("ss", "[second]"),
    ] {
        description = description.replace(word, part);
    }
    let description = format_description::parse_borrowed::<2>(&description).ok()?;
    let at = if let Ok(at) = PrimitiveDateTime::parse(text, &description) {
        at
    } else {
        let date = Date::parse(text, &description).ok()?;
        PrimitiveDateTime::new(date, time_of_day(time)?)
    };
    at.assume_utc().format(&Rfc3339).ok()
}

fn time_of_day(text: Option<&str>) -> Option<Time> {
    let Some(text) = text else {
        return Some(Time::MIDNIGHT);
    };
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()
}

/// A person is named by an opaque id: names do not belong into a log that is kept for ten years.
fn person(people: &BTreeMap<String, String>, text: &str) -> Result<String, Refused> {
    let wanted = text.to_lowercase();
    let known = people
        .iter()
        .find(|(name, _)| name.to_lowercase() == wanted);
    if let Some((_, id)) = known {
        return Ok(id.clone());
    }
    let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    if text.bytes().all(is_id) && has_digit {
        return Ok(text.to_owned());
    }
    let rule = "a person is named by an opaque id, in lower case and with a digit, such as p-113";
    Err(Refused::new(rule, text).advice(format!(
        "say which id it is: --person '{}=ID', or [people] in the mapping",
        text.escape_debug()
    )))
}

fn with_for_others(text: &str, other: char) -> String {
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
        } else if !word.is_empty() && !word.ends_with(other) {
            word.push(other);
        }
    }
    word.trim_end_matches(other).to_owned()
}

fn truth(text: &str) -> Result<Json, Refused> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "x" | "1" => Ok(Json::Bool(true)),
        "false" | "no" | "n" | "0" => Ok(Json::Bool(false)),
        _ => Err(Refused::new("yes or no", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(reading: Reading) -> ColumnSource {
        ColumnSource {
            reading,
            ..ColumnSource::default()
        }
    }

    fn told(source: &ColumnSource, text: &str) -> Result<String, Refused> {
        let people = BTreeMap::from([("Jane Doe".to_owned(), "p-7".to_owned())]);
        let value = read(source, &people, Some(&Cell::Text(text.to_owned())))?;
        Ok(value.unwrap().to_string())
    }

    #[test]
    fn dates_are_read_in_the_forms_that_the_mapping_names() {
        let mut source = column(Reading::Date);
        let iso = Ok("\"2026-11-02T00:00:00Z\"".to_owned());
        assert_eq!(told(&source, "2026-11-02"), iso);
        assert_eq!(told(&source, "2026-11-02T00:00:00"), iso);
        assert_eq!(told(&source, "2026-11-02 00:00"), iso);
        let refused = told(&source, "02.11.2026").unwrap_err();
        assert!(refused.advice.unwrap().contains("DD.MM.YYYY"));
        source.dates = vec!["DD.MM.YYYY".to_owned(), "MM/DD/YYYY".to_owned()];
        source.time = Some("17:30".to_owned());
        let late = Ok("\"2026-11-02T17:30:00Z\"".to_owned());
        assert_eq!(told(&source, "02.11.2026"), late);
        assert_eq!(told(&source, "2.11.2026"), late);
        assert_eq!(told(&source, "11/02/2026"), late);
        for wrong in ["31.02.2026", "2026-13-01", "soon", "45321", "2/11/26"] {
            assert!(told(&source, wrong).is_err(), "{wrong}");
        }
        let zoned = "2026-11-02T08:00:00+01:00";
        assert_eq!(told(&source, zoned), Ok(format!("\"{zoned}\"")));
    }

    #[test]
    fn people_are_named_by_ids() {
        let source = column(Reading::Person);
        assert_eq!(told(&source, "jane doe"), Ok("\"p-7\"".to_owned()));
        assert_eq!(told(&source, "p-113"), Ok("\"p-113\"".to_owned()));
        for name in ["Max Example", "max", "M. Example 2"] {
            let refused = told(&source, name).unwrap_err();
            assert!(refused.advice.unwrap().contains("--person"), "{name}");
        }
    }

    #[test]
    fn words_are_read_as_what_they_stand_for() {
        assert_eq!(
            told(&column(Reading::Id), "SYS 001 (old)"),
            Ok("\"sys-001-old\"".to_owned())
        );
        assert_eq!(
            told(&column(Reading::Name), "In production"),
            Ok("\"IN_PRODUCTION\"".to_owned())
        );
        for (text, id) in [
            ("9.2", "iso42001-2023/9.2"),
            ("Clause 9.2.1:", "iso42001-2023/9.2.1"),
            ("A.9.2 Responsible use", "iso42001-2023/A.9.2"),
            ("org/SEC.1", "org/SEC.1"),
            ("Training", "iso42001-2023/Training"),
        ] {
            assert_eq!(
                told(&column(Reading::Control), text),
                Ok(format!("\"{id}\""))
            );
        }
        assert_eq!(told(&column(Reading::Truth), "Yes"), Ok("true".to_owned()));
        assert!(told(&column(Reading::Truth), "perhaps").is_err());
        let mut source = column(Reading::Text);
        source.values = Some(BTreeMap::from([("High".to_owned(), "HIGH".to_owned())]));
        assert_eq!(told(&source, "high"), Ok("\"HIGH\"".to_owned()));
        let refused = told(&source, "Hi").unwrap_err();
        assert_eq!(refused.nearest.as_deref(), Some("High"));
        let mut source = column(Reading::Control);
        source.split = Some(";".to_owned());
        let list = r#"["iso42001-2023/7.2","iso42001-2023/A.9.2"]"#;
        assert_eq!(told(&source, "7.2; A.9.2;"), Ok(list.to_owned()));
        let mut source = column(Reading::Text);
        source.first = Some(12);
        assert_eq!(
            told(&source, "A long\nstory of it"),
            Ok("\"A long story …\"".to_owned())
        );
    }

    #[test]
    fn formulas_and_errors_are_refused_and_empty_cells_have_a_default() {
        let mut source = column(Reading::Text);
        let people = BTreeMap::new();
        for cell in [
            Cell::Formula("=A1*B1".to_owned()),
            Cell::Fault("#REF!".to_owned()),
        ] {
            let refused = read(&source, &people, Some(&cell)).unwrap_err();
            assert_eq!(refused.found, cell.words());
        }
        assert_eq!(read(&source, &people, None), Ok(None));
        source.default = Some("MINOR".to_owned());
        assert_eq!(
            read(&source, &people, None),
            Ok(Some(Json::Text("MINOR".to_owned())))
        );
    }

    #[test]
    fn what_stands_in_for_an_empty_cell_is_read_as_a_cell_is() {
        let people = BTreeMap::from([("Jane Doe".to_owned(), "p-7".to_owned())]);
        let of = |mut source: ColumnSource, default: &str| {
            source.default = Some(default.to_owned());
            let value = read(&source, &people, None)?;
            Ok::<_, Refused>(value.unwrap().to_string())
        };
        let person = || column(Reading::Person);
        assert_eq!(of(person(), "Jane Doe"), Ok("\"p-7\"".to_owned()));
        assert!(of(person(), "Max Example").is_err());
        assert!(of(column(Reading::Date), "soon").is_err());
        let mut source = column(Reading::Date);
        source.time = Some("23:59".to_owned());
        let late = Ok("\"2026-11-02T23:59:00Z\"".to_owned());
        assert_eq!(of(source, "2026-11-02"), late);
        let mut source = column(Reading::Control);
        source.split = Some(";".to_owned());
        let list = r#"["iso42001-2023/7.2","iso42001-2023/9.1"]"#;
        assert_eq!(of(source, "7.2; 9.1"), Ok(list.to_owned()));
        // A word of the register, or what the field takes for it.
        let mut source = column(Reading::Name);
        source.values = Some(BTreeMap::from([("B".to_owned(), "MINOR".to_owned())]));
        assert_eq!(of(source.clone(), "b"), Ok("\"MINOR\"".to_owned()));
        assert_eq!(of(source, "MAJOR"), Ok("\"MAJOR\"".to_owned()));
        let scope = Ok("\"aims:main\"".to_owned());
        assert_eq!(of(column(Reading::Id), "aims:main"), scope);
    }

    /// `TBD` as an id would be the system `tbd`.
    #[test]
    fn placeholders_are_found_before_anything_is_made_of_them() {
        for reading in [
            Reading::Id,
            Reading::Name,
            Reading::Person,
            Reading::Lower,
            Reading::Control,
        ] {
            for text in ["TBD", "n/a", "xxx", "-"] {
                let refused = told(&column(reading), text).unwrap_err();
                assert!(refused.rule.contains("placeholder"), "{reading:?} {text}");
            }
        }
        let mut source = column(Reading::Text);
        source.values = Some(BTreeMap::from([("n/a".to_owned(), "NONE".to_owned())]));
        source.otherwise = Some("OTHER".to_owned());
        assert_eq!(told(&source, "N/A"), Ok("\"NONE\"".to_owned()));
        assert_eq!(told(&source, "Vendor"), Ok("\"OTHER\"".to_owned()));
        assert!(told(&source, "TBD").is_err());
    }

    #[test]
    fn days_of_a_workbook_have_the_time_of_the_mapping() {
        let mut source = column(Reading::Date);
        source.time = Some("23:59".to_owned());
        for (cell, expected) in [
            ("2026-11-02", "\"2026-11-02T23:59:00Z\""),
            ("2026-11-02T08:15:00", "\"2026-11-02T08:15:00Z\""),
        ] {
            let cell = Cell::Time(cell.to_owned());
            let value = read(&source, &BTreeMap::new(), Some(&cell)).unwrap();
            assert_eq!(value.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_for_certain_is_refused() {
        let found = "1e300".to_owned();
        let rule = "a number";
        let cell = Cell::Unsure { found, rule };
        let refused = read(&column(Reading::Text), &BTreeMap::new(), Some(&cell)).unwrap_err();
        assert_eq!(
            (refused.rule.as_str(), refused.found.as_str()),
            (rule, "1e300")
        );
    }
}
