//! Who is at the other end of a peer connection: the dialer and the gate that `raft` asks.

use crate::limits_server::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::raft::{DialError, GateError, Member, PeerDialer, PeerGate};
use crate::service::spiffe::{ClusterTag, node_dns, node_of};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Extensions;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// A peer that takes no connection in this time counts as unreachable for now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls peers over mutual TLS, and only the node that was meant.
#[derive(Debug, Clone)]
pub struct TlsDialer {
    cluster: ClusterTag,
    tls: ClientTlsConfig,
    /// How this node reaches others, by their id: what its operator wrote down goes before the
    /// address that the membership holds, because networks look different from different places.
    addresses: BTreeMap<u64, String>,
}

impl TlsDialer {
    /// Shows and trusts what `tls` says, within one cluster. `addresses` are those of this node's
    /// own configuration; nodes that came later are reached where the membership says.
    pub fn new(
        cluster: ClusterTag,
        tls: ClientTlsConfig,
        addresses: BTreeMap<u64, String>,
    ) -> Self {
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
        let transport = |source| DialError::Transport { id, source };
        // The name check of TLS demands the certificate of this very node, whatever the address.
        let tls = self.tls.clone().domain_name(node_dns(self.cluster, id));
        let endpoint = Endpoint::from_shared(format!("https://{addr}"))
            .map_err(|_not_an_uri| address())?
            .tls_config(tls)
            .map_err(transport)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_lazy())
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
