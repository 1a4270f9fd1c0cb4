//! A record: one value or null for each field of its kind, in the order of the frozen list.

use super::kind::Kind;
use super::value::{ValueChecker, missing, unknown_field};
use super::{cited, cross};
use crate::reason::{Reason, Violation};
use crate::statement::header::ControlRef;
use crate::statement::json::{Json, JsonError};

/// The values of a valid record. Only [`Record::new`], the reader of free JSON and the reader of
/// canonical bytes make one, so it has been checked against its kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    kind: String,
    version: u32,
    values: Vec<Option<Json>>,
}

/// What a header says that the record says too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// Class of the subject: `system` or `aims`.
    pub subject_class: &'a str,
    /// Last part of the subject.
    pub subject_id: &'a str,
    /// The state that this version reaches.
    pub transition: Option<&'a str>,
    /// The principal who signs; `None` for a version that takes the record back, and where nobody knows
    /// who will sign.
    pub signed_by: Option<&'a str>,
    /// The controls that it names.
    pub controls: &'a [ControlRef],
}

impl<'a> HeaderView<'a> {
    /// Takes a subject `urn:aimslog:<organisation>:<class>:<id>` apart; `None` where it is none.
    pub fn new(
        subject: &'a str,
        transition: Option<&'a str>,
        controls: &'a [ControlRef],
    ) -> Option<Self> {
        let mut parts = subject.strip_prefix("urn:aimslog:")?.split(':');
        let (_organization, subject_class) = (parts.next()?, parts.next()?);
        let subject_id = parts.next()?;
        parts.next().is_none().then_some(Self {
            subject_class,
            subject_id,
            transition,
            signed_by: None,
            controls,
        })
    }
}

impl Record {
    /// The record with these values, in the order of the frozen list; all violations otherwise.
    pub fn new(kind: &Kind, values: Vec<Option<Json>>) -> Result<Self, Vec<Violation>> {
        let values: Vec<Option<Json>> = values
            .into_iter()
            .map(|value| value.filter(|value| *value != Json::Null))
            .collect();
        let count = kind.fields().len();
        if values.len() != count {
            let rule = format!("a record of {} has {count} fields", kind.name());
            let violation = Violation::new(Reason::MissingField, "record", rule);
            return Err(vec![violation.found(values.len())]);
        }
        let found = check_values(kind, &values);
        if found.is_empty() {
            let (kind, version) = (kind.name().to_owned(), kind.version());
            Ok(Self {
                kind,
                version,
                values,
            })
        } else {
            Err(found)
        }
    }

    /// Name of the kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Version of the field list.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// One value for each field, in the order of the frozen list.
    pub fn values(&self) -> &[Option<Json>] {
        &self.values
    }

    /// Field names of `kind` with the values; `kind` is the one that the record was made for.
    pub fn fields<'a>(
        &'a self,
        kind: &'a Kind,
    ) -> impl Iterator<Item = (&'a str, Option<&'a Json>)> {
        kind.field_names()
            .zip(self.values.iter().map(Option::as_ref))
    }

    /// The canonical bytes: a strict JSON object of all fields in order, absent ones as null.
    pub fn canonical_bytes(&self, kind: &Kind) -> Vec<u8> {
        let members = self
            .fields(kind)
            .map(|(name, value)| (name.to_owned(), value.cloned().unwrap_or(Json::Null)))
            .collect();
        Json::Object(members).to_string().into_bytes()
    }

    /// Reads the canonical bytes back.
    pub fn from_canonical_bytes(kind: &Kind, bytes: &[u8]) -> Result<Self, Vec<Violation>> {
        let malformed = |error: JsonError| {
            let rule = "the text is one value of the strict JSON profile";
            vec![Violation::new(error.reason(), "record", rule).found(error)]
        };
        let json = Json::parse(bytes).map_err(malformed)?;
        let Json::Object(members) = json else {
            let rule = "a record is a JSON object";
            return Err(vec![Violation::new(Reason::JsonMalformed, "record", rule)]);
        };
        let fields: Vec<(&str, Option<Json>)> = members
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.clone())))
            .collect();
        let found = validate(kind, &fields);
        if !found.is_empty() {
            return Err(found);
        }
        Self::new(kind, fields.into_iter().map(|(_, value)| value).collect())
    }
}

/// What is wrong with the values of some fields, for a record that cannot be put together: unknown
/// names, the second of a name and fields that are not given at all are passed over, because whoever
/// found that there is no record has named them.
pub fn check_given(
    kind: &Kind,
    header: Option<HeaderView<'_>>,
    given: &[(&str, &Json)],
) -> Vec<Violation> {
    let mut values: Vec<Option<Json>> = vec![None; kind.fields().len()];
    let mut seen = vec![false; values.len()];
    for (name, value) in given {
        if let Some(index) = kind.field_index(name)
            && let (Some(slot), Some(seen)) = (values.get_mut(index), seen.get_mut(index))
            && !*seen
        {
            *seen = true;
            *slot = Some((*value).clone()).filter(|value| *value != Json::Null);
        }
    }
    let mut found = check_fields(kind, &values);
    found.extend(
        header
            .map(|header| values_against_header(kind, &values, header))
            .unwrap_or_default(),
    );
    let is_given = |name: &str| {
        let index = kind.field_index(name);
        index
            .and_then(|index| seen.get(index))
            .copied()
            .unwrap_or(true)
    };
    found.retain(|violation| match violation.field.as_str() {
        "header.transition" => kind.status_field().is_none_or(is_given),
        field => field.strip_prefix("record.").is_none_or(is_given),
    });
    found
}

/// All violations of a record given as names and values (null and `None` both mean absent), in the
/// order in which they stand: unknown, doubled, missing and swapped fields, and every value.
pub fn validate(kind: &Kind, fields: &[(&str, Option<Json>)]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut slots: Vec<(bool, Option<Json>)> = vec![(false, None); kind.fields().len()];
    for (name, value) in fields {
        let path = format!("record.{name}");
        let Some(slot) = kind
            .field_index(name)
            .and_then(|index| slots.get_mut(index))
        else {
            found.push(unknown_field(path, name, kind.schema()));
            continue;
        };
        if slot.0 {
            found.push(Violation::new(
                Reason::DuplicateField,
                path,
                "each field of the list stands in a record once",
            ));
            continue;
        }
        *slot = (true, value.clone().filter(|value| *value != Json::Null));
    }
    for (name, _) in kind.field_names().zip(&slots).filter(|(_, slot)| !slot.0) {
        let rule = "each field of the list stands in a record, null where it has no value";
        found.push(Violation::new(
            Reason::MissingField,
            format!("record.{name}"),
            rule,
        ));
    }
    if found.is_empty() {
        found = swapped(kind, fields);
    }
    let (given, values): (Vec<bool>, Vec<Option<Json>>) = slots.into_iter().unzip();
    // What is not there at all has been named above already.
    found.extend(check_fields(kind, &values).into_iter().filter(|violation| {
        violation.reason != Reason::MissingField
            || kind
                .field_names()
                .zip(&given)
                .all(|(name, given)| *given || violation.field != format!("record.{name}"))
    }));
    if found.is_empty() {
        cross::check(kind, &values, &mut found);
    }
    found
}

fn swapped(kind: &Kind, fields: &[(&str, Option<Json>)]) -> Vec<Violation> {
    kind.field_names()
        .zip(fields)
        .filter(|(expected, (name, _))| expected != name)
        .map(|(expected, (name, _))| {
            let rule = format!("this place of the list is that of {expected}");
            Violation::new(Reason::SwappedField, format!("record.{name}"), rule).found(name)
        })
        .collect()
}

fn check_values(kind: &Kind, values: &[Option<Json>]) -> Vec<Violation> {
    let mut found = check_fields(kind, values);
    if found.is_empty() {
        cross::check(kind, values, &mut found);
    }
    found
}

fn check_fields(kind: &Kind, values: &[Option<Json>]) -> Vec<Violation> {
    let mut checker = ValueChecker {
        schemes: kind.schemes(),
        found: Vec::new(),
    };
    for (field, value) in kind.fields().iter().zip(values) {
        let path = format!("record.{}", field.name);
        match value {
            Some(value) => checker.field(&path, field, value),
            None if field.required => checker.found.push(missing(path)),
            None => {}
        }
    }
    checker.found
}

/// Whether header and record agree where both speak: `system` is the subject's id where the subject
/// is a system and absent otherwise; the status is the transition's state, which such a kind's
/// header always names; who brings the entity into the state is the principal that the record names,
/// where the kind asks for that; a control of a scheme without a catalogue of ours stands in both, because
/// the ledger knows which the organisation has declared and reads headers alone.
pub fn check_against_header(
    kind: &Kind,
    record: &Record,
    header: HeaderView<'_>,
) -> Vec<Violation> {
    values_against_header(kind, &record.values, header)
}

fn values_against_header(
    kind: &Kind,
    values: &[Option<Json>],
    header: HeaderView<'_>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    if !kind
        .subjects()
        .iter()
        .any(|class| class == header.subject_class)
    {
        let rule = format!(
            "the subject's class is one of {}",
            kind.subjects().join(", ")
        );
        let violation = Violation::new(Reason::InvalidHeader, "header.sub", rule);
        found.push(violation.found(header.subject_class));
    }
    let text = |name: &str| {
        let index = kind.field_index(name)?;
        match values.get(index)?.as_ref()? {
            Json::Text(text) => Some(text.as_str()),
            _ => None,
        }
    };
    let expected = (header.subject_class == "system").then_some(header.subject_id);
    if text("system") != expected {
        let rule = "the system is the subject of the statement, and absent where that is none";
        let violation = Violation::new(Reason::HeaderMismatch, "record.system", rule)
            .found(text("system").unwrap_or("null"));
        found.push(violation.nearest(expected.unwrap_or("null")));
    }
    if let Some(field) = kind.status_field() {
        let status = text(field).unwrap_or_default().to_lowercase();
        if header.transition != Some(status.as_str()) {
            let rule = format!("the transition is the state that {field} names");
            let violation = Violation::new(Reason::HeaderMismatch, "header.transition", rule)
                .found(header.transition.unwrap_or("none"));
            found.push(violation.nearest(status));
        }
    }
    if let (Some(state), Some(principal)) = (header.transition, header.signed_by) {
        found.extend(cross::check_signer(kind, values, (state, principal)));
    }
    found.extend(controls_against_header(kind, values, header));
    found
}

fn controls_against_header(
    kind: &Kind,
    values: &[Option<Json>],
    header: HeaderView<'_>,
) -> Vec<Violation> {
    let schemes = kind.schemes();
    let is_judged = |cited: &cited::Cited<'_>| {
        let mut named = header.controls.iter();
        schemes.is_closed(cited.scheme)
            || named.any(|control| control.scheme == cited.scheme && control.id == cited.id)
    };
    let cited = cited::controls(kind, values);
    let missing = cited.into_iter().filter(|cited| !is_judged(cited));
    missing
        .map(|cited| {
            let found = format!("{}/{}", cited.scheme, cited.id);
            let rule = "a control whose catalogue is not in the rule bundle stands in \
                        header.controls as well";
            if schemes.scheme(cited.scheme).is_some() {
                return Violation::new(Reason::HeaderMismatch, cited.path, rule).found(found);
            }
            let unknown = schemes.unknown(&cited.path, cited.scheme);
            unknown.with_rule(rule)
        })
        .collect()
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
