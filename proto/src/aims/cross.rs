//! Rules between the fields of one record, as the tables of its kind give them.

use super::bundle::BundleError;
use super::format::Instant;
use super::kind::{Kind, WhenRule};
use super::role::RoleRule;
use super::schema::{FieldSchema, MessageSchema, ValueType};
use crate::reason::{Reason, Violation};
use crate::statement::json::Json;
use std::collections::BTreeSet;

/// Checks a record whose fields are each valid: content that a state needs, order of times, and
/// who must be somebody else. `values` are in the order of the field list.
pub(super) fn check(kind: &Kind, values: &[Option<Json>], found: &mut Vec<Violation>) {
    let tables = &kind.tables;
    check_when(kind, values, found);
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

/// Content that a value asks for: of the record, or of each element of one of its lists.
fn check_when(kind: &Kind, values: &[Option<Json>], found: &mut Vec<Violation>) {
    for rule in &kind.tables.when {
        let Some(list) = &rule.each else {
            require(rule, "record", |path| at(kind, values, path), found);
            continue;
        };
        let Some(Json::Array(elements)) = at(kind, values, list) else {
            continue;
        };
        for (index, element) in elements.iter().enumerate() {
            let place = format!("record.{list}[{index}]");
            require(rule, &place, |path| inside(element, path), found);
        }
    }
}

/// One rule at one place; `value` gives what stands at a path below it.
fn require<'a>(
    rule: &WhenRule,
    place: &str,
    value: impl Fn(&str) -> Option<&'a Json>,
    found: &mut Vec<Violation>,
) {
    let Some(name) = value(&rule.field).and_then(text_of) else {
        return;
    };
    if !rule.values.iter().any(|needing| needing == name) {
        return;
    }
    for path in rule.require.iter().filter(|path| value(path).is_none()) {
        let text = format!("required where {} is {name}", rule.field);
        found.push(Violation::new(
            Reason::MissingField,
            format!("{place}.{path}"),
            text,
        ));
    }
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
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let top = values.get(kind.field_index(name)?)?.as_ref()?;
    match rest {
        Some(rest) => inside(top, rest),
        None => Some(top),
    }
}

/// The value at a path below an object.
fn inside<'a>(object: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(object, member)
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
    let retention = enum_names(kind.schema(), "retention_class");
    if !retention.contains(&tables.retention) {
        return Err(undefined("retention", &tables.retention));
    }
    if let Some(field) = &tables.status_field {
        let names: Vec<String> = enum_names(kind.schema(), field)
            .iter()
            .map(|name| name.to_lowercase())
            .collect();
        let missing = tables.states.iter().find(|state| !names.contains(state));
        if let Some(name) = missing.or_else(|| names.iter().find(|name| !is_state(name))) {
            return Err(undefined("status_field", name));
        }
    }
    for rule in &tables.when {
        if let Some((what, name)) = undefined_in(kind, rule) {
            return Err(undefined(what, name));
        }
    }
    let mut pairs = tables
        .order
        .iter()
        .chain(&tables.distinct)
        .flat_map(|(a, b)| [a, b]);
    match pairs.find(|path| field_at(kind.schema(), path).is_none()) {
        Some(path) => Err(undefined("fields", path)),
        None => Ok(()),
    }
}

/// The first name of a rule that nothing defines, after the part of the tables that it stands in.
fn undefined_in<'a>(kind: &'a Kind, rule: &'a WhenRule) -> Option<(&'static str, &'a str)> {
    let message = match &rule.each {
        None => kind.schema(),
        Some(list) => match elements_of(kind.schema(), list) {
            Some(message) => message,
            None => return Some(("when", list)),
        },
    };
    let names = enum_names(message, &rule.field);
    if let Some(value) = rule.values.iter().find(|value| !names.contains(value)) {
        return Some(("when", value));
    }
    let mut paths = rule.require.iter();
    let path = paths.find(|path| field_at(message, path).is_none())?;
    Some(("fields", path))
}

/// What the elements of a list of objects look like.
fn elements_of<'a>(message: &'a MessageSchema, list: &str) -> Option<&'a MessageSchema> {
    match message.field(list).filter(|field| field.repeated) {
        Some(FieldSchema {
            value: ValueType::Message(element),
            ..
        }) => Some(element),
        _ => None,
    }
}

fn field_at<'a>(message: &'a MessageSchema, path: &str) -> Option<&'a FieldSchema> {
    let mut parts = path.split('.');
    let top = message.field(parts.next()?)?;
    parts.try_fold(top, |field, part| match &field.value {
        ValueType::Message(message) => message.field(part),
        _ => None,
    })
}

fn enum_names(message: &MessageSchema, field: &str) -> Vec<String> {
    match message.field(field).map(|field| &field.value) {
        Some(ValueType::Enum(names)) => names.names.clone(),
        _ => Vec::new(),
    }
}
