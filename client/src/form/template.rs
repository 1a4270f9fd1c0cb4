//! Forms in YAML, made from the schema and the tables of a kind: blank, or filled in with a record.

use std::fmt::Write as _;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::{Catalogue, DEFAULT_SCHEME};
use aimslog_proto::aims::comments;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::aims::schema::{FieldSchema, MessageSchema, ValueType};
use aimslog_proto::reason::Violation;
use aimslog_proto::statement::json::Json;

use super::hint::{Need, meanings, type_words};

/// Characters of a line, so that a form can be read beside another.
const WIDTH: usize = 100;

/// What a form is filled in with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filled<'a> {
    /// The members of `meta` besides the kind.
    pub meta: &'a [(&'a str, Json)],
    /// The fields of the record by their names.
    pub record: &'a [(&'a str, Json)],
    /// How much the form says.
    pub detail: Detail,
}

/// How much a form says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Every field, with what it means.
    #[default]
    Full,
    /// What is filled in or required, without a comment: for one form among many of its kind.
    Brief,
}

/// The blank form of a kind for a record in `state`; without one, in the first that it can begin in.
/// Refuses a state that the kind does not have.
pub fn form(bundle: &RuleBundle, kind: &Kind, state: Option<&str>) -> Result<String, Violation> {
    filled_form(bundle, (kind, state), Filled::default())
}

/// The form with values in it.
pub fn filled_form(
    bundle: &RuleBundle,
    (kind, state): (&Kind, Option<&str>),
    filled: Filled<'_>,
) -> Result<String, Violation> {
    let first = kind.initial_states().first().map(String::as_str);
    let state = state.or(first).unwrap_or_default();
    if !kind.states().is_empty() {
        // Staying in a state is allowed in each that there is: only the name is checked.
        kind.check_transition(Some(state), state)?;
    }
    let mut writer = Writer {
        kind,
        state,
        detail: filled.detail,
        out: String::new(),
    };
    if writer.detail == Detail::Full {
        writer.head(bundle);
    }
    writer.meta(bundle, filled.meta);
    writer.line(0, "record:");
    writer.fields(1, "", kind.schema(), &|name| {
        let value = filled.record.iter().find(|(field, _)| *field == name);
        value.map(|(_, value)| value)
    });
    Ok(writer.out)
}

struct Writer<'a> {
    kind: &'a Kind,
    state: &'a str,
    detail: Detail,
    out: String,
}

impl Writer<'_> {
    /// What one has to know before filling it in.
    fn head(&mut self, bundle: &RuleBundle) {
        let kind = self.kind;
        let title = format!("{}, version {}.", kind.name(), kind.version());
        let said = comments::of_message(&kind.schema().full_name).unwrap_or_default();
        self.comment(0, &format!("{title} {said}"));
        self.comment(0, "");
        self.comment(0, &self.state_words());
        self.comment(0, &self.signer_words(bundle));
        for guard in kind.life_cycle().guards_of(self.state) {
            let asked = if guard.is_for_staying() {
                "Asked of every version in it"
            } else {
                "To enter it"
            };
            self.comment(0, &format!("{asked}: {} ({}).", guard.rule, guard.id));
        }
        for (earlier, later) in kind.ordered_times() {
            self.comment(0, &format!("{later} is not before {earlier}."));
        }
        for (one, other) in kind.distinct_people() {
            self.comment(0, &format!("{one} and {other} are different people."));
        }
        let fields = "A value that is left empty is no value. ";
        let how = "Values are read as the field asks for them, quoted or not; --- begins the next record.";
        self.comment(0, &format!("{fields}{how}"));
        self.comment(
            0,
            "Check it with: aimslog validate FILE.yaml; submit it with: aimslog submit FILE.yaml",
        );
        self.out.push('\n');
    }

    fn state_words(&self) -> String {
        let kind = self.kind;
        let after = match kind.states_after(self.state) {
            [] => "nothing".to_owned(),
            states => states.join(", "),
        };
        let later = if kind
            .initial_states()
            .iter()
            .any(|state| state == self.state)
        {
            ""
        } else {
            "; a record does not begin in it, so meta.amends is required"
        };
        format!("State {}; after it may come: {after}{later}.", self.state)
    }

    fn signer_words(&self, bundle: &RuleBundle) -> String {
        let state = Some(self.state);
        let titles = self
            .kind
            .signers(state)
            .iter()
            .map(|name| match bundle.role(name) {
                Ok(role) => format!("{name} ({})", role.title),
                Err(_) => name.clone(),
            });
        let agents = if self.kind.is_for_agents(state) {
            "may sign it too"
        } else {
            "never signs it"
        };
        let who = match self.kind.signer_field(self.state) {
            Some(field) => format!(" It is signed by whom {field} names."),
            None => String::new(),
        };
        let titles: Vec<String> = titles.collect();
        format!(
            "Signed in the role of {}; an AI agent {agents}.{who}",
            titles.join(" or ")
        )
    }

    /// The part of the wrapper that says what the record is.
    fn meta(&mut self, bundle: &RuleBundle, filled: &[(&str, Json)]) {
        let kind = self.kind;
        let given = |name: &str| filled.iter().find(|(member, _)| *member == name);
        let given = |name: &str| given(name).map(|(_, value)| value);
        if self.detail == Detail::Brief {
            return self.brief_meta(filled);
        }
        self.line(0, "meta:");
        self.line(1, &format!("kind: {}", kind.name()));
        self.line(1, &format!("version: {}", kind.version()));
        self.comment(
            1,
            "Name for links from later records of the same run: letters, digits, `.`, `_`, `-`.",
        );
        self.member(1, "key", given("key"));
        self.comment(1, &self.subject_words());
        self.member(1, "subject", given("subject"));
        if !kind.states().is_empty() {
            self.comment(
                1,
                &format!("The state that it reaches: {}.", kind.states().join(", ")),
            );
            let state = Json::Text(self.state.to_owned());
            self.member(1, "transition", Some(given("transition").unwrap_or(&state)));
        }
        self.comment(
            1,
            "For a later version: the one that it follows, an entry id or key:NAME.",
        );
        self.member(1, "amends", given("amends"));
        self.comment(1, "With amends: amend (the default), correct or retract.");
        self.member(1, "change", given("change"));
        if !kind.links().is_empty() {
            self.comment(
                1,
                "Links, each [relation, target]; a target is an entry id or key:NAME:",
            );
            for link in kind.links() {
                self.comment(
                    1,
                    &format!("  {} to {}", link.relation, link.kinds.join(", ")),
                );
            }
            self.member(1, "links", given("links"));
        }
        self.comment(
            1,
            &format!(
                "Controls that it evidences, such as {}.",
                control_example(bundle, kind)
            ),
        );
        self.member(1, "controls", given("controls"));
    }

    fn brief_meta(&mut self, filled: &[(&str, Json)]) {
        self.line(0, "meta:");
        self.line(1, &format!("kind: {}", self.kind.name()));
        self.line(1, &format!("version: {}", self.kind.version()));
        for (name, value) in filled {
            self.member(1, name, Some(value));
        }
    }

    fn subject_words(&self) -> String {
        let subjects = self.kind.subjects();
        let is = |class: &str| subjects.iter().any(|subject| subject == class);
        match (is("system"), is("aims")) {
            (true, true) => {
                "What it is about: the id of an AI system, or aims:ID for a part of the \
                management system. Empty: the record's system, else aims:main."
                    .to_owned()
            }
            (true, false) => {
                "What it is about: the id of an AI system. Empty: the record's system.".to_owned()
            }
            _ => "What it is about: aims:ID, a part of the management system. Empty: aims:main."
                .to_owned(),
        }
    }

    /// All fields of a message. Recursion follows the schema, whose depth is bounded.
    fn fields<'v>(
        &mut self,
        depth: usize,
        prefix: &str,
        message: &MessageSchema,
        value_of: &dyn Fn(&str) -> Option<&'v Json>,
    ) {
        for field in &message.fields {
            let path = format!("{prefix}{}", field.name);
            let value = value_of(&field.name).filter(|value| **value != Json::Null);
            if self.detail == Detail::Brief && value.is_none() && !field.required {
                continue;
            }
            let said = comments::of_field(&message.full_name, &field.name).unwrap_or_default();
            self.comment(depth, said);
            let need = Need::of(self.kind, self.state, (&path, field)).words(self.state);
            self.comment(depth, &format!("{need} {}", type_words(field)));
            if let ValueType::Enum(names) = &field.value {
                for (name, meaning) in meanings(names) {
                    self.comment(depth, &format!("  {name}: {meaning}"));
                }
            }
            self.field(depth, &path, field, value);
        }
    }

    fn field(&mut self, depth: usize, path: &str, field: &FieldSchema, value: Option<&Json>) {
        let ValueType::Message(message) = &field.value else {
            let status = Json::Text(self.state.to_uppercase());
            let is_status = depth == 1 && self.kind.status_field() == Some(field.name.as_str());
            let value = value.or_else(|| is_status.then_some(&status));
            return self.member(depth, &field.name, value);
        };
        self.line(depth, &format!("{}:", field.name));
        let prefix = format!("{path}.");
        let rows = match (field.repeated, value) {
            (false, _) => {
                return self.fields(depth + 1, &prefix, message, &|name| value?.field(name));
            }
            (true, Some(Json::Array(rows))) => rows.as_slice(),
            (true, _) => &[],
        };
        let blank = Json::Null;
        let rows = if rows.is_empty() {
            std::slice::from_ref(&blank)
        } else {
            rows
        };
        for row in rows {
            self.line(depth + 1, "-");
            self.fields(depth + 2, &prefix, message, &|name| row.field(name));
        }
    }

    /// A member with its value: on one line, or a list with an element a line.
    fn member(&mut self, depth: usize, name: &str, value: Option<&Json>) {
        match value {
            Some(Json::Array(elements)) if !elements.is_empty() => {
                self.line(depth, &format!("{name}:"));
                for element in elements {
                    self.line(depth + 1, &format!("- {}", flow(element)));
                }
            }
            None | Some(Json::Null) => self.line(depth, &format!("{name}:")),
            Some(value) => self.line(depth, &format!("{name}: {}", flow(value))),
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(self.out, "{:indent$}{text}", "", indent = 2 * depth);
    }

    /// A comment, broken into lines; a text that begins with spaces is indented by them.
    fn comment(&mut self, depth: usize, text: &str) {
        if self.detail == Detail::Brief {
            return;
        }
        let inner = text.len() - text.trim_start().len();
        let room = WIDTH.saturating_sub(2 * depth + 2 + inner);
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                self.line(depth, &format!("# {:inner$}{line}", ""));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let last = format!("# {:inner$}{line}", "");
        self.line(depth, last.trim_end());
    }
}

/// A control of the standard that the kind evidences, or any.
fn control_example(bundle: &RuleBundle, kind: &Kind) -> String {
    let standard = bundle.schemes().catalogue(DEFAULT_SCHEME).into_iter();
    let mut controls = standard.flat_map(Catalogue::controls);
    let evidenced = controls.find(|control| control.kinds.iter().any(|it| it == kind.name()));
    evidenced.map_or_else(
        || "A.9.2 or org/SEC.1".to_owned(),
        |control| control.id.clone(),
    )
}

/// A value on one line. JSON is YAML, and reads back as the same texts; what needs no quotation marks
/// has none.
fn flow(value: &Json) -> String {
    match value {
        Json::Text(text) if is_plain(text) => text.clone(),
        Json::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(flow).collect();
            format!("[{}]", elements.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether a text means itself without quotation marks, for this reader and for others.
fn is_plain(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    let word = text.to_ascii_lowercase();
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(is_word)
        && !text.ends_with(':')
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"].contains(&word.as_str())
        || is_time(text)
}

/// Times are read as they are where a time is asked for, and look better without quotation marks.
fn is_time(text: &str) -> bool {
    text.len() >= 20
        && text.ends_with('Z')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-:.TZ".contains(&byte))
}
