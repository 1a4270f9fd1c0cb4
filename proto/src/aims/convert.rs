//! From free JSON, as people and other programs write it, to a strict record.
//!
//! Json: any white space and order of members, names in `snake_case` or `camelCase`, enum values with
//! or without the prefix of their type, times in any zone, integers as strings, null and empty for
//! absent. The result has one form. What cannot be told apart safely (numbers for enums, fractions
//! for decimals, doubled members) is refused.

use super::format::Instant;
use super::kind::Kind;
use super::record::{Record, validate};
use super::schema::{FieldSchema, MessageSchema, ValueType};
use super::value::unknown_field;
use crate::limits::FREE_JSON_BYTES_MAX;
use crate::reason::{Reason, Violation};
use crate::statement::json::Json;

/// The record of this kind that the JSON text describes, or everything that is wrong with it.
pub fn from_free_json(kind: &Kind, bytes: &[u8]) -> Result<Record, Vec<Violation>> {
    if bytes.len() > FREE_JSON_BYTES_MAX {
        let rule = "the JSON text of a record has at most 1 MiB";
        let violation = Violation::new(Reason::RecordTooLarge, "record", rule);
        return Err(vec![violation.found(bytes.len())]);
    }
    from_free(kind, parse_free("record", bytes)?)
}

/// Reads JSON in any spelling; `place` is for the message.
pub(super) fn parse_free(place: &str, bytes: &[u8]) -> Result<Json, Vec<Violation>> {
    Json::parse_free(bytes).map_err(|error| {
        let rule = "one JSON value without fractions, doubled names and large integers";
        vec![Violation::new(error.reason(), place, rule).found(error)]
    })
}

pub(super) fn from_free(kind: &Kind, json: Json) -> Result<Record, Vec<Violation>> {
    let Json::Object(members) = json else {
        let rule = "a record is a JSON object";
        return Err(vec![Violation::new(Reason::JsonMalformed, "record", rule)]);
    };
    let mut found = Vec::new();
    let slots = convert_members("record", kind.schema(), members, &mut found);
    let names: Vec<(&str, Option<Json>)> = kind.field_names().zip(slots).collect();
    found.extend(validate(kind, &names));
    if found.is_empty() {
        Record::new(kind, names.into_iter().map(|(_, value)| value).collect())
    } else {
        Err(found)
    }
}

/// One slot for each field of the message. Recursion follows the schema, whose depth is bounded.
fn convert_members(
    path: &str,
    message: &MessageSchema,
    members: Vec<(String, Json)>,
    found: &mut Vec<Violation>,
) -> Vec<Option<Json>> {
    let mut slots: Vec<(bool, Option<Json>)> = vec![(false, None); message.fields.len()];
    for (name, value) in members {
        let inner = format!("{path}.{name}");
        let named = |field: &FieldSchema| field.name == name || field.json_name == name;
        let place = message.fields.iter().position(named);
        let Some((field, slot)) =
            place.and_then(|at| Some((message.fields.get(at)?, slots.get_mut(at)?)))
        else {
            found.push(unknown_field(inner, &name, message));
            continue;
        };
        if slot.0 {
            let rule = "a field stands in an object once";
            found.push(Violation::new(Reason::DuplicateField, inner, rule));
            continue;
        }
        *slot = (
            true,
            convert_field(&format!("{path}.{}", field.name), field, value, found),
        );
    }
    slots.into_iter().map(|(_, value)| value).collect()
}

fn convert_field(
    path: &str,
    field: &FieldSchema,
    value: Json,
    found: &mut Vec<Violation>,
) -> Option<Json> {
    match value {
        Json::Null => None,
        Json::Array(elements) if field.repeated => {
            let elements: Vec<Json> = elements
                .into_iter()
                .enumerate()
                // A null element stays, so that the check names its place.
                .map(|(index, element)| {
                    let inner = format!("{path}[{index}]");
                    convert_single(&inner, field, element, found).unwrap_or(Json::Null)
                })
                .collect();
            (!elements.is_empty()).then_some(Json::Array(elements))
        }
        value => convert_single(path, field, value, found),
    }
}

fn convert_single(
    path: &str,
    field: &FieldSchema,
    value: Json,
    found: &mut Vec<Violation>,
) -> Option<Json> {
    match (&field.value, value) {
        (_, Json::Null) => None,
        (ValueType::Message(message), Json::Object(members)) => {
            let slots = convert_members(path, message, members, found);
            let members: Vec<(String, Json)> = message
                .fields
                .iter()
                .zip(slots)
                .filter_map(|(field, value)| Some((field.name.clone(), value?)))
                .collect();
            (!members.is_empty()).then_some(Json::Object(members))
        }
        (_, Json::Text(text)) if text.is_empty() => None,
        (ValueType::Timestamp, Json::Text(text)) => {
            // What is no time stays as it is, for the check to show it.
            let strict = Instant::parse_any(&text).map(|(_, strict)| strict);
            Some(Json::Text(strict.unwrap_or(text)))
        }
        (ValueType::Enum(names), Json::Text(text)) => {
            let short = text.strip_prefix(&names.prefix).unwrap_or(&text);
            (short != "UNSPECIFIED").then(|| Json::Text(short.to_owned()))
        }
        (ValueType::Unsigned, Json::Text(text)) => {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if is_plain { text.parse().ok() } else { None };
            Some(number.map_or(Json::Text(text), Json::Integer))
        }
        // What its field does not allow, the check finds.
        (_, value) => Some(value),
    }
}

#[cfg(test)]
#[path = "convert/tests.rs"]
mod tests;
