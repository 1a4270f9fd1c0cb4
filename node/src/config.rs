//! The configuration of a node: one documented TOML file.
//!
//! Unknown keys are errors, relations between keys are checked once here, and whoever holds a
//! [`Config`] holds one that passed. Secrets are named by file path only, so that
//! [`Config::effective`] is safe to print. Paths in the file are relative to its folder.

mod raw;
mod template;
#[cfg(test)]
mod tests;

use crate::service::quotas::Allowances;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What is wrong with one key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, for example `listen.client`.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Problem {
    /// A problem with the value of `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a missing key or a value of another type.
    #[error("the configuration is not valid: {0}")]
    Syntax(#[source] Box<toml::de::Error>),
    /// Values that break a rule; all of them at once.
    #[error("the configuration is not valid: {}", list(.0))]
    Values(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("; ")
}

/// A host (name or IP address) and a port, as others reach it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text is no `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be host:port with a port of 1 to 65535 (an IPv6 address in brackets)")]
pub struct HostPortError;

impl HostPort {
    /// The two parts, checked. An IPv6 address comes without its brackets.
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        let address = host.parse::<std::net::IpAddr>().is_ok();
        let name = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_');
        if port == 0 || host.is_empty() || host.len() > 253 || !(address || name) {
            return Err(HostPortError);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(HostPortError);
        }
        let port = port.parse::<u16>().map_err(|_not_a_port| HostPortError)?;
        Self::new(bracketed.unwrap_or(host), port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a node verifies before it cosigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CosignVerify {
    /// Signatures and contents of all entries, itself.
    All,
    /// The leader's door is trusted with signatures and contents; order and root are still ours.
    Leader,
}

/// Who may read the bytes of entries (never of disclosures).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryVisibility {
    /// Whoever shows a read token of a registered organisation.
    Token,
    /// Everybody.
    Public,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Addresses to bind: `ip:port`; port 0 lets the system choose (tests).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// `EvidenceService` and `LogService`.
    pub client: SocketAddr,
    /// Raft, cosigning and forwarding between nodes.
    pub peer: SocketAddr,
    /// `ClusterService`.
    pub admin: SocketAddr,
}

/// Addresses under which others reach this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertise {
    /// For clients; told to them when they ask another node for the leader.
    pub client: HostPort,
    /// For the other nodes.
    pub peer: HostPort,
}

/// Another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: u64,
    /// Its name, `<origin>/node/<id>`.
    pub name: String,
    /// Its peer address.
    pub address: HostPort,
}

/// PEM files of the three listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authority of the node certificates.
    pub peer_ca: PathBuf,
    /// This node's certificate, for both ends of a peer connection.
    pub peer_cert: PathBuf,
    /// Its key.
    pub peer_key: PathBuf,
    /// Certificate of the client and the admin listener.
    pub server_cert: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// Authority of the operators' client certificates.
    pub admin_ca: PathBuf,
}

/// Ed25519 seed files, one per purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// This node's own: cosigns heads.
    pub cosigner: PathBuf,
    /// The log's: signs checkpoints.
    pub log: PathBuf,
    /// Signs receipts.
    pub receipt: PathBuf,
    /// Signs what the service itself asserts.
    pub service: PathBuf,
    /// The passphrase of those that are encrypted.
    pub passphrase: Option<PathBuf>,
}

/// A configuration that passed all checks that need no other file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's id; never 0, never reused.
    pub node_id: u64,
    /// `<origin>/node/<id>`.
    pub name: String,
    /// Holds `raft/` and `state/`.
    pub data_dir: PathBuf,
    /// Holds the guard file; on another volume, in no backup.
    pub guard_dir: PathBuf,
    /// The genesis statement, entry 0 of the log.
    pub genesis: PathBuf,
    /// The keys statement, entry 1 of the log.
    pub keys_statement: PathBuf,
    /// Addresses to bind.
    pub listen: Listen,
    /// Addresses told to others.
    pub advertise: Advertise,
    /// The other nodes at the start of the cluster.
    pub peers: Vec<Peer>,
    /// TLS files.
    pub tls: TlsFiles,
    /// Key files.
    pub keys: KeyFiles,
    /// Time between two heads while there is something new.
    pub checkpoint_interval: Duration,
    /// What is verified before cosigning.
    pub cosign_verify: CosignVerify,
    /// Who may read entry bytes.
    pub entries: EntryVisibility,
    /// What one principal and one organisation may take of this node.
    pub allowances: Allowances,
    /// Below this much free space on the data volume the node takes no submissions.
    pub disk_reserve_bytes: u64,
    /// How log lines look.
    pub log_format: LogFormat,
    /// `tracing` filter, for example `info` or `info,aimslog_node::raft=debug`.
    pub log_filter: String,
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&text, folder)
    }

    /// Checks the text of a file that lies in `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Root =
            toml::from_str(text).map_err(|error| ConfigError::Syntax(Box::new(error)))?;
        raw.check(folder).map_err(ConfigError::Values)
    }

    /// The file as it is in effect: every key with its explanation, paths resolved, no secrets.
    pub fn effective(&self) -> String {
        template::render(self)
    }
}
