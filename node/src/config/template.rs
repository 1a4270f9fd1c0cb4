//! The file that `init` writes and `check` prints: every key with its explanation.

use super::{Config, CosignVerify, EntryVisibility, LogFormat};
use std::fmt::Write as _;
use std::path::Path;

/// The whole file. Parsing it gives an equal configuration.
pub(super) fn render(config: &Config) -> String {
    let mut text = String::with_capacity(6 << 10);
    for section in [
        node(config),
        network(config),
        files(config),
        behaviour(config),
    ] {
        text.push_str(&section);
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn node(config: &Config) -> String {
    format!(
        "\
# Configuration of one Aimslog node. Paths are relative to the folder of this file.
# `aimslogd check --config FILE` says what is wrong with it; unknown keys are errors.

[node]
# The node's number in the cluster. Never changed and never given to another node.
id = {id}
# The origin of the log, then /node/ and the id: the name under which the node cosigns.
name = {name}
# Raft log and state. Back it up, but never together with guard_dir.
data_dir = {data}
# Remembers what this node voted for and signed, so that a rolled-back or copied node notices.
# Put it on another volume than data_dir, and into no snapshot, backup or image.
guard_dir = {guard}
# Entries 0 and 1 of the log; the same files on every node. The cluster id is the hash of genesis.
genesis = {genesis}
keys_statement = {keys}

",
        id = config.node_id,
        name = quoted(&config.name),
        data = path(&config.data_dir),
        guard = path(&config.guard_dir),
        genesis = path(&config.genesis),
        keys = path(&config.keys_statement),
    )
}

fn network(config: &Config) -> String {
    let mut text = format!(
        "\
# Addresses to bind, ip:port. Three listeners, so that clients, nodes and operators never meet.
[listen]
# EvidenceService and LogService; TLS, the caller shows no certificate.
client = {client}
# Between nodes only; mutual TLS 1.3 under tls.peer_ca.
peer = {peer}
# ClusterService, for operators; mutual TLS under tls.admin_ca.
admin = {admin}

# Addresses, host:port, under which others reach this node.
[advertise]
client = {advertise_client}
peer = {advertise_peer}

",
        client = quoted(&config.listen.client.to_string()),
        peer = quoted(&config.listen.peer.to_string()),
        admin = quoted(&config.listen.admin.to_string()),
        advertise_client = quoted(&config.advertise.client.to_string()),
        advertise_peer = quoted(&config.advertise.peer.to_string()),
    );
    text.push_str(
        "# The other nodes with which the cluster starts; later changes are made online. The addresses\n# are how this node reaches them.\n",
    );
    for peer in &config.peers {
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "[[peers]]\nid = {}\nname = {}\naddress = {}\n\n",
            peer.id,
            quoted(&peer.name),
            quoted(&peer.address.to_string()),
        );
    }
    text.push('\n');
    text
}

fn files(config: &Config) -> String {
    let (tls, keys) = (&config.tls, &config.keys);
    format!(
        "\
# PEM files. Keys must be readable by their owner alone (mode 0600).
[tls]
# Authority of the node certificates, and this node's certificate under it.
peer_ca = {peer_ca}
peer_cert = {peer_cert}
peer_key = {peer_key}
# Certificate of the client and the admin listener; clients know its authority.
server_cert = {server_cert}
server_key = {server_key}
# Authority of the operators' certificates.
admin_ca = {admin_ca}

# Ed25519 seed files (mode 0600), one per purpose. The cosigner key is this node's own; log,
# receipt and service key are the same on every node.
[keys]
cosigner = {cosigner}
log = {log}
receipt = {receipt}
service = {service}
# The passphrase of key files that were encrypted (`aimslog key encrypt`): a file of one line, mode
# 0600, on another medium than the keys. The others may stay plain.
{passphrase}

",
        peer_ca = path(&tls.peer_ca),
        peer_cert = path(&tls.peer_cert),
        peer_key = path(&tls.peer_key),
        server_cert = path(&tls.server_cert),
        server_key = path(&tls.server_key),
        admin_ca = path(&tls.admin_ca),
        cosigner = path(&keys.cosigner),
        log = path(&keys.log),
        receipt = path(&keys.receipt),
        service = path(&keys.service),
        passphrase = keys.passphrase.as_deref().map_or_else(
            || "# passphrase_file = \"/run/aimslog/passphrase\"".to_owned(),
            |file| format!("passphrase_file = {}", path(file)),
        ),
    )
}

fn behaviour(config: &Config) -> String {
    let verify = match config.cosign_verify {
        CosignVerify::All => "all",
        CosignVerify::Leader => "leader",
    };
    let entries = match config.entries {
        EntryVisibility::Token => "token",
        EntryVisibility::Public => "public",
    };
    let format = match config.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    format!(
        "\
[checkpoint]
# Milliseconds between two tree heads while there is something new, 20 to 60000. Sooner when
# somebody waits for a receipt.
interval_ms = {interval}

[cosign]
# What this node verifies before it cosigns a head: \"all\" (signatures and contents of all entries)
# or \"leader\" (trusts the leader with them; still computes order and root itself).
verify = {verify}

[read]
# Who may read entry bytes: \"token\" (registered organisations) or \"public\" (everybody).
# Disclosures are for their own organisation in both cases.
entries = {entries}

# What one caller may take of this node; more is refused with QUOTA_EXCEEDED and the time to wait.
# Seconds are averaged over ten, bytes over a day. A node that starts counts from zero.
[limits]
# Statements and reads of one principal, and of one organisation, 1 to 1000000.
principal_requests_per_second = {principal}
organization_requests_per_second = {organization}
# MiB of statements, disclosures and attachments of one organisation, 256 to 1073741824.
organization_mib_per_day = {mib}

[disk]
# With less free space than this on the data volume, in MiB, the node leads only if no other one has
# room, and takes no submissions.
reserve_mib = {reserve}

[log]
# \"text\" or \"json\".
format = {format}
# What is logged, for example \"info\" or \"info,aimslog_node::raft=debug\". openraft stays at warn
# unless it is named. The environment variable RUST_LOG overrides this.
filter = {filter}
",
        interval = config.checkpoint_interval.as_millis(),
        verify = quoted(verify),
        entries = quoted(entries),
        principal = config.allowances.principal_per_second,
        organization = config.allowances.organization_per_second,
        mib = config.allowances.organization_bytes_per_day >> 20,
        reserve = config.disk_reserve_bytes >> 20,
        format = quoted(format),
        filter = quoted(&config.log_filter),
    )
}
