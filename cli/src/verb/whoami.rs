//! `aimslog whoami`: what the key of the context is in the log, and what it may read.

use std::fmt::Write as _;

use aimslog_client::clock;
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Signer;
use aimslog_proto::aims::replay::Replay;
use aimslog_proto::aims::role::Reads;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::system::Role;
use aimslog_proto::system::registry::{Between, KeyOwner, OrganizationRow, PrincipalRow, Registry};
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::time;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::registry::whole_log;
use crate::verb::runtime;

/// Show what your key is in the log: whose, with which roles, since when, and what it may read.
///
/// Takes every entry of the log and repeats every decision; nothing of the answer is the ledger's
/// word. Ends with 4 where no active principal or operator has the key.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog whoami --key auditor.seed")]
pub(crate) struct Whoami;

#[derive(Serialize)]
struct Shown {
    key: String,
    /// By all entries in front of this one.
    at: u64,
    #[serde(flatten)]
    who: Who,
}

#[derive(Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Who {
    Operator {
        name: String,
    },
    Principal(Box<Principal>),
    /// The ledger's own.
    Service,
    Unknown,
}

#[derive(Serialize)]
struct Principal {
    organization: String,
    #[serde(rename = "principal")]
    id: String,
    holder: String,
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_for: Option<String>,
    /// For reading alone.
    reads_only: bool,
    /// Whether read tokens of this key are taken at all.
    is_reader: bool,
    registered_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_suspended_at: Option<u64>,
    /// The fields of its own organisation's records that it may read: `all`, `signed` or `none`.
    reads: &'static str,
    engagements: Vec<Engagement>,
}

/// An engagement under which it may read now.
#[derive(Serialize)]
struct Engagement {
    organization: String,
    id: String,
    valid_to: String,
}

impl Whoami {
    #[expect(clippy::unused_self, reason = "every command runs the same way")]
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let key = context.key()?.public_key().thumbprint();
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let mut replay = Replay::new();
        let size = runtime.block_on(whole_log(&ledger, output, &mut replay, |_, _, _| Ok(())))?;
        let shown = Shown {
            key: key.to_string(),
            at: size,
            who: who(replay.registry(), &key, size),
        };
        let exit = match &shown.who {
            Who::Unknown => Exit::Refused,
            Who::Principal(principal) if principal.retired_at.is_some() => Exit::Refused,
            _ => Exit::Ok,
        };
        output.data(&shown, text(&shown))?;
        Ok(exit)
    }
}

fn who(registry: &Registry, key: &Thumbprint, size: u64) -> Who {
    let Some(row) = registry.key(key) else {
        return Who::Unknown;
    };
    let owner = match &row.owner {
        KeyOwner::Operator { name } => return Who::Operator { name: name.clone() },
        KeyOwner::Service | KeyOwner::Receipt | KeyOwner::Log => return Who::Service,
        KeyOwner::Principal(owner) => owner,
    };
    let newest = registry
        .history(&owner.organization, &owner.principal)
        .and_then(|history| history.newest());
    let Some(principal) = newest else {
        return Who::Unknown;
    };
    let rules = registry.rules_at(LeafIndex(size));
    // Of rules that this program does not know it cannot say what they let a role read.
    let bundle = rules.and_then(RuleBundle::of_digest);
    let roles: Vec<&str> = principal.roles.iter().map(Role::as_str).collect();
    let signer = Signer {
        roles: &roles,
        is_agent: principal.is_agent(),
    };
    // A retired key, or one beside which there is another for reading, reads nothing.
    let reading = bundle.filter(|_| registry.reader_at(key, LeafIndex(size)).is_some());
    let reads = reading.map_or(Reads::None, |bundle| bundle.reads(signer));
    let is_engaged = reading.is_some_and(|bundle| bundle.is_engaged(signer));
    let organization = registry.organization(&owner.organization);
    Who::Principal(Box::new(Principal {
        organization: owner.organization.to_string(),
        id: owner.principal.to_string(),
        holder: principal.holder.to_string(),
        roles: principal.roles.iter().map(ToString::to_string).collect(),
        agent_for: principal.acts_for.as_ref().map(ToString::to_string),
        reads_only: row.is_for_reading(),
        is_reader: reading.is_some(),
        registered_at: row.registered_at.0,
        retired_at: row.retired_at.map(|index| index.0),
        organization_suspended_at: organization
            .and_then(OrganizationRow::suspended_at)
            .map(|index| index.0),
        reads: match reads {
            Reads::All => "all",
            Reads::Signed => "signed",
            Reads::None => "none",
        },
        engagements: if is_engaged {
            engagements(registry, principal, size)
        } else {
            Vec::new()
        },
    }))
}

fn engagements(registry: &Registry, principal: &PrincipalRow, size: u64) -> Vec<Engagement> {
    let now = (LeafIndex(size), UnixSeconds(clock::unix_seconds()));
    let held = registry.organizations().flat_map(|(organization, _)| {
        let between = Between {
            body: &principal.organization,
            organization,
        };
        registry.engagements_held(between, now)
    });
    held.map(|row| Engagement {
        organization: row.organization.to_string(),
        id: row.engagement.to_string(),
        valid_to: time(row.grant.valid_to.0),
    })
    .collect()
}

fn text(shown: &Shown) -> String {
    let mut text = format!("key           {}\n", shown.key);
    // Writing to a string cannot fail.
    let _infallible = write_text(&mut text, shown);
    text
}

fn write_text(text: &mut String, shown: &Shown) -> std::fmt::Result {
    let at = shown.at;
    match &shown.who {
        Who::Unknown => write!(
            text,
            "nobody's      no principal or operator has this key in the first {at} entries; an \
             administrator of your organisation registers it (aimslog principal add)"
        ),
        Who::Service => write!(text, "the ledger's own"),
        Who::Operator { name } => write!(text, "operator      {name}"),
        Who::Principal(principal) => write_principal(text, (at, principal)),
    }
}

fn write_principal(text: &mut String, (at, principal): (u64, &Principal)) -> std::fmt::Result {
    writeln!(text, "principal     {}", principal.id)?;
    writeln!(text, "organisation  {}", principal.organization)?;
    writeln!(text, "holder        {}", principal.holder)?;
    let roles = match principal.roles.as_slice() {
        [] => "none".to_owned(),
        roles => roles.join(", "),
    };
    writeln!(text, "roles         {roles}")?;
    if let Some(person) = &principal.agent_for {
        writeln!(text, "AI agent      for {person}")?;
    }
    let since = principal.registered_at;
    match principal.retired_at {
        Some(index) => writeln!(
            text,
            "state         since entry {since}, retired by entry {index}"
        )?,
        None => writeln!(
            text,
            "state         active since entry {since}, as of entry {at}"
        )?,
    }
    if let Some(index) = principal.organization_suspended_at {
        writeln!(
            text,
            "suspended     the organisation, by entry {index}: nothing is taken of it but what takes a right away"
        )?;
    }
    if principal.reads_only {
        writeln!(text, "purpose       read tokens alone")?;
    }
    let reads = match principal.reads {
        _ if !principal.is_reader => {
            "nothing with this key (it is retired, or another one is for reading)"
        }
        "all" => "all fields of its organisation's records",
        "signed" => "fields of records that it has signed",
        _ => "no fields of its own organisation's records",
    };
    write!(text, "reads         {reads}")?;
    for engagement in &principal.engagements {
        let Engagement {
            organization,
            id,
            valid_to,
        } = engagement;
        write!(
            text,
            "\nengaged by    {organization} ({id}), until {valid_to}"
        )?;
    }
    Ok(())
}
