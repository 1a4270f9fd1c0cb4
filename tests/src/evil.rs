//! The evil node: an honest `aimslogd` as a puppet, and around it, on every connection with the other
//! nodes, somebody who holds its keys and changes what goes through.
//!
//! Seen from the other nodes nothing tells the two from one evil program: everything they hear is
//! said under the certificate and the signature of the evil node. The product holds no evil code, not
//! even behind a feature. To keep its puppet quiet, and only for that, the middle also answers the
//! puppet under the certificates of the others.

mod middle;

use std::collections::BTreeMap;
use std::time::Duration;

use aimslog_proto::tlog::{NoteSignature, RootHash};
use ed25519_dalek::SigningKey;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::forger::Forger;
use crate::proxy::{Link, reroute};
use middle::{Ends, Middle};

/// Bytes in the Raft log that a follower gets, and what the evil leader sends in their place.
#[derive(Debug, Clone)]
pub struct Swap {
    /// What the leader logged.
    pub old: Vec<u8>,
    /// As many bytes.
    pub new: Vec<u8>,
}

/// What the middle does. Without any of it, it passes everything on unchanged.
#[derive(Debug, Clone, Default)]
pub struct Malice {
    /// What each node gets in place of what the leader logged. About the tree of a node in here,
    /// the middle says to everybody what they want to hear: to the node that the evil node has
    /// the same root, signed; to the puppet nothing. Its cosignatures are kept.
    pub swaps: BTreeMap<u64, Vec<Swap>>,
    /// The size from which on the trees differ by the swaps: heads from there on are published to
    /// the node over its own root, under the cosignatures of itself and the evil node.
    pub forked_at: u64,
    /// In published heads, the honest cosignature gives way to one by this key under the same name.
    pub foreign: Option<SigningKey>,
}

/// A cosignature that the middle kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What the node signed.
    pub root: RootHash,
    /// Its signature.
    pub line: NoteSignature,
}

/// What all middles of one evil node share.
#[derive(Debug, Clone, Default)]
pub struct Mind {
    /// What to do.
    pub malice: Malice,
    /// Cosignatures by node and size.
    pub kept: BTreeMap<(u64, u64), Kept>,
}

/// A cluster's first node turned evil; the links among the others can be cut.
#[derive(Debug)]
pub struct Evil {
    /// All keys.
    pub forger: Forger,
    mind: watch::Sender<Mind>,
    honest: BTreeMap<(usize, usize), Link>,
    /// Ends the middles when it is dropped.
    _middles: JoinSet<()>,
}

/// Position of the evil node.
pub const EVIL: usize = 0;

impl Evil {
    /// Puts the middle around the first node of a cluster that has not been started yet, and a plain
    /// proxy on each link between the others.
    pub async fn around(cluster: &Cluster) -> Self {
        let forger = Forger::of(cluster);
        let (mind, _) = watch::channel(Mind::default());
        let mut middles = JoinSet::new();
        let mut honest = BTreeMap::new();
        for from in 0..cluster.nodes.len() {
            for to in (0..cluster.nodes.len()).filter(|to| *to != from) {
                let port = if from == EVIL || to == EVIL {
                    let ends = Ends { from, to };
                    let middle = Middle::new(cluster, ends, forger.clone(), mind.clone());
                    middle.serve(cluster, &mut middles).await
                } else {
                    let link = Link::to(cluster.nodes[to].peer).await;
                    let port = link.port;
                    honest.insert((from, to), link);
                    port
                };
                reroute(cluster, [from, to], &format!("127.0.0.1:{port}"));
            }
        }
        Self {
            forger,
            mind,
            honest,
            _middles: middles,
        }
    }

    /// Makes the evil node the leader.
    pub async fn lead(&self, cluster: &Cluster) {
        let leader = cluster.leader().await;
        if leader != EVIL {
            let id = cluster.nodes[EVIL].id;
            cluster.admin_of(leader).move_leader(id).await.unwrap();
        }
        cluster
            .wait_until(EVIL, Duration::from_secs(20), |status| {
                status.role == "leader"
            })
            .await;
    }

    /// Begins with, or ends, what is evil.
    pub fn will(&self, malice: Malice) {
        self.mind.send_modify(|mind| mind.malice = malice);
    }

    /// Keeps the honest nodes apart.
    pub fn keep_apart(&self) {
        self.honest.values().for_each(Link::cut);
    }

    /// Lets the honest nodes meet.
    pub fn let_meet(&self) {
        self.honest.values().for_each(Link::mend);
    }
}
