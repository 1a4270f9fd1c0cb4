//! Whether the heads that a ledger shows are of one history: the head remembered is related to each
//! new one, by a consistency proof that some node gives.
//!
//! One wrong proof says nothing about the heads, only about the node that gave it. Two heads that
//! both satisfy the policy, and that no node can prove to be of one history, are an alarm.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::evidence::EvidenceFile;
use aimslog_proto::tlog::{Checkpoint, ConsistencyProof, Note, TreeHead, TreeSize};

use crate::convert;
use crate::error::{ClientError, Fork};
use crate::ledger::Ledger;
use crate::trust::{Relation, SignedHead, relate};

impl Ledger {
    /// Relates a head to the remembered one and remembers the newer. Returns the newer.
    pub(crate) async fn learn(
        &self,
        endpoint: &str,
        head: SignedHead,
    ) -> Result<SignedHead, ClientError> {
        loop {
            let remembered = self.memory().newest().cloned();
            let relation = match &remembered {
                None => Relation::Extends,
                Some(remembered) => self.related(remembered.head(), head.head()).await?.0,
            };
            match (relation, remembered) {
                (Relation::Same | Relation::Stale, Some(remembered)) => return Ok(remembered),
                (Relation::Fork, Some(remembered)) => {
                    let kept = self.memory().keep_fork(&head)?;
                    return Err(Box::new(Fork {
                        endpoint: endpoint.to_owned(),
                        remembered: *remembered.head(),
                        shown: *head.head(),
                        kept,
                    })
                    .into());
                }
                // Another call or process may have remembered a head meanwhile: relate to that one.
                (_, remembered) => {
                    let known = remembered.as_ref();
                    if self.memory().remember_after(known, head.clone())? {
                        return Ok(head);
                    }
                }
            }
        }
    }

    /// A head that came in a file or an answer: checked against the policy, related to the remembered
    /// one, and remembered where it is newer. Unlike [`Ledger::checkpoint`] it gives the head itself back,
    /// also where the remembered one is newer.
    ///
    /// # Errors
    /// [`ClientError::Fork`] when the two cannot be of one history; as [`Ledger::checkpoint`] otherwise.
    pub async fn relate_head(&self, note: &str) -> Result<SignedHead, ClientError> {
        let endpoint = "the ledger";
        let message = v1::SignedHead {
            checkpoint: note.to_owned(),
            ..v1::SignedHead::default()
        };
        let head = self.check_head(endpoint, Some(message))?;
        self.learn(endpoint, head.clone()).await?;
        Ok(head)
    }

    /// The same for the head of an evidence file that was verified, which may satisfy a policy that the
    /// file leads to from the one at hand.
    pub(crate) async fn relate_file(&self, file: &[u8]) -> Result<(), ClientError> {
        let malformed = || ClientError::Malformed {
            what: "a head in the evidence file",
        };
        let file = EvidenceFile::parse(file).map_err(|_wrong| malformed())?;
        let note = &file.head.checkpoint;
        if SignedHead::check(note, self.policy()).is_ok() {
            self.relate_head(note).await?;
            return Ok(());
        }
        let parsed = Note::parse(note.as_bytes()).map_err(|_wrong| malformed())?;
        let checkpoint = Checkpoint::parse(parsed.text()).map_err(|_wrong| malformed())?;
        let remembered = self.memory().newest().cloned();
        match remembered {
            Some(remembered) => {
                let proof = self
                    .continuation(remembered.head(), checkpoint.head())
                    .await;
                proof.map(drop)
            }
            None => Ok(()),
        }
    }

    /// The proof that `new` continues `old`, verified.
    ///
    /// # Errors
    /// [`ClientError::Fork`] when it does not; as [`Ledger::checkpoint`] otherwise.
    pub(crate) async fn continuation(
        &self,
        old: &TreeHead,
        new: &TreeHead,
    ) -> Result<ConsistencyProof, ClientError> {
        let (relation, proof) = self.related(old, new).await?;
        if relation == Relation::Fork {
            return Err(Box::new(Fork {
                endpoint: "the ledger".to_owned(),
                remembered: *old,
                shown: *new,
                kept: None,
            })
            .into());
        }
        proof.ok_or(ClientError::Malformed {
            what: "a consistency proof",
        })
    }

    /// How two signed heads relate, and the proof of it: every node is asked until one proves it. The
    /// proof is missing only for a fork.
    async fn related(
        &self,
        remembered: &TreeHead,
        new: &TreeHead,
    ) -> Result<(Relation, Option<ConsistencyProof>), ClientError> {
        if remembered.size == new.size {
            let proof = ConsistencyProof::new(new.size, new.size, Vec::new()).ok();
            let same = remembered.root == new.root;
            let relation = if same { Relation::Same } else { Relation::Fork };
            return Ok((relation, proof.filter(|_| same)));
        }
        let sizes = (remembered.size.min(new.size), remembered.size.max(new.size));
        let mut wrong = Vec::new();
        while wrong.len() < self.endpoints() {
            let asked = self.ask_consistency(sizes, &wrong).await;
            let (endpoint, answer) = match (asked, wrong.last()) {
                (Ok(answer), _) => answer,
                (Err(error), None) => return Err(error),
                (Err(error), Some(endpoint)) => {
                    let why = format!(
                        "its consistency proof is wrong, and no other node gives one: {error}"
                    );
                    let endpoint = String::clone(endpoint);
                    return Err(ClientError::Unverified { endpoint, why });
                }
            };
            if let Ok(proof) = convert::consistency(answer.proof)
                && let Ok(relation) = relate(remembered, new, &proof)
            {
                return Ok((relation, Some(proof)));
            }
            wrong.push(endpoint);
        }
        Ok((Relation::Fork, None))
    }

    /// What some node that is not one of `except` says of the two sizes. Nothing of it is verified.
    pub(crate) async fn ask_consistency(
        &self,
        (old, new): (TreeSize, TreeSize),
        except: &[String],
    ) -> Result<(String, v1::GetConsistencyProofResponse), ClientError> {
        let message = v1::GetConsistencyProofRequest {
            old_size: old.0,
            new_size: new.0,
        };
        self.log_except(except, async |mut client| {
            let request = self.request(message)?;
            Ok(client.get_consistency_proof(request).await?.into_inner())
        })
        .await
    }
}
