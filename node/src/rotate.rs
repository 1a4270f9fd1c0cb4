//! `aimslogd rotate`: the key that is to follow the node's cosigner key, or the ledger's log or receipt
//! key.
//!
//! It is made on the machine where it will be used, beside the one before, and leaves it only sealed
//! for the other voters. What the operators get is public: the key's public half, and its proof that
//! it wants to be what they are asked to name it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aimslog_proto::statement::key::SignerError;
use aimslog_proto::system::{NodeId, prove_log_key, prove_node_key, prove_receipt_key};
use aimslog_proto::tlog::note::KeyNameError;
use aimslog_proto::tlog::{Origin, VerifierKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;

use crate::check::{FoundingError, first_entries};
use crate::config::{Config, ConfigError, KeyFiles};
use crate::identity::{
    Passphrase, SecretError, next_file, read_next_seed, read_seed, store_seed, write_public,
};
use crate::init::{random_key, statement_key};
use crate::ledger::head_keys::cosigner_name;

/// Which key is to be followed by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Rotated {
    /// The node's own, which cosigns heads
    Cosigner,
    /// The ledger's, which signs receipts; on any one voter
    Receipt,
    /// The ledger's, which signs checkpoints; on any one voter
    Log,
}

impl Rotated {
    /// Where the key in use lies.
    const fn file(self, files: &KeyFiles) -> &PathBuf {
        match self {
            Self::Cosigner => &files.cosigner,
            Self::Receipt => &files.receipt,
            Self::Log => &files.log,
        }
    }

    /// What the file with the proof is called, where only a folder is named.
    const fn proof_name(self) -> &'static str {
        match self {
            Self::Cosigner => "cosigner.next.toml",
            Self::Receipt => "receipt.next.toml",
            Self::Log => "log.next.toml",
        }
    }

    /// What stands in the file with the proof.
    const fn proof_fields(self) -> &'static [&'static str] {
        match self {
            Self::Cosigner => &["node", "cosigner", "possession"],
            Self::Receipt => &["receipt", "possession"],
            Self::Log => &["log", "possession", "current", "current_possession"],
        }
    }
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The first two entries, which name the log.
    #[error(transparent)]
    Founding(#[from] FoundingError),
    /// A key file.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The log has too long a name.
    #[error("the key cannot be named after the node")]
    Name(#[from] KeyNameError),
    /// The node has no number.
    #[error("node.id must not be 0")]
    NoNode,
    /// The proof cannot be made.
    #[error("the new key cannot prove itself")]
    Possession(#[from] SignerError),
    /// The proof would take the place of a file that is none.
    #[error(
        "--out: {} is not a proof that this command wrote before, and stays as it is; name a file that \
         does not exist, or a folder",
        path.display()
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The proof would stand where the node looks for something else.
    #[error(
        "--out: {} is a place that the node's configuration uses; name another one",
        path.display()
    )]
    Reserved {
        /// The file.
        path: PathBuf,
    },
    /// What was there in its place cannot be looked into or removed.
    #[error("cannot replace {}", path.display())]
    Replace {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Makes the next key of the node with this configuration, or takes the one that was made before, and
/// writes its proof of possession. Returns the words for the person who asked for it.
///
/// # Errors
/// [`RotateError`]; a key that was made already stays for the next try.
pub fn rotate(path: &Path, which: Rotated, out: Option<&Path>) -> Result<String, RotateError> {
    let config = Config::load(path)?;
    let origin = first_entries(&config)?.genesis.origin;
    let passphrase = Passphrase::of(&config.keys)?;
    let key_file = which.file(&config.keys);
    let file = match out {
        None => key_file.with_extension("next.toml"),
        Some(out) if out.is_dir() => out.join(which.proof_name()),
        Some(out) => out.to_owned(),
    };
    // Before a key is made: a refusal leaves nothing behind.
    check_place(&file, which, (path, &config))?;
    // Nobody's next key is made: the one before must be here, and open.
    let current = read_seed(key_file, passphrase.as_ref())?;
    let next = if let Some(made_before) = read_next_seed(key_file, passphrase.as_ref())? {
        made_before
    } else {
        let key = random_key();
        store_seed(&next_file(key_file), &key, passphrase.as_ref())?;
        key
    };
    let proof = match which {
        Rotated::Cosigner => cosigner_proof(&origin, config.node_id, &next)?,
        Rotated::Receipt => receipt_proof(&origin, &next)?,
        Rotated::Log => log_proof(&origin, (&current, &next))?,
    };
    match std::fs::remove_file(&file) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(RotateError::Replace { path: file, source });
        }
        _ => {}
    }
    write_public(&file, proof.as_bytes())?;
    Ok(words(which, &config, (&next_file(key_file), &file)))
}

/// Refuses a place for the proof that the node uses for something else, and one where something lies
/// that is no proof of this sort.
fn check_place(
    file: &Path,
    which: Rotated,
    (config_file, config): (&Path, &Config),
) -> Result<(), RotateError> {
    let resolved = resolve(file);
    let folders = [&config.data_dir, &config.guard_dir].map(|folder| resolve(folder));
    let is_reserved = used_by(config_file, config)
        .iter()
        .any(|used| resolve(used) == resolved)
        || folders.iter().any(|folder| resolved.starts_with(folder));
    let path = || file.to_owned();
    if is_reserved {
        return Err(RotateError::Reserved { path: path() });
    }
    match std::fs::read_to_string(file) {
        Ok(text) if is_proof(&text, which) => Ok(()),
        Ok(_) => Err(RotateError::Occupied { path: path() }),
        Err(error) if error.kind() == ErrorKind::NotFound && !file.is_symlink() => Ok(()),
        Err(error) if error.kind() == ErrorKind::InvalidData || file.is_symlink() => {
            Err(RotateError::Occupied { path: path() })
        }
        Err(source) => Err(RotateError::Replace {
            path: path(),
            source,
        }),
    }
}

/// Every file that the node reads or makes itself.
fn used_by(config_file: &Path, config: &Config) -> Vec<PathBuf> {
    let keys = &config.keys;
    let seeds = [&keys.cosigner, &keys.log, &keys.receipt, &keys.service];
    let seeds = seeds.into_iter().flat_map(|path| {
        let next = next_file(path);
        let unnamed = [path.with_extension("new"), next.with_extension("new")];
        [path.clone(), next].into_iter().chain(unnamed)
    });
    let tls = &config.tls;
    let others = [
        &tls.peer_ca,
        &tls.peer_cert,
        &tls.peer_key,
        &tls.server_cert,
        &tls.server_key,
        &tls.admin_ca,
        &config.genesis,
        &config.keys_statement,
    ];
    let others = others.into_iter().chain(&keys.passphrase).cloned();
    seeds
        .chain(others)
        .chain([config_file.to_owned()])
        .collect()
}

/// The path with its folder as the disk has it, so that two names of one place are seen to be one.
fn resolve(path: &Path) -> PathBuf {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or_else(|| Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Whether this is what the command writes of a key of this sort.
fn is_proof(text: &str, which: Rotated) -> bool {
    let named = text.lines().map(|line| line.split_once(" = "));
    let named: Option<Vec<&str>> = named.map(|line| Some(line?.0)).collect();
    named.is_some_and(|named| named == which.proof_fields())
}

/// What `aimslog cluster rotate-node` reads.
fn cosigner_proof(origin: &Origin, node: u64, key: &SigningKey) -> Result<String, RotateError> {
    let id = NodeId::new(node).ok_or(RotateError::NoNode)?;
    let name = cosigner_name(origin, node)?;
    let vkey = VerifierKey::cosignature_v1(name, &key.verifying_key());
    let possession = prove_node_key(origin, id, &statement_key(key))?;
    let possession = STANDARD.encode(possession.as_bytes());
    Ok(format!(
        "node = {node}\ncosigner = \"{vkey}\"\npossession = \"{possession}\"\n"
    ))
}

/// What `aimslog cluster rotate-receipt-key` reads.
fn receipt_proof(origin: &Origin, key: &SigningKey) -> Result<String, RotateError> {
    let key = statement_key(key);
    let possession = prove_receipt_key(origin, &key)?;
    let (public, possession) = (
        STANDARD.encode(key.public_key().as_bytes()),
        STANDARD.encode(possession.as_bytes()),
    );
    Ok(format!(
        "receipt = \"{public}\"\npossession = \"{possession}\"\n"
    ))
}

/// What `aimslog cluster rotate-log-key` reads: the next key and the one in use, for the record that
/// names both.
fn log_proof(
    origin: &Origin,
    (current, next): (&SigningKey, &SigningKey),
) -> Result<String, RotateError> {
    let proven = |key: &SigningKey| {
        let key = statement_key(key);
        let possession = prove_log_key(origin, &key)?;
        let public = STANDARD.encode(key.public_key().as_bytes());
        Ok::<_, RotateError>((public, STANDARD.encode(possession.as_bytes())))
    };
    let ((log, possession), (current, current_possession)) = (proven(next)?, proven(current)?);
    Ok(format!(
        "log = \"{log}\"\npossession = \"{possession}\"\n\
         current = \"{current}\"\ncurrent_possession = \"{current_possession}\"\n"
    ))
}

fn words(which: Rotated, config: &Config, (next, proof): (&Path, &Path)) -> String {
    let id = config.node_id;
    let (command, takes_over) = match which {
        Rotated::Cosigner => (
            format!("cluster rotate-node {id}"),
            "this node takes it up by itself when the log names it, without a restart, and then\n   \
             the file of the old key is gone",
        ),
        Rotated::Receipt => (
            "cluster rotate-receipt-key".to_owned(),
            "this node hands it to the other voters when the log names it, and all of them give\n   \
             the old key up when it is named alone",
        ),
        Rotated::Log => (
            "cluster rotate-log-key".to_owned(),
            "this node hands it to the other voters when the log names it; the head that leads from\n   \
             the old policy to the new one is signed with both keys, and then all of them give the\n   \
             old key up",
        ),
    };
    format!(
        "\
the next key lies in {next}; it is not in use yet

1. Give {proof} to the operators: it is public, and proves that the key wants to be named.
2. One of them, with the keys of as many as genesis asks for:
   aimslog {command} --possession FILE --operator-key KEY...
3. Leave the key where it is: {takes_over}.

Until the operators have named it, removing {next} undoes this.
",
        next = next.display(),
        proof = proof.display(),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::clock::FixedClock;
    use crate::init::{Plan, init};
    use aimslog_proto::statement::key::{Possession, PublicKey, Signature};

    fn node(folder: &Path) -> PathBuf {
        let plan = Plan {
            origin: Origin::new("ledger.example.com/aims1").unwrap(),
            nodes: vec!["n1=127.0.0.1:7400".parse().unwrap()],
            operators: 1,
            folder: folder.join("cluster"),
            bind: None,
        };
        init(&plan, &FixedClock::at_millis(1_800_000_000_000), [7; 32]).unwrap();
        plan.folder.join("n1")
    }

    fn field(text: &str, name: &str) -> String {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let quoted = line.and_then(|rest| rest.strip_prefix(" = \""));
        quoted
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_next_key_is_made_once_and_proves_what_it_is_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let home = node(folder.path());
        let config = home.join("aimslogd.toml");
        for (which, name, subject) in [
            (Rotated::Cosigner, "cosigner", "node/1"),
            (Rotated::Receipt, "receipt", "keys"),
            (Rotated::Log, "log", "keys/log"),
        ] {
            let before = std::fs::read(home.join(format!("keys/{name}.seed"))).unwrap();
            let words = rotate(&config, which, None).unwrap();
            assert!(words.contains("--possession"), "{words}");
            let next = home.join(format!("keys/{name}.next.seed"));
            assert_eq!(std::fs::metadata(&next).unwrap().mode() & 0o7777, 0o600);
            let proof = std::fs::read_to_string(home.join(format!("keys/{name}.next.toml")));
            let proof = proof.unwrap();
            let elsewhere = folder.path().join(name);
            rotate(&config, which, Some(&elsewhere)).unwrap();
            assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), proof);
            let seed = read_seed(&next, None).unwrap();
            assert!(!proof.contains(&STANDARD.encode(seed.to_bytes())));

            let signature = STANDARD.decode(field(&proof, "possession")).unwrap();
            let claim = Possession {
                service: "ledger.example.com/aims1",
                subject: &format!("urn:aimslog:ledger.example.com/aims1:{subject}"),
            };
            let key = PublicKey::from_bytes(seed.verifying_key().as_bytes()).unwrap();
            let signature = Signature(signature.try_into().unwrap());
            key.verify_possession(&claim, &signature).unwrap();
            // The key in use is as it was.
            let after = std::fs::read(home.join(format!("keys/{name}.seed"))).unwrap();
            assert_eq!(after, before);
        }
        let proof = std::fs::read_to_string(home.join("keys/cosigner.next.toml")).unwrap();
        assert!(proof.starts_with("node = 1\n"), "{proof}");
        assert!(field(&proof, "cosigner").starts_with("ledger.example.com/aims1/node/1+"));
    }

    #[test]
    fn the_proof_of_a_log_key_proves_the_one_in_use_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let home = node(folder.path());
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        rotate(&home.join("aimslogd.toml"), Rotated::Log, Some(&out)).unwrap();
        let proof = std::fs::read_to_string(out.join("log.next.toml")).unwrap();
        let decoded = |name: &str| STANDARD.decode(field(&proof, name)).unwrap();
        for (file, key, possession) in [
            ("log.seed", "current", "current_possession"),
            ("log.next.seed", "log", "possession"),
        ] {
            let seed = read_seed(&home.join("keys").join(file), None).unwrap();
            assert_eq!(decoded(key), seed.verifying_key().as_bytes(), "{file}");
            let public = PublicKey::from_bytes(seed.verifying_key().as_bytes()).unwrap();
            let claim = Possession {
                service: "ledger.example.com/aims1",
                subject: "urn:aimslog:ledger.example.com/aims1:keys/log",
            };
            let signature = Signature(decoded(possession).try_into().unwrap());
            public.verify_possession(&claim, &signature).unwrap();
        }
    }

    /// Every file under a folder, with what it holds.
    fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.extend(files_of(&path));
            } else {
                // A link that leads nowhere holds nothing.
                let bytes = std::fs::read(&path).unwrap_or_default();
                files.push((path, bytes));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn the_proof_takes_the_place_of_no_other_file_and_of_none_that_the_node_makes() {
        let folder = tempfile::tempdir().unwrap();
        let home = node(folder.path());
        let config = home.join("aimslogd.toml");
        rotate(&config, Rotated::Receipt, None).unwrap();
        std::os::unix::fs::symlink("nowhere", home.join("link")).unwrap();
        let before = files_of(&home);
        let loaded = Config::load(&config).unwrap();
        let all = before.iter().map(|(path, _)| path.clone());
        let to_come = [
            home.join("keys/log.next.seed"),
            home.join("keys/../keys/cosigner.next.seed"),
            home.join("keys/log.new"),
            home.join("link"),
            loaded.data_dir.join("proof.toml"),
            loaded.guard_dir.join("guard"),
        ];
        for path in all.chain(to_come) {
            let refused = rotate(&config, Rotated::Log, Some(&path));
            assert!(
                matches!(
                    refused,
                    Err(RotateError::Reserved { .. } | RotateError::Occupied { .. })
                ),
                "{}: {refused:?}",
                path.display()
            );
            assert_eq!(files_of(&home), before, "{}", path.display());
        }
        // A proof of the same sort is replaced: the key may be another one by now.
        for _ in 0..2 {
            let beside = folder.path().join("log.toml");
            rotate(&config, Rotated::Log, Some(&beside)).unwrap();
        }
    }

    #[test]
    fn without_the_key_before_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let home = node(folder.path());
        std::fs::remove_file(home.join("keys/receipt.seed")).unwrap();
        let refused = rotate(&home.join("aimslogd.toml"), Rotated::Receipt, None);
        assert!(
            matches!(refused, Err(RotateError::Secret(_))),
            "{refused:?}"
        );
        assert!(!home.join("keys/receipt.next.seed").exists());
        let missing = rotate(&home.join("none.toml"), Rotated::Cosigner, None);
        assert!(
            matches!(missing, Err(RotateError::Config(_))),
            "{missing:?}"
        );
    }
}
