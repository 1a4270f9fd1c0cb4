//! What a message of the evidence package looks like: its fields in the order of their numbers,
//! each with type and rules, read once from the compiled descriptors.

use crate::limits::VALUE_DEPTH_MAX;
use prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind as ProtoKind};
use prost_reflect::{EnumDescriptor, MessageDescriptor};
use std::fmt::Write as _;

/// Why a message cannot be a kind of evidence: always a mistake in our own schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The descriptor set does not decode.
    #[error("the descriptor set does not decode")]
    Descriptor(#[from] prost_reflect::DescriptorError),
    /// The descriptor set lacks a message or the field option.
    #[error("the descriptor set does not define {0}")]
    Undefined(String),
    /// A field has a type that no value of the strict JSON profile stands for.
    #[error("{field} has the type {found}, which records cannot hold")]
    UnsupportedType {
        /// Full name of the field.
        field: String,
        /// Its type.
        found: String,
    },
    /// A field option does not hold what the option's message says.
    #[error("the rule of {0} is malformed")]
    MalformedRule(String),
    /// Messages are nested more deeply than a value may be.
    #[error("{0} is nested too deeply")]
    TooDeep(String),
}

/// The form of a text value, as `aimslog.evidence.v1.Format` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Free text.
    Text,
    /// Opaque id of an organisation, principal or system.
    Id,
    /// SHA-256 digest in lower-case hexadecimal digits.
    Sha256,
    /// Decimal number.
    Decimal,
    /// Media type.
    MediaType,
    /// Entry id in base64url.
    EntryId,
    /// Reference of the organisation's own.
    Reference,
    /// Control as `scheme/id`.
    Control,
    /// File name without a path.
    FileName,
}

/// A message: a kind of evidence, or a part of one.
#[derive(Debug, Clone)]
pub struct MessageSchema {
    /// Full name, for example `aimslog.evidence.v1.Finding`.
    pub full_name: String,
    /// Fields in the order of their numbers.
    pub fields: Vec<FieldSchema>,
}

/// One field of a message.
#[derive(Debug, Clone)]
pub struct FieldSchema {
    /// Name in `snake_case`.
    pub name: String,
    /// Name in `camelCase`, as free JSON may write it.
    pub json_name: String,
    /// Number in the message.
    pub number: u32,
    /// Whether absence is refused.
    pub required: bool,
    /// Whether the value is a list.
    pub repeated: bool,
    /// Type of the value, or of the elements of the list.
    pub value: ValueType,
}

/// Type of a value.
#[derive(Debug, Clone)]
pub enum ValueType {
    /// A string of some form.
    Text(Format),
    /// `true` or `false`.
    Bool,
    /// An integer of at least 0.
    Unsigned,
    /// A point in time, RFC 3339 in UTC.
    Timestamp,
    /// A name out of a list.
    Enum(EnumSchema),
    /// A nested object.
    Message(MessageSchema),
}

/// An enumeration without its `_UNSPECIFIED` value.
#[derive(Debug, Clone)]
pub struct EnumSchema {
    /// Prefix that the schema's names have and records' values lack, for example `DECISION_`.
    pub prefix: String,
    /// Names without prefix, in the order of their numbers.
    pub names: Vec<String>,
}

impl MessageSchema {
    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&FieldSchema> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// One line per field at every depth, `path number type flags`: what the digest of the rule
    /// bundle covers of the schema. Comments and names of messages are not in it.
    pub fn canonical_text(&self) -> String {
        let mut text = String::new();
        self.write_lines("", &mut text);
        text
    }

    fn write_lines(&self, prefix: &str, text: &mut String) {
        for field in &self.fields {
            let value = match &field.value {
                ValueType::Text(format) => format!("text:{format:?}"),
                ValueType::Bool => "bool".to_owned(),
                ValueType::Unsigned => "unsigned".to_owned(),
                ValueType::Timestamp => "timestamp".to_owned(),
                ValueType::Enum(names) => format!("enum:{}", names.names.join("|")),
                ValueType::Message(_) => "object".to_owned(),
            };
            let required = if field.required {
                "required"
            } else {
                "optional"
            };
            let repeated = if field.repeated { "list" } else { "single" };
            // Writing to a String cannot fail.
            let line = (&field.name, field.number, value, required, repeated);
            let _infallible = writeln!(
                text,
                "{prefix}{} {} {} {} {}",
                line.0, line.1, line.2, line.3, line.4
            );
            if let ValueType::Message(message) = &field.value {
                message.write_lines(&format!("{prefix}{}.", field.name), text);
            }
        }
    }
}

/// Reads message schemas out of a descriptor set.
#[derive(Debug)]
pub(crate) struct SchemaReader {
    pool: DescriptorPool,
    rule: ExtensionDescriptor,
}

const RULE: &str = "aimslog.evidence.v1.field";

impl SchemaReader {
    pub(crate) fn new(descriptor_set: &[u8]) -> Result<Self, SchemaError> {
        let pool = DescriptorPool::decode(descriptor_set)?;
        let rule = pool
            .all_extensions()
            .find(|extension| extension.full_name() == RULE)
            .ok_or_else(|| SchemaError::Undefined(RULE.to_owned()))?;
        Ok(Self { pool, rule })
    }

    pub(crate) fn message(&self, full_name: &str) -> Result<MessageSchema, SchemaError> {
        let message = self
            .pool
            .get_message_by_name(full_name)
            .ok_or_else(|| SchemaError::Undefined(full_name.to_owned()))?;
        self.read_message(&message, 0)
    }

    fn read_message(
        &self,
        message: &MessageDescriptor,
        depth: usize,
    ) -> Result<MessageSchema, SchemaError> {
        if depth >= VALUE_DEPTH_MAX {
            return Err(SchemaError::TooDeep(message.full_name().to_owned()));
        }
        // `fields` goes by number, which is the order of the frozen list.
        let fields = message
            .fields()
            .map(|field| self.read_field(&field, depth))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(MessageSchema {
            full_name: message.full_name().to_owned(),
            fields,
        })
    }

    fn read_field(
        &self,
        field: &FieldDescriptor,
        depth: usize,
    ) -> Result<FieldSchema, SchemaError> {
        let (required, format) = self.read_rule(field)?;
        let unsupported = |found: &ProtoKind| SchemaError::UnsupportedType {
            field: field.full_name().to_owned(),
            found: format!("{found:?}"),
        };
        let kind = field.kind();
        let value = match &kind {
            ProtoKind::String => ValueType::Text(format),
            ProtoKind::Bool => ValueType::Bool,
            ProtoKind::Uint32 | ProtoKind::Uint64 => ValueType::Unsigned,
            ProtoKind::Enum(names) => ValueType::Enum(read_enum(names)),
            ProtoKind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
                ValueType::Timestamp
            }
            ProtoKind::Message(message) if !field.is_map() => {
                ValueType::Message(self.read_message(message, depth + 1)?)
            }
            other => return Err(unsupported(other)),
        };
        Ok(FieldSchema {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            number: field.number(),
            required,
            repeated: field.is_list(),
            value,
        })
    }

    fn read_rule(&self, field: &FieldDescriptor) -> Result<(bool, Format), SchemaError> {
        let malformed = || SchemaError::MalformedRule(field.full_name().to_owned());
        let options = field.options();
        let rule = options.get_extension(&self.rule);
        let rule = rule.as_message().ok_or_else(malformed)?;
        let required = rule
            .get_field_by_name("required")
            .and_then(|value| value.as_bool())
            .ok_or_else(malformed)?;
        let format = rule
            .get_field_by_name("format")
            .and_then(|value| value.as_enum_number())
            .and_then(format_from_number)
            .ok_or_else(malformed)?;
        Ok((required, format))
    }
}

fn format_from_number(number: i32) -> Option<Format> {
    Some(match number {
        0 => Format::Text,
        1 => Format::Id,
        2 => Format::Sha256,
        3 => Format::Decimal,
        4 => Format::MediaType,
        5 => Format::EntryId,
        6 => Format::Reference,
        7 => Format::Control,
        8 => Format::FileName,
        _ => return None,
    })
}

fn read_enum(names: &EnumDescriptor) -> EnumSchema {
    let mut prefix = String::new();
    for (position, letter) in names.name().char_indices() {
        if letter.is_ascii_uppercase() && position > 0 {
            prefix.push('_');
        }
        prefix.push(letter.to_ascii_uppercase());
    }
    prefix.push('_');
    let mut values: Vec<_> = names.values().filter(|value| value.number() != 0).collect();
    values.sort_by_key(prost_reflect::EnumValueDescriptor::number);
    let names = values
        .iter()
        .map(|value| {
            value
                .name()
                .strip_prefix(&prefix)
                .unwrap_or_else(|| value.name())
                .to_owned()
        })
        .collect();
    EnumSchema { prefix, names }
}
