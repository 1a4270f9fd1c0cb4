//! The part of YAML 1.2 that forms are written in, with the line of every value.
//!
//! Mappings, lists and scalars, in block and in flow style; several documents. Everything by which a
//! short text becomes a large one or another one than it looks is refused: anchors, aliases, tags,
//! names that are no text, doubled names. A scalar stays the text that it is: what `no`, `1e3` or a
//! date mean is for the schema to say, not for YAML.

use std::collections::BTreeSet;

use aimslog_proto::limits::VALUE_DEPTH_MAX;
use aimslog_proto::statement::json::locate::{Step, is_spelling_of, steps};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Most bytes of a file: a form is for people, and larger files are JSON lines.
pub const YAML_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most values in a file, names among them; each costs some hundred bytes of memory.
pub const YAML_NODES_MAX: usize = 1_000_000;
/// Mappings and lists around a scalar: those of a record, its own and the wrapper's.
const DEPTH_MAX: usize = VALUE_DEPTH_MAX + 2;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// 1-based line of the file.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A value as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A scalar without quotation marks; empty where nothing is written.
    Plain(String),
    /// A scalar in quotation marks, or a block of text.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order, no name twice.
    Map(Vec<(Name, Node)>),
}

/// The name of a member of a mapping, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// 1-based line of the file.
    pub line: usize,
    /// The name.
    pub text: String,
}

/// Why a text is no form, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct YamlError {
    /// 1-based line of the file.
    pub line: usize,
    /// What is wrong.
    pub rule: YamlRule,
}

/// What a text breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlRule {
    /// Not UTF-8.
    #[error("the file is text in UTF-8")]
    NotUtf8,
    /// More than [`YAML_BYTES_MAX`].
    #[error("a YAML file has at most 16 MiB; larger ones are JSON lines")]
    TooLarge,
    /// More than [`YAML_NODES_MAX`].
    #[error("a YAML file has at most 1000000 values; larger ones are JSON lines")]
    TooMany,
    /// Nested too deeply.
    #[error("nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// No YAML.
    #[error("the file is YAML 1.2")]
    Syntax(String),
    /// An anchor or an alias.
    #[error("a form has no anchors and aliases: each value is written where it stands")]
    Alias,
    /// A tag.
    #[error("a form has no tags: the schema says what a value is")]
    Tag,
    /// A name that is a list or a mapping.
    #[error("a name is text")]
    Name,
    /// A name that stands in a mapping already.
    #[error("a name stands in a mapping once")]
    Duplicate(String),
}

/// The documents of a file, in order, and what is wrong with the rest of it. Documents that hold
/// nothing are left out.
pub fn documents(bytes: &[u8]) -> (Vec<Node>, Option<YamlError>) {
    if bytes.len() > YAML_BYTES_MAX {
        return (Vec::new(), Some(YamlError::at(1, YamlRule::TooLarge)));
    }
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to());
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            return (Vec::new(), Some(YamlError::at(line, YamlRule::NotUtf8)));
        }
    };
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        let taken = match parser.next_event() {
            None => return (builder.documents, None),
            Some(Ok((event, span))) => builder.take(event, span),
            Some(Err(error)) => Err(YamlError::from(&error)),
        };
        if let Err(error) = taken {
            return (builder.documents, Some(error));
        }
    }
}

impl YamlError {
    fn at(line: usize, rule: YamlRule) -> Self {
        Self { line, rule }
    }
}

impl From<&ScanError> for YamlError {
    fn from(error: &ScanError) -> Self {
        let rule = YamlRule::Syntax(error.info().to_owned());
        Self::at(error.marker().line().max(1), rule)
    }
}

impl Node {
    /// Whether nothing is written here, nor in anything below: a row of a form that nobody filled in.
    pub fn is_blank(&self) -> bool {
        match &self.value {
            Value::Plain(text) => is_nothing(text),
            Value::Quoted(_) => false,
            Value::List(elements) => elements.iter().all(Self::is_blank),
            Value::Map(members) => members.iter().all(|(_, value)| value.is_blank()),
        }
    }

    /// The elements of a list that say something.
    pub fn elements(elements: &[Self]) -> impl Iterator<Item = &Self> {
        elements.iter().filter(|element| !element.is_blank())
    }

    /// The member of a mapping with this name, in `snake_case` or `camelCase`.
    pub fn member(&self, name: &str) -> Option<(&Name, &Self)> {
        let Value::Map(members) = &self.value else {
            return None;
        };
        let found = members
            .iter()
            .find(|(found, _)| is_spelling_of(&found.text, name));
        found.map(|(name, value)| (name, value))
    }

    /// The line at which the value under `path` stands, as in `record.results[2].note`.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let mut line = self.line;
        let mut node = self;
        for step in steps(path) {
            (line, node) = match (step, &node.value) {
                (Step::Member(name), _) => {
                    let (name, value) = node.member(name)?;
                    (name.line, value)
                }
                (Step::Element(index), Value::List(elements)) => {
                    let element = Self::elements(elements).nth(index)?;
                    (element.line, element)
                }
                (Step::Element(_), _) => return None,
            };
        }
        Some(line)
    }
}

/// Whether a plain scalar says that there is no value.
pub fn is_nothing(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null")
}

/// Puts documents together out of the parser's events, without recursion.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    nodes: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    line: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        members: Vec<(Name, Node)>,
        names: BTreeSet<String>,
        /// The name whose value comes next.
        name: Option<Name>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line().max(1);
        let refuse = |rule| Err(YamlError::at(line, rule));
        let (anchor, is_tagged) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            Event::Alias(anchor) => ((*anchor).max(1), false),
            _ => (0, false),
        };
        if anchor != 0 {
            return refuse(YamlRule::Alias);
        }
        if is_tagged {
            return refuse(YamlRule::Tag);
        }
        match event {
            Event::Scalar(text, style, _, _) => {
                let text = text.into_owned();
                let value = match style {
                    ScalarStyle::Plain => Value::Plain(text),
                    _ => Value::Quoted(text),
                };
                self.add(Node { line, value })
            }
            Event::SequenceStart(..) => self.begin(line, Content::List(Vec::new())),
            Event::MappingStart(..) => {
                let (members, names) = (Vec::new(), BTreeSet::new());
                let name = None;
                self.begin(
                    line,
                    Content::Map {
                        members,
                        names,
                        name,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(_)
            | Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, content: Content) -> Result<(), YamlError> {
        if let Some(Open {
            content: Content::Map { name: None, .. },
            ..
        }) = self.open.last()
        {
            return Err(YamlError::at(line, YamlRule::Name));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::at(line, YamlRule::TooDeep));
        }
        self.open.push(Open { line, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(Open { line, content }) = self.open.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::List(elements) => Value::List(elements),
            Content::Map { members, .. } => Value::Map(members),
        };
        self.add(Node { line, value })
    }

    fn add(&mut self, node: Node) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > YAML_NODES_MAX {
            return Err(YamlError::at(node.line, YamlRule::TooMany));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node.is_blank() => {}
            None => self.documents.push(node),
            Some(Content::List(elements)) => elements.push(node),
            Some(Content::Map {
                members,
                names,
                name,
            }) => match (name.take(), node.value) {
                (Some(name), value) => members.push((name, Node { value, ..node })),
                (None, Value::Plain(text) | Value::Quoted(text)) => {
                    if !names.insert(text.clone()) {
                        return Err(YamlError::at(node.line, YamlRule::Duplicate(text)));
                    }
                    *name = Some(Name {
                        line: node.line,
                        text,
                    });
                }
                (None, _) => return Err(YamlError::at(node.line, YamlRule::Name)),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
