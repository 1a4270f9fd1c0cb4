//! Values at paths such as `record.evidence[0].description`.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::aims::nearest::nearest;
use aimslog_proto::aims::schema::ValueType;
use aimslog_proto::aims::submission::META;
use aimslog_proto::statement::json::Json;
use aimslog_proto::statement::json::locate::{Step, steps};

/// Longest list that a path such as `evidence[3]` may ask for.
const PATH_INDEX_MAX: usize = 100;

/// The path in the wrapper of what a constant names.
pub(super) fn record_path(path: &str) -> String {
    if path.starts_with("meta.") {
        path.to_owned()
    } else {
        format!("record.{path}")
    }
}

/// Whether records of this kind have what stands at the path.
pub(super) fn is_known(bundle: &RuleBundle, kind: &str, path: &str) -> bool {
    let kind = bundle.newest_kind(kind);
    kind.is_ok_and(|kind| unknown_in(kind, path).is_none())
}

/// A name in a path that records do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownName {
    /// The name.
    pub(crate) name: String,
    /// The nearest that stands in its place.
    pub(crate) nearest: Option<String>,
}

impl UnknownName {
    fn among<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Self {
        Self {
            name: name.to_owned(),
            nearest: nearest(name, names).map(ToOwned::to_owned),
        }
    }
}

/// The first name of a path in the wrapper that records of this kind do not have.
pub(crate) fn unknown_in(kind: &Kind, path: &str) -> Option<UnknownName> {
    if let Some(member) = path.strip_prefix("meta.") {
        let name = member.split(['.', '[']).next().unwrap_or(member);
        let is_known = META.contains(&name);
        return (!is_known).then(|| UnknownName::among(name, META.into_iter()));
    }
    let field = path.strip_prefix("record.").unwrap_or(path);
    let mut message = Some(kind.schema());
    for step in steps(field) {
        let Step::Member(name) = step else {
            continue;
        };
        let fields = message.map_or(&[][..], |message| message.fields.as_slice());
        let found = fields
            .iter()
            .find(|field| field.name == name || field.json_name == name);
        let Some(found) = found else {
            let names = fields.iter().map(|field| field.name.as_str());
            return Some(UnknownName::among(name, names));
        };
        message = match &found.value {
            ValueType::Message(message) => Some(message),
            _ => None,
        };
    }
    None
}

/// A constant as its field takes it: truth values and numbers are no texts.
pub(super) fn constant(bundle: &RuleBundle, kind: &str, path: &str, value: &str) -> Json {
    let field = path.strip_prefix("record.").and_then(|field| {
        let kind = bundle.newest_kind(kind).ok()?;
        let mut steps = steps(field).filter_map(|step| match step {
            Step::Member(name) => Some(name),
            Step::Element(_) => None,
        });
        let first = kind.schema().field(steps.next()?)?;
        steps.try_fold(first, |field, name| match &field.value {
            ValueType::Message(message) => message.field(name),
            _ => None,
        })
    });
    let one = |text: &str| match (field.map(|field| &field.value), text) {
        (Some(ValueType::Bool), "true") => Json::Bool(true),
        (Some(ValueType::Bool), "false") => Json::Bool(false),
        _ => Json::Text(text.to_owned()),
    };
    let is_list = field.is_some_and(|field| field.repeated) && !path.ends_with(']');
    if is_list || path == "meta.controls" {
        let parts = value
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        Json::Array(parts.map(one).collect())
    } else {
        one(value)
    }
}

/// Puts a value at a path, making what surrounds it. Says whether the path leads anywhere.
pub(super) fn put(json: &mut Json, path: &str, value: Json) -> bool {
    let mut at = json;
    for step in steps(path) {
        let next = match step {
            Step::Member(name) => member(at, name),
            Step::Element(index) => element(at, index),
        };
        let Some(next) = next else {
            return false;
        };
        at = next;
    }
    *at = value;
    true
}

fn member<'j>(json: &'j mut Json, name: &str) -> Option<&'j mut Json> {
    if *json == Json::Null {
        *json = Json::Object(Vec::new());
    }
    let Json::Object(members) = json else {
        return None;
    };
    let known = members.iter().position(|(found, _)| found == name);
    let at = known.unwrap_or(members.len());
    if known.is_none() {
        members.push((name.to_owned(), Json::Null));
    }
    members.get_mut(at).map(|(_, value)| value)
}

fn element(json: &mut Json, index: usize) -> Option<&mut Json> {
    if *json == Json::Null {
        *json = Json::Array(Vec::new());
    }
    let Json::Array(elements) = json else {
        return None;
    };
    if index > PATH_INDEX_MAX {
        return None;
    }
    while elements.len() <= index {
        elements.push(Json::Null);
    }
    elements.get_mut(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_records_do_not_have_are_found_at_any_depth() {
        let kind = RuleBundle::v1().newest_kind("ai_system").unwrap();
        for path in [
            "record.name",
            "record.data_inputs[0].name",
            "record.dataInputs[0].personalData",
            "actor.id",
            "meta.controls",
        ] {
            assert_eq!(unknown_in(kind, path), None, "{path}");
        }
        for (path, name, near) in [
            ("record.nam", "nam", Some("name")),
            ("record.data_inputs[0].nme", "nme", Some("name")),
            ("record.actor.identity_number", "identity_number", None),
            ("record.name.first", "first", None),
            ("meta.keys", "keys", Some("key")),
        ] {
            let found = unknown_in(kind, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                (found.name.as_str(), found.nearest.as_deref()),
                (name, near),
                "{path}"
            );
        }
    }

    #[test]
    fn paths_make_what_surrounds_them() {
        let mut json = Json::Object(Vec::new());
        assert!(put(&mut json, "a.b[1].c", Json::Integer(1)));
        assert!(put(&mut json, "a.b[0]", Json::Bool(true)));
        assert_eq!(json.to_string(), r#"{"a":{"b":[true,{"c":1}]}}"#);
        assert!(
            !put(&mut json, "a.b.c", Json::Null),
            "a list has no members"
        );
        assert!(
            !put(&mut json, "x[999999]", Json::Null),
            "no list is that long"
        );
    }
}
