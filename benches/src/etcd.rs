//! The peer: three etcd nodes on loopback, written to through their gRPC API.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::process::{Server, free_ports};

/// etcd's `PutRequest`; fields that the load leaves at their default are not named.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// One operation of a transaction: `request_put` of the oneof.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    request_put: Option<PutRequest>,
}

/// etcd's `TxnRequest` without conditions: all puts or none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

/// The answers are not read beyond their being there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct AnyResponse {}

/// Three running nodes.
#[derive(Debug)]
pub(crate) struct Cluster {
    servers: Vec<Server>,
    client_ports: Vec<u16>,
}

impl Cluster {
    /// Starts three nodes with the defaults of the distribution, data under `dir`.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let ports = free_ports(6)?;
        let (client_ports, peer_ports) = ports.split_at(3);
        let initial: Vec<String> = peer_ports
            .iter()
            .enumerate()
            .map(|(node, port)| format!("e{node}=http://127.0.0.1:{port}"))
            .collect();
        let initial = initial.join(",");
        let mut servers = Vec::new();
        for (node, (client, peer)) in client_ports.iter().zip(peer_ports).enumerate() {
            let mut command = Command::new("etcd");
            command
                .args(["--name", &format!("e{node}")])
                .args([
                    "--data-dir",
                    &dir.join(format!("e{node}")).display().to_string(),
                ])
                .args([
                    "--listen-client-urls",
                    &format!("http://127.0.0.1:{client}"),
                ])
                .args([
                    "--advertise-client-urls",
                    &format!("http://127.0.0.1:{client}"),
                ])
                .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
                .args([
                    "--initial-advertise-peer-urls",
                    &format!("http://127.0.0.1:{peer}"),
                ])
                .args(["--initial-cluster", &initial]);
            servers.push(Server::start(
                &mut command,
                &dir.join(format!("e{node}.log")),
            )?);
        }
        let cluster = Self {
            servers,
            client_ports: client_ports.to_vec(),
        };
        cluster.wait_until_writable().await?;
        Ok(cluster)
    }

    /// A channel to node 0, as one client program would hold it.
    pub(crate) fn channel(&self) -> Result<Channel> {
        let port = self.client_ports.first().context("no node")?;
        Ok(Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
            .tcp_nodelay(true)
            .connect_lazy())
    }

    /// CPU time of the three nodes so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> Result<u64> {
        self.servers.iter().map(Server::cpu_us).sum()
    }

    /// Syncs of the write-ahead logs of the three nodes so far, from their metrics.
    pub(crate) async fn syncs(&self) -> Result<u64> {
        let mut syncs = 0;
        for port in &self.client_ports {
            let mut stream = TcpStream::connect(("127.0.0.1", *port)).await?;
            stream
                .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                .await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            syncs += page
                .lines()
                .find_map(|line| line.strip_prefix("etcd_disk_wal_fsync_duration_seconds_count "))
                .context("etcd's metrics name no count of syncs")?
                .trim()
                .parse::<u64>()?;
        }
        Ok(syncs)
    }

    async fn wait_until_writable(&self) -> Result<()> {
        let channel = self.channel()?;
        for _ in 0..100 {
            if put(channel.clone(), b"ready".to_vec(), Vec::new())
                .await
                .is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("etcd did not take a write within 10 s; its logs are in the data folder")
    }
}

/// Puts one value.
pub(crate) async fn put(channel: Channel, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
    unary::<_, AnyResponse>(channel, "/etcdserverpb.KV/Put", PutRequest { key, value }).await
}

/// Puts several values in one transaction. etcd allows 128 operations at most.
pub(crate) async fn put_many(channel: Channel, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<()> {
    let success = values
        .into_iter()
        .map(|(key, value)| RequestOp {
            request_put: Some(PutRequest { key, value }),
        })
        .collect();
    unary::<_, AnyResponse>(channel, "/etcdserverpb.KV/Txn", TxnRequest { success }).await
}

async fn unary<Q, R>(channel: Channel, path: &'static str, request: Q) -> Result<()>
where
    Q: prost::Message + 'static,
    R: prost::Message + Default + 'static,
{
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let codec = tonic_prost::ProstCodec::<Q, R>::default();
    grpc.unary(
        tonic::Request::new(request),
        PathAndQuery::from_static(path),
        codec,
    )
    .await?;
    Ok(())
}
