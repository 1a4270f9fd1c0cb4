//! Checks one value against its place in the schema: the strict JSON profile of records.

use super::catalog::Schemes;
use super::format::{self, Instant};
use super::nearest::nearest;
use super::schema::{EnumSchema, FieldSchema, Format, MessageSchema, ValueType};
use crate::limits::{ATTACHMENTS_MAX, INTEGER_MAX, LIST_ELEMENTS_MAX};
use crate::reason::{Reason, Violation};
use crate::statement::json::Json;

const ATTACHMENT: &str = "aimslog.evidence.v1.Attachment";

/// Collects what is wrong with the values of one record. Recursion follows the schema, whose depth
/// is bounded, and never the value.
pub(super) struct ValueChecker<'a> {
    pub(super) schemes: &'a Schemes,
    pub(super) found: Vec<Violation>,
}

impl ValueChecker<'_> {
    /// Checks a field's value; `path` names the field.
    pub(super) fn field(&mut self, path: &str, field: &FieldSchema, value: &Json) {
        if !field.repeated {
            return self.single(path, field, value);
        }
        let Json::Array(elements) = value else {
            return self.wrong_type(path, "a list", value);
        };
        if elements.is_empty() {
            return self.refuse(path, "an empty list is null, or left out within an object");
        }
        let max = elements_max(field);
        if elements.len() > max {
            return self.refuse(path, &format!("this list has at most {max} elements"));
        }
        for (index, element) in elements.iter().enumerate() {
            self.single(&format!("{path}[{index}]"), field, element);
        }
    }

    fn single(&mut self, path: &str, field: &FieldSchema, value: &Json) {
        match &field.value {
            ValueType::Text(form) => self.text(path, field.required, *form, value),
            ValueType::Bool => {
                if !matches!(value, Json::Bool(_)) {
                    self.wrong_type(path, "true or false", value);
                }
            }
            ValueType::Unsigned => match value {
                Json::Integer(number) if (0..=INTEGER_MAX).contains(number) => {}
                _ => self.wrong_type(path, "an integer from 0 to 2^53 - 1", value),
            },
            ValueType::Timestamp => match value {
                Json::Text(text) if Instant::parse(text).is_some() => {}
                _ => self.wrong_type(
                    path,
                    "a time such as 2026-11-02T08:15:00Z, in UTC, with a fraction of 3, 6 or 9 digits where it has one",
                    value,
                ),
            },
            ValueType::Enum(names) => self.name(path, names, value),
            ValueType::Message(message) => self.object(path, message, value),
        }
    }

    fn text(&mut self, path: &str, is_required: bool, form: Format, value: &Json) {
        let Json::Text(text) = value else {
            return self.wrong_type(path, "a string", value);
        };
        if let Err(violation) = format::check(path, form, text, self.schemes) {
            return self.found.push(violation);
        }
        if is_required && form == Format::Text && format::is_placeholder(text) {
            let rule = "a required text says something; a placeholder does not";
            self.found
                .push(Violation::new(Reason::InvalidField, path, rule).found(text));
        }
    }

    fn name(&mut self, path: &str, names: &EnumSchema, value: &Json) {
        let rule = || format!("one of {}", names.names.join(", "));
        let Json::Text(text) = value else {
            return self.wrong_type(path, &rule(), value);
        };
        if names.names.contains(text) {
            return;
        }
        let violation = Violation::new(Reason::InvalidField, path, rule()).found(text);
        let short = text.strip_prefix(&names.prefix).unwrap_or(text);
        self.found.push(
            match nearest(short, names.names.iter().map(String::as_str)) {
                Some(name) => violation.nearest(name),
                None => violation,
            },
        );
    }

    fn object(&mut self, path: &str, message: &MessageSchema, value: &Json) {
        let Json::Object(members) = value else {
            return self.wrong_type(path, "an object", value);
        };
        if members.is_empty() {
            return self.refuse(
                path,
                "an empty object is null, or left out within an object",
            );
        }
        let mut seen = vec![false; message.fields.len()];
        let mut last = None;
        for (name, member) in members {
            let inner = format!("{path}.{name}");
            let Some(index) = message.fields.iter().position(|field| field.name == *name) else {
                self.found.push(unknown_field(inner, name, message));
                continue;
            };
            let (Some(field), Some(seen)) = (message.fields.get(index), seen.get_mut(index)) else {
                continue;
            };
            if std::mem::replace(seen, true) {
                let rule = "a field stands in an object once";
                self.found
                    .push(Violation::new(Reason::DuplicateField, inner, rule));
                continue;
            }
            if last.is_some_and(|last| index < last) {
                let rule = "the fields of an object stand in the order of their message";
                self.found
                    .push(Violation::new(Reason::SwappedField, inner.clone(), rule));
            }
            last = last.max(Some(index));
            if *member == Json::Null {
                self.refuse(&inner, "an absent field of an object is left out");
            } else {
                self.field(&inner, field, member);
            }
        }
        for (field, _) in message
            .fields
            .iter()
            .zip(seen)
            .filter(|(f, seen)| f.required && !seen)
        {
            self.found.push(missing(format!("{path}.{}", field.name)));
        }
    }

    fn refuse(&mut self, path: &str, rule: &str) {
        self.found
            .push(Violation::new(Reason::InvalidField, path, rule));
    }

    fn wrong_type(&mut self, path: &str, expected: &str, value: &Json) {
        let violation = Violation::new(
            Reason::InvalidField,
            path,
            format!("the value is {expected}"),
        );
        self.found.push(violation.found(shown(value)));
    }
}

/// A required field without a value.
pub(super) fn missing(path: String) -> Violation {
    Violation::new(Reason::MissingField, path, "a required field has a value")
}

/// How long a list may be: attachments are counted at apply one by one, other lists only read.
fn elements_max(field: &FieldSchema) -> usize {
    match &field.value {
        ValueType::Message(message) if message.full_name == ATTACHMENT => ATTACHMENTS_MAX,
        _ => LIST_ELEMENTS_MAX,
    }
}

/// A name that the message does not have.
pub(super) fn unknown_field(path: String, name: &str, message: &MessageSchema) -> Violation {
    let names: Vec<&str> = message
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    unknown_name(path, name, &names)
}

/// A name that is none of these.
pub(super) fn unknown_name(path: String, name: &str, names: &[&str]) -> Violation {
    let rule = format!("the name is one of {}", names.join(", "));
    let violation = Violation::new(Reason::UnknownField, path, rule).found(name);
    match nearest(name, names.iter().copied()) {
        Some(near) => violation.nearest(near),
        None => violation,
    }
}

/// A short text for a value of the wrong type.
fn shown(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Integer(number) => number.to_string(),
        Json::Text(text) => text.clone(),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}
