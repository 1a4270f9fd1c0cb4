//! The policies of a ledger, one after the other, and the keys of its receipts.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::UnverifiedStatement;
use aimslog_proto::statement::evidence::{FileEntry, PolicyStep, walk_policies};
use aimslog_proto::system::{Keys, Payload as _};
use aimslog_proto::tlog::{Hash, LeafHash, LeafIndex, Policy};

use crate::convert;
use crate::error::ClientError;
use crate::ledger::{EntryKey, Ledger};

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
        let message = v1::GetLogInfoRequest {
            with_policy_steps: true,
        };
        let (endpoint, answer) = self
            .log(async |mut client| {
                let request = self.request(message)?;
                Ok(client.get_log_info(request).await?.into_inner())
            })
            .await?;
        if answer.trust_policy.as_bytes() == self.policy().as_bytes() {
            return Ok(Vec::new());
        }
        let genesis = FileEntry {
            index: LeafIndex(0),
            statement: answer.genesis,
        };
        let (mut steps, mut records) = (Vec::new(), vec![genesis]);
        for step in answer.policy_steps {
            let (step, record) = parts(step)?;
            steps.push(step);
            records.push(record);
        }
        let walked = walk_policies(&steps, &records, self.policy());
        let walked = walked.map_err(|error| ClientError::Unverified {
            endpoint,
            why: error.to_string(),
        })?;
        let later = walked.into_iter();
        let later = later.map(|(since, policy)| LaterPolicy { since, policy });
        Ok(later.collect())
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

fn parts(step: v1::PolicyStep) -> Result<(PolicyStep, FileEntry), ClientError> {
    let index = LeafIndex(step.index);
    let hashes = step
        .proof
        .iter()
        .map(|bytes| convert::array(bytes, "proof hashes of 32 bytes").map(Hash::from_bytes));
    let parsed = PolicyStep {
        checkpoint: step.checkpoint,
        index,
        proof: hashes.collect::<Result<_, _>>()?,
    };
    let record = FileEntry {
        index,
        statement: step.statement,
    };
    Ok((parsed, record))
}
