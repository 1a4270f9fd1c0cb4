//! What `aimslogd init` is asked for: nodes, addresses, operators.

use crate::config::{HostPort, HostPortError};
use aimslog_proto::tlog::Origin;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Most nodes and operators of a new cluster; more voters only slow each other down.
const NODES_MAX: usize = 7;
const OPERATORS_MAX: usize = 9;

/// A node of the new cluster: `LABEL=HOST:PEER[:CLIENT:ADMIN]`.
///
/// Where client and admin port are left out they are the peer port plus one and plus two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Names the folder, and nothing else.
    pub label: String,
    /// Where the other nodes reach it.
    pub peer: HostPort,
    /// Where clients reach it.
    pub client: HostPort,
    /// Where operators reach it.
    pub admin: HostPort,
}

/// Why a `--node` value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeSpecError {
    /// No label, or one that is no folder name.
    #[error("a node is LABEL=HOST:PORT with a label of a-z, 0-9 and - (at most 32)")]
    Label,
    /// The address.
    #[error("the address of node {label} {source}; or HOST:PEER:CLIENT:ADMIN with three ports")]
    Address {
        /// The node.
        label: String,
        /// Why.
        #[source]
        source: HostPortError,
    },
}

impl FromStr for NodeSpec {
    type Err = NodeSpecError;

    fn from_str(text: &str) -> Result<Self, NodeSpecError> {
        let (label, address) = text.split_once('=').ok_or(NodeSpecError::Label)?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if label.is_empty() || label.len() > 32 || !label.bytes().all(plain) {
            return Err(NodeSpecError::Label);
        }
        let (peer, client, admin) =
            parse_address(address).map_err(|source| NodeSpecError::Address {
                label: label.to_owned(),
                source,
            })?;
        Ok(Self {
            label: label.to_owned(),
            peer,
            client,
            admin,
        })
    }
}

fn parse_address(text: &str) -> Result<(HostPort, HostPort, HostPort), HostPortError> {
    // The host may be a bracketed IPv6 address, so ports are what follows its end.
    let end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (head, tail) = text.split_at_checked(end).ok_or(HostPortError)?;
    let mut parts = tail.split(':');
    let name = parts.next().ok_or(HostPortError)?;
    let host = if head.is_empty() { name } else { head };
    if !head.is_empty() && !name.is_empty() {
        return Err(HostPortError);
    }
    let ports: Vec<&str> = parts.collect();
    let at = |port: &str| format!("{host}:{port}").parse::<HostPort>();
    match ports.as_slice() {
        [peer] => {
            let peer = at(peer)?;
            let next = |step: u16| {
                let port = peer.port().checked_add(step).ok_or(HostPortError)?;
                HostPort::new(peer.host(), port)
            };
            let (client, admin) = (next(1)?, next(2)?);
            Ok((peer, client, admin))
        }
        [peer, client, admin] => Ok((at(peer)?, at(client)?, at(admin)?)),
        _ => Err(HostPortError),
    }
}

/// Everything that a new cluster is made from, except keys and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Name of the log and service id.
    pub origin: Origin,
    /// The voters, in the order of their ids from 1 on.
    pub nodes: Vec<NodeSpec>,
    /// Number of operators; all of them must agree on what genesis reserves to operators, except
    /// that two suffice where there are more.
    pub operators: usize,
    /// The folder to write into.
    pub folder: PathBuf,
    /// Address that the nodes bind: an IP address. Without it a node on a loopback host binds that
    /// address, and any other node all addresses.
    pub bind: Option<std::net::IpAddr>,
}

/// Why a cluster cannot be planned like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Too few or too many nodes.
    #[error("a cluster has 1 to {NODES_MAX} nodes, found {found}")]
    Nodes {
        /// How many.
        found: usize,
    },
    /// Too few or too many operators.
    #[error("a cluster has 1 to {OPERATORS_MAX} operators, found {found}")]
    Operators {
        /// How many.
        found: usize,
    },
    /// Two nodes with one label.
    #[error("two nodes have the label {label}")]
    Label {
        /// The label.
        label: String,
    },
    /// Two listeners at one address.
    #[error("two listeners have the address {address}")]
    Address {
        /// The address.
        address: String,
    },
}

impl Plan {
    /// Checks what holds between the parts.
    pub fn check(&self) -> Result<(), PlanError> {
        if !(1..=NODES_MAX).contains(&self.nodes.len()) {
            return Err(PlanError::Nodes {
                found: self.nodes.len(),
            });
        }
        if !(1..=OPERATORS_MAX).contains(&self.operators) {
            return Err(PlanError::Operators {
                found: self.operators,
            });
        }
        let (mut labels, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for node in &self.nodes {
            if !labels.insert(&node.label) {
                return Err(PlanError::Label {
                    label: node.label.clone(),
                });
            }
            for address in [&node.peer, &node.client, &node.admin] {
                if !addresses.insert(address) {
                    return Err(PlanError::Address {
                        address: address.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    /// How many operators must agree: two, or one in a trial with a single operator.
    pub fn operators_required(&self) -> usize {
        self.operators.min(2)
    }

    /// How many nodes must cosign: a majority.
    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// The nodes with their ids.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &NodeSpec)> {
        (1..).zip(&self.nodes)
    }
}

/// The origin of a new log. C2SP tlog-checkpoint asks for a URL without scheme; names that are made
/// of it put one in front.
pub fn parse_origin(text: &str) -> Result<Origin, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!(
            "the origin is a URL without scheme: leave out {scheme}://, write {rest}"
        ));
    }
    Origin::new(text).map_err(|error| error.to_string())
}

/// `<origin>/node/<id>`: a node's name, also as a cosigner.
pub fn node_name(origin: &Origin, node_id: u64) -> String {
    format!("{origin}/node/{node_id}")
}

impl fmt::Display for NodeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, client, admin) = (&self.peer, self.client.port(), self.admin.port());
        write!(f, "{}={peer}:{client}:{admin}", self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: &[&str], operators: usize) -> Plan {
        Plan {
            origin: Origin::new("ledger.example.com/aims1").unwrap(),
            nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
            operators,
            folder: PathBuf::from("x"),
            bind: None,
        }
    }

    #[test]
    fn node_values_read_in_short_and_full_form() {
        for (text, full) in [
            ("n1=127.0.0.1:7400", "n1=127.0.0.1:7400:7401:7402"),
            ("n1=host.example:7400:1:2", "n1=host.example:7400:1:2"),
            ("a-b=[::1]:7400", "a-b=[::1]:7400:7401:7402"),
            ("a=[::1]:7400:1:2", "a=[::1]:7400:1:2"),
        ] {
            assert_eq!(text.parse::<NodeSpec>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn refuses_bad_node_values() {
        for text in [
            "",
            "n1",
            "=h:1",
            "N1=h:1",
            "n/1=h:1",
            "n1=",
            "n1=h",
            "n1=h:0",
            "n1=h:1:2",
            "n1=:1",
            "n1=h:1:2:3:4",
            "n1=h:65535",
            "n1=h:x",
            "n1=::1:7400:1",
            "n1=[::1]x:1",
            "n1=h h:1",
        ] {
            assert!(text.parse::<NodeSpec>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_origin_has_no_scheme() {
        let origin = parse_origin("ledger.example.com/aims1").unwrap();
        assert_eq!(origin.as_str(), "ledger.example.com/aims1");
        for with_scheme in ["https://ledger.example.com/aims1", "http://x"] {
            let refused = parse_origin(with_scheme).unwrap_err();
            assert!(refused.contains("without scheme"), "{refused}");
        }
        parse_origin("").unwrap_err();
    }

    #[test]
    fn refuses_clusters_that_contradict_themselves() {
        plan(&["n1=h:10", "n2=h:20", "n3=h:30"], 2).check().unwrap();
        let cases = [
            plan(&[], 2),
            plan(&["n1=h:10"; 8], 2),
            plan(&["n1=h:10"], 0),
            plan(&["n1=h:10"], 10),
            plan(&["n1=h:10", "n1=h:20"], 2),
            plan(&["n1=h:10", "n2=h:12"], 2),
        ];
        for case in cases {
            assert!(case.check().is_err(), "{case:?}");
        }
    }

    #[test]
    fn two_of_three_nodes_and_two_operators_must_agree() {
        let three = plan(&["n1=h:10", "n2=h:20", "n3=h:30"], 3);
        assert_eq!((three.quorum(), three.operators_required()), (2, 2));
        let trial = plan(&["n1=h:10"], 1);
        assert_eq!((trial.quorum(), trial.operators_required()), (1, 1));
    }
}
