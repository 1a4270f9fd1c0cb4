//! Inputs other than evidence files: proofs, receipts and checkpoints by themselves.

use super::heads::{AcceptedHead, History, causes};
use super::report::{Code, EntryReport, HeldOutside, Input};
use super::verdict::{Options, Verification};
use crate::statement::EntryId;
use crate::statement::receipt::Receipt;
use crate::tlog::{InclusionProof, LeafHash, LeafIndex, Policy, TlogProof};

/// What the bytes look like.
pub(super) fn kind(bytes: &[u8]) -> Input {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if bytes.starts_with(b"c2sp.org/tlog-proof@") {
        Input::TlogProof
    } else if bytes.first() == Some(&0xd2) {
        Input::Receipt
    } else if first == Some(&b'{') {
        Input::EvidenceFile
    } else if contains(bytes, "\n\n\u{2014} ".as_bytes()) {
        Input::Checkpoint
    } else {
        Input::Unknown
    }
}

/// A signed note by itself.
pub(super) fn checkpoint(
    verification: &mut Verification,
    bytes: &[u8],
    policy: &Policy,
    options: &Options<'_>,
) {
    let Ok(text) = str::from_utf8(bytes) else {
        verification
            .findings
            .add(Code::CheckpointWrong, "the checkpoint is not UTF-8");
        return;
    };
    if let Some(head) = accept(verification, text, policy, options)
        && let Some(last) = head.head.size.0.checked_sub(1)
    {
        held_outside(verification, &head, (LeafIndex(last), options));
    }
}

/// A proof by itself: the entry comes from the options, its signer cannot be checked.
pub(super) fn tlog_proof(
    verification: &mut Verification,
    bytes: &[u8],
    policy: &Policy,
    options: &Options<'_>,
) {
    let proof = match TlogProof::parse(bytes) {
        Ok(proof) => proof,
        Err(error) => {
            verification
                .findings
                .add(Code::InputMalformed, causes(&error));
            return;
        }
    };
    let note = proof.note().to_string();
    let Some(head) = accept(verification, &note, policy, options) else {
        return;
    };
    let Some(statement) = options.statement else {
        let sentence = "the proof is for one entry, and the entry was not given";
        verification.findings.add(Code::StatementMissing, sentence);
        return;
    };
    let checked = proof
        .inclusion()
        .verify(LeafHash::of(statement), &head.head);
    if let Err(error) = checked {
        verification
            .findings
            .add(Code::NotUnderRoot, causes(&error));
        return;
    }
    proven(
        verification,
        statement,
        proof.inclusion(),
        Some(&head),
        options,
    );
}

/// A receipt by itself. With the cosigned checkpoint of the same size and root it counts; alone it
/// proves only that a holder of the receipt key said so.
pub(super) fn receipt(
    verification: &mut Verification,
    bytes: &[u8],
    policy: &Policy,
    options: &Options<'_>,
) {
    let receipt = match Receipt::parse(bytes) {
        Ok(receipt) => receipt,
        Err(error) => {
            verification
                .findings
                .add(Code::InputMalformed, causes(&error));
            return;
        }
    };
    let Some(statement) = options.statement else {
        let sentence = "the receipt is for one entry, and the entry was not given";
        verification.findings.add(Code::StatementMissing, sentence);
        return;
    };
    let leaf = LeafHash::of(statement);
    let root = receipt.root(&leaf);
    let head = if let Some(text) = options.checkpoint {
        let Some(head) = accept(verification, text, policy, options) else {
            return;
        };
        if head.head.size != receipt.proof().size() || head.head.root != root {
            let sentence = format!(
                "the receipt leads to size {} and root {root}, the checkpoint has size {} and \
                     root {}",
                receipt.proof().size(),
                head.head.size,
                head.head.root
            );
            verification.findings.add(Code::ReceiptWrong, sentence);
            return;
        }
        Some(head)
    } else {
        // Under no head at all a receipt reaches back to nothing.
        let history = History {
            heads: Vec::new(),
            saved: options.saved_heads,
        };
        verification.check_history(&history, options);
        None
    };
    check_signature(verification, &receipt, &leaf, policy, options);
    if !verification.findings.fail() {
        proven(
            verification,
            statement,
            receipt.proof(),
            head.as_ref(),
            options,
        );
    }
}

fn check_signature(
    verification: &mut Verification,
    receipt: &Receipt,
    leaf: &LeafHash,
    policy: &Policy,
    options: &Options<'_>,
) {
    let findings = &mut verification.findings;
    let origin = policy
        .logs()
        .iter()
        .map(|log| log.key.name().as_str())
        .find(|name| receipt.head().issuer().strip_prefix("https://") == Some(name))
        .and_then(|name| crate::tlog::Origin::new(name).ok());
    let Some(origin) = origin else {
        let sentence = format!("the policy knows no log {}", receipt.head().issuer());
        findings.add(Code::PolicyOfOtherLog, sentence);
        return;
    };
    match (options.receipt_key, options.checkpoint) {
        (Some(key), checkpoint) => match receipt.verify(leaf, key, &origin) {
            Err(error) => findings.add(Code::ReceiptWrong, causes(&error)),
            Ok(_) if checkpoint.is_none() => {
                let sentence = "no cosigned checkpoint: a holder of the receipt key said so, and \
                                you said to accept that";
                findings.add(Code::ReceiptKeyAccepted, sentence);
            }
            Ok(_) => {}
        },
        (None, Some(_)) => {
            let sentence = "the receipt key was not given, so the receipt's own signature was not \
                            checked; the cosigned checkpoint was";
            findings.add(Code::ReceiptKeyUnknown, sentence);
        }
        (None, None) => {
            let sentence = "a receipt without the cosigned checkpoint of the same size and root \
                            proves only that a holder of the receipt key said so";
            findings.add(Code::ReceiptKeyOnly, sentence);
        }
    }
}

/// The head of a note that the policy accepts, noted in the report.
fn accept(
    verification: &mut Verification,
    text: &str,
    policy: &Policy,
    options: &Options<'_>,
) -> Option<AcceptedHead> {
    match AcceptedHead::check(text, policy) {
        Ok(head) => {
            verification.report.head = Some(head.report());
            verification.check_quorum(policy);
            let history = History {
                heads: vec![head.clone()],
                saved: options.saved_heads,
            };
            verification.check_history(&history, options);
            Some(head)
        }
        Err((code, sentence)) => {
            verification.findings.add(code, sentence);
            None
        }
    }
}

/// Notes that an entry is in the log, and what that leaves open.
fn proven(
    verification: &mut Verification,
    statement: &[u8],
    proof: &InclusionProof,
    head: Option<&AcceptedHead>,
    options: &Options<'_>,
) {
    verification.report.entry = Some(EntryReport {
        index: proof.index().0,
        size: proof.size().0,
        entry_id: EntryId::of(statement).to_string(),
    });
    let sentence = "the entry is in the log; who signed it was not checked, that takes an \
                    evidence file";
    verification.findings.add(Code::SignerNotChecked, sentence);
    if let Some(head) = head {
        held_outside(verification, head, (proof.index(), options));
    }
}

/// Notes where nobody outside is shown to hold a head by itself.
fn held_outside(
    verification: &mut Verification,
    head: &AcceptedHead,
    (index, options): (LeafIndex, &Options<'_>),
) {
    let history = History {
        heads: vec![head.clone()],
        saved: options.saved_heads,
    };
    if history.held_outside(index) == HeldOutside::Nobody {
        let sentence = "nobody outside the ledger's own nodes is shown to hold this head";
        verification
            .findings
            .add(Code::HeldByNobodyOutside, sentence);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
