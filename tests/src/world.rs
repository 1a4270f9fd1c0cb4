//! A log that was never run, with everything that its nodes would sign: what a client meets where all of
//! them lie.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{FinishedStatement, Ledger};
use aimslog_proto::statement::evidence::{
    EvidenceFile, FileEntry, FileHead, FileRecord, Held, Shown,
};
use aimslog_proto::statement::key::SigningKey as StatementKey;
use aimslog_proto::statement::receipt::HeadReceipt;
use aimslog_proto::time::UnixSeconds;
use aimslog_proto::tlog::{LeafIndex, MultiPlan, Origin, TreeHead, TreeSize};
use ed25519_dalek::SigningKey;
use tempfile::TempDir;

use crate::cluster::{Cluster, ORIGIN};
use crate::fake::{FakeLedger, Sign, Story, head_of};
use crate::forger::Forger;
use crate::people::Hospital;

/// A quorum of the policy.
pub const QUORUM: [u64; 2] = [1, 2];

/// A log that nobody runs: genesis, receipt key, an organisation and three records.
#[derive(Debug)]
pub struct World {
    /// The folders of its nodes, none of which runs.
    pub cluster: Cluster,
    /// Who holds their keys.
    pub forger: Forger,
    /// The log.
    pub entries: Vec<Vec<u8>>,
    /// The last entry, with its disclosures.
    pub record: FinishedStatement,
    /// A valid record that was never logged.
    pub unlogged: FinishedStatement,
    /// Where a client remembers heads.
    pub folder: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes it.
    pub fn new() -> Self {
        let cluster = Cluster::prepare(3);
        let first = &cluster.nodes[0].folder;
        let read = |name: &str| fs::read(first.join(name)).unwrap();
        let (hospital, organization) = Hospital::unregistered(&cluster, "hospital");
        let mut entries = vec![read("genesis.cose"), read("keys.cose"), organization];
        let mut records = hospital.decisions(0..4);
        let unlogged = records.pop().unwrap();
        entries.extend(records.iter().map(|record| record.statement.clone()));
        Self {
            forger: Forger::of(&cluster),
            entries,
            record: records.pop().unwrap(),
            unlogged,
            cluster,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The same log with another record at the end, or somewhere else.
    pub fn with_other_entry(&self, index: usize) -> Vec<Vec<u8>> {
        let mut entries = self.entries.clone();
        entries[index].clone_from(&self.unlogged.statement);
        entries
    }

    /// Makes heads that the log and these nodes sign.
    pub fn signed_by(&self, nodes: &'static [u64]) -> Sign {
        let forger = self.forger.clone();
        Arc::new(move |head| forger.note(head, nodes).to_string())
    }

    /// What an honest node says.
    pub fn honest(&self) -> Story {
        Story::of(&self.entries, self.signed_by(&QUORUM))
    }

    /// Where the client remembers the head.
    pub fn memory(&self) -> PathBuf {
        self.folder.path().join("head")
    }

    /// A client that has seen the honest head.
    pub async fn client(&self, fake: &FakeLedger) -> Ledger {
        fake.tell(self.honest());
        let ledger = self.ledger(fake);
        let head = ledger.checkpoint().await.unwrap();
        assert_eq!(*head.head(), head_of(&self.entries));
        ledger
    }

    /// A client that has seen nothing yet, or what is remembered.
    pub fn ledger(&self, fake: &FakeLedger) -> Ledger {
        let endpoints = self.cluster.endpoints([fake.port].into_iter());
        let policy = self.cluster.policy();
        let memory = HeadMemory::open(&self.memory(), &policy).unwrap();
        Ledger::new(&endpoints, policy, memory).unwrap()
    }

    /// A client that remembers as long as it lives.
    pub fn ledger_without_memory(&self, fake: &FakeLedger) -> Ledger {
        let endpoints = self.cluster.endpoints([fake.port].into_iter());
        Ledger::new(&endpoints, self.cluster.policy(), HeadMemory::in_memory()).unwrap()
    }

    /// The evidence file of the last entry alone, whose head has this receipt.
    pub fn evidence_of_last(&self, receipt: HeadReceipt, shown: &FinishedStatement) -> Vec<u8> {
        let mut file = EvidenceFile::parse(&self.evidence(receipt, shown)).unwrap();
        let keep = file.records.len() - 1;
        file.records.drain(..keep);
        let story = self.honest();
        let plan = MultiPlan::new(file.indices(), TreeSize(story.size)).unwrap();
        file.proof = plan
            .build(&story.read(plan.nodes()))
            .unwrap()
            .hashes()
            .to_vec();
        file.print().unwrap().into_bytes()
    }

    /// The evidence file of the last entry, whose head has this receipt.
    pub fn evidence(&self, receipt: HeadReceipt, shown: &FinishedStatement) -> Vec<u8> {
        let head = head_of(&self.entries);
        let last = self.entries.len() - 1;
        let held = Held {
            index: LeafIndex(last as u64),
            statement: &shown.statement,
            disclosures: &shown.disclosures,
            registered_at: None,
            register_number: None,
        };
        let others = (0..)
            .map(LeafIndex)
            .zip(self.entries[..last].iter().cloned());
        // System records lead to the signer; the other records show no field.
        let (chain, rest): (Vec<_>, Vec<_>) = others.partition(|(index, _)| index.0 < 3);
        let unshown = rest.iter().map(|(index, statement)| Held::<Vec<u8>> {
            index: *index,
            statement,
            disclosures: &[],
            registered_at: None,
            register_number: None,
        });
        let mut records: Vec<_> = unshown
            .map(|held| FileRecord::show(&held, Shown::All).unwrap())
            .collect();
        records.push(FileRecord::show(&held, Shown::All).unwrap());
        let file = EvidenceFile {
            origin: Origin::new(ORIGIN).unwrap(),
            head: FileHead {
                checkpoint: self.forger.note(head, &QUORUM).to_string(),
                receipt,
            },
            records,
            chain: chain
                .into_iter()
                .map(|(index, statement)| FileEntry { index, statement })
                .collect(),
            // All leaves are in the file.
            proof: Vec::new(),
            heads: Vec::new(),
            policy_steps: Vec::new(),
        };
        file.print().unwrap().into_bytes()
    }
}

/// A head's receipt by this key.
pub fn receipt(key: &SigningKey, head: &TreeHead) -> HeadReceipt {
    let key = StatementKey::from_seed(&key.to_bytes());
    let origin = Origin::new(ORIGIN).unwrap();
    let now = UnixSeconds(aimslog_client::clock::unix_seconds());
    HeadReceipt::sign(&key, &origin, &head.root, now).unwrap()
}
