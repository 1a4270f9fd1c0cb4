//! `aimslogd add-node`: the folder of a node that joins a running cluster.
//!
//! The authority makes its certificates; its cosigner key and its id are new. What every voter holds
//! (log, receipt and service key) is not here: a voter hands it over once the operators have admitted
//! the node and it is a member. `aimslog cluster replace` reads the `node.toml` written here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::system::{Genesis, Payload as _};
use aimslog_proto::tlog::{KeyName, VerifierKey};
use serde::Deserialize;

use super::genesis::Founding;
use super::layout::Folder;
use super::pki::Authority;
use super::plan::{NodeSpec, Plan, node_name};
use super::{Authorities, InitError, Seat, node_config, random_key, write_node};
use crate::clock::Clock;
use crate::config::{HostPort, Peer};

/// A node that is to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The folder that `init` wrote: `authority/`, the first two entries in `public/` and the
    /// `node.toml` of each node that came later are read, the node's folder is written into it.
    pub from: PathBuf,
    /// The new node.
    pub node: NodeSpec,
    /// Its number, which no node of the cluster has ever had.
    pub id: u64,
    /// The node in whose place it comes; it is not named as a peer.
    pub replaces: Option<u64>,
    /// As in [`Plan::bind`].
    pub bind: Option<std::net::IpAddr>,
}

/// Why no folder was made.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// A file of the authority or of the public folder.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What should be the genesis is none.
    #[error("{path} is no genesis: {why}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What an earlier run left of a node is not that.
    #[error("{path} is not what `aimslogd add-node` writes: {why}")]
    Node {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The number is zero or was given before.
    #[error("node {id}: a number above zero that no node of the cluster has ever had")]
    Id {
        /// The number.
        id: u64,
    },
    /// Writing the folder.
    #[error(transparent)]
    Write(#[from] InitError),
}

/// Makes the folder and returns the words for the person who asked for it. Nothing is overwritten.
pub fn add_node(addition: &Addition, clock: &dyn Clock) -> Result<String, AddError> {
    let public = addition.from.join("public");
    let path = public.join("genesis.cose");
    let genesis_bytes = read(&path)?;
    let genesis = genesis(&path, &genesis_bytes)?;
    let added = added(&addition.from)?;
    let founders = genesis.nodes.iter().map(|node| node.id.number());
    let mut ids = founders.chain(added.iter().map(|node| node.id));
    let taken = ids.any(|id| id == addition.id);
    if addition.id == 0 || taken {
        return Err(AddError::Id { id: addition.id });
    }
    let founding = Founding {
        cluster_id: EntryId::of(&genesis_bytes),
        genesis: genesis_bytes,
        keys: read(&public.join("keys.cose"))?,
        trust_policy: genesis.policy.trust.clone(),
    };
    let authorities = authorities(&addition.from.join("authority"), clock.unix_seconds())?;
    let cosigner = random_key();
    let seat = Seat {
        id: addition.id,
        node: &addition.node,
        cosigner: &cosigner,
    };
    let plan = Plan {
        origin: genesis.origin.clone(),
        nodes: vec![addition.node.clone()],
        operators: genesis.operators.len(),
        folder: addition.from.clone(),
        bind: addition.bind,
    };
    let mut config = node_config(&plan, seat);
    config.peers = peers(&genesis, &added, addition.replaces);
    let path = addition.from.join(&addition.node.label);
    let folder = Folder::empty(&path).map_err(InitError::from)?;
    write_node(&folder, &config, seat, (&founding, &authorities))?;
    let name = node_name(&genesis.origin, addition.id);
    let name = KeyName::new(name).map_err(|_too_long| AddError::Id { id: addition.id })?;
    let vkey = VerifierKey::cosignature_v1(name, &cosigner.verifying_key());
    folder
        .public("node.toml", node_file(addition, &vkey))
        .map_err(InitError::from)?;
    Ok(words(addition, &path))
}

/// What `aimslog cluster replace` reads.
fn node_file(addition: &Addition, vkey: &VerifierKey) -> String {
    let NodeSpec {
        peer,
        client,
        admin,
        ..
    } = &addition.node;
    let mut text = format!(
        "id = {}\npeer = \"{peer}\"\ncosigner = \"{vkey}\"\nclient = \"{client}\"\nadmin = \"{admin}\"\n",
        addition.id
    );
    if let Some(old) = addition.replaces {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "replaces = {old}");
    }
    text
}

fn words(addition: &Addition, path: &Path) -> String {
    let (label, id) = (&addition.node.label, addition.id);
    let old = addition
        .replaces
        .map_or_else(|| "OLD".to_owned(), |old| old.to_string());
    let mut text = format!(
        "\
node {id} is made in {path}

1. Copy {path} to {host}, to no other place, and destroy it here but for node.toml.
2. Check and start: aimslogd check --config aimslogd.toml; aimslogd run --config aimslogd.toml
   It has no log, receipt and service key yet: a voter hands them over when the node is let in.
3. Let it in, with as many operators as genesis asks for:
   aimslog cluster replace {old} {label}/node.toml --operator-key FILE --operator-key FILE
",
        path = path.display(),
        host = addition.node.peer.host(),
    );
    // Writing to a String cannot fail.
    let _infallible = write!(
        text,
        "\
4. Tell everybody the new addresses. The running nodes learn theirs from the log; nothing else does:
   clients {client}: for the contexts of enterprises and auditors (aimslog init NAME --force ...)
   operators {admin}: for the contexts of operators, beside the one for clients
   in every copy of nodes.txt, in the place of the line of node {old}:
   {line}
5. Take authority/ offline again.
",
        client = addition.node.client,
        admin = addition.node.admin,
        line = super::readme::node_line(id, &addition.node),
    );
    text
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, AddError> {
    std::fs::read(path).map_err(|source| AddError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn genesis(path: &Path, bytes: &[u8]) -> Result<Genesis, AddError> {
    let malformed = |why: String| AddError::Genesis {
        path: path.to_owned(),
        why,
    };
    let statement =
        UnverifiedStatement::parse(bytes).map_err(|error| malformed(error.to_string()))?;
    Genesis::decode(statement.payload()).map_err(|error| malformed(error.to_string()))
}

pub(super) fn authorities(folder: &Path, now: u64) -> Result<Authorities, AddError> {
    let authority = |file: &str, name: &str| {
        let cert = read(&folder.join(format!("{file}.pem")))?;
        let key = zeroize::Zeroizing::new(read(&folder.join(format!("{file}.key")))?);
        let restored = Authority::restore(name, (&cert, &key), now);
        Ok::<_, AddError>(restored.map_err(InitError::from)?)
    };
    Ok(Authorities {
        peer: authority("peer-ca", super::PEER_AUTHORITY)?,
        client: authority("client-ca", super::CLIENT_AUTHORITY)?,
        admin: authority("admin-ca", super::ADMIN_AUTHORITY)?,
    })
}

/// What an earlier `add-node` left of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Added {
    id: u64,
    peer: String,
    replaces: Option<u64>,
}

/// The nodes that came later, by the `node.toml` of each folder that is left of them, oldest first.
fn added(from: &Path) -> Result<Vec<Added>, AddError> {
    let error = |source| AddError::Read {
        path: from.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(from).map_err(error)? {
        let path = entry.map_err(error)?.path().join("node.toml");
        if !path.exists() {
            continue;
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let added = toml::from_str(&text).map_err(|why| AddError::Node {
            path,
            why: why.message().to_owned(),
        })?;
        found.push(added);
    }
    found.sort_by_key(|added: &Added| added.id);
    Ok(found)
}

/// The other nodes: those that genesis names, and in the place of each that was replaced the newest
/// that was made for it. The new node asks these to be let in; raft tells it the rest.
fn peers(genesis: &Genesis, added: &[Added], replaces: Option<u64>) -> Vec<Peer> {
    let founders = genesis.nodes.iter().filter_map(|node| {
        let address = node.label.parse::<HostPort>().ok()?;
        Some((node.id.number(), address))
    });
    let mut seats: BTreeMap<u64, HostPort> = founders.collect();
    for (position, node) in added.iter().enumerate() {
        let later = added.iter().skip(position + 1).map(|it| it.replaces);
        let given_up = later.chain([replaces]).any(|it| it == node.replaces);
        if node.replaces.is_some() && given_up {
            continue;
        }
        if let Some(old) = node.replaces {
            seats.remove(&old);
        }
        if let Ok(address) = node.peer.parse() {
            seats.insert(node.id, address);
        }
    }
    let others = seats.into_iter().filter(|(id, _)| Some(*id) != replaces);
    others
        .map(|(id, address)| Peer {
            id,
            name: node_name(&genesis.origin, id),
            address,
        })
        .collect()
}

#[cfg(test)]
mod tests;
