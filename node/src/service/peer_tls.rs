//! Who is at the other end of a peer connection: the dialer and the gate that `raft` asks.

use crate::limits_server::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::raft::{DialError, GateError, Member, PeerDialer, PeerGate};
use crate::service::live_tls::LiveTls;
use crate::service::spiffe::{ClusterTag, node_dns, node_of};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Extensions;
use tonic::codegen::http::Uri;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{Channel, Endpoint};
use tower::Service;

/// A peer that takes no connection in this time counts as unreachable for now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls peers over mutual TLS, and only the node that was meant.
#[derive(Debug, Clone)]
pub struct TlsDialer {
    cluster: ClusterTag,
    tls: LiveTls,
    /// How this node reaches others, by their id: what its operator wrote down goes before the
    /// address that the membership holds, because networks look different from different places.
    addresses: BTreeMap<u64, String>,
}

impl TlsDialer {
    /// Shows and trusts what `tls` says, within one cluster. `addresses` are those of this node's
    /// own configuration; nodes that came later are reached where the membership says.
    pub fn new(cluster: ClusterTag, tls: LiveTls, addresses: BTreeMap<u64, String>) -> Self {
        Self {
            cluster,
            tls,
            addresses,
        }
    }
}

impl PeerDialer for TlsDialer {
    fn dial(&self, id: u64, member: &Member) -> Result<Channel, DialError> {
        let addr = self.addresses.get(&id).unwrap_or(&member.addr);
        let address = || DialError::Address {
            id,
            addr: addr.clone(),
        };
        // The name check of TLS demands the certificate of this very node, whatever the address.
        let name = ServerName::try_from(node_dns(self.cluster, id));
        let connector = PeerConnector {
            tls: self.tls.clone(),
            name: name.map_err(|_not_a_name| address())?,
            addr: addr.clone(),
        };
        // The connector does TLS itself, with the certificates of the moment in which it connects.
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))
            .map_err(|_not_an_uri| address())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_with_connector_lazy(connector))
    }
}

/// Connects to one node.
#[derive(Debug, Clone)]
struct PeerConnector {
    tls: LiveTls,
    name: ServerName<'static>,
    addr: String,
}

impl Service<Uri> for PeerConnector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _endpoint: Uri) -> Self::Future {
        let Self { tls, name, addr } = self.clone();
        async move {
            let tcp = TcpStream::connect(&addr).await?;
            tcp.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::clone(&tls.now().peer_call));
            Ok(TokioIo::new(connector.connect(name, tcp).await?))
        }
        .boxed()
    }
}

/// Reads the node id from the certificate of a connection.
#[derive(Debug, Clone, Copy)]
pub struct TlsGate {
    cluster: ClusterTag,
}

impl TlsGate {
    /// Accepts nodes of one cluster.
    pub fn new(cluster: ClusterTag) -> Self {
        Self { cluster }
    }

    /// The node that the connection behind a request proved to be.
    pub fn node(&self, extensions: &Extensions) -> Result<u64, GateError> {
        let certificates = extensions
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs)
            .ok_or(GateError::NoCertificate)?;
        let leaf = certificates.first().ok_or(GateError::NoCertificate)?;
        node_of(leaf, self.cluster).map_err(|error| {
            tracing::warn!(%error, "peer certificate refused");
            GateError::OtherNode {
                proven: None,
                claimed: 0,
            }
        })
    }
}

impl PeerGate for TlsGate {
    fn check(&self, extensions: &Extensions, claimed: u64) -> Result<(), GateError> {
        match self.node(extensions) {
            Ok(proven) if proven == claimed => Ok(()),
            Ok(proven) => Err(GateError::OtherNode {
                proven: Some(proven),
                claimed,
            }),
            Err(GateError::OtherNode { .. }) => Err(GateError::OtherNode {
                proven: None,
                claimed,
            }),
            Err(error) => Err(error),
        }
    }
}
