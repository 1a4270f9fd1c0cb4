//! Rules between the fields of one record, as the tables of its kind give them.

use super::bundle::BundleError;
use super::format::{Instant, is_placeholder};
use super::kind::{Kind, WhenRule};
use super::role::RoleRule;
use super::schema::{FieldSchema, Format, MessageSchema, ValueType};
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
            let value = |path: &str| at(kind, values, path);
            found.extend(required((kind, kind.schema()), rule, "record", value));
            continue;
        };
        let (Some(Json::Array(elements)), Some(message)) =
            (at(kind, values, list), elements_of(kind.schema(), list))
        else {
            continue;
        };
        for (index, element) in elements.iter().enumerate() {
            let place = format!("record.{list}[{index}]");
            let value = |path: &str| inside(element, path);
            found.extend(required((kind, message), rule, &place, value));
        }
    }
}

/// What one rule misses at one place; `value` gives what stands at a path below it, where `message`
/// says what may stand.
fn required<'a>(
    (kind, message): (&Kind, &MessageSchema),
    rule: &WhenRule,
    place: &str,
    value: impl Fn(&str) -> Option<&'a Json>,
) -> Vec<Violation> {
    let Some(name) = value(&rule.field).and_then(text_of) else {
        return Vec::new();
    };
    if !rule.values.iter().any(|needing| needing == name) {
        return Vec::new();
    }
    let id = when_id(kind, rule, name);
    let wrong = rule.require.iter().filter_map(|path| {
        let text = format!("{id}: required where {} is {name}", rule.field);
        let at = format!("{place}.{path}");
        let Some(value) = value(path) else {
            return Some(Violation::new(Reason::MissingField, at, text));
        };
        let filler = placeholder(field_at(message, path)?, value)?;
        let text = format!("{text}; a placeholder says nothing");
        Some(Violation::new(Reason::InvalidField, at, text).found(filler))
    });
    wrong.collect()
}

/// The text, if it is one for people that stands for nothing yet.
fn placeholder<'a>(field: &FieldSchema, value: &'a Json) -> Option<&'a str> {
    let is_text = matches!(field.value, ValueType::Text(Format::Text));
    text_of(value).filter(|text| is_text && is_placeholder(text))
}

/// The stable name of the rule that a value of a field needs others: `FINDING-CLOSED` for a state,
/// `FINDING-GRADE-OBSERVATION` for another field, and with the list where it is within elements.
pub(super) fn when_id(kind: &Kind, rule: &WhenRule, value: &str) -> String {
    let mut parts = vec![kind.name()];
    parts.extend(rule.each.as_deref());
    if rule.each.is_some() || kind.status_field() != Some(rule.field.as_str()) {
        parts.push(&rule.field);
    }
    parts.push(value);
    rule_id(&parts)
}

/// The stable name of the rule that a state is signed by whom a field names:
/// `CORRECTIVE-ACTION-VERIFIED-SIGNER`.
pub(super) fn signer_id(kind: &Kind, state: &str) -> String {
    rule_id(&[kind.name(), state, "signer"])
}

fn rule_id(parts: &[&str]) -> String {
    let text = parts.join("-").replace(['_', '.'], "-");
    text.to_uppercase()
}

/// Whether whoever signs a version in `state` is the principal that the record names, where the tables
/// ask for that.
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
    check_signers(kind)?;
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
        let field = field_at(kind.schema(), path).ok_or_else(|| undefined(path))?;
        if !matches!(field.value, ValueType::Text(_)) {
            return Err(undefined(path));
        }
    }
    Ok(())
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
