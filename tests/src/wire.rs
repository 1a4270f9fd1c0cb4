//! Single calls over real gRPC, without the retries and the checks of the client: what a node says is
//! looked at as it crossed the wire.

use std::fs;
use std::time::Duration;

use aimslog_client::clock;
use aimslog_proto::pb::admin::v1::cluster_service_client::ClusterServiceClient;
use aimslog_proto::pb::v1::evidence_service_client::EvidenceServiceClient;
use aimslog_proto::pb::v1::log_service_client::LogServiceClient;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::token::mint;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::cluster::{Cluster, ORIGIN};

/// Larger than any node accepts, so that it is the node that refuses.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A refusal, as it crossed the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The canonical code.
    pub code: Code,
    /// `google.rpc.ErrorInfo.reason`, of the domain `aimslog`.
    pub reason: Option<Reason>,
    /// `google.rpc.BadRequest`: field and reason of each violation.
    pub fields: Vec<(String, String)>,
    /// Whether each violation says its rule.
    pub has_rules: bool,
}

impl Told {
    /// What a status says.
    pub fn by(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let ours = info.filter(|info| info.domain == "aimslog");
        let broken = status.get_details_bad_request();
        let broken = broken.map(|bad| bad.field_violations).unwrap_or_default();
        Self {
            code: status.code(),
            reason: ours.and_then(|info| Reason::from_text(&info.reason)),
            has_rules: broken.iter().all(|field| !field.description.is_empty()),
            fields: broken
                .into_iter()
                .map(|field| (field.field, field.reason))
                .collect(),
        }
    }
}

/// The client listener of a node.
pub fn client_channel(cluster: &Cluster, position: usize) -> Channel {
    let endpoints = cluster.endpoints([cluster.nodes[position].client].into_iter());
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&endpoints.ca_pem));
    lazy(&endpoints.addresses[0], tls)
}

/// The admin listener of a node, as the first operator.
pub fn admin_channel(cluster: &Cluster, position: usize) -> Channel {
    let folder = cluster.folder().join("operator-1");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("client-ca.pem")))
        .identity(Identity::from_pem(read("admin.pem"), read("admin.key")));
    let node = &cluster.nodes[position];
    lazy(&format!("{}:{}", node.place.host, node.admin), tls)
}

fn lazy(address: &str, tls: ClientTlsConfig) -> Channel {
    Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .connect_timeout(Duration::from_secs(10))
        .tls_config(tls)
        .unwrap()
        .connect_lazy()
}

/// `EvidenceService` of a node.
pub fn evidence(cluster: &Cluster, position: usize) -> EvidenceServiceClient<Channel> {
    EvidenceServiceClient::new(client_channel(cluster, position))
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// `LogService` of a node.
pub fn log(cluster: &Cluster, position: usize) -> LogServiceClient<Channel> {
    LogServiceClient::new(client_channel(cluster, position))
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// `ClusterService` of a node.
pub fn admin(cluster: &Cluster, position: usize) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(admin_channel(cluster, position))
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// A request with a deadline.
pub fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// A request that shows a read token of this key.
pub fn reading<T>(message: T, key: &SigningKey) -> Request<T> {
    let token = mint(key, ORIGIN, clock::unix_seconds(), 300).unwrap();
    showing(message, &format!("Bearer {token}"))
}

/// A request with this `authorization`.
pub fn showing<T>(message: T, authorization: &str) -> Request<T> {
    let mut request = within(message, Duration::from_secs(20));
    let value = authorization.parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Calls an rpc with bytes that need not be its message; the status that it ended with.
pub async fn raw_call(cluster: &Cluster, position: usize, path: &str, bytes: Vec<u8>) -> Status {
    let mut service = tonic::client::Grpc::new(client_channel(cluster, position));
    service.ready().await.unwrap();
    let request = within(bytes, Duration::from_secs(20));
    let path = path.parse().unwrap();
    match service.unary(request, path, RawCodec).await {
        Ok(_) => Status::ok("the call was answered"),
        Err(status) => status,
    }
}

/// The same with a read token, or none; the bytes of the first message of the answer, which is empty
/// where there is none.
pub async fn raw_call_showing(
    cluster: &Cluster,
    position: usize,
    (path, token): (&str, Option<&str>),
    bytes: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut service = tonic::client::Grpc::new(client_channel(cluster, position));
    service.ready().await.unwrap();
    let deadline = Duration::from_secs(20);
    let request = match token {
        Some(token) => showing(bytes, &format!("Bearer {token}")),
        None => within(bytes, deadline),
    };
    let path = path.parse().unwrap();
    let answer = service.server_streaming(request, path, RawCodec).await?;
    Ok(answer.into_inner().message().await?.unwrap_or_default())
}

/// Bytes for messages.
#[derive(Debug, Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length).to_vec()))
    }
}
