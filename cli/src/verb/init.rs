//! `aimslog init`: makes a context.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::args::Connection;
use crate::context::{Config, Settings, home, read_policy};
use crate::exit::{Exit, UserError};
use crate::keys::{KeyRef, Keys};
use crate::output::Output;
use crate::reach;

/// Make a context: which ledger, under which policy, as whom.
///
/// The settings are the connection flags (--endpoint, --ca, --policy, --key, --org, ...). Files are
/// checked now, so that a typo is found here and not at the first submission. The new context
/// becomes the current one.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslog init --endpoint n1.example.com:7002,n2.example.com:7002,n3.example.com:7002 \\
             --ca client-ca.pem --policy policy.txt --key my.seed --org hospital")]
pub(crate) struct Init {
    /// Name of the context
    #[arg(default_value = "default")]
    name: String,
    /// Replace a context of this name
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Made<'a> {
    context: &'a str,
    file: PathBuf,
    settings: &'a Settings,
}

impl Init {
    pub(crate) fn run(&self, flags: &Connection, output: Output) -> Result<Exit> {
        check_name(&self.name)?;
        let home = home(flags)?;
        let mut config = Config::load(&home)?;
        if config.context.contains_key(&self.name) && !self.force {
            return Err(UserError::usage(format!(
                "there is a context {:?}; --force replaces it",
                self.name
            )));
        }
        let settings = settings_of(flags)?;
        if settings == Settings::default() {
            return Err(UserError::usage(
                "nothing to remember: --policy is enough to verify; to read and submit also --endpoint, \
                 --ca, --key and --org",
            ));
        }
        config.context.insert(self.name.clone(), settings.clone());
        config.current = Some(self.name.clone());
        config.save(&home)?;
        let file = home.join("config.toml");
        let next = if settings.admin_endpoints.is_empty() {
            "aimslog doctor"
        } else {
            "aimslog cluster init, once, to found a new cluster; then aimslog cluster status"
        };
        let text = format!(
            "context {} is made and current, in {}\nnext: {next}",
            self.name,
            file.display()
        );
        output.data(
            &Made {
                context: &self.name,
                file,
                settings: &settings,
            },
            text,
        )?;
        Ok(Exit::Ok)
    }
}

/// A context's name is also the name of its state folder.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    Err(UserError::usage(
        "the name of a context is 1 to 64 letters, digits, '-' or '_'",
    ))
}

fn settings_of(flags: &Connection) -> Result<Settings> {
    let absolute = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    let settings = Settings {
        endpoints: flags.endpoint.clone(),
        ca: absolute(&flags.ca)?,
        policy: absolute(&flags.policy)?,
        key: flags.key.as_ref().map(KeyRef::absolute).transpose()?,
        passphrase_file: absolute(&flags.passphrase_file)?,
        pin_file: absolute(&flags.pin_file)?,
        organization: flags.org.clone(),
        admin_endpoints: flags.admin_endpoint.clone(),
        admin_ca: absolute(&flags.admin_ca)?,
        admin_certificate: absolute(&flags.admin_cert)?,
        admin_key: absolute(&flags.admin_cert_key)?,
    };
    if let Some(policy) = &settings.policy {
        read_policy(policy)?;
    }
    if let Some(key) = &settings.key {
        Keys::new(settings.secret_files()).open(key)?;
    }
    for (field, addresses) in [
        ("--endpoint", &settings.endpoints),
        ("--admin-endpoint", &settings.admin_endpoints),
    ] {
        for address in addresses {
            reach::check_address(field, address)?;
        }
    }
    for (field, file) in [
        ("--ca", &settings.ca),
        ("--admin-ca", &settings.admin_ca),
        ("--admin-cert", &settings.admin_certificate),
    ] {
        if let Some(file) = file {
            reach::certificates(field, file)?;
        }
    }
    if let Some(key) = &settings.admin_key {
        reach::private_key("--admin-cert-key", key)?;
    }
    Ok(settings)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}
