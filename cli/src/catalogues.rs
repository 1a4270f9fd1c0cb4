//! The catalogues that a command looks controls up in: those of the rule bundle, and files.

use std::path::{Path, PathBuf};

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::aims::catalog::{Catalogue, Schemes};
use anyhow::Result;
use clap::Args;

use crate::exit::UserError;
use crate::limited::read_limited;

/// The scheme that an id without one is of.
pub(crate) const DEFAULT: &str = "iso42001-2023";

/// Larger files are no catalogues: a thousand controls take a tenth of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where controls are looked up.
#[derive(Debug, Clone, Args)]
pub(crate) struct CatalogueFiles {
    /// A catalogue to look up in besides those of the rule bundle, a TOML file; several allowed
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
}

impl CatalogueFiles {
    /// All catalogues together.
    pub(crate) fn schemes(&self) -> Result<Schemes> {
        let mut schemes = RuleBundle::v1().schemes().clone();
        for file in &self.catalogue {
            let catalogue = read(file)?;
            schemes = schemes
                .with(catalogue)
                .map_err(|error| UserError::usage(format!("{}: {error}", file.display())))?;
        }
        Ok(schemes)
    }
}

/// A catalogue out of a file, which names no kind and no control that there is not.
pub(crate) fn read(file: &Path) -> Result<Catalogue> {
    let bytes = read_limited(file, FILE_BYTES_MAX, "a catalogue")?;
    let text = String::from_utf8(bytes)
        .map_err(|error| UserError::usage(format!("{}: no UTF-8: {error}", file.display())))?;
    let catalogue = Catalogue::parse(&text).map_err(|error| {
        let error = anyhow::Error::new(error);
        UserError::usage(format!("{}: {error:#}", file.display()))
    })?;
    let found = RuleBundle::v1().check_catalogue(catalogue.scheme(), &catalogue);
    let lines: Vec<String> = found
        .map(|violation| format!("{}: {violation}", file.display()))
        .collect();
    if lines.is_empty() {
        return Ok(catalogue);
    }
    Err(UserError::usage(lines.join("\n")))
}

/// The catalogue of this scheme, or what is wrong with the name.
pub(crate) fn catalogue_of<'s>(schemes: &'s Schemes, name: &str) -> Result<&'s Catalogue> {
    let Some(scheme) = schemes.scheme(name) else {
        let names = schemes.iter().map(|scheme| scheme.name.as_str());
        let names: Vec<&str> = names.collect();
        let refused = schemes.unknown("--scheme", name);
        let near = refused.nearest.unwrap_or_else(|| names.join(", "));
        return Err(UserError::usage(format!(
            "there is no scheme {name}; nearest: {near}. --catalogue FILE brings one along"
        )));
    };
    scheme.catalogue.as_deref().ok_or_else(|| {
        UserError::usage(format!(
            "{name} ({}) has no catalogue here: every id is accepted until the organisation logs one. \
             --catalogue FILE brings one along",
            scheme.title
        ))
    })
}
