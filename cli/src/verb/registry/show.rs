//! `aimslog registry show`: organisations, principals, nodes and operators at one position of the log.

use std::fmt::Write as _;

use aimslog_proto::aims::catalog::Catalogue;
use aimslog_proto::aims::replay::Replay;
use aimslog_proto::system::registry::{
    EngagementRow, KeyOwner, KeyRow, PrincipalHistory, PrincipalRow, Registry,
};
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::replay::whole_log;
use crate::args::Connection;
use crate::context::Context;
use crate::describe::{counted, time};
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::verb::runtime;

/// Show who may do what, now or at a position of the log.
///
/// Takes every entry of the log, repeats every decision, compares the root with a verified head, and
/// shows the registry that comes out. Nothing of it is the ledger's word.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog registry show --at 1200")]
pub(crate) struct Show {
    /// As it was in front of this entry [default: after the newest one under a head]
    #[arg(long, value_name = "INDEX")]
    at: Option<u64>,
}

/// The registry at one position.
#[derive(Serialize)]
struct Shown {
    /// In front of this entry.
    at: u64,
    operators: Vec<Operator>,
    operators_required: u64,
    organizations: Vec<Organization>,
    nodes: Vec<Node>,
    receipt_keys: Vec<Key>,
    /// Those that sign checkpoints.
    log_keys: Vec<Key>,
    /// The record that put the policies in force.
    policy_since: Option<u64>,
    rules: Option<String>,
}

#[derive(Serialize)]
struct Operator {
    name: String,
    key: String,
}

#[derive(Serialize)]
struct Organization {
    id: String,
    registered_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<u64>,
    principals: Vec<Principal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    engagements: Vec<Engagement>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    catalogues: Vec<Declared>,
}

/// A catalogue of the organisation's own, in its newest version.
#[derive(Serialize)]
struct Declared {
    scheme: String,
    version: u32,
    digest: String,
    title: String,
    controls: Vec<String>,
    since: u64,
}

#[derive(Serialize)]
struct Principal {
    id: String,
    holder: String,
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Revoked>,
    #[serde(flatten)]
    key: Key,
    /// The key that signs its read tokens, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_key: Option<Key>,
}

#[derive(Serialize)]
struct Revoked {
    at: u64,
    reason: &'static str,
}

/// Who may read of the organisation; a list that is not there restricts nothing.
#[derive(Serialize)]
struct Engagement {
    id: String,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_to: Option<String>,
    valid_from: String,
    valid_to: String,
    granted_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<u64>,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "key")]
    thumbprint: String,
    registered_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
}

#[derive(Serialize)]
struct Node {
    id: u64,
    label: String,
    cosigner: String,
    admitted_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_at: Option<u64>,
}

impl Show {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let mut replay = Replay::new();
        let mut then: Option<Registry> = None;
        let size = runtime.block_on(whole_log(
            &ledger,
            output,
            &mut replay,
            |replay, index, _| {
                if self.at == Some(index.0) {
                    then = Some(replay.registry().clone());
                }
                Ok(())
            },
        ))?;
        let at = self.at.unwrap_or(size);
        if at > size {
            return Err(UserError::usage(format!(
                "--at {at}: the newest head covers {size} entries"
            )));
        }
        let registry = then.as_ref().unwrap_or_else(|| replay.registry());
        let shown = shown(at, registry);
        output.data(&shown, text(&shown))?;
        Ok(Exit::Ok)
    }
}

fn shown(at: u64, registry: &Registry) -> Shown {
    let genesis = registry.genesis();
    Shown {
        at,
        operators: registry
            .operators_at(LeafIndex(at))
            .map(|(name, row)| Operator {
                name: name.to_owned(),
                key: row.key.thumbprint().to_string(),
            })
            .collect(),
        operators_required: genesis.map_or(0, |genesis| genesis.operators_required),
        organizations: registry
            .organizations()
            .map(|(id, row)| Organization {
                id: id.to_string(),
                registered_at: row.registered_at.0,
                suspended_at: row.suspended_at().map(|index| index.0),
                principals: registry
                    .principals()
                    .filter_map(|history| Some((history, history.newest()?)))
                    .filter(|(_, principal)| principal.organization == *id)
                    .filter_map(|(history, principal)| principal_of(registry, history, principal))
                    .collect(),
                engagements: registry.engagements_of(id).map(engagement_of).collect(),
                catalogues: registry.catalogues_of(id).map(declared).collect(),
            })
            .collect(),
        nodes: registry
            .nodes()
            .map(|row| Node {
                id: row.node.id.number(),
                label: row.node.label.clone(),
                cosigner: row.node.cosigner.to_string(),
                admitted_at: row.admitted_at.0,
                removed_at: row.removed_at.map(|index| index.0),
            })
            .collect(),
        receipt_keys: registry
            .keys()
            .filter(|(_, row)| row.owner == KeyOwner::Receipt)
            .map(|(_, row)| key_of(row))
            .collect(),
        log_keys: registry
            .keys()
            .filter(|(_, row)| row.owner == KeyOwner::Log)
            .map(|(_, row)| key_of(row))
            .collect(),
        policy_since: registry.policy().map(|(index, _)| index.0),
        rules: registry
            .rules_at(LeafIndex(at))
            .map(|digest| crate::verb::key::hex(&digest)),
    }
}

fn principal_of(
    registry: &Registry,
    history: &PrincipalHistory,
    principal: &PrincipalRow,
) -> Option<Principal> {
    let read_key = history.read_keys().last().and_then(|kid| registry.key(kid));
    Some(Principal {
        id: principal.principal.to_string(),
        holder: principal.holder.to_string(),
        roles: principal.roles.iter().map(ToString::to_string).collect(),
        agent_for: principal.acts_for.as_ref().map(ToString::to_string),
        revoked: history.revoked().map(|revoked| Revoked {
            at: revoked.at.0,
            reason: revoked.reason.name(),
        }),
        key: key_of(registry.key(&history.key())?),
        read_key: read_key.map(key_of),
    })
}

fn engagement_of(row: &EngagementRow) -> Engagement {
    let grant = &row.grant;
    Engagement {
        id: row.engagement.to_string(),
        body: grant.body.to_string(),
        kinds: grant.kinds.clone(),
        subjects: grant.subjects.clone(),
        fields: grant.fields.clone(),
        claimed_from: grant.claimed_from.map(|seconds| time(seconds.0)),
        claimed_to: grant.claimed_to.map(|seconds| time(seconds.0)),
        valid_from: time(grant.valid_from.0),
        valid_to: time(grant.valid_to.0),
        granted_at: row.granted_at.0,
        ended_at: row.ended_at.map(|index| index.0),
    }
}

fn declared((index, catalogue): (LeafIndex, &Catalogue)) -> Declared {
    let controls = catalogue.controls().iter();
    Declared {
        scheme: catalogue.scheme().to_owned(),
        version: catalogue.parts().version,
        digest: catalogue.digest().to_string(),
        title: catalogue.parts().title.clone(),
        controls: controls.map(|control| control.id.clone()).collect(),
        since: index.0,
    }
}

fn key_of(row: &KeyRow) -> Key {
    Key {
        thumbprint: row.key.thumbprint().to_string(),
        registered_at: row.registered_at.0,
        retired_at: row.retired_at.map(|index| index.0),
    }
}

fn text(shown: &Shown) -> String {
    let mut text = format!("in front of entry {}\n\n", shown.at);
    // Writing to a string cannot fail.
    let _infallible = write_text(&mut text, shown);
    text
}

fn write_text(text: &mut String, shown: &Shown) -> std::fmt::Result {
    let names: Vec<&str> = shown.operators.iter().map(|o| o.name.as_str()).collect();
    let required = shown.operators_required;
    let of = shown.operators.len();
    writeln!(
        text,
        "operators     {} ({required} of {of} agree)",
        names.join(", ")
    )?;
    if let Some(index) = shown.policy_since {
        writeln!(text, "policy        since entry {index}")?;
    }
    if let Some(digest) = &shown.rules {
        writeln!(text, "rules         {digest}")?;
    }
    for node in &shown.nodes {
        let state = match node.removed_at {
            Some(index) => format!("removed at {index}"),
            None => format!("since {}", node.admitted_at),
        };
        writeln!(text, "node {}        {}, {state}", node.id, node.label)?;
    }
    for organization in &shown.organizations {
        write_organization(text, organization)?;
    }
    Ok(())
}

fn write_organization(text: &mut String, organization: &Organization) -> std::fmt::Result {
    let suspended = match organization.suspended_at {
        Some(index) => format!(", suspended at {index}"),
        None => String::new(),
    };
    writeln!(
        text,
        "\n{} (since {}{suspended})",
        organization.id, organization.registered_at
    )?;
    for principal in &organization.principals {
        let roles = match principal.roles.as_slice() {
            [] => "no role".to_owned(),
            roles => roles.join(", "),
        };
        let agent = match &principal.agent_for {
            Some(id) => format!(", AI agent for {id}"),
            None => String::new(),
        };
        let state = match &principal.revoked {
            Some(revoked) => format!("revoked at {} ({})", revoked.at, revoked.reason),
            None => format!("since {}", principal.key.registered_at),
        };
        writeln!(
            text,
            "  {:<16} {:<12} {roles}{agent}; {state}; key {}",
            principal.id, principal.holder, principal.key.thumbprint
        )?;
        if let Some(key) = principal
            .read_key
            .as_ref()
            .filter(|key| key.retired_at.is_none())
        {
            writeln!(
                text,
                "  {:<29} reads with the key {} since {}",
                "", key.thumbprint, key.registered_at
            )?;
        }
    }
    for engagement in &organization.engagements {
        let end = match engagement.ended_at {
            Some(index) => format!("ended at {index}"),
            None => format!("since {}", engagement.granted_at),
        };
        let kinds = match &engagement.kinds {
            Some(kinds) => kinds.join(", "),
            None => "every kind".to_owned(),
        };
        writeln!(
            text,
            "  engagement {}: {} reads {kinds} from {} to {}; {end}",
            engagement.id, engagement.body, engagement.valid_from, engagement.valid_to
        )?;
    }
    for catalogue in &organization.catalogues {
        let count = counted(catalogue.controls.len(), "control");
        let (scheme, version) = (&catalogue.scheme, catalogue.version);
        writeln!(
            text,
            "  catalogue {scheme} version {version}: {count} ({}), since {}; digest {}",
            catalogue.title, catalogue.since, catalogue.digest
        )?;
    }
    Ok(())
}
