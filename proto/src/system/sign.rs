//! Making system records: header, approvals, signature. Ids and times are passed in.

use crate::statement::header::{Algorithm, Header, Issuer};
use crate::statement::key::{ApprovalDigest, Approved, Possession, Signature, Signer, SignerError};
use crate::statement::statement::SignError;
use crate::statement::{Statement, StatementId};
use crate::system::keys::LOG_KEY_PART;
use crate::system::node::node_subject_part;
use crate::system::operator::operator_subject_part;
use crate::system::{
    Approval, KeyPurpose, NodeId, OrganizationId, Payload, PrincipalId, possession_subject, subject,
};
use crate::time::UnixSeconds;
use crate::tlog::Origin;

/// Where and when a system record is made.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// The log.
    pub origin: &'a Origin,
    /// The claimed time of signing.
    pub issued: UnixSeconds,
    /// The last registration time at which the record may be registered.
    pub expires: Option<UnixSeconds>,
    /// Unique among the records of the issuer.
    pub id: StatementId,
}

/// The statement of this record, signed by the key whose place it is; the registry judges whether
/// it is the right one. Approvals are in the record already.
pub fn sign_record<P: Payload>(
    record: &P,
    making: &Making<'_>,
    signer: &dyn Signer,
) -> Result<Statement, SignError> {
    let origin = making.origin.as_str();
    let issuer = match record.organization() {
        Some(organization) => Issuer::Organization {
            origin,
            organization: organization.as_str(),
        },
        None => Issuer::Service { origin },
    };
    let header = Header {
        algorithm: Algorithm::EdDsa,
        content_type: P::KIND.content_type(),
        key: signer.public_key().thumbprint(),
        issuer: issuer.to_string(),
        subject: subject(making.origin, &record.subject_part()),
        audience: origin.to_owned(),
        expires: making.expires,
        issued: making.issued,
        id: making.id,
        rules: None,
        catalogues: Vec::new(),
        revision: None,
        transition: None,
        links: Vec::new(),
        origin: None,
        on_behalf_of: None,
        controls: Vec::new(),
    };
    crate::statement::statement::sign(&header, &record.encode(), signer)
}

/// An operator's approval of the statement of this record that is made like this; it is worth
/// nothing in any other. Approvals in the record already are not approved themselves, so operators
/// may approve in any order.
pub fn approve_record<P: Payload>(
    record: &P,
    making: &Making<'_>,
    signer: &dyn Signer,
) -> Result<Approval, SignerError> {
    let digest = ApprovalDigest::of(&Approved {
        audience: making.origin.as_str(),
        content_type: &P::KIND.content_type(),
        id: making.id,
        expires: making.expires,
        payload: &record.encode_unapproved(),
    });
    let operator = signer.public_key().thumbprint();
    Ok(Approval {
        operator,
        signature: signer.approve(&digest)?,
    })
}

/// The record with one more approval, in the order that the payload asks for.
pub fn add_approval<P: Payload>(record: P, approval: Approval) -> P {
    let mut approvals = record.approvals().to_vec();
    approvals.retain(|known| known.operator != approval.operator);
    approvals.push(approval);
    approvals.sort_unstable_by_key(|approval| approval.operator);
    record.with_approvals(approvals)
}

/// Proof that the holder of a new key wants it to sign as this principal.
pub fn prove_principal_key(
    origin: &Origin,
    organization: &OrganizationId,
    principal: &PrincipalId,
    signer: &dyn Signer,
) -> Result<Signature, SignerError> {
    let subject = possession_subject(origin, (organization, principal), KeyPurpose::Sign);
    prove(origin, &subject, signer)
}

/// Proof that the holder of a new key wants it to read as this principal.
pub fn prove_read_key(
    origin: &Origin,
    organization: &OrganizationId,
    principal: &PrincipalId,
    signer: &dyn Signer,
) -> Result<Signature, SignerError> {
    let subject = possession_subject(origin, (organization, principal), KeyPurpose::Read);
    prove(origin, &subject, signer)
}

/// Proof that the holder of a new key wants it to sign receipts of this log.
pub fn prove_receipt_key(origin: &Origin, signer: &dyn Signer) -> Result<Signature, SignerError> {
    prove(origin, &subject(origin, "keys"), signer)
}

/// Proof that the holder of a key wants it to sign checkpoints of this log.
pub fn prove_log_key(origin: &Origin, signer: &dyn Signer) -> Result<Signature, SignerError> {
    prove(origin, &subject(origin, LOG_KEY_PART), signer)
}

/// Proof that the holder of a new key wants it to cosign heads as this node.
pub fn prove_node_key(
    origin: &Origin,
    node: NodeId,
    signer: &dyn Signer,
) -> Result<Signature, SignerError> {
    prove(origin, &subject(origin, &node_subject_part(node)), signer)
}

/// Proof that the holder of a new key wants it to sign as the operator with this name.
pub fn prove_operator_key(
    origin: &Origin,
    name: &str,
    signer: &dyn Signer,
) -> Result<Signature, SignerError> {
    prove(
        origin,
        &subject(origin, &operator_subject_part(name)),
        signer,
    )
}

fn prove(origin: &Origin, subject: &str, signer: &dyn Signer) -> Result<Signature, SignerError> {
    signer.prove_possession(&Possession {
        service: origin.as_str(),
        subject,
    })
}
