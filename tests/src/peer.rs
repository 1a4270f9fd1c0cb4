//! A peer that does what no node does: calls another one with a node's certificate.

use std::fs;
use std::time::Duration;

use aimslog_proto::pb::raft::v1::ledger_peer_service_client::LedgerPeerServiceClient;
use aimslog_proto::pb::raft::v1::{Envelope, ForwardRequest, ForwardedCall, GetLedgerKeysRequest};
use aimslog_proto::statement::id::EntryId;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::cluster::Cluster;

/// Asks the node at `of` for the keys of the ledger, as the node at `caller`; gives its refusal.
pub async fn ask_for_keys(cluster: &Cluster, caller: usize, of: usize) -> Status {
    let request = GetLedgerKeysRequest {
        envelope: Some(envelope(cluster, caller, of)),
    };
    let mut client = client(cluster, caller, of).await;
    let asked = client.get_ledger_keys(request).await;
    asked.expect_err("a node that is no member got the keys")
}

/// Forwards a call to the node at `of`, as the node at `caller`; gives its refusal.
pub async fn forward(
    cluster: &Cluster,
    caller: usize,
    of: usize,
    call: (ForwardedCall, Vec<u8>),
) -> Status {
    forward_within(cluster, (caller, of), call, Duration::from_secs(30)).await
}

/// The same with so much left of the deadline.
pub async fn forward_within(
    cluster: &Cluster,
    (caller, of): (usize, usize),
    (call, request): (ForwardedCall, Vec<u8>),
    left: Duration,
) -> Status {
    let message = ForwardRequest {
        envelope: Some(envelope(cluster, caller, of)),
        call: call.into(),
        request,
    };
    let mut request = Request::new(message);
    request.set_timeout(left);
    let mut client = client(cluster, caller, of)
        .await
        .max_encoding_message_size(8 << 20);
    let asked = client.forward(request).await;
    asked.expect_err("the call was carried out")
}

fn cluster_id(cluster: &Cluster) -> EntryId {
    EntryId::of(&fs::read(cluster.folder().join("public/genesis.cose")).unwrap())
}

fn envelope(cluster: &Cluster, caller: usize, of: usize) -> Envelope {
    Envelope {
        cluster_id: cluster_id(cluster).as_bytes().to_vec(),
        target_id: cluster.nodes[of].id,
        sender_id: cluster.nodes[caller].id,
    }
}

async fn client(cluster: &Cluster, caller: usize, of: usize) -> LedgerPeerServiceClient<Channel> {
    let [caller, of] = [caller, of].map(|position| &cluster.nodes[position]);
    let read = |name: &str| fs::read(caller.folder.join(name)).unwrap();
    let id = cluster_id(cluster);
    let tag = id
        .as_bytes()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"));
    let tag: String = tag.collect();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("tls/peer-ca.pem")))
        .identity(Identity::from_pem(
            read("tls/peer.pem"),
            read("tls/peer.key"),
        ))
        .domain_name(format!("node-{}.{tag}.aimslog.internal", of.id));
    let channel = Endpoint::from_shared(format!("https://127.0.0.1:{}", of.peer))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap();
    LedgerPeerServiceClient::new(channel)
}
