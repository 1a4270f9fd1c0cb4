//! Starter records of a management system: data (`cli/aims/`) made into forms.

use aimslog_client::form::{Detail, Draft, Filled, Notation, filled_form, read_drafts};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::{Catalogue, Control};
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::json::Json;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// What the organisation must say itself: no record is taken with it.
pub(crate) const PLACEHOLDER: &str = "TBD";
/// Name of the file of the numbers that the organisation decides.
pub(crate) const PARAMETERS: &str = "parameters.toml";
/// Their text.
pub(crate) const PARAMETERS_TEXT: &str = include_str!("../aims/common/parameters.toml");

const CATALOGUE: &str = "iso42001-2023";

/// A kind of organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Few people and systems: what is needed, in few records
    Small,
    /// Several units: roles, procedures and risks apart
    Standard,
}

/// A file of starter records: its name, and its data.
pub(crate) type DataFile = (&'static str, &'static str);

macro_rules! data {
    ($folder:literal, $name:literal) => {
        (
            $name,
            include_str!(concat!("../aims/", $folder, "/", $name)),
        )
    };
}

impl Profile {
    /// Its files, in the order in which they are filled in.
    pub(crate) fn files(self) -> [DataFile; 16] {
        let [context, roles, objectives, procedures, risks, competence] = match self {
            Self::Small => [
                data!("small", "03-context.yaml"),
                data!("small", "05-roles.yaml"),
                data!("small", "06-objectives.yaml"),
                data!("small", "08-procedures.yaml"),
                data!("small", "10-risks.yaml"),
                data!("small", "13-competence.yaml"),
            ],
            Self::Standard => [
                data!("standard", "03-context.yaml"),
                data!("standard", "05-roles.yaml"),
                data!("standard", "06-objectives.yaml"),
                data!("standard", "08-procedures.yaml"),
                data!("standard", "10-risks.yaml"),
                data!("standard", "13-competence.yaml"),
            ],
        };
        [
            data!("common", "01-scope.yaml"),
            data!("common", "02-reasons.yaml"),
            context,
            data!("common", "04-policy.yaml"),
            roles,
            objectives,
            data!("common", "07-risk-method.yaml"),
            procedures,
            data!("common", "09-inventory.yaml"),
            risks,
            data!("common", "11-applicability.yaml"),
            data!("common", "12-oversight.yaml"),
            competence,
            data!("common", "14-audit-programme.yaml"),
            data!("common", "15-review.yaml"),
            data!("common", "16-plan.yaml"),
        ]
    }
}

/// What is known when the forms are made.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The first day.
    pub(crate) start: OffsetDateTime,
    /// The principal who owns the management system.
    pub(crate) owner: Option<String>,
    /// The principal of the top management.
    pub(crate) management: Option<String>,
    /// The principal who audits.
    pub(crate) auditor: Option<String>,
}

/// A file of forms.
#[derive(Debug)]
pub(crate) struct Starter {
    /// Its name.
    pub(crate) name: &'static str,
    /// What to think of.
    pub(crate) note: String,
    /// The forms.
    pub(crate) text: String,
    /// The kinds of its records, each once.
    pub(crate) kinds: Vec<KindOf>,
    /// How many records it holds.
    pub(crate) count: usize,
}

/// A kind of records in a file.
#[derive(Debug)]
pub(crate) struct KindOf {
    /// Its name.
    pub(crate) name: String,
    /// The roles that sign its records in their first state.
    pub(crate) signers: String,
    /// How many records of the file are of it.
    pub(crate) count: usize,
}

/// Makes the forms of a file.
pub(crate) fn make((name, data): DataFile, setting: &Setting) -> Result<Starter> {
    let bundle = RuleBundle::v1();
    let mut starter = Starter {
        name,
        note: String::new(),
        text: String::new(),
        kinds: Vec::new(),
        count: 0,
    };
    for draft in read_drafts(bundle, Notation::Yaml, data.as_bytes()) {
        let Draft { json, line, .. } = draft.map_err(|error| anyhow!("{name}: {error:?}"))?;
        starter
            .add(bundle, json, setting)
            .with_context(|| format!("{name}:{line}"))?;
    }
    Ok(starter)
}

impl Starter {
    fn add(&mut self, bundle: &RuleBundle, json: Json, setting: &Setting) -> Result<()> {
        let Json::Object(members) = json else {
            return Err(anyhow!("a document is a mapping"));
        };
        let mut parts = Parts::default();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("note", Json::Text(note)) => self.note = note,
                ("each", Json::Text(each)) => parts.each = Some(each),
                ("meta", Json::Object(meta)) => parts.meta = meta,
                ("record", Json::Object(record)) => parts.record = record,
                (name, _) => return Err(anyhow!("{name} is no part of a document")),
            }
        }
        let Some(each) = &parts.each else {
            return self.add_one(bundle, &parts, setting, None);
        };
        let controls = catalogue(bundle).filter(|control| control.id.starts_with(each.as_str()));
        for control in controls {
            self.add_one(bundle, &parts, setting, Some(control))?;
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        bundle: &RuleBundle,
        parts: &Parts,
        setting: &Setting,
        control: Option<&Control>,
    ) -> Result<()> {
        let known = Known {
            bundle,
            setting,
            control,
        };
        let text = |members: &[(String, Json)], name: &str| {
            members.iter().find_map(|(member, value)| match value {
                Json::Text(text) if member == name => Some(text.clone()),
                _ => None,
            })
        };
        let kind = text(&parts.meta, "kind").context("a document names its kind")?;
        let kind = bundle
            .newest_kind(&kind)
            .map_err(|violation| anyhow!("{violation}"))?;
        let state = text(&parts.meta, "transition");
        let meta: Vec<(&str, Json)> = parts
            .meta
            .iter()
            .filter(|(name, _)| name != "kind")
            .map(|(name, value)| (name.as_str(), known.fill(value)))
            .collect();
        let mut record: Vec<(&str, Json)> = envelope(&known)
            .into_iter()
            .filter(|(name, _)| parts.record.iter().all(|(given, _)| given != name))
            .collect();
        let given = parts.record.iter();
        record.extend(given.map(|(name, value)| (name.as_str(), known.fill(value))));
        let is_first = self.kinds.iter().all(|known| known.name != kind.name());
        let filled = Filled {
            meta: &meta,
            record: &record,
            detail: if is_first {
                Detail::Full
            } else {
                Detail::Brief
            },
        };
        let form = filled_form(bundle, (kind, state.as_deref()), filled)
            .map_err(|violation| anyhow!("{violation}"))?;
        if !self.text.is_empty() {
            self.text.push_str("---\n");
        }
        self.text.push_str(&form);
        self.count += 1;
        let mut known = self.kinds.iter_mut();
        if let Some(known) = known.find(|known| known.name == kind.name()) {
            known.count += 1;
            return Ok(());
        }
        let state = state.or_else(|| kind.initial_states().first().cloned());
        self.kinds.push(KindOf {
            name: kind.name().to_owned(),
            signers: signers(kind, state.as_deref()),
            count: 1,
        });
        Ok(())
    }
}

/// The members of a document.
#[derive(Default)]
struct Parts {
    each: Option<String>,
    meta: Vec<(String, Json)>,
    record: Vec<(String, Json)>,
}

fn signers(kind: &Kind, state: Option<&str>) -> String {
    kind.signers(state).join(" or ")
}

fn catalogue(bundle: &RuleBundle) -> impl Iterator<Item = &Control> {
    let catalogue = bundle.schemes().catalogue(CATALOGUE);
    catalogue.into_iter().flat_map(Catalogue::controls)
}

/// What every record says alike.
fn envelope(known: &Known<'_>) -> [(&'static str, Json); 4] {
    let text = |text: &str| Json::Text(text.to_owned());
    let actor = [
        ("id", known.fill(&text("@owner"))),
        ("role", text("owner of the AI management system")),
    ];
    let actor = actor.map(|(name, value)| (name.to_owned(), value));
    [
        ("occurred_at", known.fill(&text("@start"))),
        ("actor", Json::Object(actor.into())),
        ("confidentiality", text("INTERNAL")),
        ("personal_data", Json::Bool(false)),
    ]
}

/// What texts that begin with `@` stand for.
struct Known<'a> {
    bundle: &'a RuleBundle,
    setting: &'a Setting,
    control: Option<&'a Control>,
}

impl Known<'_> {
    /// The value with everything filled in that is known. Recursion is bounded by the reader's depth.
    fn fill(&self, value: &Json) -> Json {
        match value {
            Json::Text(text) => self.text(text),
            Json::Array(elements) => Json::Array(elements.iter().map(|it| self.fill(it)).collect()),
            Json::Object(members) => {
                let members = members.iter();
                Json::Object(
                    members
                        .map(|(name, it)| (name.clone(), self.fill(it)))
                        .collect(),
                )
            }
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> Json {
        let person =
            |id: &Option<String>| Json::Text(id.clone().unwrap_or_else(|| PLACEHOLDER.to_owned()));
        match text {
            "@owner" => return person(&self.setting.owner),
            "@management" => return person(&self.setting.management),
            "@auditor" => return person(&self.setting.auditor),
            "@controls" => {
                let ids = catalogue(self.bundle);
                let ids = ids.map(|control| Json::Text(format!("{CATALOGUE}/{}", control.id)));
                return Json::Array(ids.collect());
            }
            _ => {}
        }
        if let Some(after) = text.strip_prefix("@start") {
            let days = after
                .strip_prefix('+')
                .and_then(|days| days.strip_suffix('d'));
            let days = days.and_then(|days| days.parse().ok()).unwrap_or(0);
            let at = self.setting.start.saturating_add(Duration::days(days));
            return Json::Text(
                at.format(&Rfc3339)
                    .unwrap_or_else(|_| PLACEHOLDER.to_owned()),
            );
        }
        match self.control {
            Some(control) => {
                let text = text.replace("@control.id", &control.id);
                Json::Text(text.replace("@control.title", &control.title))
            }
            None => Json::Text(text.to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "starter/tests.rs"]
mod tests;
