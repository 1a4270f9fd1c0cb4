//! A kind of evidence: the frozen field list, the message behind it and the tables of its life.

mod tables;

use super::catalog::Schemes;
use super::lifecycle::LifeCycle;
use super::nearest::nearest;
use super::schema::{FieldSchema, MessageSchema};
use crate::reason::{Reason, Violation};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One version of one kind of evidence. Made by the rule bundle only.
#[derive(Debug, Clone)]
pub struct Kind {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) schema: MessageSchema,
    pub(super) schemes: Arc<Schemes>,
    pub(super) tables: Tables,
}

/// What the rule bundle says about a kind, besides its message.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tables {
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
    pub(super) retention: String,
    pub(super) sealed: bool,
    pub(super) subjects: Vec<String>,
    pub(super) append: Vec<String>,
    pub(super) agents: Vec<String>,
    #[serde(default)]
    pub(super) sign: BTreeMap<String, Vec<String>>,
    pub(super) states: Vec<String>,
    pub(super) initial: Vec<String>,
    pub(super) status_field: Option<String>,
    pub(super) order: Vec<(String, String)>,
    pub(super) distinct: Vec<(String, String)>,
    #[serde(default)]
    pub(super) moves: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) links: Vec<LinkRule>,
    #[serde(default)]
    pub(super) when: Vec<WhenRule>,
    #[serde(default)]
    pub(super) signer: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) guards: Vec<Guard>,
}

/// A relation to other entries.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRule {
    /// Name of the relation in the header.
    pub relation: String,
    /// Kinds that the target may be of.
    pub kinds: Vec<String>,
}

/// Content that must be there when a field has one of some values.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhenRule {
    /// A list of objects whose elements the rule is about, one by one; none: the record itself.
    #[serde(default)]
    pub each: Option<String>,
    /// An enum field.
    pub field: String,
    /// Its values that need the content.
    pub values: Vec<String>,
    /// Fields that must then be there.
    pub require: Vec<String>,
}

/// What must be true of a version in a state; see `rules/README.md`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Stable name.
    pub id: String,
    /// The states that it guards.
    pub to: Vec<String>,
    /// What a refusal says.
    pub rule: String,
    /// It is asked only of the version with which the entity comes into the state, not of those that
    /// stay there. Never where somebody approves: what stands there is what was approved.
    #[serde(default)]
    pub on_entry: bool,
    /// What must be true.
    pub need: Need,
}

/// What a guard asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A person signs for itself.
    Person,
    /// The holder has signed no version of the entity in these states.
    OtherThan(Vec<String>),
    /// A link leads to an entity in a state: one of these is enough.
    Links(Vec<LinkNeed>),
    /// An entity that links to this one is in a state.
    Linking(LinkingNeed),
}

/// A link with `relation` to an entity in one of `states`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkNeed {
    /// Name of the relation in the header.
    pub relation: String,
    /// States of its target; empty for all.
    pub states: Vec<String>,
}

/// An entity of `kind` that links here with `relation`, in one of `states`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkingNeed {
    /// Kind of the other entity.
    pub kind: String,
    /// Name of the relation in its header.
    pub relation: String,
    /// States that it must be in; empty for all.
    pub states: Vec<String>,
    /// All that link here must be, and not one alone.
    #[serde(default)]
    pub every: bool,
    /// It was brought there by another holder than those who signed it in these states.
    #[serde(default)]
    pub other_than: Vec<String>,
    /// It was brought there after the guarded entity last came into one of these states.
    #[serde(default)]
    pub since: Vec<String>,
}

/// Who signs, as far as roles go.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The roles that it holds at the position of the entry.
    pub roles: &'a [&'a str],
    /// Whether it is registered as an AI agent.
    pub is_agent: bool,
}

impl Kind {
    /// Name, for example `oversight_decision`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version of the field list, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The message behind the field list.
    pub fn schema(&self) -> &MessageSchema {
        &self.schema
    }

    /// The frozen list: field *i* is disclosure *i*.
    pub fn fields(&self) -> &[FieldSchema] {
        &self.schema.fields
    }

    /// Names of the frozen list, in order.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.schema.fields.iter().map(|field| field.name.as_str())
    }

    /// Position of a field in the frozen list.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.field_names().position(|field| field == name)
    }

    /// Retention class of records that name none themselves.
    pub fn retention(&self) -> &str {
        &self.tables.retention
    }

    /// Whether a statement is accepted without its disclosures.
    pub fn is_sealed_allowed(&self) -> bool {
        self.tables.sealed
    }

    /// Roles that may sign a version in `state`; `None` where the header names none.
    pub fn signers(&self, state: Option<&str>) -> &[String] {
        let special = state.and_then(|state| self.tables.sign.get(state));
        special.unwrap_or(&self.tables.append)
    }

    /// Whether an AI agent may sign a version in `state`; `None` where the header names none.
    pub fn is_for_agents(&self, state: Option<&str>) -> bool {
        let state = state.or_else(|| self.tables.initial.first().map(String::as_str));
        state.is_some_and(|state| self.tables.agents.iter().any(|open| open == state))
    }

    /// Whether this signer may append a version in `state`. Header and registry only: for apply.
    pub fn check_signer(&self, state: Option<&str>, signer: Signer<'_>) -> Vec<Violation> {
        let what = match state {
            Some(state) => format!("{} in state {state}", self.name),
            None => self.name.clone(),
        };
        let mut found = Vec::new();
        let allowed = self.signers(state);
        if !signer
            .roles
            .iter()
            .any(|role| allowed.iter().any(|open| open == role))
        {
            let rule = format!("{what} is signed in the role of {}", allowed.join(" or "));
            let roles = match signer.roles {
                [] => "no role".to_owned(),
                roles => roles.join(", "),
            };
            found.push(Violation::new(Reason::NotPermitted, "header.kid", rule).found(roles));
        }
        if signer.is_agent && !self.is_for_agents(state) {
            let rule = match self.tables.agents.as_slice() {
                [] => format!("an AI agent never signs {}", self.name),
                open => format!(
                    "an AI agent signs {} in state {} alone",
                    self.name,
                    open.join(" or ")
                ),
            };
            found.push(
                Violation::new(Reason::NotPermitted, "header.origin", rule)
                    .found(state.unwrap_or("ai-agent")),
            );
        }
        found
    }

    /// Classes of subject (`system`, `aims`) that it may be about.
    pub fn subjects(&self) -> &[String] {
        &self.tables.subjects
    }

    /// All states of its life.
    pub fn states(&self) -> &[String] {
        &self.tables.states
    }

    /// The field that repeats the header's transition, if the kind has one.
    pub fn status_field(&self) -> Option<&str> {
        self.tables.status_field.as_deref()
    }

    /// Relations that its links may have.
    pub fn links(&self) -> &[LinkRule] {
        &self.tables.links
    }

    pub(super) fn schemes(&self) -> &Schemes {
        &self.schemes
    }

    /// Whether a version in state `to` may follow `from`, where `None` stands for no version yet.
    /// Staying in a state is always allowed. Header and state only: for apply.
    pub fn check_transition(&self, from: Option<&str>, to: &str) -> Result<(), Violation> {
        self.life_cycle().check_move(from, to)
    }

    /// Its life cycle.
    pub fn life_cycle(&self) -> LifeCycle<'_> {
        LifeCycle::of(self)
    }

    /// The rule of a relation that the links of this kind may have.
    pub fn check_relation(&self, relation: &str) -> Result<&LinkRule, Violation> {
        if let Some(link) = self
            .tables
            .links
            .iter()
            .find(|link| link.relation == relation)
        {
            return Ok(link);
        }
        let names: Vec<&str> = self
            .tables
            .links
            .iter()
            .map(|link| link.relation.as_str())
            .collect();
        let rule = format!("the relation is one of {}", names.join(", "));
        let violation = Violation::new(Reason::InvalidHeader, LINKS, rule).found(relation);
        Err(match nearest(relation, names) {
            Some(name) => violation.nearest(name),
            None => violation,
        })
    }

    /// Whether a link with this relation may lead to an entry of this kind.
    pub fn check_link(&self, relation: &str, target_kind: &str) -> Result<(), Violation> {
        let link = self.check_relation(relation)?;
        if link.kinds.iter().any(|kind| kind == target_kind) {
            return Ok(());
        }
        let rule = format!("a link `{relation}` leads to {}", link.kinds.join(", "));
        Err(Violation::new(Reason::InvalidHeader, LINKS, rule).found(target_kind))
    }
}

const LINKS: &str = "header.links";
