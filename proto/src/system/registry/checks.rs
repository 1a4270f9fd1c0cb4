//! Single rules for system records, each independent of what the registry holds.

use std::collections::BTreeSet;

use crate::reason::{Reason, Violation};
use crate::statement::UnverifiedStatement;
use crate::statement::header::Header;
use crate::statement::key::{
    ApprovalDigest, Approved, Possession, PublicKey, Signature, Thumbprint,
};
use crate::system::{Genesis, NodeId, Payload, PolicyTexts, SystemRecord, subject};
use crate::tlog::note::KeyMaterial;
use crate::tlog::{LeafIndex, Origin, Policy, VerifierKey};

/// The field in which operators approve.
pub(super) const APPROVALS_FIELD: &str = "payload.approvals";

/// Genesis is made once, offline: the first fault is enough there.
pub(super) fn check_genesis(
    index: LeafIndex,
    genesis: &Genesis,
    statement: &UnverifiedStatement,
) -> Result<(), Violation> {
    if index != LeafIndex(0) {
        let rule = "genesis is entry 0 alone";
        return Err(refuse(Reason::NotPermitted, "statement", rule));
    }
    let kid = statement.header().key;
    let operator_of = |thumbprint: Thumbprint| {
        let mut operators = genesis.operators.iter();
        operators.find(|operator| operator.key.thumbprint() == thumbprint)
    };
    let signer = operator_of(kid)
        .ok_or_else(|| refuse(Reason::UnknownKey, "header.kid", "an operator of genesis"))?;
    verify(statement, &signer.key)?;
    let record = SystemRecord::Genesis(Box::new(genesis.clone()));
    let mut broken = check_header(statement.header(), &genesis.origin, Some(&record));
    broken.extend(check_log_key(genesis).err());
    broken.extend(check_policies(&genesis.policy, &genesis.origin, |key| {
        let rule = "the log key of genesis";
        (*key != genesis.log_key).then_some((Reason::UnknownKey, rule))
    }));
    if let Some(first) = broken.into_iter().next() {
        return Err(first);
    }
    for node in &genesis.nodes {
        check_node_name(node.id, &node.cosigner, &genesis.origin)?;
    }
    let digest = approval_digest(statement.header(), &genesis.encode_unapproved());
    let mut behind = BTreeSet::from([kid]);
    for approval in &genesis.approvals {
        let operator =
            operator_of(approval.operator).ok_or_else(|| unknown_approver(approval.operator))?;
        check_approval(&operator.key, &digest, &approval.signature)?;
        behind.insert(approval.operator);
    }
    if behind.len() < genesis.operators.len() {
        let rule = "every operator signs or approves genesis";
        return Err(refuse(Reason::TooFewOperators, APPROVALS_FIELD, rule));
    }
    Ok(())
}

pub(super) fn refuse(reason: Reason, field: &str, rule: impl Into<String>) -> Violation {
    Violation::new(reason, field, rule)
}

pub(super) fn key_in_use(field: &str) -> Violation {
    refuse(
        Reason::KeyInUse,
        field,
        "a key is registered once and for one purpose",
    )
}

pub(super) fn unknown_approver(kid: Thumbprint) -> Violation {
    refuse(
        Reason::UnknownKey,
        APPROVALS_FIELD,
        "an operator of the ledger",
    )
    .found(kid)
}

pub(super) fn verify(statement: &UnverifiedStatement, key: &PublicKey) -> Result<(), Violation> {
    match statement.clone().verify(key) {
        Ok(_verified) => Ok(()),
        Err(error) => {
            let rule = "a signature by the key that kid names";
            Err(refuse(Reason::WrongSignature, "signature", rule).found(error))
        }
    }
}

/// What the approvals of a statement with this header are over.
pub(super) fn approval_digest(header: &Header, payload: &[u8]) -> ApprovalDigest {
    ApprovalDigest::of(&Approved {
        audience: &header.audience,
        content_type: &header.content_type,
        id: header.id,
        expires: header.expires,
        payload,
    })
}

pub(super) fn check_approval(
    operator: &PublicKey,
    digest: &ApprovalDigest,
    signature: &Signature,
) -> Result<(), Violation> {
    operator
        .verify_approval(digest, signature)
        .map_err(|error| {
            let rule = "each approval is a signature for this statement";
            refuse(error.reason(), APPROVALS_FIELD, rule)
        })
}

pub(super) fn check_possession(
    (key, possession): (&PublicKey, &Signature),
    genesis: &Genesis,
    subject: &str,
) -> Result<(), Violation> {
    let claim = Possession {
        service: genesis.origin.as_str(),
        subject,
    };
    key.verify_possession(&claim, possession).map_err(|error| {
        let reason = match error.reason() {
            Reason::WrongSignature => Reason::WrongPossession,
            other => other,
        };
        let rule = "a signature by the new key over what it is to be";
        refuse(reason, "payload.possession", rule)
    })
}

/// A new cosigner key shows that its holder wants it to be the node's.
pub(super) fn check_node_key(
    (cosigner, possession): (&VerifierKey, &Signature),
    genesis: &Genesis,
    subject: &str,
) -> Result<(), Violation> {
    let not_usable = || {
        let rule = "an Ed25519 key that cosigns";
        refuse(Reason::InvalidField, "payload.cosigner", rule)
    };
    let KeyMaterial::Ed25519(key) = cosigner.material() else {
        return Err(not_usable());
    };
    let key = PublicKey::from_bytes(key.as_bytes()).map_err(|_weak| not_usable())?;
    check_possession((&key, possession), genesis, subject)
}

/// Audience, and with a record also issuer and subject, are what they must be.
pub(super) fn check_header(
    header: &Header,
    origin: &Origin,
    record: Option<&SystemRecord>,
) -> Vec<Violation> {
    let mut checks = Vec::new();
    if let Some(record) = record {
        let issuer = match record.organization() {
            Some(organization) => format!("https://{origin}/o/{organization}"),
            None => format!("https://{origin}"),
        };
        checks.push((Reason::WrongIssuer, "header.iss", &header.issuer, issuer));
        let subject = subject(origin, &record.subject_part());
        checks.push((Reason::WrongIssuer, "header.sub", &header.subject, subject));
    }
    let audience = origin.to_string();
    checks.push((
        Reason::WrongAudience,
        "header.aud",
        &header.audience,
        audience,
    ));
    let broken = checks
        .into_iter()
        .filter(|(_, _, found, expected)| *found != expected);
    broken
        .map(|(reason, field, found, expected)| {
            refuse(reason, field, "what the payload says")
                .found(found)
                .nearest(expected)
        })
        .collect()
}

/// Both texts are policies over the same keys of this log, and each of those may sign its checkpoints;
/// `refusal` says why one may not.
pub(super) fn check_policies(
    texts: &PolicyTexts,
    origin: &Origin,
    refusal: impl Fn(&VerifierKey) -> Option<(Reason, &'static str)>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut named = Vec::new();
    for (field, text) in [
        ("payload.publish", &texts.publish),
        ("payload.trust", &texts.trust),
    ] {
        let policy = match Policy::parse(text.as_bytes()) {
            Ok(policy) => policy,
            Err(error) => {
                found.push(refuse(Reason::InvalidField, field, error.to_string()));
                continue;
            }
        };
        let keys = policy.logs().iter().map(|log| &log.key);
        let keys: BTreeSet<String> = keys
            .filter(|key| key.name() == origin.key_name())
            .inspect(|key| {
                let refused = refusal(key);
                found.extend(refused.map(|(reason, rule)| refuse(reason, field, rule).found(key)));
            })
            .map(ToString::to_string)
            .collect();
        if keys.is_empty() {
            let rule = "a policy names a log key of this ledger";
            found.push(refuse(Reason::InvalidField, field, rule));
        }
        named.push(keys);
    }
    // A head is published when it satisfies one, and believed when it satisfies the other.
    if let [publish, trust] = named.as_slice()
        && publish != trust
        && found.is_empty()
    {
        let rule = "the log keys that payload.publish names";
        found.push(refuse(Reason::InvalidField, "payload.trust", rule));
    }
    found
}

/// The log key of genesis signs plain checkpoints under the name of the log, and nothing else.
fn check_log_key(genesis: &Genesis) -> Result<(), Violation> {
    let key = &genesis.log_key;
    let public = PublicKey::of_log_key(key).filter(|_| key.name() == genesis.origin.key_name());
    let Some(public) = public else {
        let rule = "an Ed25519 key that signs checkpoints, named after the ledger";
        return Err(refuse(Reason::InvalidField, "payload.log_key", rule).found(key));
    };
    let operators = genesis.operators.iter().map(|operator| &operator.key);
    let mut others = operators.chain([&genesis.receipt_key, &genesis.service_key]);
    if others.any(|other| *other == public) {
        return Err(key_in_use("payload.log_key"));
    }
    Ok(())
}

pub(super) fn check_node_name(
    id: NodeId,
    cosigner: &VerifierKey,
    origin: &Origin,
) -> Result<(), Violation> {
    let expected = format!("{origin}/node/{id}");
    let found = cosigner.name().as_str();
    if found == expected {
        Ok(())
    } else {
        let rule = "a cosigner key is named after its node";
        Err(refuse(Reason::InvalidField, "payload.cosigner", rule)
            .found(found)
            .nearest(expected))
    }
}
