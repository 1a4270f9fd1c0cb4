//! The file as serde reads it, and the step from there to a checked [`Config`].

use super::{
    Advertise, Config, CosignVerify, EntryVisibility, HostPort, KeyFiles, Listen, LogFormat, Peer,
    Problem, TlsFiles,
};
use crate::service::quotas::Allowances;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    node: RawNode,
    listen: RawListen,
    advertise: RawAdvertise,
    #[serde(default)]
    peers: Vec<RawPeer>,
    tls: RawTls,
    keys: RawKeys,
    #[serde(default)]
    checkpoint: RawCheckpoint,
    #[serde(default)]
    cosign: RawCosign,
    #[serde(default)]
    read: RawRead,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    disk: RawDisk,
    #[serde(default)]
    log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    id: u64,
    name: String,
    data_dir: PathBuf,
    guard_dir: PathBuf,
    genesis: PathBuf,
    keys_statement: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    client: String,
    peer: String,
    admin: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdvertise {
    client: String,
    peer: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    id: u64,
    name: String,
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    peer_ca: PathBuf,
    peer_cert: PathBuf,
    peer_key: PathBuf,
    server_cert: PathBuf,
    server_key: PathBuf,
    admin_ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    cosigner: PathBuf,
    log: PathBuf,
    receipt: PathBuf,
    service: PathBuf,
    #[serde(default)]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCheckpoint {
    interval_ms: u64,
}

impl Default for RawCheckpoint {
    fn default() -> Self {
        Self { interval_ms: 1_000 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCosign {
    verify: String,
}

impl Default for RawCosign {
    fn default() -> Self {
        Self {
            verify: "all".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRead {
    entries: String,
}

impl Default for RawRead {
    fn default() -> Self {
        Self {
            entries: "token".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    principal_requests_per_second: u32,
    organization_requests_per_second: u32,
    organization_mib_per_day: u64,
}

impl Default for RawLimits {
    fn default() -> Self {
        let allowed = Allowances::default();
        Self {
            principal_requests_per_second: allowed.principal_per_second,
            organization_requests_per_second: allowed.organization_per_second,
            organization_mib_per_day: allowed.organization_bytes_per_day >> 20,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDisk {
    reserve_mib: u64,
}

impl Default for RawDisk {
    fn default() -> Self {
        Self { reserve_mib: 1_024 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: String,
    filter: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            format: "text".to_owned(),
            filter: "info,openraft=warn".to_owned(),
        }
    }
}

/// Gathers problems while values are read, so that one run shows them all.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Problem::new(key, problem));
    }

    fn listen(&mut self, key: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_not_an_address| {
            self.add(
                key,
                format!("must be ip:port, for example 0.0.0.0:7401, found {text:?}"),
            );
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    }

    fn host_port(&mut self, key: &str, text: &str) -> Option<HostPort> {
        match text.parse() {
            Ok(host_port) => Some(host_port),
            Err(error) => {
                self.add(key, format!("{error}, found {text:?}"));
                None
            }
        }
    }

    fn choice<T: Copy>(&mut self, key: &str, text: &str, choices: &[(&str, T)]) -> Option<T> {
        let found = choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.add(
                key,
                format!("must be one of {}, found {text:?}", names.join(", ")),
            );
        }
        found
    }
}

impl Root {
    /// The checked configuration, or every problem that was found.
    pub(super) fn check(self, folder: &Path) -> Result<Config, Vec<Problem>> {
        let mut problems = Problems::default();
        check_node(&self.node, &mut problems);
        let listen = check_listen(&self.listen, &mut problems);
        let client = problems.host_port("advertise.client", &self.advertise.client);
        let peer = problems.host_port("advertise.peer", &self.advertise.peer);
        let peers = check_peers(&self.peers, &self.node, &mut problems);
        check_distinct_files(&self.tls, &self.keys, &mut problems);
        if !(20..=60_000).contains(&self.checkpoint.interval_ms) {
            problems.add("checkpoint.interval_ms", "must be 20 to 60000");
        }
        let allowances = check_limits(&self.limits, &mut problems);
        if !(16..=1 << 30).contains(&self.disk.reserve_mib) {
            problems.add("disk.reserve_mib", "must be 16 to 1073741824");
        }
        let verify = [("all", CosignVerify::All), ("leader", CosignVerify::Leader)];
        let verify = problems.choice("cosign.verify", &self.cosign.verify, &verify);
        let entries = [
            ("token", EntryVisibility::Token),
            ("public", EntryVisibility::Public),
        ];
        let entries = problems.choice("read.entries", &self.read.entries, &entries);
        let format = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = problems.choice("log.format", &self.log.format, &format);
        check_filter(&self.log.filter, &mut problems);
        let (Some(client), Some(peer), Some(verify), Some(entries), Some(format), true) =
            (client, peer, verify, entries, format, problems.0.is_empty())
        else {
            return Err(problems.0);
        };
        if peers.iter().any(|other| other.address == peer) {
            let problem = "a peer has the same address as this node";
            return Err(vec![Problem::new("advertise.peer", problem)]);
        }
        Ok(Config {
            node_id: self.node.id,
            name: self.node.name,
            data_dir: folder.join(self.node.data_dir),
            guard_dir: folder.join(self.node.guard_dir),
            genesis: folder.join(self.node.genesis),
            keys_statement: folder.join(self.node.keys_statement),
            listen,
            advertise: Advertise { client, peer },
            peers,
            tls: self.tls.resolve(folder),
            keys: self.keys.resolve(folder),
            checkpoint_interval: Duration::from_millis(self.checkpoint.interval_ms),
            cosign_verify: verify,
            entries,
            allowances,
            disk_reserve_bytes: self.disk.reserve_mib << 20,
            log_format: format,
            log_filter: self.log.filter,
        })
    }
}

impl RawTls {
    fn resolve(self, folder: &Path) -> TlsFiles {
        TlsFiles {
            peer_ca: folder.join(self.peer_ca),
            peer_cert: folder.join(self.peer_cert),
            peer_key: folder.join(self.peer_key),
            server_cert: folder.join(self.server_cert),
            server_key: folder.join(self.server_key),
            admin_ca: folder.join(self.admin_ca),
        }
    }
}

impl RawKeys {
    fn resolve(self, folder: &Path) -> KeyFiles {
        KeyFiles {
            cosigner: folder.join(self.cosigner),
            log: folder.join(self.log),
            receipt: folder.join(self.receipt),
            service: folder.join(self.service),
            passphrase: self.passphrase_file.map(|file| folder.join(file)),
        }
    }
}

fn check_node(node: &RawNode, problems: &mut Problems) {
    if node.id == 0 {
        problems.add("node.id", "must not be 0");
    }
    if !node.name.ends_with(&format!("/node/{}", node.id)) {
        let problem = format!("must be <origin>/node/{}, found {:?}", node.id, node.name);
        problems.add("node.name", problem);
    }
    for (key, path) in [
        ("node.data_dir", &node.data_dir),
        ("node.guard_dir", &node.guard_dir),
    ] {
        if path.as_os_str().is_empty() {
            problems.add(key, "must not be empty");
        }
    }
    // A guard file that is copied, restored or rolled back together with the data guards nothing.
    if node.data_dir.starts_with(&node.guard_dir) || node.guard_dir.starts_with(&node.data_dir) {
        let problem = "must lie outside node.data_dir, best on another volume";
        problems.add("node.guard_dir", problem);
    }
}

fn check_listen(listen: &RawListen, problems: &mut Problems) -> Listen {
    let listen = Listen {
        client: problems.listen("listen.client", &listen.client),
        peer: problems.listen("listen.peer", &listen.peer),
        admin: problems.listen("listen.admin", &listen.admin),
    };
    let ports = [
        ("listen.client", listen.client.port()),
        ("listen.peer", listen.peer.port()),
        ("listen.admin", listen.admin.port()),
    ];
    let mut seen = BTreeSet::new();
    for (key, port) in ports {
        if port != 0 && !seen.insert(port) {
            problems.add(key, format!("port {port} serves another listener already"));
        }
    }
    listen
}

fn check_peers(peers: &[RawPeer], node: &RawNode, problems: &mut Problems) -> Vec<Peer> {
    let mut ids = BTreeSet::from([node.id]);
    let mut addresses = BTreeSet::new();
    let mut checked = Vec::with_capacity(peers.len());
    for (position, peer) in peers.iter().enumerate() {
        let key = |part: &str| format!("peers[{position}].{part}");
        if peer.id == 0 || !ids.insert(peer.id) {
            let problem = format!(
                "must be another id than every other node's, found {}",
                peer.id
            );
            problems.add(key("id"), problem);
        }
        if !peer.name.ends_with(&format!("/node/{}", peer.id)) {
            let problem = format!("must be <origin>/node/{}, found {:?}", peer.id, peer.name);
            problems.add(key("name"), problem);
        }
        let Some(address) = problems.host_port(&key("address"), &peer.address) else {
            continue;
        };
        if !addresses.insert(address.clone()) {
            problems.add(
                key("address"),
                format!("{address} is another peer's already"),
            );
        }
        checked.push(Peer {
            id: peer.id,
            name: peer.name.clone(),
            address,
        });
    }
    checked
}

/// One key file must not serve two purposes.
fn check_distinct_files(tls: &RawTls, keys: &RawKeys, problems: &mut Problems) {
    let files = [
        ("keys.cosigner", &keys.cosigner),
        ("keys.log", &keys.log),
        ("keys.receipt", &keys.receipt),
        ("keys.service", &keys.service),
        ("tls.peer_key", &tls.peer_key),
        ("tls.server_key", &tls.server_key),
    ];
    let mut seen = BTreeSet::new();
    for (key, path) in files {
        if path.as_os_str().is_empty() {
            problems.add(key, "must not be empty");
        } else if !seen.insert(path) {
            problems.add(key, "another key is in this file; one key has one purpose");
        }
    }
}

fn check_limits(limits: &RawLimits, problems: &mut Problems) -> Allowances {
    for (key, per_second) in [
        (
            "limits.principal_requests_per_second",
            limits.principal_requests_per_second,
        ),
        (
            "limits.organization_requests_per_second",
            limits.organization_requests_per_second,
        ),
    ] {
        if !(1..=1_000_000).contains(&per_second) {
            problems.add(key, "must be 1 to 1000000");
        }
    }
    // A day must have room for the largest batch and the attachments it may name.
    if !(256..=1 << 30).contains(&limits.organization_mib_per_day) {
        problems.add(
            "limits.organization_mib_per_day",
            "must be 256 to 1073741824",
        );
    }
    Allowances {
        principal_per_second: limits.principal_requests_per_second,
        organization_per_second: limits.organization_requests_per_second,
        organization_bytes_per_day: limits.organization_mib_per_day.saturating_mul(1 << 20),
    }
}

fn check_filter(filter: &str, problems: &mut Problems) {
    if let Err(error) = filter.parse::<tracing_subscriber::EnvFilter>() {
        problems.add("log.filter", format!("is not a filter: {error}"));
    }
}
