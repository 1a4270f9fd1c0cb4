//! Files of records that the client submits.
//!
//! A file holds one JSON object, or one per line (JSON lines; empty lines are skipped); the client
//! reads the same wrapper in YAML too. Each is the wrapper
//!
//! ```json
//! {"meta":{"kind":"finding","key":"finding-03","subject":"sys-triage-1",
//!          "links":[["audit","key:audit-01"]],"controls":["A.9.2","org/SEC.1"],
//!          "transition":"issued"},
//!  "record":{"findingReference":"F-03"}}
//! ```
//!
//! `record` is free JSON (see [`super::convert`]). In `meta`, only `kind` is required:
//!
//! | member | meaning | absent |
//! |---|---|---|
//! | `kind` | name of the kind | refused |
//! | `version` | version of its field list | the newest |
//! | `key` | name of the record for later links of the same run: `[A-Za-z0-9._-]{1,64}` | no name |
//! | `subject` | id of the AI system, or `aims:ID` for a part of the management system | the record's `system`, else `aims:main` |
//! | `links` | `[relation, target]` pairs; a target is an entry id or `key:NAME` of an earlier record | none |
//! | `controls` | `ID` of `iso42001-2023`, or `SCHEME/ID`; an id of a scheme of aliases (`guide/9.1`) becomes the controls that it stands for | none |
//! | `catalogues` | schemes whose catalogue the organisation has logged, so that controls may be of them: `SCHEME`, or `SCHEME@DIGEST` for one version alone | none |
//! | `transition` | the state that the record reaches | the record's status |
//! | `amends` | the record that this is the next version of: an entry id or `key:NAME` | a first version |
//! | `change` | with `amends`: `amend`, `correct` or `retract` | `amend` |

mod controls;

use self::controls::read_controls;
mod file;

pub use file::{
    Draft, Located, RecordError, drafts, line_in, locate, parse_file, read_at, status_path,
};

use super::bundle::RuleBundle;
use super::convert::{from_free, parse_free};
use super::format::is_id;
use super::kind::Kind;
use super::record::{HeaderView, Record, check_against_header};
use super::value::unknown_name;
use crate::limits::{CONTROLS_MAX, LINKS_MAX};
use crate::reason::{Reason, Violation};
use crate::statement::header::{CatalogRef, Change};
use crate::statement::id::EntryId;
use crate::statement::json::Json;

/// A record that is ready to be disclosed, committed to and signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Name for later links of the same run.
    pub key: Option<String>,
    /// What it is about.
    pub subject: Subject,
    /// The state that it reaches.
    pub transition: Option<String>,
    /// What it replaces, for a later version.
    pub amends: Option<(Target, Change)>,
    /// Its links.
    pub links: Vec<SubmissionLink>,
    /// Its controls, as scheme and id.
    pub controls: Vec<(String, String)>,
    /// What was named by an id that stands for others, and is now among the controls.
    pub aliases: Vec<Alias>,
    /// Catalogues that the organisation has logged, in the versions that the record is made for.
    pub catalogues: Vec<CatalogRef>,
    /// The record.
    pub record: Record,
}

/// An id that stands for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// As it was written.
    pub given: String,
    /// What it means in its own scheme.
    pub title: String,
    /// The controls that stand in its place, as `scheme/id`.
    pub controls: Vec<String>,
}

/// What a record is about: the last two parts of the statement's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An AI system, by its id.
    System(String),
    /// A part of the management system, by its id.
    Aims(String),
}

impl Subject {
    /// `system` or `aims`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::System(_) => "system",
            Self::Aims(_) => "aims",
        }
    }

    /// The id.
    pub fn id(&self) -> &str {
        match self {
            Self::System(id) | Self::Aims(id) => id,
        }
    }
}

/// A link of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionLink {
    /// Name of the relation.
    pub relation: String,
    /// Where it leads.
    pub target: Target,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An entry of the log.
    Entry(EntryId),
    /// A record earlier in the same run, by its `key`.
    Key(String),
}

/// Reads one wrapper.
pub fn parse(bundle: &RuleBundle, bytes: &[u8]) -> Result<Submission, Vec<Violation>> {
    read(bundle, parse_free("file", bytes)?)
}

/// The submission that a wrapper describes, however it was written down.
pub fn read(bundle: &RuleBundle, json: Json) -> Result<Submission, Vec<Violation>> {
    let mut wrapper = Taker::new("file", json, &["meta", "record"])?;
    let meta = wrapper.take("meta").unwrap_or(Json::Null);
    let record = wrapper.take("record").unwrap_or(Json::Null);
    let mut meta = Taker::new("meta", meta, &META)?;
    let kind = read_kind(bundle, &mut meta)?;

    let record = from_free(kind, record);
    let mut found = std::mem::take(&mut meta.found);
    let subject = meta.text("subject", &mut found);
    let transition = meta.text("transition", &mut found);
    let key = meta.text("key", &mut found);
    if let Some(key) = key.as_deref().filter(|key| !is_key(key)) {
        let rule = "a key is 1 to 64 of letters, digits, `.`, `_`, `-`";
        found.push(Violation::new(Reason::InvalidRequest, "meta.key", rule).found(key));
    }
    let amends = read_amends(&mut meta, &mut found);
    let links = read_links(&mut meta, kind, &mut found);
    let mut controls = read_controls(&mut meta, bundle.schemes(), &mut found);
    let record = match record {
        Ok(record) => record,
        Err(violations) => {
            found.extend(violations);
            return Err(found);
        }
    };
    let subject = read_subject(subject, text(kind, &record, "system"), &mut found);
    let status = kind
        .status_field()
        .and_then(|field| text(kind, &record, field));
    let transition = transition.or_else(|| status.map(str::to_lowercase));
    check_state(kind, transition.as_deref(), amends.is_some(), &mut found);
    controls.add_cited(bundle.schemes(), kind, &record);
    if controls.refs.len() > CONTROLS_MAX {
        let rule = "a header has at most 32 controls, those that an alias stands for included";
        let violation = Violation::new(Reason::InvalidRequest, "meta.controls", rule);
        found.push(violation.found(controls.refs.len()));
    }
    let header = HeaderView {
        subject_class: subject.class(),
        subject_id: subject.id(),
        transition: transition.as_deref(),
        signed_by: None,
        controls: &controls.refs,
    };
    found.extend(check_against_header(kind, &record, header));
    if found.is_empty() {
        Ok(Submission {
            key,
            subject,
            transition,
            amends,
            links,
            controls: controls.pairs(),
            catalogues: controls.catalogues,
            aliases: controls.aliases,
            record,
        })
    } else {
        Err(found)
    }
}

/// The members of `meta`.
pub const META: [&str; 10] = [
    "kind",
    "version",
    "key",
    "subject",
    "links",
    "controls",
    "catalogues",
    "transition",
    "amends",
    "change",
];

/// The members of an object of the wrapper, taken out one by one.
struct Taker {
    place: &'static str,
    members: Vec<(String, Json)>,
    found: Vec<Violation>,
}

impl Taker {
    fn new(
        place: &'static str,
        json: Json,
        names: &[&'static str],
    ) -> Result<Self, Vec<Violation>> {
        let Json::Object(members) = json else {
            let rule = format!("an object with {}", names.join(", "));
            return Err(vec![Violation::new(Reason::JsonMalformed, place, rule)]);
        };
        let mut found = Vec::new();
        for (index, (name, _)) in members.iter().enumerate() {
            let field = format!("{place}.{name}");
            if !names.contains(&name.as_str()) {
                found.push(unknown_name(field, name, names));
            } else if members.iter().take(index).any(|(other, _)| other == name) {
                let rule = "a member stands in an object once";
                found.push(Violation::new(Reason::DuplicateField, field, rule));
            }
        }
        if place == "file" && !found.is_empty() {
            return Err(found);
        }
        Ok(Self {
            place,
            members,
            found,
        })
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(at).1).filter(|value| *value != Json::Null)
    }

    fn text(&mut self, name: &str, found: &mut Vec<Violation>) -> Option<String> {
        let value = self.take(name)?;
        if let Json::Text(text) = value {
            return Some(text);
        }
        let field = format!("{}.{name}", self.place);
        found.push(Violation::new(
            Reason::InvalidRequest,
            field,
            "the value is a string",
        ));
        None
    }

    fn list(&mut self, name: &str, found: &mut Vec<Violation>) -> Vec<Json> {
        match self.take(name) {
            None => Vec::new(),
            Some(Json::Array(elements)) => elements,
            Some(_) => {
                let field = format!("{}.{name}", self.place);
                found.push(Violation::new(
                    Reason::InvalidRequest,
                    field,
                    "the value is a list",
                ));
                Vec::new()
            }
        }
    }
}

fn read_kind<'a>(bundle: &'a RuleBundle, meta: &mut Taker) -> Result<&'a Kind, Vec<Violation>> {
    let mut found = Vec::new();
    let name = meta.text("kind", &mut found);
    let version = meta.take("version");
    let Some(name) = name else {
        let rule = "meta.kind names the kind of the record";
        found.push(Violation::new(Reason::MissingField, "meta.kind", rule));
        return Err(found);
    };
    let newest = bundle.newest_kind(&name);
    let newest = newest.map_err(|violation| vec![violation])?;
    let Some(version) = version else {
        return Ok(newest);
    };
    let number = match &version {
        Json::Integer(number) => u32::try_from(*number).ok(),
        _ => None,
    };
    let known = number.and_then(|number| bundle.kind(&name, number).ok());
    known.ok_or_else(|| vec![other_version(newest, &version)])
}

/// What is said of a record that was made for a version of its kind that the bundle does not have.
fn other_version(newest: &Kind, version: &Json) -> Violation {
    let (name, newest) = (newest.name(), newest.version());
    let rule = format!(
        "the version is one of {name} that this program knows; `aimslog template {name}` makes a form of \
         version {newest}"
    );
    let violation = Violation::new(Reason::UnknownVersion, "meta.version", rule);
    let found = match version {
        Json::Text(text) => text.clone(),
        other => other.to_string(),
    };
    violation.found(found).nearest(newest.to_string())
}

fn read_subject(
    subject: Option<String>,
    system: Option<&str>,
    found: &mut Vec<Violation>,
) -> Subject {
    let subject = match (subject, system) {
        (Some(subject), _) => match subject.strip_prefix("aims:") {
            Some(id) => Subject::Aims(id.to_owned()),
            None => Subject::System(subject),
        },
        (None, Some(system)) => Subject::System(system.to_owned()),
        (None, None) => Subject::Aims("main".to_owned()),
    };
    if !is_id(subject.id()) {
        let rule = "a subject is the id of a system, or `aims:` and an id; an id is `[a-z0-9][a-z0-9-]{0,62}`";
        let violation = Violation::new(Reason::InvalidRequest, "meta.subject", rule);
        found.push(violation.found(subject.id()));
    }
    subject
}

fn read_amends(meta: &mut Taker, found: &mut Vec<Violation>) -> Option<(Target, Change)> {
    let amends = meta.text("amends", found);
    let change = match meta.text("change", found).as_deref() {
        None | Some("amend") => Change::Amend,
        Some("correct") => Change::Correct,
        Some("retract") => Change::Retract,
        Some(other) => {
            let rule = "a change is amend, correct or retract";
            found.push(Violation::new(Reason::InvalidRequest, "meta.change", rule).found(other));
            Change::Amend
        }
    };
    let target = read_target("meta.amends", &amends?, found)?;
    Some((target, change))
}

fn read_target(field: &str, text: &str, found: &mut Vec<Violation>) -> Option<Target> {
    let target = match text.strip_prefix("key:") {
        Some(key) => is_key(key).then(|| Target::Key(key.to_owned())),
        None => EntryId::parse(text).ok().map(Target::Entry),
    };
    if target.is_none() {
        let rule = "a target is an entry id or `key:` and the key of an earlier record";
        found.push(Violation::new(Reason::InvalidRequest, field, rule).found(text));
    }
    target
}

fn read_links(meta: &mut Taker, kind: &Kind, found: &mut Vec<Violation>) -> Vec<SubmissionLink> {
    let elements = meta.list("links", found);
    if elements.len() > LINKS_MAX {
        let rule = "a header has at most 32 links";
        found.push(Violation::new(Reason::InvalidRequest, "meta.links", rule));
    }
    let mut links = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let field = format!("meta.links[{index}]");
        let pair = match element {
            Json::Array(pair) => <[Json; 2]>::try_from(pair).ok(),
            _ => None,
        };
        let Some([Json::Text(relation), Json::Text(target)]) = pair else {
            let rule = "a link is `[relation, target]`";
            found.push(Violation::new(Reason::InvalidRequest, field, rule));
            continue;
        };
        if let Err(violation) = kind.check_relation(&relation) {
            found.push(Violation {
                field: field.clone(),
                ..violation
            });
        }
        if let Some(target) = read_target(&field, &target, found) {
            links.push(SubmissionLink { relation, target });
        }
    }
    links
}

/// A later version's earlier state is the ledger's to know, so only the name is checked then.
fn check_state(kind: &Kind, state: Option<&str>, is_later: bool, found: &mut Vec<Violation>) {
    let Some(state) = state else { return };
    let from = is_later.then_some(state);
    if let Err(violation) = kind.check_transition(from, state) {
        found.push(violation);
    }
}

fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn text<'a>(kind: &Kind, record: &'a Record, name: &str) -> Option<&'a str> {
    match record.values().get(kind.field_index(name)?)?.as_ref()? {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
#[path = "submission/tests.rs"]
mod tests;
