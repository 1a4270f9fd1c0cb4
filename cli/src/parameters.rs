//! `parameters.toml`: the numbers by which a management system judges itself, as `aimslog aims init`
//! writes them and the organisation changes them. `docs/parameters.md` has the same table.
//!
//! The file is read strictly: every number is there once and within its bounds, and nothing else is, so
//! that a slip of the pen is not taken for a decision.

use std::fmt;

use aimslog_proto::aims::nearest::nearest;
use toml::de::{DeTable, DeValue};

/// Most bytes of the file.
pub(crate) const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A whole number, from the first to the last.
    Number(i64, i64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// All members, in the order of the file.
pub(crate) const MEMBERS: [(&str, Holds); 11] = [
    ("review_days", Holds::Number(1, 1826)),
    ("risk_reassessment_days", Holds::Number(1, 1826)),
    ("impact_assessment_days", Holds::Number(0, 366)),
    ("oversight_plans_for", Holds::Word(&["all", "high-risk"])),
    ("decision_seconds_min", Holds::Number(0, 3600)),
    (
        "decisions_per_reviewer_and_day_max",
        Holds::Number(1, 100_000),
    ),
    ("escalation_hours", Holds::Number(1, 8760)),
    ("effectiveness_observation_days", Holds::Number(0, 1826)),
    ("recording_lag_days", Holds::Number(0, 366)),
    ("training_percent_min", Holds::Number(0, 100)),
    ("incident_response_hours", Holds::Number(1, 8760)),
];

/// What is wrong with the file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// 1-based line; none of what is missing.
    pub(crate) line: Option<usize>,
    /// What it is.
    pub(crate) what: String,
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(first, last) => write!(f, "a whole number from {first} to {last}"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// Everything that is wrong with a file of parameters.
pub(crate) fn check(text: &str) -> Vec<Wrong> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|it| *it == b'\n').count();
    let parsed = DeTable::parse(text);
    let table = match &parsed {
        Ok(table) => table.get_ref(),
        Err(error) => {
            let line = error.span().map(|span| line_at(span.start));
            let what = error.message().to_owned();
            return vec![Wrong { line, what }];
        }
    };
    let mut wrong = Vec::new();
    for (name, value) in table {
        let line = Some(line_at(name.span().start));
        let name: &str = name.get_ref();
        let what = match MEMBERS.iter().find(|(member, _)| *member == name) {
            None => unknown(name),
            Some((_, holds)) if holds.takes(value.get_ref()) => continue,
            Some((_, holds)) => format!("{name} is {holds}"),
        };
        wrong.push(Wrong { line, what });
    }
    let is_missing = |name: &&str| !table.keys().any(|key| key.get_ref() == *name);
    let names = MEMBERS.iter().map(|(name, _)| *name);
    wrong.extend(names.filter(is_missing).map(|name| Wrong {
        line: None,
        what: format!("{name} is missing"),
    }));
    wrong.sort_by_key(|wrong| wrong.line.unwrap_or(usize::MAX));
    wrong
}

fn unknown(name: &str) -> String {
    match nearest(name, MEMBERS.map(|(member, _)| member)) {
        Some(near) => format!("there is no parameter {name}; nearest: {near}"),
        None => format!("there is no parameter {name}"),
    }
}

impl Holds {
    fn takes(self, value: &DeValue<'_>) -> bool {
        match (self, value) {
            (Self::Number(first, last), DeValue::Integer(number)) => {
                let value = number.as_str().parse::<i64>();
                // A number in another base is none that somebody means here.
                number.radix() == 10 && value.is_ok_and(|value| (first..=last).contains(&value))
            }
            (Self::Word(words), DeValue::String(word)) => words.contains(&word.as_ref()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starter::PARAMETERS_TEXT;

    #[test]
    fn the_parameters_that_are_written_are_valid() {
        assert_eq!(check(PARAMETERS_TEXT).len(), 0);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_nearest() {
        for (from, to, expected) in [
            (
                "review_days =",
                "reviw_days =",
                "there is no parameter reviw_days; nearest: review_days",
            ),
            (
                "review_days = 365",
                "review_days = 0",
                "review_days is a whole number from 1 to 1826",
            ),
            (
                "review_days = 365",
                "review_days = \"365\"",
                "review_days is a whole number",
            ),
            (
                "review_days = 365",
                "review_days = 365.5",
                "review_days is a whole number",
            ),
            (
                "review_days = 365",
                "review_days = 99999999999999999999",
                "review_days is",
            ),
            (
                "= \"all\"",
                "= \"some\"",
                "oversight_plans_for is one of all, high-risk",
            ),
            (
                "review_days = 365",
                "review_days = 0x16",
                "review_days is a whole number",
            ),
            ("= \"all\"", "= true", "oversight_plans_for is one of"),
            (
                "review_days = 365",
                "[review_days]",
                "review_days is a whole number",
            ),
            (
                "training_percent_min = 95",
                "training_percent_min = 101",
                "training_percent_min is",
            ),
        ] {
            let text = PARAMETERS_TEXT.replacen(from, to, 1);
            assert_ne!(text, PARAMETERS_TEXT, "{from}");
            let found = check(&text);
            let line = text.lines().position(|line| line.contains(to)).unwrap() + 1;
            let is_told =
                |wrong: &Wrong| wrong.line == Some(line) && wrong.what.starts_with(expected);
            assert!(found.iter().any(is_told), "{to}: {found:?}");
        }
        let text = PARAMETERS_TEXT.replacen("review_days = 365", "", 1);
        let missing = Wrong {
            line: None,
            what: "review_days is missing".to_owned(),
        };
        assert_eq!(check(&text), [missing]);
        let broken = check("review_days = \n");
        assert_eq!(broken[0].line, Some(1), "{broken:?}");
        let doubled = check("review_days = 1\nreview_days = 2\n");
        assert_eq!(doubled[0].line, Some(2), "{doubled:?}");
    }

    #[test]
    fn the_page_has_every_parameter_with_what_it_holds_and_its_default() {
        let page = include_str!("../../docs/parameters.md");
        let rows: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        assert_eq!(rows.len(), MEMBERS.len());
        for ((name, holds), row) in MEMBERS.iter().zip(rows) {
            let line = PARAMETERS_TEXT
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap();
            let default = line.split_once(" = ").unwrap().1;
            let start = format!("| `{name}` | {holds} | `{default}` |");
            assert!(row.starts_with(&start), "{row} does not begin with {start}");
        }
    }
}
