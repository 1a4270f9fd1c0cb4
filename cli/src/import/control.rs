//! Controls that a cell names: all of them, or none.

use super::value::Refused;

/// The parts of a cell that names controls, whatever they are separated by. A comma within a title
/// separates nothing: `9.1 Monitoring, measurement`.
pub(super) fn control_parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for piece in text.split([';', '\n']) {
        let mut is_titled = false;
        for part in piece.split(',') {
            let id = control_ids(part).next();
            let is_title = is_titled && !part.contains(|c: char| c == '/' || c.is_ascii_digit());
            if is_title {
                continue;
            }
            parts.push(part);
            let title = id.and_then(|id| part.split_once(id));
            is_titled = title.is_some_and(|(_, title)| !title.trim().is_empty());
        }
    }
    parts
}

/// The words of a text that look like ids of the standard: `9.2`, `A.9.2`.
fn control_ids(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'));
    words.filter(|word| word.contains('.') && word.chars().any(|c| c.is_ascii_digit()))
}

/// The id of a control as records name it. Whether there is such a one is for the catalogue to say; a
/// text that names several is refused, so that none is left out.
pub(super) fn control(text: &str) -> Result<String, Refused> {
    let words = text.trim();
    let mut ids = control_ids(words);
    let id = ids.next();
    if ids.next().is_some() || words.contains('/') && words.contains(char::is_whitespace) {
        let rule = "one control, or several with ; , or a line break between them where the field is a list";
        return Err(Refused::new(rule, words)
            .advice("`split` of the mapping says that the column holds a list"));
    }
    if words.contains('/') {
        return Ok(words.to_owned());
    }
    let id = id.unwrap_or(words);
    let id = id.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    Ok(format!("iso42001-2023/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::mapping::{ColumnSource, Reading};
    use crate::import::value::read;
    use crate::sheet::Cell;
    use std::collections::BTreeMap;

    fn said(split: Option<&str>, text: &str) -> Result<String, Refused> {
        let source = ColumnSource {
            reading: Reading::Control,
            split: split.map(ToOwned::to_owned),
            ..ColumnSource::default()
        };
        let cell = Cell::Text(text.trim().to_owned());
        let value = read(&source, &BTreeMap::new(), Some(&cell))?;
        Ok(value.unwrap().to_string())
    }

    /// As a field that takes one control reads it.
    fn one(text: &str) -> Result<String, Refused> {
        said(None, text)
    }

    /// As a list reads it.
    fn many(text: &str) -> Result<String, Refused> {
        said(Some(";"), text)
    }

    #[test]
    fn no_control_of_a_cell_is_left_out() {
        let two = r#"["iso42001-2023/7.2","iso42001-2023/A.9.2"]"#;
        for cell in [
            "7.2;A.9.2",
            "7.2, A.9.2",
            "7.2,A.9.2,",
            "7.2\nA.9.2",
            "Clause 7.2 Competence; A.9.2 Processes",
            "7.2 Competence, A.9.2",
        ] {
            assert_eq!(many(cell), Ok(two.to_owned()), "{cell}");
            let refused = one(cell).unwrap_err();
            assert_eq!(refused.found, cell.trim(), "{cell}");
            assert!(refused.advice.unwrap().contains("`split`"), "{cell}");
        }
        for cell in ["7.2 A.9.2", "clauses 7.2 and A.9.2", "org/SEC.1 org/SEC.2"] {
            assert!(one(cell).is_err(), "{cell}");
            assert!(many(cell).is_err(), "{cell}");
        }
        let title = "9.1 Monitoring, measurement, analysis and evaluation";
        assert_eq!(many(title), Ok(r#"["iso42001-2023/9.1"]"#.to_owned()));
        assert_eq!(one(title), Ok("\"iso42001-2023/9.1\"".to_owned()));
        for (cell, ids) in [
            (
                "Training, 7.2",
                r#"["iso42001-2023/Training","iso42001-2023/7.2"]"#,
            ),
            ("7.2, A9", r#"["iso42001-2023/7.2","iso42001-2023/A9"]"#),
            (
                "7.2 Competence, A9",
                r#"["iso42001-2023/7.2","iso42001-2023/A9"]"#,
            ),
            ("org/SEC.1, 7.2", r#"["org/SEC.1","iso42001-2023/7.2"]"#),
        ] {
            assert_eq!(
                many(cell),
                Ok(ids.to_owned()),
                "for the catalogue to refuse"
            );
        }
    }
}
