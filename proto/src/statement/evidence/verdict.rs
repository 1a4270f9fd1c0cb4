//! From bytes to a report: everything is recomputed, nothing in the input is believed.

use super::file::{EvidenceError, EvidenceFile};
use super::heads::{AcceptedHead, History, check_in_force, check_other};
use super::record::Context;
use super::report::{Code, Findings, HeadReport, HeldOutside, Input, Report};
use super::walk::{WalkError, walk_policies};
use super::{chain, input};
use crate::aims::bundle::RuleBundle;
use crate::statement::key::PublicKey;
use crate::system::registry::Registry;
use crate::time::UnixSeconds;
use crate::tlog::{LeafHash, MultiProof, Policy, TreeHead};

/// The frozen field list of every kind and version that the verifying program knows.
pub trait FieldLists {
    /// The names in their order, or `None` for an unknown kind or version.
    fn field_list(&self, kind: &str, version: u32) -> Option<Vec<String>>;
}

impl FieldLists for RuleBundle {
    fn field_list(&self, kind: &str, version: u32) -> Option<Vec<String>> {
        let kind = self.kind(kind, version).ok()?;
        Some(kind.field_names().map(str::to_owned).collect())
    }
}

/// A head that the verifier saved on an earlier occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedHead {
    /// Size and root.
    pub head: TreeHead,
    /// When it was saved.
    pub saved_at: UnixSeconds,
    /// Whether a policy that the verifier has accepts it. One saved under an earlier policy is
    /// compared all the same, and a contradiction says that the log's signature alone was checked.
    pub quorum: bool,
}

/// What a verifier brings along, beside the policy.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The time of verification.
    pub now: UnixSeconds,
    /// Heads of this log that the verifier saved; the input must show that the log extends each.
    pub saved_heads: &'a [SavedHead],
    /// The field lists that the program knows.
    pub field_lists: &'a dyn FieldLists,
    /// The entry that a bare proof or receipt is for.
    pub statement: Option<&'a [u8]>,
    /// The cosigned checkpoint for a bare receipt, as signed note.
    pub checkpoint: Option<&'a str>,
    /// A receipt key that the verifier accepts even without a checkpoint.
    pub receipt_key: Option<&'a PublicKey>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("now", &self.now)
            .field("saved_heads", &self.saved_heads)
            .field("receipt_key", &self.receipt_key)
            .finish_non_exhaustive()
    }
}

/// Verifies an evidence file, a `.tlog-proof`, a COSE receipt or a checkpoint, whichever `bytes`
/// are, under the policy that the verifier trusts. Never fails: whatever is wrong is in the report.
pub fn verify(bytes: &[u8], policy: &Policy, options: &Options<'_>) -> Report {
    let mut verification = Verification::new(input::kind(bytes));
    match verification.report.input {
        Input::EvidenceFile => verification.file(bytes, policy, options),
        Input::TlogProof => input::tlog_proof(&mut verification, bytes, policy, options),
        Input::Receipt => input::receipt(&mut verification, bytes, policy, options),
        Input::Checkpoint => input::checkpoint(&mut verification, bytes, policy, options),
        Input::Unknown => {
            let sentence = "not an evidence file, proof, receipt or checkpoint";
            verification.findings.add(Code::InputMalformed, sentence);
        }
    }
    verification.conclude()
}

/// A report in the making.
pub(super) struct Verification {
    pub(super) report: Report,
    pub(super) findings: Findings,
}

impl Verification {
    fn new(input: Input) -> Self {
        Self {
            report: Report::empty(input),
            findings: Findings::default(),
        }
    }

    fn conclude(mut self) -> Report {
        (self.report.verdict, self.report.findings) = self.findings.conclude();
        self.report
    }

    fn file(&mut self, bytes: &[u8], policy: &Policy, options: &Options<'_>) {
        let file = match EvidenceFile::parse(bytes) {
            Ok(file) => file,
            Err(error) => {
                let code = match error {
                    EvidenceError::Format { .. } => Code::FormatUnknown,
                    _ => Code::InputMalformed,
                };
                self.findings.add(code, super::heads::causes(&error));
                return;
            }
        };
        self.report.records_total = file.records.len();
        let Some((head, policies)) = self.head(&file, policy) else {
            return;
        };
        // Who cosigned is told when the chain has said whose keys are in force.
        self.report.head = Some(HeadReport {
            cosigners: Vec::new(),
            ..head.report()
        });
        self.check_quorum(policy);
        if !self.included(&file, &head) {
            return;
        }
        let Some(registry) = chain::replay(&file, &mut self.findings) else {
            return;
        };
        if let Err((code, sentence)) = check_in_force(&file.head.checkpoint, &registry) {
            self.findings.add(code, sentence);
            return;
        }
        let head = head.told_in_force(&registry);
        self.report.head = Some(head.report());
        self.report.operators = chain::check_genesis(&file, &registry, &mut self.findings);
        chain::check_receipt(&file, &registry, &head, &mut self.findings);
        let history = self.history(&file, head, (&policies, &registry), options);
        self.check_history(&history, options);
        self.records(&file, &registry, &history, options);
    }

    /// The head of the file, under the verifier's policy or one that it leads to.
    fn head(
        &mut self,
        file: &EvidenceFile,
        policy: &Policy,
    ) -> Option<(AcceptedHead, Vec<Policy>)> {
        let mut policies = vec![policy.clone()];
        let mut accepted = AcceptedHead::check(&file.head.checkpoint, policy);
        if let Err((_, refused)) = &accepted
            && !file.policy_steps.is_empty()
        {
            match walk_policies(&file.policy_steps, &file.chain, policy) {
                Ok(walked) => policies.extend(walked.into_iter().map(|(_, policy)| policy)),
                Err(error) => {
                    let code = match error {
                        WalkError::UnknownPolicy { .. } => Code::PolicyNotInChain,
                        WalkError::NoGenesis => Code::GenesisMissing,
                        _ => Code::PolicyStepWrong,
                    };
                    let sentence = format!("{error}; and by that policy, {refused}");
                    self.findings.add(code, sentence);
                    return None;
                }
            }
            accepted = match policies.last() {
                Some(newest) => AcceptedHead::check(&file.head.checkpoint, newest),
                None => accepted,
            };
        }
        match accepted {
            Ok(head) if head.origin == file.origin => Some((head, policies)),
            Ok(head) => {
                let sentence = format!(
                    "the checkpoint is of {}, the file of {}",
                    head.origin, file.origin
                );
                self.findings.add(Code::CheckpointWrong, sentence);
                None
            }
            Err((code, sentence)) => {
                self.findings.add(code, sentence);
                None
            }
        }
    }

    /// Whether all entries of the file are under the root of the head.
    fn included(&mut self, file: &EvidenceFile, head: &AcceptedHead) -> bool {
        let records = file
            .records
            .iter()
            .map(|record| (record.index, &record.statement));
        let chain = file
            .chain
            .iter()
            .map(|entry| (entry.index, &entry.statement));
        let mut entries: Vec<_> = records.chain(chain).collect();
        entries.sort_unstable_by_key(|(index, _)| *index);
        let leaves: Vec<_> = entries
            .iter()
            .map(|(_, entry)| LeafHash::of(entry))
            .collect();
        let indices = entries.iter().map(|(index, _)| *index).collect();
        let proof = MultiProof::new(indices, head.head.size, file.proof.clone());
        match proof.and_then(|proof| proof.verify(&leaves, &head.head)) {
            Ok(()) => true,
            Err(error) => {
                let causes = super::heads::causes(&error);
                let sentence = format!("the entries do not lead to the root: {causes}");
                self.findings.add(Code::NotUnderRoot, sentence);
                false
            }
        }
    }

    fn history<'a>(
        &mut self,
        file: &EvidenceFile,
        head: AcceptedHead,
        chain: (&[Policy], &Registry),
        options: &Options<'a>,
    ) -> History<'a> {
        let mut heads = Vec::with_capacity(file.heads.len() + 1);
        for (position, other) in file.heads.iter().enumerate() {
            match check_other(other, &head, chain) {
                Ok(other) => heads.push(other),
                Err(sentence) => {
                    let sentence = format!("other head {position}: {sentence}");
                    self.findings.add(Code::OtherHeadWrong, sentence);
                }
            }
        }
        if !heads.is_sorted_by(|a, b| a.head.size < b.head.size) {
            let sentence = "the other heads are not in the order of their sizes";
            self.findings.add(Code::OtherHeadWrong, sentence);
        }
        heads.push(head);
        History {
            heads,
            saved: options.saved_heads,
        }
    }

    /// A policy that asks for no cosignature weakens everything that stands under it.
    pub(super) fn check_quorum(&mut self, policy: &Policy) {
        if policy.quorum().is_none() {
            let sentence = "the policy asks for no cosignature: whoever holds the log's key can show \
                            others another history";
            self.findings.add(Code::NoQuorumAsked, sentence);
        }
    }

    /// What the heads say about the reader's saved heads and about clocks.
    pub(super) fn check_history(&mut self, history: &History<'_>, options: &Options<'_>) {
        for saved in history.forks() {
            let mut sentence = format!(
                "at size {} you saved the root {}, and this checkpoint has another: the log has \
                 shown two histories",
                saved.head.size, saved.head.root
            );
            if !saved.quorum {
                sentence.push_str(
                    "; no policy given accepts the saved head, so that the log's own signature alone \
                     stands for it: check it with the policy of its time too",
                );
            }
            self.findings.add(Code::Fork, sentence);
        }
        for saved in history.not_reached() {
            let sentence = format!(
                "nothing here shows that the log extends the head of size {} that you saved: ask \
                 for an evidence file that reaches back to it",
                saved.head.size
            );
            self.findings.add(Code::SavedHeadNotReached, sentence);
        }
        if let Some(cosigner) = history.dated_ahead(options.now) {
            let sentence = format!(
                "{} cosigned at {}, which is ahead of this machine's clock {}",
                cosigner.name, cosigner.time, options.now
            );
            self.findings.add(Code::DatedAhead, sentence);
        }
    }

    fn records(
        &mut self,
        file: &EvidenceFile,
        registry: &Registry,
        history: &History<'_>,
        options: &Options<'_>,
    ) {
        let Some(head) = &self.report.head else {
            return;
        };
        let size = crate::tlog::TreeSize(head.size);
        let context = Context {
            registry,
            history,
            field_lists: options.field_lists,
            size,
        };
        let mut held_by_nobody = 0_usize;
        for record in &file.records {
            let index = record.index.0;
            match context.check(record) {
                Ok(report) => {
                    held_by_nobody += usize::from(report.held_outside == HeldOutside::Nobody);
                    if report.fields.is_empty() {
                        let sentence = format!("record {index} shows none of its fields");
                        self.findings.add_at(Code::NoFieldsShown, index, sentence);
                    }
                    self.report.records.push(report);
                }
                Err((code, sentence)) => {
                    self.findings
                        .add_at(code, index, format!("record {index}: {sentence}"));
                }
            }
        }
        if held_by_nobody > 0 {
            let total = file.records.len();
            let sentence = format!(
                "{held_by_nobody} of {total} records: nobody outside the ledger's own nodes is \
                 shown to hold a head that covers them, so their history is the operators' word"
            );
            self.findings.add(Code::HeldByNobodyOutside, sentence);
        }
    }
}
