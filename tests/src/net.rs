//! The network between the nodes of a cluster, whose links can be cut: namespaces where this machine
//! allows them, else a proxy on every link.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::netns::{Namespaces, peer_address, say};
use crate::proxy::{Link, reroute};

/// How links are cut. Kept alive after the cluster that lives in it.
#[derive(Debug)]
pub enum Net {
    /// Everything is dropped without a word.
    Namespaces(Namespaces),
    /// A proxy for each ordered pair, which holds bytes back: the proxy's own end still acknowledges
    /// what it receives.
    Proxies(BTreeMap<[usize; 2], Link>),
}

impl Net {
    /// The best network that this machine allows, and a cluster in it that is not started; says which
    /// it is, and why not the other.
    pub async fn with_cluster(nodes: u16) -> (Self, Cluster) {
        match Namespaces::make(usize::from(nodes)) {
            Ok(namespaces) => {
                say("links are cut in network namespaces: this is root and has `ip` and `tc`");
                let cluster = Cluster::prepare_at(namespaces.places(), 1);
                for pair in pairs(cluster.nodes.len()) {
                    let [_, to] = pair;
                    let address = format!("{}:{}", peer_address(to), cluster.nodes[to].peer);
                    reroute(&cluster, pair, &address);
                }
                (Self::Namespaces(namespaces), cluster)
            }
            Err(why) => {
                say(&format!(
                    "links are cut by proxies, not in network namespaces: {why}"
                ));
                Self::of_proxies(nodes).await
            }
        }
    }

    /// A network of proxies, and a cluster in it that is not started.
    pub async fn of_proxies(nodes: u16) -> (Self, Cluster) {
        let cluster = Cluster::prepare(nodes);
        let mut links = BTreeMap::new();
        for pair in pairs(cluster.nodes.len()) {
            let [_, to] = pair;
            let link = Link::to(cluster.nodes[to].peer).await;
            reroute(&cluster, pair, &format!("127.0.0.1:{}", link.port));
            links.insert(pair, link);
        }
        (Self::Proxies(links), cluster)
    }

    /// Cuts a node off from the others, in both directions.
    pub fn cut(&self, node: usize) {
        match self {
            Self::Namespaces(namespaces) => namespaces.cut(node).unwrap(),
            Self::Proxies(links) => links_of(links, node).for_each(Link::cut),
        }
    }

    /// Ends that.
    pub fn mend(&self, node: usize) {
        match self {
            Self::Namespaces(namespaces) => namespaces.mend(node).unwrap(),
            Self::Proxies(links) => links_of(links, node).for_each(Link::mend),
        }
    }

    /// Loses what a node sends to the others; what they send arrives.
    pub fn mute(&self, node: usize) {
        match self {
            Self::Namespaces(namespaces) => namespaces.mute(node).unwrap(),
            Self::Proxies(links) => {
                for ([from, to], link) in links {
                    if *from == node {
                        link.cut_there();
                    } else if *to == node {
                        link.cut_back();
                    }
                }
            }
        }
    }

    /// Ends that.
    pub fn speak(&self, node: usize) {
        match self {
            Self::Namespaces(namespaces) => namespaces.speak(node).unwrap(),
            Self::Proxies(links) => links_of(links, node).for_each(Link::mend),
        }
    }
}

fn links_of(links: &BTreeMap<[usize; 2], Link>, node: usize) -> impl Iterator<Item = &Link> {
    let of_node = links.iter().filter(move |(ends, _)| ends.contains(&node));
    of_node.map(|(_, link)| link)
}

fn pairs(nodes: usize) -> impl Iterator<Item = [usize; 2]> {
    let pairs = (0..nodes).flat_map(move |from| (0..nodes).map(move |to| [from, to]));
    pairs.filter(|[from, to]| from != to)
}
