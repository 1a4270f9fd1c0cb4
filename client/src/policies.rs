//! The policies of a ledger, one after the other, and the keys of its receipts.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::evidence::{FileEntry, PolicyStep, PolicyWalk, WalkError};
use aimslog_proto::system::{Keys, Payload as _};
use aimslog_proto::tlog::{Hash, LeafHash, LeafIndex, Policy};

use crate::convert;
use crate::error::ClientError;
use crate::ledger::{EntryKey, Ledger};

/// Answers that are asked for: of changes of policy no log has more.
const PAGES_MAX: usize = 1_024;
const ENDLESS: ClientError = ClientError::Malformed {
    what: "an end of the changes of policy",
};

/// A policy that came into force behind the one that this ledger was opened with.
#[derive(Debug, Clone)]
pub struct LaterPolicy {
    /// The `ledger.policy` record that put it into force.
    pub since: LeafIndex,
    /// What verifiers are told to ask for from there on.
    pub policy: Policy,
}

impl Ledger {
    /// Every policy behind the one that this ledger was opened with, oldest first; none where that is
    /// the newest. Each names the one before it, and is proven by a head that satisfies both, so that
    /// nobody has to be believed but the cosigners of the first: whoever answers can leave out the newest
    /// ones, and can lead neither back nor in a circle.
    ///
    /// # Errors
    /// [`ClientError::Unverified`] where that policy is none of the ledger's, or the steps do not lead on
    /// from it.
    pub async fn later_policies(&self) -> Result<Vec<LaterPolicy>, ClientError> {
        let mut walk = PolicyWalk::new(self.policy().clone());
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let (endpoint, page) = self.policy_page(after.unwrap_or(0)).await?;
            if after.is_none() && page.trust_policy.as_bytes() == self.policy().as_bytes() {
                return Ok(Vec::new());
            }
            let unverified = |error: WalkError| ClientError::Unverified {
                endpoint: endpoint.clone(),
                why: error.to_string(),
            };
            if after.is_none() {
                let genesis = FileEntry {
                    index: LeafIndex(0),
                    statement: page.genesis,
                };
                walk.add(&genesis, None).map_err(unverified)?;
            }
            after = page.policy_steps.last().map(|step| step.index);
            for step in page.policy_steps {
                let (record, step) = parts(step)?;
                walk.add(&record, step.as_ref()).map_err(unverified)?;
            }
            if !page.more_policy_steps {
                let later = walk.finish().map_err(unverified)?.into_iter();
                let later = later.map(|(since, policy)| LaterPolicy { since, policy });
                return Ok(later.collect());
            }
            // Each record stands behind the one before it, so that pages go forward.
            if after.is_none() {
                return Err(ENDLESS);
            }
        }
        Err(ENDLESS)
    }

    /// The changes of policy behind this entry, as many as one answer holds, and who said so.
    async fn policy_page(
        &self,
        after: u64,
    ) -> Result<(String, v1::GetLogInfoResponse), ClientError> {
        let message = v1::GetLogInfoRequest {
            with_policy_steps: true,
            policy_steps_after: after,
        };
        self.log(async |mut client| {
            let request = self.request(message)?;
            Ok(client.get_log_info(request).await?.into_inner())
        })
        .await
    }

    /// The record that names the receipt keys in force under the newest head, and where it stands:
    /// proven to be in the log. That no newer one is there is the word of the node that answered.
    pub async fn receipt_keys(&self) -> Result<(LeafIndex, Keys), ClientError> {
        let info = self.unverified_info().await?;
        let index = LeafIndex(info.keys_index);
        let statement = UnverifiedStatement::parse(&info.keys);
        let statement = statement.map_err(|_not_one| ClientError::Malformed { what: "keys" })?;
        let keys = Keys::decode(statement.payload());
        let keys = keys.map_err(|_not_one| ClientError::Malformed { what: "keys" })?;
        let proven = self.inclusion(EntryKey::Index(index)).await?;
        if proven.leaf == LeafHash::of(&info.keys) {
            return Ok((index, keys));
        }
        Err(ClientError::Unverified {
            endpoint: "the ledger".to_owned(),
            why: "the record of receipt keys is not the one in the log".to_owned(),
        })
    }
}

/// The record of the change, and the head that led over it, if one did.
fn parts(step: v1::PolicyStep) -> Result<(FileEntry, Option<PolicyStep>), ClientError> {
    let index = LeafIndex(step.index);
    let record = FileEntry {
        index,
        statement: step.statement,
    };
    if step.checkpoint.is_empty() {
        return Ok((record, None));
    }
    let hashes = step
        .proof
        .iter()
        .map(|bytes| convert::array(bytes, "proof hashes of 32 bytes").map(Hash::from_bytes));
    let parsed = PolicyStep {
        checkpoint: step.checkpoint,
        index,
        proof: hashes.collect::<Result<_, _>>()?,
    };
    Ok((record, Some(parsed)))
}
