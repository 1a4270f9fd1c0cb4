//! Proofs about entries and heads: each is verified before it is handed on.

use aimslog_proto::pb::v1;
use aimslog_proto::reason::Reason;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::{
    ConsistencyProof, Hash, InclusionProof, LeafHash, LeafIndex, TreeHead, TreeSize,
};
use tokio::time::Instant;

use crate::convert;
use crate::error::ClientError;
use crate::ledger::{EntryKey, Ledger};
use crate::trust::{SignedHead, chain};

/// An inclusion proof that was verified.
#[derive(Debug, Clone)]
pub struct ProvenInclusion {
    /// The leaf.
    pub leaf: LeafHash,
    /// The proof, for `.tlog-proof` files and receipts.
    pub proof: InclusionProof,
    /// The head that it leads to.
    pub head: SignedHead,
}

/// Two entries under one head, by which one stands before the other.
#[derive(Debug, Clone)]
pub struct ProvenOrder {
    /// Inclusion of the two entries in the order in which they were asked for.
    pub inclusions: [ProvenInclusion; 2],
}

impl ProvenOrder {
    /// The head that both are under.
    pub fn head(&self) -> &SignedHead {
        let [first, _] = &self.inclusions;
        &first.head
    }

    /// The positions, in the order in which they were asked for.
    pub fn indices(&self) -> [LeafIndex; 2] {
        let [first, second] = &self.inclusions;
        [first.proof.index(), second.proof.index()]
    }
}

impl Ledger {
    /// The consistency proof from an older head, verified, and the newer head.
    pub async fn consistency(
        &self,
        old: &TreeHead,
    ) -> Result<(SignedHead, ConsistencyProof), ClientError> {
        let newest = self.checkpoint().await?;
        self.consistency_between(old, newest.head().size).await
    }

    /// The consistency proof from an older head to the head of `size`, verified, and that head. Two
    /// heads that no node can prove to be of one history are a [`ClientError::Fork`].
    pub async fn consistency_between(
        &self,
        old: &TreeHead,
        size: TreeSize,
    ) -> Result<(SignedHead, ConsistencyProof), ClientError> {
        let (endpoint, answer) = self.ask_consistency((old.size, size), &[]).await?;
        let head = self.check_head(&endpoint, answer.head)?;
        check_size(&endpoint, &head, size)?;
        self.learn(&endpoint, head.clone()).await?;
        let proof = self.continuation(old, head.head()).await?;
        Ok((head, proof))
    }

    /// The same for an entry that may be newer than the newest head: one that is named by its id, and
    /// that the ledger knows, is covered within moments, so this waits instead of refusing.
    pub async fn inclusion_once_published(
        &self,
        key: EntryKey,
    ) -> Result<ProvenInclusion, ClientError> {
        let until = Instant::now() + self.deadline();
        let mut newest: Option<TreeSize> = None;
        loop {
            match self.inclusion(key).await {
                Err(ClientError::Refused(refusal))
                    if refusal.reason == Some(Reason::BeyondTree)
                        && matches!(key, EntryKey::Id(_))
                        && Instant::now() < until =>
                {
                    // The head may have come between the refusal and this question: the first time
                    // it is only looked at, then a larger one is waited for.
                    let head = match newest {
                        None => self.checkpoint().await?,
                        Some(size) => {
                            let larger = TreeSize(size.0.saturating_add(1));
                            self.checkpoint_covering(larger).await?
                        }
                    };
                    newest = Some(head.head().size);
                }
                answer => return answer,
            }
        }
    }

    /// Proof that an entry is in the log, under the newest head; verified.
    pub async fn inclusion(&self, key: EntryKey) -> Result<ProvenInclusion, ClientError> {
        self.inclusion_under(key, TreeSize(0)).await
    }

    /// Proof that two entries are in the log, under one head, and so which was logged first.
    pub async fn order(&self, keys: [EntryKey; 2]) -> Result<ProvenOrder, ClientError> {
        let [first, second] = keys;
        // The later one first: where it is covered, so is the other.
        self.inclusion_once_published(second).await?;
        let first = self.inclusion_once_published(first).await?;
        let under = *first.head.head();
        let mut second = self.inclusion_under(second, under.size).await?;
        if *second.head.head() != under {
            let why = "two heads of one size have different roots".to_owned();
            let endpoint = "the ledger".to_owned();
            return Err(ClientError::Unverified { endpoint, why });
        }
        second.head = first.head.clone();
        Ok(ProvenOrder {
            inclusions: [first, second],
        })
    }

    /// Under the head of `size`, or the newest where it is 0.
    async fn inclusion_under(
        &self,
        key: EntryKey,
        size: TreeSize,
    ) -> Result<ProvenInclusion, ClientError> {
        let asked = match key {
            EntryKey::Id(id) => {
                v1::get_inclusion_proof_request::Key::EntryId(id.as_bytes().to_vec())
            }
            EntryKey::Index(index) => v1::get_inclusion_proof_request::Key::Index(index.0),
        };
        let message = v1::GetInclusionProofRequest {
            key: Some(asked),
            tree_size: size.0,
        };
        let (endpoint, answer) = self
            .log(async |mut client| {
                let request = self.request(message.clone())?;
                Ok(client.get_inclusion_proof(request).await?.into_inner())
            })
            .await?;
        let head = self.check_head(&endpoint, answer.head)?;
        if size.0 > 0 {
            check_size(&endpoint, &head, size)?;
        }
        let proof = convert::inclusion(answer.proof)?;
        let unverified = |why: String| ClientError::Unverified {
            endpoint: endpoint.clone(),
            why,
        };
        let leaf = match key {
            // An id is no leaf hash: only the entry's bytes lead from one to the other.
            EntryKey::Id(_) => self.entry(key).await?.1,
            EntryKey::Index(index) if index != proof.index() => {
                return Err(unverified("the proof is for another index".to_owned()));
            }
            EntryKey::Index(_) => LeafHash::from_hash(Hash::from_bytes(convert::array(
                &answer.leaf_hash,
                "leaf_hash of 32 bytes",
            )?)),
        };
        proof
            .verify(leaf, head.head())
            .map_err(|error| unverified(chain(&error)))?;
        self.learn(&endpoint, head.clone()).await?;
        Ok(ProvenInclusion { leaf, proof, head })
    }

    /// The bytes of an entry, whose hash is what was asked for, and its leaf hash. Asked for by its
    /// index it is whatever the answering node says stands there: see [`Ledger::inclusion`].
    pub async fn entry(&self, key: EntryKey) -> Result<(Vec<u8>, LeafHash), ClientError> {
        let asked = match key {
            EntryKey::Id(id) => v1::get_entry_request::Key::EntryId(id.as_bytes().to_vec()),
            EntryKey::Index(index) => v1::get_entry_request::Key::Index(index.0),
        };
        let message = v1::GetEntryRequest { key: Some(asked) };
        let (endpoint, answer) = self
            .log(async |mut client| {
                Ok(client
                    .get_entry(self.request(message.clone())?)
                    .await?
                    .into_inner())
            })
            .await?;
        if let EntryKey::Id(id) = key
            && EntryId::of(&answer.statement) != id
        {
            let why = "the entry does not hash to the id that was asked for".to_owned();
            return Err(ClientError::Unverified { endpoint, why });
        }
        let leaf = LeafHash::of(&answer.statement);
        Ok((answer.statement, leaf))
    }

    /// The COSE receipt of an entry with the head that makes it worth something. The two are checked
    /// against each other by [`aimslog_proto::statement::evidence::verify`], which the caller calls.
    pub async fn unverified_receipt(
        &self,
        key: EntryKey,
    ) -> Result<(Vec<u8>, SignedHead), ClientError> {
        let asked = match key {
            EntryKey::Id(id) => v1::get_receipt_request::Key::EntryId(id.as_bytes().to_vec()),
            EntryKey::Index(index) => v1::get_receipt_request::Key::Index(index.0),
        };
        let message = v1::GetReceiptRequest {
            key: Some(asked),
            tree_size: 0,
        };
        let (endpoint, answer) = self
            .log(async |mut client| {
                Ok(client
                    .get_receipt(self.request(message.clone())?)
                    .await?
                    .into_inner())
            })
            .await?;
        let head = self.check_head(&endpoint, answer.head)?;
        self.learn(&endpoint, head.clone()).await?;
        Ok((answer.receipt, head))
    }
}

/// The head is the one of the size that was asked for.
fn check_size(endpoint: &str, head: &SignedHead, asked: TreeSize) -> Result<(), ClientError> {
    if head.head().size == asked {
        return Ok(());
    }
    Err(ClientError::Unverified {
        endpoint: endpoint.to_owned(),
        why: format!(
            "the head of {asked} entries was asked for, not {}",
            head.head()
        ),
    })
}
