//! `aimslogd init`: keys, certificates, genesis and configuration of a new cluster, in folders that
//! are copied to where they belong.

mod add;
mod genesis;
mod layout;
mod operator;
mod pki;
mod plan;
mod readme;
mod renew;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::config::{
    Advertise, Config, CosignVerify, EntryVisibility, KeyFiles, Listen, LogFormat, Peer, TlsFiles,
};
use crate::service::quotas::Allowances;
use crate::service::spiffe::ClusterTag;
use ed25519_dalek::SigningKey;
use layout::Folder;
use pki::Authority;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

pub use add::{AddError, Addition, add_node};
pub use genesis::{Circumstances, ClusterKeys, Founding, GenesisError, found, statement_key};
pub use layout::LayoutError;
pub use operator::{Addition as OperatorAddition, add_operator};
pub use pki::PkiError;
pub use plan::{NodeSpec, NodeSpecError, Plan, PlanError, node_name, parse_origin};
pub use renew::{Renewal, renew};

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// What was asked for.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Folders and files.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Makes a cluster and returns the words for the person who asked for it.
///
/// Nothing is ever overwritten: the folder must be empty or missing. A run that fails half-way
/// leaves a folder that has to be removed; no key in it is in use.
pub fn init(plan: &Plan, clock: &dyn Clock, rule_bundle: [u8; 32]) -> Result<String, InitError> {
    plan.check()?;
    let top = Folder::empty(&plan.folder)?;
    let now = clock.unix_seconds();
    let keys = ClusterKeys {
        log: random_key(),
        receipt: random_key(),
        service: random_key(),
        cosigners: plan.nodes.iter().map(|_| random_key()).collect(),
        operators: (0..plan.operators).map(|_| random_key()).collect(),
    };
    let circumstances = Circumstances {
        now,
        rule_bundle,
        statement_ids: [rand::random(), rand::random()],
    };
    let founding = found(plan, &keys, circumstances)?;
    let authorities = Authorities::new(now)?;
    for (position, (id, node)) in plan.numbered().enumerate() {
        let cosigner = keys.cosigners.get(position).ok_or(GenesisError::Empty)?;
        let seat = Seat { id, node, cosigner };
        write_node(
            &top.folder(&node.label)?,
            &node_config(plan, seat),
            seat,
            (&founding, &authorities),
        )?
        .ledger_keys(&keys)?;
    }
    for (number, key) in (1..).zip(&keys.operators) {
        let folder = top.folder(&format!("operator-{number}"))?;
        write_operator(&folder, plan, (number, key), (&founding, &authorities))?;
    }
    let public = top.folder("public")?;
    public.public("client-ca.pem", &authorities.client.pem.cert)?;
    public.public("policy.txt", &founding.trust_policy)?;
    public.public("genesis.cose", &founding.genesis)?;
    public.public("keys.cose", &founding.keys)?;
    public.public("nodes.txt", readme::nodes(plan))?;
    authorities.write(&top.folder("authority")?)?;
    let words = readme::cluster(plan, &founding.cluster_id.to_string());
    top.public("README.txt", &words)?;
    Ok(words)
}

pub(crate) fn random_key() -> SigningKey {
    SigningKey::from_bytes(&Zeroizing::new(rand::random::<[u8; 32]>()))
}

/// The names of the authorities, which stand in every certificate that they sign.
const PEER_AUTHORITY: &str = "aimslog peer authority";
const CLIENT_AUTHORITY: &str = "aimslog client authority";
const ADMIN_AUTHORITY: &str = "aimslog admin authority";

/// One authority per purpose, so that no certificate opens two kinds of doors.
struct Authorities {
    peer: Authority,
    client: Authority,
    admin: Authority,
}

impl Authorities {
    fn new(now: u64) -> Result<Self, PkiError> {
        Ok(Self {
            peer: Authority::new(PEER_AUTHORITY, now)?,
            client: Authority::new(CLIENT_AUTHORITY, now)?,
            admin: Authority::new(ADMIN_AUTHORITY, now)?,
        })
    }

    fn write(&self, folder: &Folder) -> Result<(), LayoutError> {
        for (name, authority) in [
            ("peer-ca", &self.peer),
            ("client-ca", &self.client),
            ("admin-ca", &self.admin),
        ] {
            folder.public(&format!("{name}.pem"), &authority.pem.cert)?;
            folder.secret(&format!("{name}.key"), authority.pem.key.as_bytes())?;
        }
        Ok(())
    }
}

/// A node of the plan with its own key.
#[derive(Clone, Copy)]
struct Seat<'a> {
    id: u64,
    node: &'a NodeSpec,
    cosigner: &'a SigningKey,
}

fn write_node(
    folder: &Folder,
    config: &Config,
    seat: Seat<'_>,
    (founding, authorities): (&Founding, &Authorities),
) -> Result<KeyFolder, InitError> {
    folder.public("aimslogd.toml", config.effective())?;
    folder.public("genesis.cose", &founding.genesis)?;
    folder.public("keys.cose", &founding.keys)?;
    folder.folder("data")?;
    folder.folder("guard")?;
    let cluster = ClusterTag::of(founding.cluster_id.as_bytes());
    let tls = folder.folder("tls")?;
    write_certificates(&tls, authorities, cluster, (seat.id, seat.node))?;
    tls.public("peer-ca.pem", &authorities.peer.pem.cert)?;
    tls.public("admin-ca.pem", &authorities.admin.pem.cert)?;
    let seeds = folder.folder("keys")?;
    seeds.seed("cosigner.seed", seat.cosigner)?;
    Ok(KeyFolder(seeds))
}

/// Fresh certificates and keys of a node, for its two faces: to nodes, and to clients and operators.
fn write_certificates(
    tls: &Folder,
    authorities: &Authorities,
    cluster: ClusterTag,
    (id, node): (u64, &NodeSpec),
) -> Result<(), InitError> {
    let peer = authorities.peer.peer(cluster, id, node.peer.host())?;
    let server = authorities.client.server(id, node.client.host())?;
    tls.public("peer.pem", &peer.cert)?;
    tls.secret("peer.key", peer.key.as_bytes())?;
    tls.public("server.pem", &server.cert)?;
    tls.secret("server.key", server.key.as_bytes())?;
    Ok(())
}

/// The `keys/` of a node that has its own key and not yet those of the ledger. A founding node gets
/// them here; one that joins gets them from a voter.
struct KeyFolder(Folder);

impl KeyFolder {
    fn ledger_keys(&self, keys: &ClusterKeys) -> Result<(), LayoutError> {
        self.0.seed("log.seed", &keys.log)?;
        self.0.seed("receipt.seed", &keys.receipt)?;
        self.0.seed("service.seed", &keys.service)
    }
}

fn write_operator(
    folder: &Folder,
    plan: &Plan,
    (number, key): (usize, &SigningKey),
    (founding, authorities): (&Founding, &Authorities),
) -> Result<(), InitError> {
    let cluster = ClusterTag::of(founding.cluster_id.as_bytes());
    let admin = authorities.admin.operator(cluster, number)?;
    folder.seed("operator.seed", key)?;
    folder.public("admin.pem", &admin.cert)?;
    folder.secret("admin.key", admin.key.as_bytes())?;
    folder.public("client-ca.pem", &authorities.client.pem.cert)?;
    folder.public("policy.txt", &founding.trust_policy)?;
    folder.public("genesis.cose", &founding.genesis)?;
    folder.public("nodes.txt", readme::nodes(plan))?;
    folder.public("README.txt", readme::operator(plan, number))?;
    Ok(())
}

/// The configuration of a node, with paths relative to its folder.
fn node_config(plan: &Plan, seat: Seat<'_>) -> Config {
    let (id, node) = (seat.id, seat.node);
    let path = PathBuf::from;
    let bind = |host: &str, port: u16| SocketAddr::new(bind_address(plan, host), port);
    Config {
        node_id: id,
        name: node_name(&plan.origin, id),
        data_dir: path("data"),
        guard_dir: path("guard"),
        genesis: path("genesis.cose"),
        keys_statement: path("keys.cose"),
        listen: Listen {
            client: bind(node.client.host(), node.client.port()),
            peer: bind(node.peer.host(), node.peer.port()),
            admin: bind(node.admin.host(), node.admin.port()),
        },
        advertise: Advertise {
            client: node.client.clone(),
            peer: node.peer.clone(),
        },
        peers: plan
            .numbered()
            .filter(|(other, _)| *other != id)
            .map(|(other, node)| Peer {
                id: other,
                name: node_name(&plan.origin, other),
                address: node.peer.clone(),
            })
            .collect(),
        tls: TlsFiles {
            peer_ca: path("tls/peer-ca.pem"),
            peer_cert: path("tls/peer.pem"),
            peer_key: path("tls/peer.key"),
            server_cert: path("tls/server.pem"),
            server_key: path("tls/server.key"),
            admin_ca: path("tls/admin-ca.pem"),
        },
        keys: KeyFiles {
            cosigner: path("keys/cosigner.seed"),
            log: path("keys/log.seed"),
            receipt: path("keys/receipt.seed"),
            service: path("keys/service.seed"),
            passphrase: None,
        },
        checkpoint_interval: Duration::from_secs(1),
        cosign_verify: CosignVerify::All,
        entries: EntryVisibility::Token,
        allowances: Allowances::default(),
        disk_reserve_bytes: 1 << 30,
        log_format: LogFormat::Text,
        log_filter: "info,openraft=warn".to_owned(),
    }
}

/// A loopback host is bound as it is; any other node listens on all its addresses, because the
/// name under which others reach it need not be an address of the machine itself.
fn bind_address(plan: &Plan, host: &str) -> IpAddr {
    if let Some(address) = plan.bind {
        return address;
    }
    match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => address,
        _ if pki::is_loopback(host) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
