//! Goal: each rule between the fields of a record refuses what breaks it. Method: one row for each
//! rule, a change to the golden record that breaks this rule alone; a rule without a row fails.

use super::{fields, kind, with};
use crate::aims::kind::{Kind, WhenRule};
use crate::reason::Reason;
use std::collections::BTreeSet;

/// Kind, changes to its golden record as strict JSON, and the field that is found.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str);

/// Kind, field and rule of a violation; a place in a list is left out of the field.
type Broken = (String, String, String);

/// Each row breaks one rule, and together they break every rule of these kinds.
pub(super) fn break_every_rule(kinds: &[&str], rows: &[Row<'_>]) {
    let broken: BTreeSet<Broken> = rows.iter().map(broken_by).collect();
    for name in kinds {
        for rules in rules_of(kind(name)) {
            assert!(
                rules.iter().any(|rule| broken.contains(rule)),
                "no row breaks {rules:?}"
            );
        }
    }
}

fn broken_by((name, changes, field): &Row<'_>) -> Broken {
    assert!(changes.starts_with('{'), "{name} {changes}");
    let changed = fields(changes);
    let changed: Vec<_> = changed
        .iter()
        .map(|(field, value)| (field.as_str(), value.clone()))
        .collect();
    let found = with(name, &changed);
    assert_eq!(found.len(), 1, "{name} {changes}: {found:?}");
    let violation = &found[0];
    assert_eq!(
        violation.field,
        format!("record.{field}"),
        "{name} {changes}"
    );
    let reason = if violation.rule.starts_with("required where") {
        Reason::MissingField
    } else {
        Reason::InvalidField
    };
    assert_eq!(violation.reason, reason, "{name} {changes}");
    let place = violation.field.split(']').map(|part| {
        let (before, _index) = part.split_once('[').unwrap_or((part, ""));
        before
    });
    let field = place.collect();
    ((*name).to_owned(), field, violation.rule.clone())
}

/// The rules between the fields of a kind; each as the violations that show it, one of which is
/// enough.
fn rules_of(kind: &Kind) -> Vec<Vec<Broken>> {
    let broken = |field: &str, rule: String| -> Broken {
        (kind.name().to_owned(), format!("record.{field}"), rule)
    };
    let tables = &kind.tables;
    let content = tables.when.iter().flat_map(|rule: &WhenRule| {
        rule.require.iter().map(move |path| {
            let field = match &rule.each {
                Some(list) => format!("{list}.{path}"),
                None => path.clone(),
            };
            let value = |value| broken(&field, format!("required where {} is {value}", rule.field));
            rule.values.iter().map(value).collect()
        })
    });
    let order = tables.order.iter();
    let order = order.map(|(first, second)| vec![broken(second, format!("not before {first}"))]);
    let distinct = tables.distinct.iter();
    let distinct =
        distinct.map(|(one, other)| vec![broken(other, format!("names somebody else than {one}"))]);
    content.chain(order).chain(distinct).collect()
}
