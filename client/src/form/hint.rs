//! What a form says about a field: its text in the schema, when it must be there, and what it may hold.

use aimslog_proto::aims::kind::{Kind, WhenRule};
use aimslog_proto::aims::schema::{EnumSchema, FieldSchema, Format, ValueType};

/// The form of a text in a few words.
pub(super) fn format_words(format: Format) -> &'static str {
    match format {
        Format::Text => "text",
        Format::Id => "opaque id: a-z, 0-9 and -, at most 63",
        Format::Sha256 => "SHA-256, 64 lower-case hexadecimal digits",
        Format::Decimal => "decimal number such as 12.5, without exponent",
        Format::MediaType => "media type such as application/pdf",
        Format::EntryId => "entry id, 43 characters",
        Format::Reference => "reference on one line, at most 256 characters",
        Format::Control => "control such as iso42001-2023/A.9.2 or org/SEC.1",
        Format::FileName => "file name without path",
        _ => "text of a form that this program does not know",
    }
}

/// The same as a pattern of JSON Schema, where there is one.
pub(super) fn format_pattern(format: Format) -> Option<&'static str> {
    Some(match format {
        Format::Id => "^[a-z0-9][a-z0-9-]{0,62}$",
        Format::Sha256 => "^[0-9a-f]{64}$",
        Format::Decimal => "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?$",
        Format::MediaType => "^[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*$",
        Format::EntryId => "^[A-Za-z0-9_-]{43}$",
        Format::Control => "^[a-z0-9-]+/[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        _ => return None,
    })
}

/// The type of a value in a few words.
pub(super) fn type_words(field: &FieldSchema) -> String {
    let one = match &field.value {
        ValueType::Text(format) => format_words(*format).to_owned(),
        ValueType::Bool => "true or false".to_owned(),
        ValueType::Unsigned => "whole number".to_owned(),
        ValueType::Timestamp => "time such as 2026-11-02T08:15:00Z".to_owned(),
        ValueType::Enum(names) => format!("one of {}", names.names.join(", ")),
        ValueType::Message(_) => "object".to_owned(),
    };
    if field.repeated {
        format!("list, each: {one}")
    } else {
        one
    }
}

/// When a field must be there, for a record in this state; `path` is below the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Always.
    Always,
    /// In the state that the form is for.
    InState,
    /// Where another field has one of these values.
    Where(String),
    /// Never.
    Never,
}

impl Need {
    pub(super) fn of(kind: &Kind, state: &str, (path, field): (&str, &FieldSchema)) -> Self {
        if field.required {
            return Self::Always;
        }
        let mut conditions = Vec::new();
        for rule in kind
            .content_rules()
            .iter()
            .filter(|rule| is_asking(rule, path))
        {
            let is_status = rule.each.is_none() && kind.status_field() == Some(rule.field.as_str());
            if is_status
                && rule
                    .values
                    .iter()
                    .any(|value| value.eq_ignore_ascii_case(state))
            {
                return Self::InState;
            }
            conditions.push(format!("{} is {}", rule.field, rule.values.join(" or ")));
        }
        if conditions.is_empty() {
            Self::Never
        } else {
            Self::Where(conditions.join(", or "))
        }
    }

    /// In words, in brackets.
    pub(super) fn words(&self, state: &str) -> String {
        match self {
            Self::Always => "[required]".to_owned(),
            Self::InState => format!("[required in state {state}]"),
            Self::Where(condition) => format!("[required where {condition}]"),
            Self::Never => "[optional]".to_owned(),
        }
    }
}

/// Whether a rule asks for what stands at a path; it may be about each element of a list.
fn is_asking(rule: &WhenRule, path: &str) -> bool {
    let within = match &rule.each {
        Some(list) => path
            .strip_prefix(list.as_str())
            .and_then(|rest| rest.strip_prefix('.')),
        None => Some(path),
    };
    within.is_some_and(|path| rule.require.iter().any(|asked| asked == path))
}

/// The values of an enum with what each means.
pub(super) fn meanings(names: &EnumSchema) -> impl Iterator<Item = (&str, &'static str)> {
    names.names.iter().filter_map(|name| {
        let said = aimslog_proto::aims::comments::of_value(names, name)?;
        Some((name.as_str(), said))
    })
}
