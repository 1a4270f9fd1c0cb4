//! Contexts: which ledger a command talks to, as whom, and under which policy.
//!
//! They stand in one TOML file, `$AIMSLOG_HOME/config.toml` (default `~/.config/aimslog`); flags and
//! `AIMSLOG_*` variables override single settings. What a context remembers (heads, outbox) lies
//! beside it in `state/<name>/`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::file::replace_private_file;
use aimslog_client::trust::HeadMemory;
use aimslog_client::{Endpoints, Ledger};
use aimslog_proto::limits::EVIDENCE_BYTES_MAX;
use aimslog_proto::statement::key::Signer;
use aimslog_proto::tlog::Policy;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::args::Connection;
use crate::exit::UserError;
use crate::keys::{KeyRef, Keys, SecretFiles};
use crate::limited::{read_if_there, read_limited};
use crate::reach;

/// Most bytes of the configuration file.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// The configuration file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The context that is used where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All contexts by name.
    #[serde(default)]
    pub(crate) context: BTreeMap<String, Settings>,
}

/// One context. All of it can be overridden by flags and variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// `host:port` of the nodes' client listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) endpoints: Vec<String>,
    /// PEM of the authority of the client listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The C2SP policy that heads must satisfy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<PathBuf>,
    /// The key that signs statements and read tokens: a key file or a PKCS#11 URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyRef>,
    /// File that holds the passphrase of encrypted key files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// File that holds the PIN of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pin_file: Option<PathBuf>,
    /// The organisation that the key belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    /// `host:port` of the nodes' admin listeners, for operators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) admin_endpoints: Vec<String>,
    /// PEM of the authority of the admin listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_ca: Option<PathBuf>,
    /// PEM of the operator's client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_certificate: Option<PathBuf>,
    /// PEM of that certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin_key: Option<PathBuf>,
}

/// The context in force: file, variables and flags together.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Its name, for the state folder.
    pub(crate) name: String,
    /// Its settings.
    pub(crate) settings: Settings,
    home: PathBuf,
    deadline: Duration,
    keys: Arc<Keys>,
}

/// The folder of configuration and state.
pub(crate) fn home(flags: &Connection) -> Result<PathBuf> {
    if let Some(home) = &flags.home {
        return Ok(home.clone());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    base.map(|base| base.join("aimslog")).ok_or_else(|| {
        UserError::usage("neither HOME nor AIMSLOG_HOME is set: name the folder with --home")
    })
}

impl Config {
    /// Reads the file; none is an empty configuration.
    pub(crate) fn load(home: &Path) -> Result<Self> {
        let path = home.join("config.toml");
        let Some(text) = read_if_there(&path, CONFIG_BYTES_MAX, "a configuration")? else {
            return Ok(Self::default());
        };
        toml::from_slice(&text)
            .map_err(|error| UserError::usage(format!("{} is not valid: {error}", path.display())))
    }

    /// Writes the file.
    pub(crate) fn save(&self, home: &Path) -> Result<()> {
        let path = home.join("config.toml");
        let text = toml::to_string(self)?;
        replace_private_file(&path, text.as_bytes()).with_context(|| path.display().to_string())
    }
}

impl Context {
    /// The context in force.
    pub(crate) fn resolve(flags: &Connection) -> Result<Self> {
        let home = home(flags)?;
        let config = Config::load(&home)?;
        let name = flags.context.clone().or_else(|| config.current.clone());
        let mut settings = match &name {
            None => Settings::default(),
            Some(name) => config.context.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = config.context.keys().map(String::as_str).collect();
                UserError::usage(format!(
                    "no context {name:?}; there are: {}",
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    }
                ))
            })?,
        };
        settings.override_with(flags);
        let name = name.unwrap_or_else(|| "default".to_owned());
        let keys = Keys::new(settings.secret_files());
        Ok(Self {
            name,
            settings,
            home,
            deadline: Duration::from_secs(flags.timeout),
            keys: Arc::new(keys),
        })
    }

    /// A file of this context's state, e.g. the remembered head.
    pub(crate) fn state_path(&self, file: &str) -> PathBuf {
        self.home.join("state").join(&self.name).join(file)
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Result<Policy> {
        let path = needed(self.settings.policy.as_ref(), "policy", "--policy FILE")?;
        read_policy(path)
    }

    /// The signing key in force.
    pub(crate) fn key(&self) -> Result<Arc<dyn Signer>> {
        self.open_key(self.key_ref()?)
    }

    /// Where the signing key in force lies.
    pub(crate) fn key_ref(&self) -> Result<&KeyRef> {
        needed(self.settings.key.as_ref(), "key", "--key KEY")
    }

    /// Another key than that of the context, with the same passphrase file and PIN file.
    pub(crate) fn open_key(&self, key: &KeyRef) -> Result<Arc<dyn Signer>> {
        self.keys.open(key)
    }

    /// The organisation in force.
    pub(crate) fn organization(&self) -> Result<&str> {
        Ok(needed(
            self.settings.organization.as_ref(),
            "organisation",
            "--org ID",
        )?)
    }

    /// How to reach the client listeners.
    pub(crate) fn endpoints(&self) -> Result<Endpoints> {
        if self.settings.endpoints.is_empty() {
            return Err(missing("endpoint", "--endpoint HOST:PORT"));
        }
        let ca = needed(self.settings.ca.as_ref(), "authority (CA)", "--ca FILE")?;
        Ok(Endpoints {
            addresses: addresses("--endpoint", &self.settings.endpoints)?,
            ca_pem: reach::certificates("--ca", ca)?,
            identity_pem: None,
            deadline: self.deadline,
        })
    }

    /// How to reach the admin listeners.
    pub(crate) fn admin_endpoints(&self) -> Result<Endpoints> {
        let settings = &self.settings;
        if settings.admin_endpoints.is_empty() {
            return Err(missing("admin endpoint", "--admin-endpoint HOST:PORT"));
        }
        let ca = needed(
            settings.admin_ca.as_ref(),
            "admin authority",
            "--admin-ca FILE",
        )?;
        let certificate = settings.admin_certificate.as_ref();
        let certificate = needed(certificate, "admin certificate", "--admin-cert FILE")?;
        let key = needed(
            settings.admin_key.as_ref(),
            "admin TLS key",
            "--admin-cert-key FILE",
        )?;
        Ok(Endpoints {
            addresses: addresses("--admin-endpoint", &settings.admin_endpoints)?,
            ca_pem: reach::certificates("--admin-ca", ca)?,
            identity_pem: Some((
                reach::certificates("--admin-cert", certificate)?,
                reach::private_key("--admin-cert-key", key)?,
            )),
            deadline: self.deadline,
        })
    }

    /// The ledger in force, read without a key: what is public.
    pub(crate) fn public_ledger(&self) -> Result<Ledger> {
        let policy = self.policy()?;
        let memory = HeadMemory::open(&self.state_path("head.txt"), &policy)?;
        Ok(Ledger::new(&self.endpoints()?, policy, memory)?)
    }

    /// The ledger in force, read as the holder of the key.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        let service = self.service_id()?;
        Ok(self.public_ledger()?.reading_as(self.key()?, service))
    }

    /// The ledger in force, read as the holder of the key where there is one.
    pub(crate) fn any_ledger(&self) -> Result<Ledger> {
        if self.settings.key.is_some() {
            self.ledger()
        } else {
            self.public_ledger()
        }
    }

    /// The service id, which is the name of the policy's log.
    pub(crate) fn service_id(&self) -> Result<String> {
        let policy = self.policy()?;
        let [log] = policy.logs() else {
            return Err(UserError::usage("the policy must name exactly one log"));
        };
        Ok(log.key.name().to_string())
    }
}

impl Settings {
    /// Where passphrases and PINs come from.
    pub(crate) fn secret_files(&self) -> SecretFiles {
        SecretFiles {
            passphrase: self.passphrase_file.clone(),
            pin: self.pin_file.clone(),
        }
    }

    fn override_with(&mut self, flags: &Connection) {
        let Connection {
            endpoint,
            ca,
            policy,
            key,
            org,
            ..
        } = flags;
        if !endpoint.is_empty() {
            self.endpoints.clone_from(endpoint);
        }
        if !flags.admin_endpoint.is_empty() {
            self.admin_endpoints.clone_from(&flags.admin_endpoint);
        }
        for (setting, flag) in [
            (&mut self.ca, ca),
            (&mut self.policy, policy),
            (&mut self.passphrase_file, &flags.passphrase_file),
            (&mut self.pin_file, &flags.pin_file),
            (&mut self.admin_ca, &flags.admin_ca),
            (&mut self.admin_certificate, &flags.admin_cert),
            (&mut self.admin_key, &flags.admin_cert_key),
        ] {
            if flag.is_some() {
                setting.clone_from(flag);
            }
        }
        if key.is_some() {
            self.key.clone_from(key);
        }
        if org.is_some() {
            self.organization.clone_from(org);
        }
    }
}

/// Makes a folder that only its owner can enter: what lies in it is the content of records.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}

/// The addresses, each checked.
fn addresses(field: &str, addresses: &[String]) -> Result<Vec<String>> {
    for address in addresses {
        reach::check_address(field, address)?;
    }
    Ok(addresses.to_vec())
}

/// Reads a policy file.
pub(crate) fn read_policy(path: &Path) -> Result<Policy> {
    Policy::parse(&read(path)?)
        .map_err(|error| UserError::usage(format!("{} is no policy: {error}", path.display())))
}

/// Reads a file, naming it in the error. The largest that any command takes are evidence files.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_limited(
        path,
        EVIDENCE_BYTES_MAX as u64,
        "the largest file that is read",
    )
}

fn needed<'a, T>(setting: Option<&'a T>, what: &str, flag: &str) -> Result<&'a T> {
    setting.ok_or_else(|| missing(what, flag))
}

fn missing(what: &str, flag: &str) -> anyhow::Error {
    let variable = flag
        .trim_start_matches("--")
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_uppercase()
        .replace('-', "_");
    UserError::usage(format!(
        "no {what} is set: give {flag}, set AIMSLOG_{variable}, or make a context with `aimslog init`"
    ))
}
