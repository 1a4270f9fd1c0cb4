//! `aimslog control lookup`: what an id means, and why.

use aimslog_proto::aims::catalog::{Catalogue, Near, Schemes, Unknown};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::describe::{Candidate, Shown};
use crate::catalogues::{CatalogueFiles, DEFAULT, catalogue_of};
use crate::exit::{Exit, UserError};
use crate::output::Output;

/// Say what a control id means: title, evidence, and the ids of other schemes.
///
/// An id of the guide is answered with the controls of the standard that it stands for, and an id of the
/// standard with what relates to it. An id that does not exist ends with 2, and with the nearest ones.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog control lookup A.9.2
  aimslog control lookup 9.1 --scheme guide
  aimslog control lookup 'Art. 73(2)' --scheme eu-ai-act-2024
  aimslog control lookup A.5.19 --scheme iso27001-2022 --catalogue iso27001-2022.toml")]
pub(super) struct Lookup {
    /// The id, or SCHEME/ID
    id: String,
    /// The scheme that the id is of [default: iso42001-2023]
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    #[command(flatten)]
    files: CatalogueFiles,
}

#[derive(Serialize)]
struct Answered {
    found: Vec<Shown>,
    /// The nearest ids of the scheme, where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest: Vec<Candidate>,
    /// What is written so in other schemes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elsewhere: Vec<Candidate>,
}

impl Lookup {
    pub(super) fn run(&self, output: Output) -> Result<Exit> {
        let schemes = self.files.schemes()?;
        let (scheme, id) = match (&self.scheme, self.id.split_once('/')) {
            (None, Some((scheme, id))) => (scheme, id),
            (None, None) => (DEFAULT, self.id.as_str()),
            (Some(scheme), Some((named, id))) if scheme == named => (named, id),
            (Some(scheme), _) => (scheme.as_str(), self.id.as_str()),
        };
        let catalogue = catalogue_of(&schemes, scheme)?;
        let answers = match schemes.lookup(catalogue, id) {
            Ok(answers) => answers,
            Err(unknown) => return unknown_id(&schemes, (catalogue, id), &unknown, output),
        };
        let elsewhere = schemes.written_elsewhere(catalogue, id);
        let answered = Answered {
            found: answers.iter().map(Shown::of).collect(),
            nearest: Vec::new(),
            elsewhere: candidates(&schemes, &elsewhere),
        };
        output.data(&answered, text(id, &answered))?;
        Ok(Exit::Ok)
    }
}

fn candidates(schemes: &Schemes, near: &[Near<'_>]) -> Vec<Candidate> {
    let is_alias = |scheme: &str| {
        let catalogue = schemes.catalogue(scheme);
        catalogue.is_some_and(|catalogue| catalogue.parts().aliases)
    };
    near.iter()
        .map(|near| Candidate::with_meaning(near, is_alias(near.scheme)))
        .collect()
}

fn text(id: &str, answered: &Answered) -> String {
    let mut texts: Vec<String> = answered.found.iter().map(Shown::text).collect();
    if answered.found.len() > 1 {
        let count = answered.found.len();
        texts.insert(0, format!("{id} is the number of {count} things:\n"));
    }
    let elsewhere = answered.elsewhere.iter();
    let elsewhere: Vec<String> = elsewhere
        .map(|other| format!("  {}", other.words()))
        .collect();
    if !elsewhere.is_empty() {
        texts.push(format!(
            "not to be confused with\n{}\n",
            elsewhere.join("\n")
        ));
    }
    texts.concat()
}

fn unknown_id(
    schemes: &Schemes,
    (catalogue, id): (&Catalogue, &str),
    unknown: &Unknown<'_>,
    output: Output,
) -> Result<Exit> {
    let answered = Answered {
        found: Vec::new(),
        nearest: candidates(schemes, &unknown.near),
        elsewhere: candidates(schemes, &unknown.elsewhere),
    };
    let mut message = format!("{} has no {id}", catalogue.scheme());
    for (what, candidates) in [
        ("nearest", &answered.nearest),
        ("written so elsewhere", &answered.elsewhere),
    ] {
        let words: Vec<String> = candidates.iter().map(Candidate::words).collect();
        if !words.is_empty() {
            message = format!("{message}; {what}: {}", words.join("; "));
        }
    }
    if output.is_json() {
        output.data(&answered, "")?;
    }
    Err(UserError::usage(message))
}
