//! A caller that sends a whole request and never says that it is done: the node holds all of it for
//! as long as it waits. Or one that asks and reads no answer.

use aimslog_client::clock;
use aimslog_proto::pb::v1::ListRecordsRequest;
use aimslog_proto::statement::key::SigningKey;
use aimslog_proto::token;
use std::fs;
use std::future::ready;
use std::net::IpAddr;

use futures::StreamExt as _;
use futures::stream::{once, pending};
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::{Cluster, ORIGIN};

/// A connection to the client listener of one node.
#[derive(Debug, Clone)]
pub struct Staller {
    channel: Channel,
}

impl Staller {
    /// Connects from an address of this machine.
    pub async fn connect(cluster: &Cluster, position: usize, from: IpAddr) -> Self {
        let authority = fs::read(cluster.folder().join("public/client-ca.pem")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        let client = cluster.nodes[position].client;
        let channel = Endpoint::from_shared(format!("https://127.0.0.1:{client}"))
            .unwrap()
            .local_address(Some(from))
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(64 << 10)
            .tls_config(tls)
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self { channel }
    }

    /// Sends the message of a `Submit` and leaves the call open; returns when it is refused.
    pub async fn stall(self, message: Vec<u8>) -> Status {
        let mut grpc = Grpc::new(self.channel);
        grpc.ready().await.unwrap();
        let endless = once(ready(message)).chain(pending());
        let submit = PathAndQuery::from_static("/aimslog.v1.EvidenceService/Submit");
        let request = Request::new(endless);
        let answer: Result<Response<()>, Status> =
            grpc.client_streaming(request, submit, Verbatim).await;
        answer.expect_err("a call that is not finished was answered")
    }
}

/// A caller that has asked for pages of records and has taken none of them.
#[derive(Debug)]
pub struct Unread {
    answers: Vec<Streaming<()>>,
}

impl Staller {
    /// Asks for so many pages as the holder of this key, and reads the beginning of none.
    pub async fn ask(
        &self,
        request: &ListRecordsRequest,
        (key, count): (&SigningKey, usize),
    ) -> Unread {
        let token = token::mint(key, ORIGIN, clock::unix_seconds(), 120).unwrap();
        let bearer: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.unwrap();
            let mut asked = Request::new(request.encode_to_vec());
            asked.metadata_mut().insert("authorization", bearer.clone());
            let list = PathAndQuery::from_static("/aimslog.v1.EvidenceService/ListRecords");
            let answer = grpc.server_streaming(asked, list, Verbatim).await.unwrap();
            answers.push(answer.into_inner());
        }
        Unread { answers }
    }
}

impl Unread {
    /// What the last answer is, read to its end.
    pub async fn last(mut self) -> Result<(), Status> {
        let mut last = self.answers.pop().unwrap();
        while let Some(()) = last.message().await? {}
        Ok(())
    }
}

/// Sends bytes as they are, and takes none of what comes.
#[derive(Debug, Clone, Copy)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Verbatim {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}
