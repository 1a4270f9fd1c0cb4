//! The controls that a record names, wherever in it they stand.

use super::kind::Kind;
use super::schema::{FieldSchema, Format, ValueType};
use crate::statement::json::Json;

/// A control within a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cited<'a> {
    /// Where it stands, for messages.
    pub(super) path: String,
    /// Its scheme.
    pub(super) scheme: &'a str,
    /// Its id.
    pub(super) id: &'a str,
}

/// All of them, in order. Recursion follows the schema, whose depth is bounded.
pub(super) fn controls<'a>(kind: &Kind, values: &'a [Option<Json>]) -> Vec<Cited<'a>> {
    let mut found = Vec::new();
    for (field, value) in kind.fields().iter().zip(values) {
        if let Some(value) = value {
            walk(&format!("record.{}", field.name), field, value, &mut found);
        }
    }
    found
}

fn walk<'a>(path: &str, field: &FieldSchema, value: &'a Json, found: &mut Vec<Cited<'a>>) {
    match value {
        Json::Array(elements) if field.repeated => {
            for (index, element) in elements.iter().enumerate() {
                single(&format!("{path}[{index}]"), field, element, found);
            }
        }
        _ => single(path, field, value, found),
    }
}

fn single<'a>(path: &str, field: &FieldSchema, value: &'a Json, found: &mut Vec<Cited<'a>>) {
    match (&field.value, value) {
        (ValueType::Text(Format::Control), Json::Text(text)) => {
            found.extend(text.split_once('/').map(|(scheme, id)| Cited {
                path: path.to_owned(),
                scheme,
                id,
            }));
        }
        (ValueType::Message(message), Json::Object(members)) => {
            for (name, member) in members {
                if let Some(inner) = message.field(name) {
                    walk(&format!("{path}.{name}"), inner, member, found);
                }
            }
        }
        _ => {}
    }
}
