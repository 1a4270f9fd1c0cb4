//! `aimslogd rotate`: the key that is to follow the node's cosigner key or the ledger's receipt key.
//!
//! It is made on the machine where it will be used, beside the one before, and leaves it only sealed
//! for the other voters. What the operators get is public: the key's public half, and its proof that
//! it wants to be what they are asked to name it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aimslog_proto::statement::key::SignerError;
use aimslog_proto::system::{NodeId, prove_node_key, prove_receipt_key};
use aimslog_proto::tlog::note::KeyNameError;
use aimslog_proto::tlog::{Origin, VerifierKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;

use crate::check::{FoundingError, first_entries};
use crate::config::{Config, ConfigError};
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
    /// What was there in its place cannot be removed.
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
pub fn rotate(config: &Path, which: Rotated, out: Option<&Path>) -> Result<String, RotateError> {
    let config = Config::load(config)?;
    let origin = first_entries(&config)?.genesis.origin;
    let passphrase = Passphrase::of(&config.keys)?;
    let path = match which {
        Rotated::Cosigner => &config.keys.cosigner,
        Rotated::Receipt => &config.keys.receipt,
    };
    // Nobody's next key is made: the one before must be here, and open.
    read_seed(path, passphrase.as_ref())?;
    let next = if let Some(made_before) = read_next_seed(path, passphrase.as_ref())? {
        made_before
    } else {
        let key = random_key();
        store_seed(&next_file(path), &key, passphrase.as_ref())?;
        key
    };
    let proof = match which {
        Rotated::Cosigner => cosigner_proof(&origin, config.node_id, &next)?,
        Rotated::Receipt => receipt_proof(&origin, &next)?,
    };
    let file = out.map_or_else(|| path.with_extension("next.toml"), Path::to_owned);
    match std::fs::remove_file(&file) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(RotateError::Replace { path: file, source });
        }
        _ => {}
    }
    write_public(&file, proof.as_bytes())?;
    Ok(words(which, &config, (&next_file(path), &file)))
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
