//! `aimslogd check`: everything that can be wrong before a node starts, said at once.

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Problem};
use crate::identity::{LedgerKeys, NodeKeys, PublicKeys};
use crate::init::node_name;
use crate::ledger::guard_file::GUARD_FILE;
use crate::raft::has_raft_log;
use crate::service::spiffe::ClusterTag;
use crate::service::status::Chain;
use crate::service::tls::{NodeTls, TlsIdentity};
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{Genesis, NodeId};
use aimslog_proto::tlog::note::{KeyName, VerifierKey};
use aimslog_proto::tlog::{LeafIndex, TreeSize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Free space that a node needs to start, beside the reserve that stops submissions.
const START_BYTES_MIN: u64 = 64 << 20;

/// Said of a node that has yet to get the keys of the ledger; a comment, as the report is a file.
const KEYS_AWAITED: &str = "
# Log, receipt and service key are not here: the node asks the voters for them as soon as it is a
# member of the cluster, and leads nothing before it has them.
";

/// The last line where nothing is wrong; a comment, as the report is a file.
const FINE: &str = "
# ok: this node can start, as far as its files say; ports, clock and what lies in data_dir and
# guard_dir are looked at when it does
";

/// What `check` found.
#[derive(Debug)]
pub struct Report {
    /// The configuration in effect, or every problem.
    pub text: String,
    /// Whether a node would start with it.
    pub good: bool,
}

/// The first two entries of the log, as the node's folder holds them.
#[derive(Debug)]
pub struct FirstEntries {
    /// Entry 0, verbatim.
    pub genesis_bytes: Vec<u8>,
    /// Entry 1, verbatim.
    pub keys_bytes: Vec<u8>,
    /// What entry 0 says.
    pub genesis: Genesis,
    /// The cluster id: entry id of entry 0.
    pub cluster_id: EntryId,
    /// What the two make of an empty registry.
    pub registry: Registry,
}

/// Why the first two entries are not usable.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a statement.
    #[error("{} is not a signed statement", path.display())]
    Statement {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: aimslog_proto::statement::StatementError,
    },
    /// A statement that may not stand there.
    #[error("{} is not acceptable: {violations}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks.
        violations: Box<aimslog_proto::reason::Violations>,
    },
    /// Entry 0 is another record.
    #[error("{} is not a genesis", path.display())]
    NotGenesis {
        /// The file.
        path: PathBuf,
    },
}

/// Reads entries 0 and 1 and checks them as every node does at apply.
pub fn first_entries(config: &Config) -> Result<FirstEntries, FoundingError> {
    let mut registry = Registry::new();
    let mut read = |path: &Path, index: u64| {
        let bytes = std::fs::read(path).map_err(|source| FoundingError::Read {
            path: path.to_owned(),
            source,
        })?;
        let statement =
            UnverifiedStatement::parse(&bytes).map_err(|source| FoundingError::Statement {
                path: path.to_owned(),
                source,
            })?;
        registry
            .apply(LeafIndex(index), &statement)
            .map_err(|violations| FoundingError::Refused {
                path: path.to_owned(),
                violations: Box::new(violations),
            })?;
        Ok(bytes)
    };
    let genesis_bytes = read(&config.genesis, 0)?;
    let keys_bytes = read(&config.keys_statement, 1)?;
    let genesis = registry
        .genesis()
        .cloned()
        .ok_or_else(|| FoundingError::NotGenesis {
            path: config.genesis.clone(),
        })?;
    let cluster_id = EntryId::of(&genesis_bytes);
    Ok(FirstEntries {
        genesis_bytes,
        keys_bytes,
        genesis,
        cluster_id,
        registry,
    })
}

/// Reads the file and everything it names. An error is only that the file itself is unusable.
pub fn check(path: &Path, clock: &dyn Clock) -> Result<Report, ConfigError> {
    let config = Config::load(path)?;
    let problems = problems(&config, clock);
    if problems.is_empty() {
        let mut text = config.effective();
        if matches!(LedgerKeys::load(&config.keys), Ok(None)) {
            text.push_str(KEYS_AWAITED);
        }
        text.push_str(FINE);
        return Ok(Report { text, good: true });
    }
    let mut text = String::new();
    for problem in &problems {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{problem}");
    }
    Ok(Report { text, good: false })
}

/// Everything that would keep a node with this configuration from starting, as far as files say.
pub fn problems(config: &Config, clock: &dyn Clock) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |key: &str, error: &dyn std::error::Error| {
        problems.push(Problem::new(key, Chain(error).to_string()));
    };
    let keys = NodeKeys::load(&config.keys)
        .map_err(|error| add("keys", &error))
        .ok();
    let first = first_entries(config)
        .map_err(|error| add("node.genesis", &error))
        .ok();
    if let Some(first) = &first {
        let identity = TlsIdentity {
            cluster: ClusterTag::of(first.cluster_id.as_bytes()),
            node_id: config.node_id,
            now: clock.unix_seconds(),
        };
        if let Err(error) = NodeTls::load(&config.tls, identity) {
            add("tls", &error);
        }
    }
    if let (Some(first), Some(keys)) = (&first, &keys) {
        problems.extend(key_problems(config, first, keys));
    }
    for (key, folder) in [
        ("node.data_dir", &config.data_dir),
        ("node.guard_dir", &config.guard_dir),
    ] {
        if let Err(problem) = folder_problem(folder) {
            problems.push(Problem::new(key, problem));
        }
    }
    problems
}

/// Whether the node has run before. Then its log, which is read when it starts, says which cosigner,
/// log and receipt key it should have: the operators may have named others since genesis. A raft log or
/// a guard file tells; whatever else lies in the folders is no sign of a node.
fn has_run(config: &Config) -> bool {
    has_raft_log(&config.data_dir) || config.guard_dir.join(GUARD_FILE).exists()
}

/// The keys must be the ones that genesis names, as long as no log says otherwise. A node that was
/// admitted later is in no genesis.
fn key_problems(config: &Config, first: &FirstEntries, keys: &NodeKeys) -> Vec<Problem> {
    let mut problems = Vec::new();
    let has_run = has_run(config);
    let expected = PublicKeys::of(&first.registry, TreeSize(0));
    if let (Some(ledger), Some(expected)) = (&keys.ledger, expected) {
        let foreign = expected.foreign(ledger).into_iter();
        let foreign = foreign.filter(|key| key.what == "service" || !has_run);
        problems
            .extend(foreign.map(|key| Problem::new(format!("keys.{}", key.what), key.to_string())));
    }
    let genesis = &first.genesis;
    let origin = &genesis.origin;
    let own = genesis
        .nodes
        .iter()
        .find(|node| Some(node.id) == NodeId::new(config.node_id));
    if !has_run
        && let (Some(own), Ok(name)) = (own, KeyName::new(node_name(origin, config.node_id)))
        && VerifierKey::cosignature_v1(name, &keys.cosigner.verifying_key()) != own.cosigner
    {
        let problem = "is not the cosigner key that genesis names";
        problems.push(Problem::new("keys.cosigner", problem));
    }
    let expected = node_name(origin, config.node_id);
    if config.name != expected {
        let problem = format!("must be {expected}, as genesis says");
        problems.push(Problem::new("node.name", problem));
    }
    problems
}

fn folder_problem(folder: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(folder)
        .map_err(|error| format!("cannot use {}: {error}", folder.display()))?;
    if !metadata.is_dir() {
        return Err(format!("{} is not a folder", folder.display()));
    }
    let free = free_bytes(folder)
        .map_err(|error| format!("cannot ask for free space at {}: {error}", folder.display()))?;
    if free < START_BYTES_MIN {
        let (free, least) = (free >> 20, START_BYTES_MIN >> 20);
        return Err(format!(
            "too little disk: {free} MiB free, {least} MiB needed to start"
        ));
    }
    Ok(())
}

/// Space on the volume of `folder` that this program may use.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let volume = rustix::fs::statvfs(folder)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use crate::identity::{Succession, next_file, promote_next_seed, read_seed, store_seed};
    use crate::init::{Plan, init};
    use aimslog_proto::tlog::Origin;
    use ed25519_dalek::SigningKey;

    #[test]
    fn keys_are_those_of_genesis_until_a_log_may_have_named_others() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            origin: Origin::new("ledger.example.com/aims1").unwrap(),
            nodes: vec!["n1=127.0.0.1:7400".parse().unwrap()],
            operators: 1,
            folder: folder.path().join("cluster"),
            bind: None,
        };
        let clock = FixedClock::at_millis(1_800_000_000_000);
        init(&plan, &clock, [7; 32]).unwrap();
        let config = Config::load(&plan.folder.join("n1/aimslogd.toml")).unwrap();
        let wrong = |config: &Config| {
            let found = problems(config, &clock);
            found.into_iter().map(|it| it.key).collect::<Vec<_>>()
        };
        assert!(wrong(&config).is_empty());
        let other = SigningKey::from_bytes(&[9; 32]);
        let files = &config.keys;
        for path in [&files.cosigner, &files.receipt, &files.log] {
            store_seed(&next_file(path), &other, None).unwrap();
        }
        // What is to follow is not in use.
        assert!(wrong(&config).is_empty());
        for path in [&files.cosigner, &files.receipt, &files.log] {
            let keys = Succession {
                before: read_seed(path, None).unwrap().verifying_key(),
                next: other.verifying_key(),
            };
            promote_next_seed(path, &keys, None).unwrap();
        }
        assert_eq!(
            wrong(&config),
            ["keys.log", "keys.receipt", "keys.cosigner"]
        );
        // What lies in the folders, but is left by no node, tells nothing of what its log names.
        for (folder, name) in [
            (&config.data_dir, "lost+found"),
            (&config.guard_dir, ".keep"),
            (&config.data_dir, "raft"),
        ] {
            std::fs::create_dir(folder.join(name)).unwrap();
            assert_eq!(wrong(&config).len(), 3, "{name}");
        }
        let guard = config.guard_dir.join("guard");
        std::fs::write(&guard, "a node has run here").unwrap();
        assert!(wrong(&config).is_empty());
        std::fs::remove_file(guard).unwrap();
        std::fs::write(config.data_dir.join("raft/CURRENT"), "so here").unwrap();
        assert!(wrong(&config).is_empty());
        let service = read_seed(&files.service, None).unwrap().verifying_key();
        store_seed(&next_file(&files.service), &other, None).unwrap();
        let keys = Succession {
            before: service,
            next: other.verifying_key(),
        };
        promote_next_seed(&files.service, &keys, None).unwrap();
        assert_eq!(wrong(&config), ["keys.service"], "which never changes");
    }
}
