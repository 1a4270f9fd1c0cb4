//! Over the changes behind the verifier's policy, head by head.

use std::collections::BTreeMap;

use super::super::file::PolicyStep;
use super::super::heads::{AcceptedHead, causes};
use super::WalkError;
use super::pair::Pair;
use crate::tlog::{InclusionProof, LeafIndex, Note, Policy, VerifierKey};

/// How far a verifier has come.
#[derive(Debug)]
pub(super) struct Standing {
    /// By what it recognised its pair.
    is_by_trust: bool,
    /// What the next head satisfies.
    policy: Policy,
    /// The keys of the log that the last pair names, by their texts.
    logs: BTreeMap<String, VerifierKey>,
    /// The head over which it goes.
    head: Option<Crossing>,
    /// Behind each change.
    reached: Vec<(LeafIndex, Policy)>,
    /// The first change without a head.
    missing: Option<u64>,
    failed: Option<WalkError>,
}

/// A head that satisfies the policy in front of it.
#[derive(Debug)]
struct Crossing {
    checkpoint: String,
    accepted: AcceptedHead,
    /// The last change under it whose trust policy it does not satisfy, and why.
    short: Option<WalkError>,
}

impl Standing {
    pub(super) fn new(policy: Policy, is_by_trust: bool) -> Self {
        Self {
            is_by_trust,
            logs: logs_of(&policy),
            policy,
            head: None,
            reached: Vec::new(),
            missing: None,
            failed: None,
        }
    }

    pub(super) const fn is_by_trust(&self) -> bool {
        self.is_by_trust
    }

    /// Goes over the next change, or remembers why that is not possible.
    pub(super) fn go_on(&mut self, pair: &Pair, step: Option<&PolicyStep>) {
        if self.failed.is_some() {
            return;
        }
        let Some(step) = step else {
            self.missing.get_or_insert(pair.since.0);
            return;
        };
        self.failed = match self.missing {
            Some(index) => Some(WalkError::NoStep { index }),
            None => self.cross(pair, step).err(),
        };
    }

    /// Where it came to in the end.
    pub(super) fn reached(self) -> Result<Vec<(LeafIndex, Policy)>, WalkError> {
        let short = self.head.and_then(|head| head.short);
        match self.failed.or(short) {
            Some(error) => Err(error),
            None => Ok(self.reached),
        }
    }

    fn cross(&mut self, pair: &Pair, step: &PolicyStep) -> Result<(), WalkError> {
        let index = pair.since.0;
        let wrong = |why: String| WalkError::Step { index, why };
        let head = match self.head.take() {
            Some(head) if head.checkpoint == step.checkpoint => head,
            // Only one head may satisfy less than a trust policy in the middle: that which satisfies the
            // policy in front of it and the one behind.
            Some(Crossing {
                short: Some(short), ..
            }) => return Err(short),
            _ => {
                let accepted = AcceptedHead::check(&step.checkpoint, &self.policy);
                Crossing {
                    accepted: accepted.map_err(|(_, sentence)| wrong(sentence))?,
                    checkpoint: step.checkpoint.clone(),
                    short: None,
                }
            }
        };
        let tree = &head.accepted.head;
        let proof = InclusionProof::new(step.index, tree.size, step.proof.clone());
        let included = proof.and_then(|proof| proof.verify(pair.leaf, tree));
        included.map_err(|error| wrong(causes(&error)))?;
        let short = match AcceptedHead::check(&step.checkpoint, &pair.trust) {
            Ok(_) => {
                self.policy = pair.trust.clone();
                None
            }
            Err((_, sentence)) => {
                let publish = AcceptedHead::check(&step.checkpoint, &pair.publish);
                publish.map_err(|_not_met| wrong(sentence.clone()))?;
                Some(wrong(sentence))
            }
        };
        let logs = logs_of(&pair.trust);
        signed_by_changed(&step.checkpoint, [&self.logs, &logs]).map_err(wrong)?;
        self.logs = logs;
        self.reached.push((pair.since, pair.trust.clone()));
        self.head = Some(Crossing { short, ..head });
        Ok(())
    }
}

fn logs_of(policy: &Policy) -> BTreeMap<String, VerifierKey> {
    let keys = policy.logs().iter().map(|log| &log.key);
    keys.map(|key| (key.to_string(), key.clone())).collect()
}

/// Whether each key of the log of the checkpoint that one side names and the other does not has signed it:
/// two lines in one policy let either of them stand for the log, and must not lead from one to the
/// other.
fn signed_by_changed(
    checkpoint: &str,
    [before, after]: [&BTreeMap<String, VerifierKey>; 2],
) -> Result<(), String> {
    let note = Note::parse(checkpoint.as_bytes()).map_err(|error| causes(&error))?;
    let origin = note.text().lines().next().unwrap_or_default();
    let gone = before.iter().filter(|(text, _)| !after.contains_key(*text));
    let come = after.iter().filter(|(text, _)| !before.contains_key(*text));
    for (text, key) in gone.chain(come) {
        if key.name().as_str() == origin && note.verify(std::slice::from_ref(key)).is_err() {
            return Err(format!(
                "the log's keys change, and {text}, which is one of them, has not signed the head"
            ));
        }
    }
    Ok(())
}
