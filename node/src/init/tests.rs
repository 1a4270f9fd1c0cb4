//! The whole layout: which files, with which modes, and that a node accepts what was made for it.

use super::*;
use crate::clock::FixedClock;
use crate::config::Config;
use crate::identity::NodeKeys;
use crate::service::spiffe::ClusterTag;
use crate::service::tls::{NodeTls, TlsError, TlsIdentity};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::Origin;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const NOW: u64 = 1_800_000_000;

fn plan(folder: &Path) -> Plan {
    Plan {
        origin: Origin::new("ledger.example.com/aims1").unwrap(),
        nodes: [
            "n1=127.0.0.1:7400",
            "n2=node2.example.com:7400",
            "n3=[::1]:7500:1:2",
        ]
        .iter()
        .map(|node| node.parse().unwrap())
        .collect(),
        operators: 2,
        folder: folder.join("cluster"),
        bind: None,
    }
}

fn make(folder: &Path) -> (Plan, String) {
    let plan = plan(folder);
    let clock = FixedClock::at_millis(NOW * 1_000);
    let words = init(&plan, &clock, [7; 32]).unwrap();
    (plan, words)
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o7777;
        if path.is_dir() {
            found.push(format!("{mode:04o} {name}/"));
            list(&path, &format!("{name}/"), found);
        } else {
            found.push(format!("{mode:04o} {name}"));
        }
    }
}

#[test]
fn writes_exactly_these_files_with_these_modes() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _words) = make(folder.path());
    let mut found = Vec::new();
    list(&plan.folder, "", &mut found);
    let mut expected = vec!["0644 README.txt".to_owned(), "0700 authority/".to_owned()];
    for name in ["admin-ca", "client-ca", "peer-ca"] {
        expected.push(format!("0600 authority/{name}.key"));
        expected.push(format!("0644 authority/{name}.pem"));
    }
    for node in ["n1", "n2", "n3"] {
        let files = [
            "0700 N/",
            "0644 N/aimslogd.toml",
            "0700 N/data/",
            "0644 N/genesis.cose",
            "0700 N/guard/",
            "0700 N/keys/",
            "0600 N/keys/cosigner.seed",
            "0600 N/keys/log.seed",
            "0600 N/keys/receipt.seed",
            "0600 N/keys/service.seed",
            "0644 N/keys.cose",
            "0700 N/tls/",
            "0644 N/tls/admin-ca.pem",
            "0600 N/tls/peer.key",
            "0644 N/tls/peer.pem",
            "0644 N/tls/peer-ca.pem",
            "0600 N/tls/server.key",
            "0644 N/tls/server.pem",
        ];
        expected.extend(files.iter().map(|file| file.replace('N', node)));
    }
    for operator in ["operator-1", "operator-2"] {
        let files = [
            "0700 O/",
            "0644 O/README.txt",
            "0600 O/admin.key",
            "0644 O/admin.pem",
            "0644 O/client-ca.pem",
            "0644 O/genesis.cose",
            "0644 O/nodes.txt",
            "0600 O/operator.seed",
            "0644 O/policy.txt",
        ];
        expected.extend(
            files
                .iter()
                .map(|file| file.replacen("O/", &format!("{operator}/"), 1)),
        );
    }
    let files = [
        "client-ca.pem",
        "genesis.cose",
        "keys.cose",
        "nodes.txt",
        "policy.txt",
    ];
    expected.push("0700 public/".to_owned());
    expected.extend(files.iter().map(|file| format!("0644 public/{file}")));
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn says_who_must_agree_and_what_to_destroy() {
    let folder = tempfile::tempdir().unwrap();
    let (_plan, words) = make(folder.path());
    for word in [
        "2 of 2 must agree",
        "2 of 3 nodes",
        "Destroy",
        "destroy this folder",
        "n2/",
    ] {
        assert!(words.contains(word), "{word} is missing in {words}");
    }
}

#[test]
fn a_cluster_that_bears_no_failure_is_said_to_bear_none() {
    for (nodes, warned) in [(1, true), (2, true), (3, false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path());
        plan.nodes.truncate(nodes);
        let clock = FixedClock::at_millis(NOW * 1_000);
        let words = init(&plan, &clock, [7; 32]).unwrap();
        assert_eq!(words.contains("WARNING: with"), warned, "{words}");
    }
}

#[test]
fn each_node_accepts_its_own_folder_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = make(folder.path());
    for (id, node) in plan.numbered() {
        let home = plan.folder.join(&node.label);
        let config = Config::load(&home.join("aimslogd.toml")).unwrap();
        assert_eq!(config.node_id, id);
        assert_eq!(config.peers.len(), 2);
        NodeKeys::load(&config.keys).unwrap();
        let cluster_id = EntryId::of(&std::fs::read(&config.genesis).unwrap());
        let own = TlsIdentity {
            cluster: ClusterTag::of(cluster_id.as_bytes()),
            node_id: id,
            now: NOW,
        };
        NodeTls::load(&config.tls, own).unwrap();
        let other = TlsIdentity {
            node_id: id + 1,
            ..own
        };
        let refused = NodeTls::load(&config.tls, other);
        assert!(
            matches!(refused, Err(TlsError::OtherNode { .. })),
            "{refused:?}"
        );
        let foreign = TlsIdentity {
            cluster: ClusterTag::of(&[1; 32]),
            ..own
        };
        assert!(matches!(
            NodeTls::load(&config.tls, foreign),
            Err(TlsError::Name { .. })
        ));
        for now in [NOW - 7_200, NOW + 4 * 365 * 86_400] {
            let late = TlsIdentity { now, ..own };
            assert!(matches!(
                NodeTls::load(&config.tls, late),
                Err(TlsError::OutOfTime { .. })
            ));
        }
        let mut swapped = config.tls.clone();
        swapped.server_key.clone_from(&config.tls.peer_key);
        assert!(matches!(
            NodeTls::load(&swapped, own),
            Err(TlsError::Rustls { .. })
        ));
    }
}

#[test]
fn never_writes_over_anything() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = make(folder.path());
    let before = std::fs::read(plan.folder.join("n1/genesis.cose")).unwrap();
    let clock = FixedClock::at_millis(NOW * 1_000);
    let again = init(&plan, &clock, [7; 32]);
    assert!(
        matches!(again, Err(InitError::Layout(LayoutError::NotEmpty { .. }))),
        "{again:?}"
    );
    assert_eq!(
        std::fs::read(plan.folder.join("n1/genesis.cose")).unwrap(),
        before
    );
}

#[test]
fn no_secret_is_in_what_is_printed_or_public() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, words) = make(folder.path());
    assert!(!words.contains("PRIVATE KEY") && !words.contains("seed/v1"));
    for file in std::fs::read_dir(plan.folder.join("public")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("PRIVATE KEY") && !text.contains("seed/v1"));
    }
}
