//! Rules between the fields of one record, as the tables of its kind give them.

use super::bundle::BundleError;
use super::format::Instant;
use super::kind::Kind;
use super::role::RoleRule;
use super::schema::{FieldSchema, ValueType};
use crate::reason::{Reason, Violation};
use crate::statement::json::Json;
use std::collections::BTreeSet;

/// Checks a record whose fields are each valid: content that a state needs, order of times, and
/// who must be somebody else. `values` are in the order of the field list.
pub(super) fn check(kind: &Kind, values: &[Option<Json>], found: &mut Vec<Violation>) {
    let tables = &kind.tables;
    for rule in &tables.when {
        let Some(value) = text_at(kind, values, &rule.field) else {
            continue;
        };
        if !rule.values.iter().any(|needing| needing == value) {
            continue;
        }
        for name in &rule.require {
            if at(kind, values, name).is_none() {
                let id = when_id(kind, &rule.field, value);
                let text = format!("{id}: required where {} is {value}", rule.field);
                found.push(Violation::new(
                    Reason::MissingField,
                    format!("record.{name}"),
                    text,
                ));
            }
        }
    }
    for (earlier, later) in &tables.order {
        let time = |name| text_at(kind, values, name).and_then(Instant::parse);
        if let (Some(first), Some(second)) = (time(earlier), time(later))
            && second < first
        {
            let text = format!("not before {earlier}");
            let violation = Violation::new(Reason::InvalidField, format!("record.{later}"), text);
            found.push(match text_at(kind, values, later) {
                Some(value) => violation.found(value),
                None => violation,
            });
        }
    }
    for (one, other) in &tables.distinct {
        if let (Some(a), Some(b)) = (text_at(kind, values, one), text_at(kind, values, other))
            && a == b
        {
            let text = format!("names somebody else than {one}");
            let field = format!("record.{other}");
            found.push(Violation::new(Reason::InvalidField, field, text).found(b));
        }
    }
    check_periods(kind, values, found);
}

/// The stable name of the rule that a value of a field needs others: `FINDING-CLOSED` for a state,
/// `FINDING-GRADE-OBSERVATION` for another field.
pub(super) fn when_id(kind: &Kind, field: &str, value: &str) -> String {
    let is_status = kind.status_field() == Some(field);
    let parts: &[&str] = if is_status {
        &[kind.name(), value]
    } else {
        &[kind.name(), field, value]
    };
    rule_id(parts)
}

/// The stable name of the rule that a state is entered by whom a field names:
/// `CORRECTIVE-ACTION-VERIFIED-SIGNER`.
pub(super) fn signer_id(kind: &Kind, state: &str) -> String {
    rule_id(&[kind.name(), state, "signer"])
}

fn rule_id(parts: &[&str]) -> String {
    let text = parts.join("-").replace(['_', '.'], "-");
    text.to_uppercase()
}

/// Whether whoever brings an entity into `state` is the principal that the record names, where the
/// tables ask for that.
pub(super) fn check_signer(
    kind: &Kind,
    values: &[Option<Json>],
    (state, principal): (&str, &str),
) -> Option<Violation> {
    let field = kind.tables.signer.get(state)?;
    let named: Vec<&str> = match at(kind, values, field) {
        Some(Json::Text(text)) => vec![text],
        Some(Json::Array(elements)) => elements.iter().filter_map(text_of).collect(),
        Some(_) | None => Vec::new(),
    };
    if named.contains(&principal) {
        return None;
    }
    let id = signer_id(kind, state);
    let path = format!("record.{field}");
    if named.is_empty() {
        let rule = format!("{id}: names the principal who signs {state}");
        return Some(Violation::new(Reason::MissingField, path, rule));
    }
    let rule = format!("{id}: {state} is signed by the principal that {field} names");
    let violation = Violation::new(Reason::NotPermitted, path, rule);
    Some(violation.found(named.join(", ")).nearest(principal))
}

/// Every `Period` ends no earlier than it starts: the one rule inside an envelope message.
fn check_periods(kind: &Kind, values: &[Option<Json>], found: &mut Vec<Violation>) {
    for (field, value) in kind.fields().iter().zip(values) {
        let ValueType::Message(message) = &field.value else {
            continue;
        };
        if message.full_name != "aimslog.evidence.v1.Period" {
            continue;
        }
        let time = |name| {
            member(value.as_ref()?, name)
                .and_then(text_of)
                .and_then(Instant::parse)
        };
        if let (Some(from), Some(to)) = (time("from"), time("to"))
            && to < from
        {
            let path = format!("record.{}.to", field.name);
            found.push(Violation::new(
                Reason::InvalidField,
                path,
                "not before `from`",
            ));
        }
    }
}

/// The value at a path such as `second_review.reviewer`.
fn at<'a>(kind: &Kind, values: &'a [Option<Json>], path: &str) -> Option<&'a Json> {
    let mut parts = path.split('.');
    let index = kind.field_index(parts.next()?)?;
    let top = values.get(index)?.as_ref()?;
    parts.try_fold(top, |value, part| member(value, part))
}

fn text_at<'a>(kind: &Kind, values: &'a [Option<Json>], path: &str) -> Option<&'a str> {
    at(kind, values, path).and_then(text_of)
}

fn text_of(value: &Json) -> Option<&str> {
    match value {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

fn member<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    match value {
        Json::Object(members) => members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value),
        _ => None,
    }
}

/// Checks that the tables of a kind name nothing that does not exist.
pub(super) fn check_tables(
    kind: &Kind,
    kinds: &BTreeSet<String>,
    roles: &[RoleRule],
) -> Result<(), BundleError> {
    let tables = &kind.tables;
    let undefined = |what: &str, name: &str| BundleError::Undefined {
        place: format!("kind {}, {what}", kind.name()),
        name: name.to_owned(),
    };
    let is_state = |state: &&String| tables.states.contains(*state);
    let moves = tables
        .moves
        .iter()
        .flat_map(|(from, to)| std::iter::once(from).chain(to));
    if let Some(state) = tables
        .initial
        .iter()
        .chain(moves)
        .chain(tables.sign.keys())
        .chain(&tables.agents)
        .find(|state| !is_state(state))
    {
        return Err(undefined("states", state));
    }
    let mut signers = tables.append.iter().chain(tables.sign.values().flatten());
    if let Some(role) = signers.find(|name| !roles.iter().any(|role| role.name == **name)) {
        return Err(undefined("append, sign", role));
    }
    let targets = tables.links.iter().flat_map(|link| &link.kinds);
    if let Some(target) = targets.into_iter().find(|target| !kinds.contains(*target)) {
        return Err(undefined("links", target));
    }
    let retention = enum_names(kind, "retention_class");
    if !retention.contains(&tables.retention) {
        return Err(undefined("retention", &tables.retention));
    }
    if let Some(field) = &tables.status_field {
        let names: Vec<String> = enum_names(kind, field)
            .iter()
            .map(|name| name.to_lowercase())
            .collect();
        let missing = tables.states.iter().find(|state| !names.contains(state));
        if let Some(name) = missing.or_else(|| names.iter().find(|name| !is_state(name))) {
            return Err(undefined("status_field", name));
        }
    }
    for rule in &tables.when {
        let names = enum_names(kind, &rule.field);
        if let Some(value) = rule.values.iter().find(|value| !names.contains(value)) {
            return Err(undefined("when", value));
        }
    }
    check_signers(kind)?;
    let paths = tables.when.iter().flat_map(|rule| rule.require.iter());
    let pairs = tables
        .order
        .iter()
        .chain(&tables.distinct)
        .flat_map(|(a, b)| [a, b]);
    match paths
        .chain(pairs)
        .find(|path| field_at(kind, path).is_none())
    {
        Some(path) => Err(undefined("fields", path)),
        None => Ok(()),
    }
}

/// Who signs a state is named by a text of the record; the state is the one that the record says.
fn check_signers(kind: &Kind) -> Result<(), BundleError> {
    let undefined = |name: &str| BundleError::Undefined {
        place: format!("kind {}, signer", kind.name()),
        name: name.to_owned(),
    };
    for (state, path) in &kind.tables.signer {
        if kind.status_field().is_none() || !kind.states().contains(state) {
            return Err(undefined(state));
        }
        let field = field_at(kind, path).ok_or_else(|| undefined(path))?;
        if !matches!(field.value, ValueType::Text(_)) {
            return Err(undefined(path));
        }
    }
    Ok(())
}

fn field_at<'a>(kind: &'a Kind, path: &str) -> Option<&'a FieldSchema> {
    let mut parts = path.split('.');
    let top = kind.schema().field(parts.next()?)?;
    parts.try_fold(top, |field, part| match &field.value {
        ValueType::Message(message) => message.field(part),
        _ => None,
    })
}

fn enum_names(kind: &Kind, field: &str) -> Vec<String> {
    match kind.schema().field(field).map(|field| &field.value) {
        Some(ValueType::Enum(names)) => names.names.clone(),
        _ => Vec::new(),
    }
}
