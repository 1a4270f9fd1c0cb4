//! What must hold after every scenario, whatever was done to the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use aimslog_client::{EntryKey, EvidenceRequest, Ledger, ReadKey, verifier};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Frontier, LeafHash, LeafIndex, TreeSize};

use crate::cluster::{Cluster, ORIGIN};
use crate::history::History;

/// With all nodes running: waits until all serve the same tree, then checks that every acknowledged
/// entry stands at its index on every node, that every node's entries hash to the same root, which
/// is that of the published head, that all heads ever seen are prefixes of that one tree, and that
/// every acknowledged entry's evidence verifies offline.
pub async fn check_log(cluster: &Cluster, history: &History, reader: &ReadKey) {
    let told = history.told();
    let mut size = told
        .acknowledged
        .keys()
        .next_back()
        .map_or(2, |index| index.0 + 1);
    for position in 0..cluster.nodes.len() {
        let status = cluster
            .wait_until(position, Duration::from_secs(30), |status| {
                status.tree_size >= size && status.published_size >= size
            })
            .await;
        size = size.max(status.published_size);
    }
    let mut roots = BTreeSet::new();
    let mut trees = Vec::new();
    for position in 0..cluster.nodes.len() {
        let leaves = leaves_of(cluster, position, size, reader).await;
        for (index, id) in &told.acknowledged {
            let (entry, _) = &leaves[usize::try_from(index.0).unwrap()];
            assert_eq!(entry, id, "node {position} has another entry at {index}");
        }
        let mut frontier = Frontier::EMPTY;
        let heads_of_node: Vec<_> = leaves
            .iter()
            .map(|(_, leaf)| {
                frontier.push(*leaf).unwrap();
                frontier.head()
            })
            .collect();
        roots.insert(frontier.root().hash());
        trees.push(heads_of_node);
    }
    assert_eq!(
        roots.len(),
        1,
        "the nodes do not have one tree of size {size}: {roots:?}"
    );
    for (head_size, head) in told
        .heads
        .iter()
        .filter(|(head_size, _)| **head_size <= size)
    {
        let of_tree = trees[0][usize::try_from(*head_size).unwrap() - 1];
        assert_eq!(
            of_tree,
            *head.head(),
            "a published head is no prefix of the log"
        );
    }
    verify_evidence(
        cluster,
        &told.acknowledged.values().copied().collect::<Vec<_>>(),
        reader,
    )
    .await;
}

async fn leaves_of(
    cluster: &Cluster,
    position: usize,
    size: u64,
    reader: &ReadKey,
) -> Vec<(EntryId, LeafHash)> {
    let ledger = cluster
        .ledger_of(position)
        .reading_as(std::sync::Arc::clone(reader), ORIGIN);
    ledger.checkpoint_covering(TreeSize(size)).await.unwrap();
    let mut leaves = Vec::new();
    for index in 0..size {
        let (entry, leaf) = ledger
            .entry(EntryKey::Index(LeafIndex(index)))
            .await
            .unwrap();
        leaves.push((EntryId::of(&entry), leaf));
    }
    leaves
}

/// Every entry's evidence, fetched in files of up to 1,000 records and verified with nothing but
/// the policy.
pub async fn verify_evidence(cluster: &Cluster, entries: &[EntryId], reader: &ReadKey) {
    let ledger = cluster.ledger_as(std::sync::Arc::clone(reader));
    for part in entries.chunks(1000) {
        let file = evidence_of(&ledger, part).await;
        let now = UnixSeconds(aimslog_client::clock::unix_seconds());
        let report = verifier::verify(&file, &cluster.policy(), now);
        assert!(report.verdict.is_verified(), "{report}");
        assert_eq!(report.records.len(), part.len());
    }
}

/// One evidence file over these entries, as the ledger's client has verified it.
pub async fn evidence_of(ledger: &Ledger, entries: &[EntryId]) -> Vec<u8> {
    let request = EvidenceRequest {
        entries: entries.to_vec(),
        ..EvidenceRequest::default()
    };
    ledger.evidence(&request).await.unwrap()
}
