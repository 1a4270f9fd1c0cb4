//! Records as people write them: forms in YAML, and JSON, with the line of everything that is wrong.
//!
//! A YAML file holds one wrapper (see [`aimslog_proto::aims::submission`]) a document, so `---` stands
//! between records. The schema says what a scalar is: where it asks for text, `no` and `1e3` and
//! `2026-11-02` are these texts, quoted or not; `true` and `false` without quotation marks are truth
//! values where it asks for one. A value that is left out, `~` and `null` without quotation marks are
//! no value, and so are rows of a list in which nothing is filled in.

mod hint;
mod outline;
mod template;
pub mod yaml;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::aims::schema::{FieldSchema, MessageSchema, ValueType};
use aimslog_proto::aims::submission::{RecordError, Submission, drafts, line_in, read_at};
use aimslog_proto::reason::{Reason, Violation};
use aimslog_proto::statement::json::Json;

use yaml::{Node, Value, YamlError, YamlRule, documents, is_nothing};

pub use outline::outline;
pub use template::{Detail, Filled, filled_form, form};

/// How a file of records is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// One JSON object, or one a line.
    Json,
    /// YAML, one record a document.
    Yaml,
}

impl Notation {
    /// The notation of a file: what its extension says, else JSON where its first character begins a
    /// JSON object.
    pub fn of(extension: Option<&str>, bytes: &[u8]) -> Self {
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json" | "jsonl" | "ndjson") => Self::Json,
            _ => match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                None | Some(b'{') => Self::Json,
                Some(_) => Self::Yaml,
            },
        }
    }
}

/// A wrapper that was read, and where its parts stand.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The wrapper, for changes before it is judged.
    pub json: Json,
    /// The line of the file at which it starts.
    pub line: usize,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Json(&'a str),
    Yaml(Node),
}

impl Draft<'_> {
    /// The line of the file at which the value under a path stands, as in `record.results[2].note`.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        match &self.source {
            Source::Json(text) => line_in(text, self.line, path),
            Source::Yaml(node) => node.line_of(path),
        }
    }

    /// The submission, or everything that is wrong with it, each with its line.
    pub fn read(self, bundle: &RuleBundle) -> Result<Submission, RecordError> {
        let line = self.line;
        read_at(bundle, (line, self.json), |path| match &self.source {
            Source::Json(text) => line_in(text, line, path),
            Source::Yaml(node) => node.line_of(path),
        })
    }
}

/// The wrappers of a file, in order: what is not even well-formed is an error with its line.
pub fn read_drafts<'a>(
    bundle: &RuleBundle,
    notation: Notation,
    bytes: &'a [u8],
) -> Vec<Result<Draft<'a>, RecordError>> {
    match notation {
        Notation::Json => drafts(bytes)
            .into_iter()
            .map(|draft| {
                let draft = draft?;
                let source = Source::Json(draft.text);
                let (json, line) = (draft.json, draft.line);
                Ok(Draft { json, line, source })
            })
            .collect(),
        Notation::Yaml => {
            let (nodes, error) = documents(bytes);
            let drafts = nodes.into_iter().map(|node| {
                let json = wrapper(bundle, &node);
                let line = node.line;
                let source = Source::Yaml(node);
                Ok(Draft { json, line, source })
            });
            let error = error.map(|error| Err(refused(&error)));
            drafts.chain(error).collect()
        }
    }
}

/// The records of a file, in order.
pub fn read_file(
    bundle: &RuleBundle,
    notation: Notation,
    bytes: &[u8],
) -> Vec<Result<Submission, RecordError>> {
    let drafts = read_drafts(bundle, notation, bytes).into_iter();
    drafts.map(|draft| draft?.read(bundle)).collect()
}

fn refused(error: &YamlError) -> RecordError {
    let (reason, found) = match &error.rule {
        YamlRule::TooLarge | YamlRule::TooMany => (Reason::BatchTooLarge, None),
        YamlRule::Duplicate(name) => (Reason::DuplicateField, Some(name.clone())),
        YamlRule::Syntax(found) => (Reason::InvalidRequest, Some(found.clone())),
        _ => (Reason::InvalidRequest, None),
    };
    let violation = Violation::new(reason, "file", error.to_string());
    RecordError::at(
        error.line,
        match found {
            Some(found) => violation.found(found),
            None => violation,
        },
    )
}

/// The wrapper of a document. What is no mapping stays what it is, for the reader to refuse it.
fn wrapper(bundle: &RuleBundle, node: &Node) -> Json {
    let Value::Map(members) = &node.value else {
        return value(node, None);
    };
    let kind = kind_of(bundle, node);
    let read = |name: &str, node: &Node| match name {
        "meta" => meta(node),
        "record" => match (&node.value, kind) {
            (Value::Map(members), Some(kind)) => object(members, Some(kind.schema())),
            _ => value(node, None),
        },
        _ => value(node, None),
    };
    let members = members.iter();
    let members = members.map(|(name, node)| (name.text.clone(), read(&name.text, node)));
    Json::Object(members.collect())
}

fn kind_of<'b>(bundle: &'b RuleBundle, node: &Node) -> Option<&'b Kind> {
    let (_, meta) = node.member("meta")?;
    let (_, name) = meta.member("kind")?;
    let kind = bundle.newest_kind(text_of(name)?).ok()?;
    match meta
        .member("version")
        .and_then(|(_, version)| text_of(version))
    {
        Some(version) => bundle.kind(kind.name(), version.parse().ok()?).ok(),
        None => Some(kind),
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Plain(text) if is_nothing(text) => None,
        Value::Plain(text) | Value::Quoted(text) => Some(text),
        Value::List(_) | Value::Map(_) => None,
    }
}

/// The version of the kind is the one number in it.
fn meta(node: &Node) -> Json {
    let Value::Map(members) = &node.value else {
        return value(node, None);
    };
    let read = |name: &str, node: &Node| match text_of(node).map(str::parse) {
        Some(Ok(version)) if name == "version" => Json::Integer(version),
        _ => value(node, None),
    };
    let members = members.iter();
    let members = members.map(|(name, node)| (name.text.clone(), read(&name.text, node)));
    Json::Object(members.collect())
}

fn object(members: &[(yaml::Name, Node)], message: Option<&MessageSchema>) -> Json {
    let field = |name: &str| {
        let fields = message.map_or(&[][..], |message| message.fields.as_slice());
        let named = |field: &&FieldSchema| field.name == name || field.json_name == name;
        fields.iter().find(named)
    };
    let members = members.iter();
    let members = members.map(|(name, node)| (name.text.clone(), value(node, field(&name.text))));
    Json::Object(members.collect())
}

/// A value as the schema of its field asks for it. Recursion is bounded by the depth of the text.
fn value(node: &Node, field: Option<&FieldSchema>) -> Json {
    let shape = field.map(|field| &field.value);
    match &node.value {
        Value::Plain(text) if is_nothing(text) => Json::Null,
        Value::Plain(text) => match (shape, text.as_str()) {
            (Some(ValueType::Bool), "true") => Json::Bool(true),
            (Some(ValueType::Bool), "false") => Json::Bool(false),
            _ => Json::Text(text.clone()),
        },
        Value::Quoted(text) => Json::Text(text.clone()),
        Value::List(elements) => {
            let elements = Node::elements(elements);
            Json::Array(elements.map(|element| value(element, field)).collect())
        }
        Value::Map(members) => match shape {
            Some(ValueType::Message(message)) => object(members, Some(message)),
            _ => object(members, None),
        },
    }
}

#[cfg(test)]
#[path = "form/tests.rs"]
mod tests;
