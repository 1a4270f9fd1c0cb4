//! Goal: the folder of a node that joins is as good as one that `init` made. Method: make a cluster,
//! add a node, load everything as the node does, and check its certificate as a peer does.

use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::clock::FixedClock;
use crate::config::Config;
use crate::identity::NodeKeys;
use crate::init::init;
use crate::service::spiffe::ClusterTag;
use crate::service::tls::{NodeTls, TlsIdentity};
use aimslog_proto::tlog::Origin;
use std::str::FromStr as _;

const NOW: u64 = 1_800_000_000;

fn clock() -> FixedClock {
    FixedClock::at_millis(NOW * 1_000)
}

fn cluster(folder: &Path) -> PathBuf {
    let nodes = ["n1=127.0.0.1:7400", "n2=127.0.0.1:7410"];
    let plan = Plan {
        origin: Origin::new("ledger.example.com/aims1").unwrap(),
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        operators: 1,
        folder: folder.join("cluster"),
        bind: None,
    };
    init(&plan, &clock(), [7; 32]).unwrap();
    plan.folder
}

fn addition(cluster: &Path, id: u64) -> Addition {
    Addition {
        from: cluster.to_owned(),
        node: "n3=127.0.0.1:7420".parse().unwrap(),
        id,
        replaces: Some(2),
        bind: None,
    }
}

#[test]
fn a_node_that_joins_accepts_its_folder_and_peers_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let words = add_node(&addition(&cluster, 3), &clock()).unwrap();
    assert!(
        words.contains("aimslog cluster replace 2 n3/node.toml"),
        "{words}"
    );
    let home = cluster.join("n3");
    let config = Config::load(&home.join("aimslogd.toml")).unwrap();
    assert_eq!(config.node_id, 3);
    let peers: Vec<u64> = config.peers.iter().map(|peer| peer.id).collect();
    assert_eq!(peers, [1], "the node that is replaced is no peer");
    let keys = NodeKeys::load(&config.keys).unwrap();
    assert!(
        keys.ledger.is_none(),
        "the keys of the ledger come from a voter"
    );
    let report = crate::check::check(&home.join("aimslogd.toml"), &clock()).unwrap();
    assert!(report.good, "{}", report.text);
    assert!(report.text.contains("asks the voters"), "{}", report.text);
    assert!(report.text.contains("\n# ok: "), "{}", report.text);
    let genesis = std::fs::read(home.join("genesis.cose")).unwrap();
    let own = TlsIdentity {
        cluster: ClusterTag::of(EntryId::of(&genesis).as_bytes()),
        node_id: 3,
        now: NOW,
    };
    NodeTls::load(&config.tls, own).unwrap();

    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(cluster.join("authority/peer-ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
        .build()
        .unwrap();
    let certificate = CertificateDer::from_pem_file(home.join("tls/peer.pem")).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
    verifier.verify_client_cert(&certificate, &[], now).unwrap();

    let text = std::fs::read_to_string(home.join("node.toml")).unwrap();
    let cosigner = text
        .lines()
        .find_map(|line| line.strip_prefix("cosigner = \""))
        .unwrap();
    let vkey = VerifierKey::from_str(cosigner.trim_end_matches('"')).unwrap();
    let name = KeyName::new("ledger.example.com/aims1/node/3").unwrap();
    assert_eq!(
        vkey,
        VerifierKey::cosignature_v1(name, &keys.cosigner.verifying_key())
    );
}

/// The names and addresses that a node's configuration gives for its peers.
fn peers_of(cluster: &Path, label: &str) -> Vec<(u64, String)> {
    let config = Config::load(&cluster.join(label).join("aimslogd.toml")).unwrap();
    let peers = config.peers.iter();
    peers
        .map(|peer| (peer.id, peer.address.to_string()))
        .collect()
}

#[test]
fn after_a_replacement_the_peers_are_the_nodes_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let add = |id: u64, replaces: u64| {
        let addition = Addition {
            node: format!("n{id}=10.0.0.{id}:7400").parse().unwrap(),
            replaces: Some(replaces),
            ..addition(&cluster, id)
        };
        let words = add_node(&addition, &clock()).unwrap();
        let line = format!("{id} n{id} 10.0.0.{id}:7401 10.0.0.{id}:7402");
        assert!(words.contains(&line), "{words}");
        peers_of(&cluster, &format!("n{id}"))
    };
    let one = (1, "127.0.0.1:7400".to_owned());
    assert_eq!(add(3, 2), std::slice::from_ref(&one));
    // The one that was made first was given up.
    assert_eq!(add(4, 2), [one]);
    // What has to be kept of a node is this file alone.
    let kept = std::fs::read_to_string(cluster.join("n4/node.toml")).unwrap();
    std::fs::remove_dir_all(cluster.join("n4")).unwrap();
    std::fs::create_dir(cluster.join("n4")).unwrap();
    std::fs::write(cluster.join("n4/node.toml"), kept).unwrap();
    assert_eq!(add(5, 1), [(4, "10.0.0.4:7400".to_owned())]);
    let again = add_node(&addition(&cluster, 4), &clock());
    assert!(matches!(again, Err(AddError::Id { id: 4 })), "{again:?}");

    std::fs::write(cluster.join("n4/node.toml"), "id = four").unwrap();
    let unreadable = add_node(&addition(&cluster, 6), &clock());
    assert!(
        matches!(unreadable, Err(AddError::Node { .. })),
        "{unreadable:?}"
    );
}

#[test]
fn a_number_is_never_used_twice_and_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    for id in [0, 1, 2] {
        let refused = add_node(&addition(&cluster, id), &clock());
        assert!(matches!(refused, Err(AddError::Id { .. })), "{refused:?}");
    }
    add_node(&addition(&cluster, 3), &clock()).unwrap();
    let again = add_node(&addition(&cluster, 4), &clock());
    assert!(
        matches!(again, Err(AddError::Write(InitError::Layout(_)))),
        "{again:?}"
    );
}

#[test]
fn no_secret_of_another_node_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    for node in ["n1", "n2"] {
        std::fs::remove_dir_all(cluster.join(node)).unwrap();
    }
    add_node(&addition(&cluster, 3), &clock()).unwrap();
}

#[test]
fn without_the_authority_it_says_which_file_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let missing = cluster.join("authority/peer-ca.key");
    std::fs::remove_file(&missing).unwrap();
    match add_node(&addition(&cluster, 3), &clock()) {
        Err(AddError::Read { path, .. }) => assert_eq!(path, missing),
        other => panic!("{other:?}"),
    }
}
