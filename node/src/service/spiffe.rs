//! Names in peer certificates: which node of which cluster a connection belongs to.
//!
//! Every peer certificate has two names for the same fact: the URI
//! `spiffe://aimslog/<cluster>/node/<id>`, which the server side reads, and the DNS name
//! `node-<id>.<cluster>.aimslog.internal`, which lets the ordinary TLS name check of the calling
//! side refuse every other node. `<cluster>` is the first 16 bytes of the cluster id in hex.

use std::fmt;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The first 16 bytes of the cluster id, as hex in certificate names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterTag([u8; 16]);

impl ClusterTag {
    /// The tag of a cluster id, which is the entry id of its genesis.
    pub fn of(cluster_id: &[u8; 32]) -> Self {
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(cluster_id) {
            *to = *from;
        }
        Self(tag)
    }
}

impl fmt::Display for ClusterTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClusterTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterTag({self})")
    }
}

/// The URI name of a node.
pub fn node_uri(cluster: ClusterTag, node_id: u64) -> String {
    format!("spiffe://aimslog/{cluster}/node/{node_id}")
}

/// The DNS name of a node, which the calling side demands.
pub fn node_dns(cluster: ClusterTag, node_id: u64) -> String {
    format!("node-{node_id}.{cluster}.aimslog.internal")
}

/// Why a certificate names no node of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerNameError {
    /// Not X.509.
    #[error("the certificate is malformed")]
    Malformed,
    /// No SPIFFE URI, or more than one.
    #[error("the certificate must have exactly one URI name, found {found}")]
    Uris {
        /// Number of URI names.
        found: usize,
    },
    /// A URI that names no Aimslog node.
    #[error("the certificate is not one of a node: {uri}")]
    NotANode {
        /// The URI.
        uri: String,
    },
    /// A node of another cluster.
    #[error("the certificate belongs to another cluster: {uri}")]
    OtherCluster {
        /// The URI.
        uri: String,
    },
}

/// The node id that a peer certificate (DER) proves.
///
/// The chain must have been verified before; this reads only the name. The common name is never
/// looked at.
pub fn node_of(der: &[u8], cluster: ClusterTag) -> Result<u64, PeerNameError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_malformed| PeerNameError::Malformed)?;
    if !rest.is_empty() {
        return Err(PeerNameError::Malformed);
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_malformed| PeerNameError::Malformed)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    let [uri] = uris.as_slice() else {
        return Err(PeerNameError::Uris { found: uris.len() });
    };
    parse_uri(uri, cluster)
}

fn parse_uri(uri: &str, cluster: ClusterTag) -> Result<u64, PeerNameError> {
    let not_a_node = || PeerNameError::NotANode {
        uri: uri.to_owned(),
    };
    let path = uri
        .strip_prefix("spiffe://aimslog/")
        .ok_or_else(not_a_node)?;
    let (tag, id) = path.split_once("/node/").ok_or_else(not_a_node)?;
    let node_id: u64 = id.parse().map_err(|_not_a_number| not_a_node())?;
    if node_id == 0 || node_id.to_string() != id {
        return Err(not_a_node());
    }
    if tag != cluster.to_string() {
        return Err(PeerNameError::OtherCluster {
            uri: uri.to_owned(),
        });
    }
    Ok(node_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    const CLUSTER: [u8; 32] = [0xab; 32];

    fn certificate(uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["n1.example.com".to_owned()]).unwrap();
        for uri in uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into().unwrap()));
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn reads_the_node_of_its_own_name() {
        let tag = ClusterTag::of(&CLUSTER);
        let uri = node_uri(tag, 3);
        assert_eq!(uri, format!("spiffe://aimslog/{}/node/3", "ab".repeat(16)));
        assert_eq!(node_of(&certificate(&[&uri]), tag), Ok(3));
    }

    #[test]
    fn refuses_every_other_name() {
        let tag = ClusterTag::of(&CLUSTER);
        let own = node_uri(tag, 3);
        let other = node_uri(ClusterTag::of(&[1; 32]), 3);
        let cases: [(&str, Vec<&str>); 8] = [
            ("no URI", vec![]),
            ("two URIs", vec![&own, &own]),
            ("other cluster", vec![&other]),
            ("other scheme", vec!["https://aimslog/abab/node/3"]),
            ("client", vec!["spiffe://aimslog/abab/client/3"]),
            ("node 0", vec!["spiffe://aimslog/abab/node/0"]),
            ("leading zero", vec!["spiffe://aimslog/abab/node/03"]),
            ("tail", vec!["spiffe://aimslog/abab/node/3/x"]),
        ];
        for (what, uris) in cases {
            let result = node_of(&certificate(&uris), tag);
            assert!(result.is_err(), "{what}: {result:?}");
        }
        assert_eq!(
            node_of(b"no certificate", tag),
            Err(PeerNameError::Malformed)
        );
        let mut longer = certificate(&[&own]);
        longer.push(0);
        assert_eq!(node_of(&longer, tag), Err(PeerNameError::Malformed));
    }
}
