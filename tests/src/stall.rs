//! A caller that sends a whole request and never says that it is done: the node holds all of it for
//! as long as it waits.

use std::fs;
use std::future::ready;
use std::net::IpAddr;

use futures::StreamExt as _;
use futures::stream::{once, pending};
use prost::bytes::BufMut as _;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use crate::cluster::Cluster;

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

/// Sends bytes as they are, and reads nothing.
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

    fn decode(&mut self, _from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}
