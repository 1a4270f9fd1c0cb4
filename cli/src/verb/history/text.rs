//! A history in words.

use std::fmt::Write as _;

use aimslog_proto::statement::evidence::printable;
use anyhow::Result;
use serde_json::Value;

use super::{Shown, Told};

/// Letters of a value that are shown; `--json` has all of them.
const VALUE_LETTERS_MAX: usize = 120;

pub(super) fn of(shown: &Shown) -> Result<String> {
    let mut text = format!(
        "{} of {}, number {}: entity {}\nin front of entry {}\n",
        shown.kind, shown.organization, shown.number_claim, shown.entity, shown.at
    );
    for version in &shown.versions {
        of_version(&mut text, version)?;
    }
    match shown.count_claim {
        Some(1) => writeln!(text, "1 version")?,
        Some(count) => writeln!(text, "{count} versions")?,
        None => writeln!(text, "{} shown", shown.versions.len())?,
    }
    writeln!(
        text,
        "proven: bytes, signer and place of each, in the log of {} entries, cosigned by {}",
        shown.head.size,
        shown.head.cosigned_by()
    )?;
    writeln!(text, "not proven: {}; that it is true", shown.not_proven)?;
    Ok(text)
}

fn of_version(text: &mut String, version: &Told) -> Result<()> {
    let states = match (version.state_from.as_deref(), version.state.as_str()) {
        (_, "") => String::new(),
        (Some(from), to) if from != to && !from.is_empty() => format!(", {from} -> {to}"),
        (_, state) => format!(", {state}"),
    };
    writeln!(
        text,
        "version {} at index {}: {}{states}",
        version.version, version.index, version.change
    )?;
    let mut line = |name: &str, value: &str| writeln!(text, "  {name:<11} {value}");
    line("entry", &version.entry_id)?;
    line("signed by", &printable(&version.signer.to_string()))?;
    let signed = format!("{}, says the signer", version.signed_at_claim);
    line("signed at", &signed)?;
    line("logged", &version.logged.to_string())?;
    let registered = format!("{}, says the ledger", version.registered_at_claim);
    line("registered", &registered)?;
    for link in &version.links {
        let link = format!("{} {}", link.relation, link.target);
        line("link", &printable(&link))?;
    }
    for control in &version.controls {
        line("control", &printable(control))?;
    }
    let shown = format!(
        "{} of {} shown ({})",
        version.fields_shown, version.fields_total, version.payload
    );
    line("fields", &shown)?;
    let Some(changes) = &version.changes else {
        return Ok(());
    };
    for field in &changes.fields {
        let change = format!(
            "{}: {} -> {}",
            field.name,
            value(&field.from),
            value(&field.to)
        );
        line("changed", &change)?;
    }
    if changes.is_complete && changes.fields.is_empty() {
        line("changed", "no field")?;
    } else if !changes.is_complete {
        line(
            "changed",
            "what else did is not known: not every field of both versions is shown",
        )?;
    }
    Ok(())
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => return "(absent)".to_owned(),
        value => printable(&value.to_string()),
    };
    if text.chars().count() <= VALUE_LETTERS_MAX {
        return text;
    }
    let beginning: String = text.chars().take(VALUE_LETTERS_MAX).collect();
    format!("{beginning}… ({} letters)", text.chars().count())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_one_line_and_long_ones_say_how_long_they_are() {
        assert_eq!(value(&json!(null)), "(absent)");
        assert_eq!(value(&json!("a")), "\"a\"");
        let long = value(&json!("é".repeat(500)));
        assert!(long.ends_with("… (502 letters)"), "{long}");
        assert!(!value(&json!("a\nb")).contains('\n'));
    }
}
