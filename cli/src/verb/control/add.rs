//! `aimslog control add`: a catalogue of the organisation's own, for good.

use std::path::PathBuf;

use aimslog_proto::aims::bundle::RuleBundle;
use aimslog_proto::system::Controls;
use anyhow::Result;
use clap::Args;

use crate::args::Connection;
use crate::catalogues;
use crate::context::Context;
use crate::describe::counted;
use crate::exit::{Exit, UserError};
use crate::output::Output;
use crate::verb::statement::{Told, log_as_administrator, organization};

/// Declare a catalogue of controls of your organisation's own (administrators).
///
/// From its place in the log on, records of your organisation cite the ids of the scheme that the file
/// has, and no others; `org` takes every id until then. A later version has the next number, names all
/// controls again, and replaces the one before; what was cited earlier stays valid. A scheme other than
/// org is named under `catalogues` in the `meta` of a record that cites it.
///
/// Signed by an administrator of the organisation: the key of the context, or --key. Ids and titles are
/// public, and for ever: no names of people.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog control add own-controls.toml

own-controls.toml:
  scheme = \"org\"
  version = 1
  title = \"Own controls\"

  [[control]]
  id = \"ORG.SEC.1\"
  title = \"Tests against adversarial input\"
  kinds = [\"verification_result\"]
  relates = [[\"intersects\", \"iso42001-2023/A.6.2.4\"]]")]
pub(super) struct Add {
    /// The catalogue, a TOML file
    file: PathBuf,
}

impl Add {
    pub(super) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        let catalogue = catalogues::read(&self.file)?;
        let about = |error: &dyn std::fmt::Display| {
            UserError::usage(format!("{}: {error}", self.file.display()))
        };
        let scheme = catalogue.scheme().to_owned();
        if RuleBundle::v1().schemes().is_closed(&scheme) {
            return Err(about(&format!(
                "the scheme {scheme} is one of the rule bundle; give yours another name"
            )));
        }
        let happened = format!(
            "has {} in version {} (digest {})",
            counted(catalogue.controls().len(), "control"),
            catalogue.parts().version,
            catalogue.digest()
        );
        let context = Context::resolve(flags)?;
        let record = Controls::new(organization(&context)?, catalogue);
        let record = record.map_err(|error| about(&error))?;
        let told = Told {
            id: &scheme,
            happened: &happened,
            key: None,
        };
        log_as_administrator(&context, &record, &told, output)
    }
}
