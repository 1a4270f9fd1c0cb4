//! `aimslog control catalogue`: which catalogues there are, in which version.

use std::fmt::Write as _;

use aimslog_proto::aims::catalog::Scheme;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::catalogues::{CatalogueFiles, catalogue_of};
use crate::exit::Exit;
use crate::output::Output;

/// Show the catalogues with version and digest.
///
/// Two catalogues with one digest say the same, whoever has written the file. A record can be made for
/// one version alone: `"catalogues": ["SCHEME@DIGEST"]` in its `meta`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  aimslog control catalogue
  aimslog control catalogue --scheme eu-ai-act-2024
  aimslog control catalogue --catalogue iso27001-2022.toml")]
pub(super) struct CatalogueCommand {
    /// The scheme [default: all of them]
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    #[command(flatten)]
    files: CatalogueFiles,
}

#[derive(Serialize)]
struct Shown {
    scheme: String,
    title: String,
    /// None of a scheme in which every id is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalogue: Option<Held>,
}

#[derive(Serialize)]
struct Held {
    version: u32,
    digest: String,
    controls: usize,
    /// Its ids stand for those of others and are never logged.
    aliases: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dates: Vec<Date>,
}

#[derive(Serialize)]
struct Date {
    id: String,
    from: String,
    title: String,
}

impl CatalogueCommand {
    pub(super) fn run(&self, output: Output) -> Result<Exit> {
        let schemes = self.files.schemes()?;
        if let Some(name) = &self.scheme {
            catalogue_of(&schemes, name)?;
        }
        let is_wanted = |scheme: &&Scheme| {
            let name = self.scheme.as_ref();
            name.is_none_or(|name| *name == scheme.name)
        };
        let shown: Vec<Shown> = schemes.iter().filter(is_wanted).map(Shown::of).collect();
        output.data(&shown, text(&shown))?;
        Ok(Exit::Ok)
    }
}

impl Shown {
    fn of(scheme: &Scheme) -> Self {
        let catalogue = scheme.catalogue.as_ref().map(|catalogue| {
            let parts = catalogue.parts();
            Held {
                version: parts.version,
                digest: catalogue.digest().to_string(),
                controls: parts.controls.len(),
                aliases: parts.aliases,
                text: parts.text.clone(),
                dates: parts
                    .dates
                    .iter()
                    .map(|date| Date {
                        id: date.id.clone(),
                        from: date.from.clone(),
                        title: date.title.clone(),
                    })
                    .collect(),
            }
        });
        Self {
            scheme: scheme.name.clone(),
            title: scheme.title.clone(),
            catalogue,
        }
    }
}

fn text(shown: &[Shown]) -> String {
    let mut text = String::new();
    for scheme in shown {
        // Writing to a string cannot fail.
        let _infallible = write(&mut text, scheme);
    }
    text
}

fn write(text: &mut String, shown: &Shown) -> std::fmt::Result {
    writeln!(text, "{}  {}", shown.scheme, shown.title)?;
    let Some(held) = &shown.catalogue else {
        return writeln!(
            text,
            "  no catalogue: every id, until the organisation logs one"
        );
    };
    let ids = if held.aliases {
        "ids that stand for others"
    } else {
        "controls"
    };
    writeln!(text, "  version {}, {} {ids}", held.version, held.controls)?;
    writeln!(text, "  digest  {}", held.digest)?;
    if let Some(edition) = &held.text {
        writeln!(text, "  text    {edition}")?;
    }
    for date in &held.dates {
        writeln!(text, "  from    {}  {}", date.from, date.title)?;
    }
    Ok(())
}
