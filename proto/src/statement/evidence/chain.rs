//! Replaying the chain: from genesis to the signers of the records.

use super::file::EvidenceFile;
use super::report::{Code, Findings, OperatorsReport};
use crate::reason::Reason;
use crate::statement::UnverifiedStatement;
use crate::statement::header::Algorithm;
use crate::system::registry::{KeyOwner, Registry};
use crate::tlog::LeafIndex;

/// Every algorithm that a log may accept; genesis says which it does.
pub(super) const ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDsa, Algorithm::Ed25519];

/// The registry that the chain of the file builds, or `None` where a finding says why not.
pub(super) fn replay(file: &EvidenceFile, findings: &mut Findings) -> Option<Registry> {
    if file
        .chain
        .first()
        .is_none_or(|entry| entry.index != LeafIndex(0))
    {
        let sentence = "the chain does not begin with genesis, entry 0";
        findings.add(Code::GenesisMissing, sentence);
        return None;
    }
    let mut registry = Registry::of_selection();
    for entry in &file.chain {
        let index = entry.index.0;
        let statement = match UnverifiedStatement::parse_accepting(&entry.statement, &ALGORITHMS) {
            Ok(statement) => statement,
            Err(error) => {
                let sentence = format!("chain entry {index}: {}", super::heads::causes(&error));
                findings.add_at(Code::ChainRefused, index, sentence);
                return None;
            }
        };
        if let Err(violations) = registry.apply(entry.index, &statement) {
            let code = match violations.reason() {
                Some(Reason::UnknownKey) => Code::KeyNotInChain,
                Some(Reason::UnknownKind) => Code::KindUnknown,
                _ => Code::ChainRefused,
            };
            findings.add_at(code, index, format!("chain entry {index}: {violations}"));
            return None;
        }
    }
    Some(registry)
}

/// Genesis belongs to the log of the file, and says how many operators must agree.
pub(super) fn check_genesis(
    file: &EvidenceFile,
    registry: &Registry,
    findings: &mut Findings,
) -> Option<OperatorsReport> {
    let genesis = registry.genesis()?;
    if genesis.origin != file.origin {
        let sentence = format!(
            "genesis is that of {}, not of {}",
            genesis.origin, file.origin
        );
        findings.add_at(Code::ChainRefused, 0, sentence);
    }
    let required = genesis.operators_required;
    let of = genesis.operators.len() as u64;
    if required < 2 {
        let sentence = format!(
            "operators {required} of {of}: one operator alone changes policy, rules, keys and \
             nodes (a trial)"
        );
        findings.add(Code::TrialOperators, sentence);
    }
    Some(OperatorsReport { required, of })
}

/// The receipt of the head is by a receipt key of the log, over the root of the checkpoint.
pub(super) fn check_receipt(
    file: &EvidenceFile,
    registry: &Registry,
    head: &super::heads::AcceptedHead,
    findings: &mut Findings,
) {
    let receipt = &file.head.receipt;
    let Some(row) = registry.key(&receipt.kid()) else {
        let sentence = format!("the chain does not name the receipt key {}", receipt.kid());
        findings.add(Code::KeyNotInChain, sentence);
        return;
    };
    // A head of n entries is covered by what stands at n - 1 and before.
    let last = LeafIndex(head.head.size.0.saturating_sub(1));
    let valid = row.owner == KeyOwner::Receipt
        && row.registered_at <= last
        && row.retired_at.is_none_or(|retired| last <= retired);
    if !valid {
        let sentence = format!(
            "{} is no receipt key of the log at this head",
            receipt.kid()
        );
        findings.add(Code::ReceiptWrong, sentence);
    } else if let Err(error) = receipt.verify(&row.key, &file.origin, &head.head.root) {
        findings.add(Code::ReceiptWrong, super::heads::causes(&error));
    }
}
