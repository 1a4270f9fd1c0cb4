//! What the proto files say about kinds, their fields and the values of their enums: for forms and
//! help. Nothing is decided by it, and no digest covers it.

use super::schema::EnumSchema;

// `COMMENTS`: full names and texts, sorted by name.
include!(concat!(env!("OUT_DIR"), "/comments.rs"));

const PACKAGE: &str = "aimslog.evidence.v1";

/// The comment on a message of the evidence package, by its full name, in one line.
pub fn of_message(full_name: &str) -> Option<&'static str> {
    let at = COMMENTS.binary_search_by(|(name, _)| (*name).cmp(full_name));
    COMMENTS.get(at.ok()?).map(|(_, text)| *text)
}

/// The comment on a field of a message, by the message's full name and the field's name.
pub fn of_field(message: &str, field: &str) -> Option<&'static str> {
    of_message(&format!("{message}.{field}"))
}

/// The comment on one of the values of an enum, by the name that records use.
pub fn of_value(names: &EnumSchema, name: &str) -> Option<&'static str> {
    of_message(&format!("{PACKAGE}.{}{name}", names.prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aims::bundle::RuleBundle;
    use crate::aims::schema::{MessageSchema, ValueType};

    fn check(message: &MessageSchema) -> usize {
        assert!(
            of_message(&message.full_name).is_some(),
            "{}",
            message.full_name
        );
        let mut count = 1;
        for field in &message.fields {
            let said = of_field(&message.full_name, &field.name);
            assert!(said.is_some(), "{}.{}", message.full_name, field.name);
            match &field.value {
                ValueType::Message(inner) => count += check(inner),
                ValueType::Enum(names) => {
                    for name in &names.names {
                        assert!(of_value(names, name).is_some(), "{name}");
                    }
                    count += names.names.len();
                }
                _ => count += 1,
            }
        }
        count
    }

    #[test]
    fn every_field_and_every_value_of_every_kind_is_explained() {
        let count: usize = RuleBundle::v1()
            .kinds()
            .map(|kind| check(kind.schema()))
            .sum();
        assert!(count > 400, "{count}");
    }

    #[test]
    fn comments_are_those_of_the_proto_files() {
        let said = of_field("aimslog.evidence.v1.Finding", "grade");
        assert_eq!(said, Some("Grade. Required."));
        let said = of_message("aimslog.evidence.v1.FINDING_STATUS_ISSUED");
        assert_eq!(said, Some("The auditor has issued it."));
        assert_eq!(of_message("aimslog.evidence.v1.Nothing"), None);
    }
}
