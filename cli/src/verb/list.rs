//! `aimslog list`: the records of an organisation, in the order of the log.

use std::fmt::Write as _;

use aimslog_client::{Ledger, ListedRecord, RecordFilter};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::ControlClaim;
use aimslog_proto::aims::kind::Kind;
use aimslog_proto::statement::header::ControlRef;
use aimslog_proto::tlog::LeafIndex;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::Row;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::verb::engagement::subject_of;
use crate::verb::runtime;
use crate::when::{End, lower_end, upper_end};

/// List the records of your organisation, in the order of the log.
///
/// Every filter must fit; each is looked up in an index, so that a list costs what it shows and not what
/// the log holds. With --org another one that has engaged yours: the records that the engagement is about.
/// The list is what the ledger says: that it is complete is its claim. `get`, `prove` and `disclose`
/// check the records one by one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog list --kind finding --system sys-7f3a --limit 20
  aimslog list --control A.9.2 --from 2027-01-01 --to 2027-03-31
  aimslog list --principal reviewer-7 --kind oversight_decision --to 1200
  aimslog list --subject aims:audit --control org/SEC.1")]
pub(crate) struct List {
    /// Only this kind, e.g. finding
    #[arg(long, value_name = "KIND", value_parser = kind_name)]
    kind: Option<String>,
    /// Only records about this AI system
    #[arg(long, value_name = "ID")]
    system: Option<String>,
    /// Only records about this, as in system:sys-7f3a or aims:audit
    #[arg(long, value_name = "CLASS:ID", conflicts_with = "system")]
    subject: Option<String>,
    /// Only evidence for this control, as in A.9.2; of another scheme than iso42001-2023 as SCHEME/ID
    #[arg(long, value_name = "CONTROL", value_parser = control_name)]
    control: Option<ControlRef>,
    /// Only what this principal has signed, with whichever of its keys
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// From this index on, or from this day or time of registration on (the ledger's claim)
    #[arg(long, value_name = "INDEX|TIME", value_parser = lower_end)]
    from: Option<End>,
    /// In front of this index, or up to this day or time of registration
    #[arg(long, value_name = "INDEX|TIME", value_parser = upper_end)]
    to: Option<End>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

#[derive(Serialize)]
struct Listed {
    records: Vec<Row>,
    more: bool,
}

impl List {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let filter = self.filter(context.organization()?)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        // One more than is shown says whether there are more.
        let records = records(&ledger, &filter, self.limit.saturating_add(1), |_| ());
        let records = runtime.block_on(records)?;
        let more = records.len() > self.limit;
        let rows = records.iter().take(self.limit).map(Row::of);
        let listed = Listed {
            records: rows.collect::<Result<_>>()?,
            more,
        };
        output.data(&listed, text(&listed)?)?;
        Ok(Exit::Ok)
    }
}

impl List {
    fn filter(&self, organization: &str) -> Result<RecordFilter> {
        let subject = self.subject.as_ref();
        let subject = subject.map(|subject| subject_of(organization, subject));
        let mut filter = RecordFilter {
            organization: organization.to_owned(),
            kind: self.kind.clone(),
            system: self.system.clone(),
            subject: subject.transpose()?,
            control: self.control.clone(),
            principal: self.principal.clone(),
            ..RecordFilter::default()
        };
        match self.from {
            Some(End::Index(index)) => filter.start = Some(index),
            Some(End::Time(time)) => filter.registered_from = Some(time),
            None => {}
        }
        match self.to {
            // Nothing stands in front of the first entry, and 0 means no end.
            Some(End::Index(LeafIndex(0))) => {
                return Err(UserError::usage("--to 0: nothing stands in front of it"));
            }
            Some(End::Index(index)) => filter.end = Some(index),
            Some(End::Time(time)) => filter.registered_to = Some(time),
            None => {}
        }
        Ok(filter)
    }
}

fn text(listed: &Listed) -> Result<String> {
    if listed.records.is_empty() {
        return Ok("no records".to_owned());
    }
    let mut text = Row::titles();
    for row in &listed.records {
        write!(text, "\n{row}")?;
    }
    if listed.more {
        text.push_str("\nthere are more: --limit N");
    }
    Ok(text)
}

/// The first `limit` records that the filter lets through; `progress` hears how many there are.
pub(crate) async fn records(
    ledger: &Ledger,
    filter: &RecordFilter,
    limit: usize,
    progress: impl Fn(usize),
) -> Result<Vec<ListedRecord>> {
    let mut records = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let found = ledger.list(filter, page.as_deref()).await?;
        records.extend(found.records);
        progress(records.len());
        page = found.next;
        if page.is_none() || records.len() >= limit {
            records.truncate(limit);
            return Ok(records);
        }
    }
}

/// A kind of the rule bundle; the refusal names the nearest one.
pub(crate) fn kind_name(text: &str) -> Result<String, String> {
    match RuleBundle::v1().newest_kind(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(violation) => Err(violation.to_string()),
    }
}

/// A control, `ID` or `SCHEME/ID`. Of a scheme that this program knows, an id that it does not know is
/// refused with the nearest one.
fn control_name(text: &str) -> Result<ControlRef, String> {
    let (scheme, id) = text.split_once('/').unwrap_or((DEFAULT_SCHEME, text));
    if scheme.is_empty() || id.is_empty() {
        return Err("a control is ID or SCHEME/ID".to_owned());
    }
    let bundle = RuleBundle::v1();
    let claim = ControlClaim { scheme, id };
    if bundle.schemes().scheme(scheme).is_some()
        && let Err(violation) = bundle.check_control(claim)
    {
        return Err(violation.to_string());
    }
    Ok(ControlRef {
        scheme: scheme.to_owned(),
        id: id.to_owned(),
    })
}

/// The scheme of controls that name none.
const DEFAULT_SCHEME: &str = "iso42001-2023";

/// Fields of any kind of the rule bundle, separated by commas.
pub(crate) fn field_name(text: &str) -> Result<String, String> {
    let known = RuleBundle::v1()
        .kinds()
        .any(|kind| kind.field_index(text).is_some());
    if known {
        return Ok(text.to_owned());
    }
    let near: Vec<&str> = RuleBundle::v1()
        .kinds()
        .flat_map(Kind::field_names)
        .filter(|name| name.contains(text) || text.contains(name))
        .take(1)
        .collect();
    let hint = near
        .first()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default();
    Err(format!("no kind has a field {text:?}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_fields_are_checked_before_anything_is_sent() {
        assert_eq!(kind_name("finding"), Ok("finding".to_owned()));
        let error = kind_name("findin").expect_err("no such kind");
        assert!(error.contains("finding"), "{error}");
        assert_eq!(field_name("decided_at"), Ok("decided_at".to_owned()));
        let error = field_name("presented_att").expect_err("no such field");
        assert!(error.contains("presented_at"), "{error}");
    }

    #[test]
    fn a_control_is_known_or_told_with_the_nearest_one() {
        let known = control_name("A.9.2").unwrap();
        assert_eq!((&*known.scheme, &*known.id), (DEFAULT_SCHEME, "A.9.2"));
        let own = control_name("org/SEC.1").unwrap();
        assert_eq!((&*own.scheme, &*own.id), ("org", "SEC.1"));
        let error = control_name("A.9.5").unwrap_err();
        assert!(error.contains("A.9.4"), "{error}");
        // A scheme that only the ledger may know.
        assert!(control_name("elsewhere/9.9").is_ok());
        for bad in ["", "/A.9.2", "org/"] {
            assert!(control_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_list_says_so_and_a_cut_one_says_that_there_are_more() {
        let mut listed = Listed {
            records: Vec::new(),
            more: false,
        };
        assert_eq!(text(&listed).unwrap(), "no records");
        listed.records.push(Row {
            index: 2,
            entry_id: "id".to_owned(),
            kind: "finding.v1".to_owned(),
            subject: "urn:aimslog:hospital:aims:audit".to_owned(),
            change: None,
            payload: "present",
            registered_at_claim: String::new(),
            register_number_claim: None,
        });
        listed.more = true;
        let text = text(&listed).unwrap();
        assert!(
            text.contains("aims:audit") && text.ends_with("--limit N"),
            "{text}"
        );
    }
}
