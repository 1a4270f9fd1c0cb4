//! `aimslog engagement`: another organisation, such as a certification body, that may read.

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::header::EvidenceSubject;
use aimslog_proto::system::{Engagement, EngagementChange, EngagementId, Grant, OrganizationId};
use anyhow::Result;
use clap::{Args, Subcommand};

use super::statement::{Told, log_as_administrator, named, organization};
use crate::args::Connection;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::when::{Bound, seconds};

/// Let a certification body read records of your organisation, or end that (administrators).
#[derive(Debug, Args)]
pub(crate) struct EngagementCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Grant(GrantArgs),
    /// End an engagement before its time
    ///
    /// The body reads nothing more under it from here on. What it has read it keeps.
    #[command(after_help = "Example: aimslog engagement end stage-1")]
    End {
        /// The engagement's id
        id: String,
    },
}

/// Let another organisation read some of your records for a time
///
/// Signed by an administrator of your organisation: the key of the context, or --key. Without --kind,
/// --subject or --field nothing is left out by kind, subject or field. Everybody who reads the log sees
/// who may read what of whom.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog engagement grant stage-1 --body certifier --from 2027-03-01 --to 2027-03-31 \\
           --kind internal_audit --kind finding --claimed-from 2026-01-01")]
struct GrantArgs {
    /// What you call the engagement: a-z, 0-9 and '-'; never used twice
    id: String,
    /// The organisation that may read
    #[arg(long, value_name = "ORG")]
    body: String,
    /// First day or time at which it may read: 2027-03-01 or 2027-03-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Last day or time at which it may read
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Only records of this kind; several allowed. A wrong one is told with the nearest
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only records about this, as in system:sys-7f3a or aims:audit; several allowed
    #[arg(long, value_name = "CLASS:ID")]
    subject: Vec<String>,
    /// Only this field of each record; several allowed
    #[arg(long, value_name = "FIELD")]
    field: Vec<String>,
    /// Only records whose claimed time of signing is not before this
    #[arg(long, value_name = "TIME")]
    claimed_from: Option<String>,
    /// Only records whose claimed time of signing is not after this
    #[arg(long, value_name = "TIME")]
    claimed_to: Option<String>,
}

impl EngagementCommand {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let organization = organization(&context)?;
        let (id, change, happened) = match &self.action {
            Action::Grant(grant) => {
                let change = EngagementChange::Grant(Box::new(grant.grant(&organization)?));
                (&grant.id, change, "is granted")
            }
            Action::End { id } => (id, EngagementChange::End, "is ended"),
        };
        let record = Engagement {
            organization,
            engagement: named(EngagementId::new(id), "engagement id")?,
            change,
        };
        let told = Told {
            id,
            happened,
            key: None,
        };
        log_as_administrator(&context, &record, &told, output)
    }
}

impl GrantArgs {
    fn grant(&self, organization: &OrganizationId) -> Result<Grant> {
        let bundle = RuleBundle::v1();
        let kinds = self
            .kind
            .iter()
            .map(|kind| named(bundle.newest_kind(kind), "--kind"))
            .collect::<Result<Vec<&Kind>>>()?;
        let chosen: Vec<&Kind> = if kinds.is_empty() {
            bundle.kinds().collect()
        } else {
            kinds.clone()
        };
        if let Some(unknown) = self
            .field
            .iter()
            .find(|field| chosen.iter().all(|kind| kind.field_index(field).is_none()))
        {
            return Err(UserError::usage(format!(
                "--field {unknown}: no kind of the engagement has such a field"
            )));
        }
        let subjects = self
            .subject
            .iter()
            .map(|subject| subject_of(organization.as_str(), subject))
            .collect::<Result<Vec<String>>>()?;
        let optional = |text: &Option<String>, what, bound| {
            let text = text.as_ref();
            text.map(|text| seconds(text, (what, bound))).transpose()
        };
        let grant = Grant {
            body: named(OrganizationId::new(&self.body), "--body")?,
            kinds: list(kinds.iter().map(|kind| kind.name().to_owned()).collect()),
            subjects: list(subjects),
            fields: list(self.field.clone()),
            claimed_from: optional(&self.claimed_from, "--claimed-from", Bound::First)?,
            claimed_to: optional(&self.claimed_to, "--claimed-to", Bound::Last)?,
            valid_from: seconds(&self.from, ("--from", Bound::First))?,
            valid_to: seconds(&self.to, ("--to", Bound::Last))?,
        };
        if grant.valid_from > grant.valid_to {
            return Err(UserError::usage("--to: it lies before --from"));
        }
        if let (Some(from), Some(to)) = (grant.claimed_from, grant.claimed_to)
            && from > to
        {
            return Err(UserError::usage(
                "--claimed-to: it lies before --claimed-from",
            ));
        }
        Ok(grant)
    }
}

/// In the one order that a payload has; nothing where there is none.
fn list(mut list: Vec<String>) -> Option<Vec<String>> {
    list.sort();
    list.dedup();
    (!list.is_empty()).then_some(list)
}

/// The claim that records about this have.
pub(crate) fn subject_of(organization: &str, text: &str) -> Result<String> {
    let subject = format!("urn:aimslog:{organization}:{text}");
    if EvidenceSubject::parse(&subject).is_some() {
        Ok(subject)
    } else {
        Err(UserError::usage(format!(
            "--subject {text}: system:ID or aims:ID"
        )))
    }
}
