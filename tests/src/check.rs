//! What must hold after every scenario, whatever was done to the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aimslog_client::{EntryKey, EvidenceRequest, Ledger, ReadKey, RecordFilter, verifier};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{Frontier, LeafHash, LeafIndex, TreeSize};

use crate::cluster::{Cluster, ORIGIN};
use crate::history::History;
use crate::people::Hospital;

/// Entries of a large log that are looked at one by one.
const SAMPLE: usize = 300;

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

/// The same for a log that is too large to be asked for entry by entry three times over: all nodes
/// serve the same cosigned head, the entries of one node, read page by page, hash to its root, every
/// acknowledged entry stands at its index among them, and all heads ever seen are prefixes of it.
/// Of the entries on the other nodes, and of the evidence, a sample is looked at.
pub async fn check_large_log(cluster: &Cluster, history: &History, reader: &Hospital) {
    let told = history.told();
    let last = told.acknowledged.keys().next_back();
    let covering = TreeSize(last.map_or(2, |index| index.0 + 1));
    let mut heads = Vec::new();
    for position in 0..cluster.nodes.len() {
        let ledger = cluster.ledger_of(position);
        heads.push(*ledger.checkpoint_covering(covering).await.unwrap().head());
    }
    // One covers more than the other where a node was asked before it knew the newest.
    let head = heads.iter().copied().max_by_key(|head| head.size).unwrap();
    for position in 0..cluster.nodes.len() {
        let ledger = cluster.ledger_of(position);
        let served = ledger.checkpoint_covering(head.size).await.unwrap();
        assert_eq!(*served.head(), head, "node {position} serves another head");
    }
    let leaves = leaves_by_pages(cluster, head.size.0, reader).await;
    for (index, id) in &told.acknowledged {
        let (entry, _) = &leaves[usize::try_from(index.0).unwrap()];
        assert_eq!(entry, id, "another entry stands at {index}");
    }
    let mut frontier = Frontier::EMPTY;
    for (_, leaf) in &leaves {
        frontier.push(*leaf).unwrap();
        if let Some(seen) = told.heads.get(&frontier.size().0) {
            assert_eq!(frontier.head(), *seen.head(), "a head is no prefix");
        }
    }
    assert_eq!(frontier.head(), head, "the entries do not hash to the head");
    let step = told.acknowledged.len() / SAMPLE + 1;
    let sample: Vec<_> = told.acknowledged.iter().step_by(step).collect();
    for position in 0..cluster.nodes.len() {
        let key = reader.read_key();
        let ledger = cluster.ledger_of(position).reading_as(key, ORIGIN);
        for (index, id) in &sample {
            let (entry, _) = ledger.entry(EntryKey::Index(**index)).await.unwrap();
            assert_eq!(EntryId::of(&entry), **id, "node {position}, {index}");
        }
    }
    let sample: Vec<EntryId> = sample.into_iter().map(|(_, id)| *id).collect();
    verify_evidence(cluster, &sample, &reader.read_key()).await;
}

/// The leaves of a tree that are records of one organisation page by page, and the few others one
/// by one.
async fn leaves_by_pages(
    cluster: &Cluster,
    size: u64,
    reader: &Hospital,
) -> Vec<(EntryId, LeafHash)> {
    let ledger = cluster.ledger_as(reader.read_key());
    let filter = RecordFilter {
        organization: reader.id.clone(),
        ..RecordFilter::default()
    };
    let mut leaves = BTreeMap::new();
    let mut page = None;
    loop {
        let read = ledger.list(&filter, page.as_deref()).await.unwrap();
        for record in read.records {
            let leaf = (
                EntryId::of(&record.statement),
                LeafHash::of(&record.statement),
            );
            leaves.insert(record.entry.index.0, leaf);
        }
        page = read.next;
        if page.is_none() {
            break;
        }
    }
    let others: Vec<u64> = (0..size)
        .filter(|index| !leaves.contains_key(index))
        .collect();
    for index in others {
        let key = EntryKey::Index(LeafIndex(index));
        let (entry, leaf) = ledger.entry(key).await.unwrap();
        leaves.insert(index, (EntryId::of(&entry), leaf));
    }
    leaves
        .into_values()
        .take(usize::try_from(size).unwrap())
        .collect()
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
