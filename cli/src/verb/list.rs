//! `aimslog list`: the records of an organisation, in the order of the log.

use std::fmt::Write as _;

use aimslog_client::{Ledger, ListedRecord, RecordFilter};
use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::kind::Kind;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::Context;
use crate::describe::Row;
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::runtime;

/// List the records of your organisation, in the order of the log.
///
/// With --org another one that has engaged yours: the records that the engagement is about.
/// The list is what the ledger says: that it is complete is its claim. `get`, `prove` and `disclose`
/// check the records one by one.
#[derive(Debug, Args)]
#[command(after_help = "Example: aimslog list --kind finding --system sys-7f3a --limit 20")]
pub(crate) struct List {
    /// Only this kind, e.g. finding
    #[arg(long, value_name = "KIND", value_parser = kind_name)]
    kind: Option<String>,
    /// Only records about this AI system
    #[arg(long, value_name = "ID")]
    system: Option<String>,
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
        let filter = RecordFilter {
            organization: context.organization()?.to_owned(),
            kind: self.kind.clone(),
            system: self.system.clone(),
        };
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
