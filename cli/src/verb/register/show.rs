//! `aimslog register show`: a register as it stood in front of an entry.

use std::fmt::Write as _;

use aimslog_client::{Register, RegisterVersion};
use aimslog_proto::tlog::LeafIndex;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::{CLAIM, Counted, PART, registered, state};
use crate::args::Connection;
use crate::context::Context;
use crate::describe::{Head, short_subject};
use crate::exit::Exit;
use crate::output::Output;
use crate::verb::list::kind_name;
use crate::verb::runtime;

/// Show every entity of a kind, as it stood at a place of the log.
///
/// One line for each entity, with its newest version in front of --at, in the order of their numbers. An
/// entity that is missing in between is an error. The place is one under a head that the policy accepts,
/// so that what is shown once for a place is shown for it for ever.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog register show nonconformity
  aimslog register show risk --at 1200 --json")]
pub(crate) struct Show {
    /// The kind, e.g. nonconformity
    #[arg(value_name = "KIND", value_parser = kind_name)]
    kind: String,
    /// As it stood in front of this entry [default: after the newest one under a head]
    #[arg(long, value_name = "INDEX")]
    at: Option<u64>,
}

#[derive(Serialize)]
struct Shown {
    organization: String,
    kind: String,
    /// In front of this entry.
    at: u64,
    entities: Vec<Line>,
    /// What the ledger counts; absent where the reader may not see everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    count_claim: Option<Counted>,
    /// Which head proves the entries.
    head: Head,
    not_proven: &'static str,
}

#[derive(Serialize)]
struct Line {
    number: u64,
    entity: String,
    version: u32,
    state: String,
    retracted: bool,
    subject: String,
    /// The newest version.
    index: u64,
    entry_id: String,
    registered_at_claim: String,
}

impl Show {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let context = Context::resolve(flags)?;
        let runtime = runtime()?;
        // Connections are made within a runtime, also those that open later.
        let _entered = runtime.enter();
        let ledger = context.ledger()?;
        let organization = context.organization()?;
        let mut register = ledger.register(organization, &self.kind, self.at.map(LeafIndex));
        let entities = runtime.block_on(read(&mut register, output))?;
        let shown = Shown {
            organization: organization.to_owned(),
            kind: self.kind.clone(),
            at: register.at().context("the register has no page")?.0,
            entities,
            count_claim: register.count().map(Counted::of),
            head: Head::of(register.head().context("the register has no page")?),
            not_proven: if register.count().is_some() {
                CLAIM
            } else {
                PART
            },
        };
        output.data(&shown, text(&shown)?)?;
        Ok(Exit::Ok)
    }
}

async fn read(register: &mut Register<'_>, output: Output) -> Result<Vec<Line>> {
    let bar = output.spinner("{spinner} reading the register: {pos} entities");
    let mut entities = Vec::new();
    while let Some(page) = register.page().await? {
        entities.extend(page.iter().map(Line::of));
        bar.set_position(u64::try_from(entities.len()).unwrap_or(u64::MAX));
    }
    bar.finish_and_clear();
    Ok(entities)
}

impl Line {
    fn of(version: &RegisterVersion) -> Self {
        Self {
            number: version.entry.register_number,
            entity: version.entity.to_string(),
            version: version.version,
            state: state(version),
            retracted: version.is_retraction(),
            subject: version.header.subject.clone(),
            index: version.entry.index.0,
            entry_id: version.entry.entry_id.to_string(),
            registered_at_claim: registered(version),
        }
    }
}

fn text(shown: &Shown) -> Result<String> {
    let mut text = format!(
        "{} of {}, in front of entry {}\n",
        shown.kind, shown.organization, shown.at
    );
    if !shown.entities.is_empty() {
        writeln!(
            text,
            "{:>7} {:>7} {:<22} {:>8} {:<20} {:<43} ABOUT",
            "NUMBER", "VERSION", "STATE", "INDEX", "REGISTERED (CLAIM)", "ENTITY"
        )?;
    }
    for entity in &shown.entities {
        writeln!(
            text,
            "{:>7} {:>7} {:<22} {:>8} {:<20} {:<43} {}",
            entity.number,
            entity.version,
            entity.state,
            entity.index,
            entity.registered_at_claim,
            entity.entity,
            short_subject(&entity.subject)
        )?;
    }
    match shown.count_claim {
        Some(count) => writeln!(text, "{count}")?,
        None => writeln!(text, "{} shown", shown.entities.len())?,
    }
    writeln!(
        text,
        "proven: each entry is in the log of {} entries, cosigned by {}",
        shown.head.size,
        shown.head.cosigned_by()
    )?;
    writeln!(text, "not proven: {}", shown.not_proven)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_says_how_much_it_holds_and_whose_word_that_is() {
        let mut shown = Shown {
            organization: "hospital".to_owned(),
            kind: "nonconformity".to_owned(),
            at: 20,
            entities: vec![Line {
                number: 1,
                entity: "id".to_owned(),
                version: 2,
                state: "analysed".to_owned(),
                retracted: false,
                subject: "urn:aimslog:hospital:aims:audit".to_owned(),
                index: 9,
                entry_id: "other".to_owned(),
                registered_at_claim: String::new(),
            }],
            count_claim: Some(Counted {
                entities: 1,
                versions: 2,
            }),
            head: Head {
                origin: "ledger.example/a".to_owned(),
                size: 21,
                root: String::new(),
                cosigners: Vec::new(),
            },
            not_proven: CLAIM,
        };
        let whole = text(&shown).unwrap();
        for part in [
            "in front of entry 20",
            "analysed",
            "aims:audit",
            "1 entity, 2 versions",
        ] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        assert!(whole.contains("ledger's claim"), "{whole}");
        let mut lines = whole.lines().skip(1);
        let (titles, line) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(titles.find("ABOUT"), line.find("aims:audit"));
        shown.count_claim = None;
        shown.not_proven = PART;
        let part = text(&shown).unwrap();
        assert!(
            part.contains("1 shown") && part.contains("there may be more"),
            "{part}"
        );
    }
}
