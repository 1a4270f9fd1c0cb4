//! System records: the statements by which the log says who may do what.
//!
//! Each is a Signed Statement whose payload is a public deterministic CBOR map with unsigned keys
//! (RFC 8949 4.2.1), without personal data. Decoding is strict: an unknown key, a wrong type or a
//! missing field is an error that names the field and the rule.
//!
//! | content type `application/vnd.aimslog.ledger.<x>.v1+cbor` | signed by | `iss` | `sub` part |
//! |---|---|---|---|
//! | `genesis` (index 0) | an operator that it lists, approved by all others | service | `genesis` |
//! | `keys` (index 1) | the service key of genesis; later ones by operators | service | `keys` |
//! | `policy`, `rules` | as many operators as genesis asks for | service | `policy`, `rules` |
//! | `node` | as many operators as genesis asks for | service | `node/<id>` |
//! | `operator` | as many operators as genesis asks for | service | `operator/<name>` |
//! | `organization` | one operator; to suspend and resume, operators | service | `org/<id>` |
//! | `principal` | an administrator of the organisation | organisation | `principal/<org>/<id>` |
//! | `role` | an administrator of the organisation | organisation | `role/<org>/<id>` |
//! | `engagement` | an administrator of the organisation | organisation | `engagement/<org>/<id>` |
//! | `access` | the service key | service | `access` |
//! | `controls` | an administrator of the organisation | organisation | `controls/<org>/<scheme>` |
//!
//! `sub` is `urn:aimslog:<origin>:<part>` and `aud` is the origin. [`registry::Registry`] is the one
//! home of the rules: nodes apply records through it, and whoever checks an evidence file replays
//! its chain through it. Who signs what is a table of the rule bundle, [`Permissions`].

mod access;
mod approval;
mod controls;
mod engagement;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod genesis;
mod id;
mod keys;
mod node;
mod operator;
mod organization;
mod permission;
mod policy;
mod principal;
pub mod registry;
mod role;
mod rules;
mod sign;

use std::fmt;

pub use access::{Access, AccessRead};
pub use approval::Approval;
pub use controls::{Controls, NotLoggable};
pub use engagement::{Engagement, EngagementChange, Grant};
pub use fields::{MapReader, MapWriter, Payload, PayloadError};
pub use genesis::{ENTRY_RULE, Genesis, Operator};
pub use id::{EngagementId, Holder, InvalidId, NodeId, OrganizationId, PrincipalId, Role};
pub use keys::{Keys, LogKey, ReceiptKey};
pub use node::{Node, NodeChange, NodeEntry};
pub use operator::{OperatorChange, OperatorRecord};
pub use organization::{FirstAdministrator, Organization, OrganizationChange};
use permission::KEYS_INDEX;
pub use permission::{Action, PermissionError, Permissions, SignedBy};
pub use policy::{PolicyChange, PolicyTexts};
pub use principal::{Admission, KeyPurpose, NewKey, Principal, PrincipalChange, RevocationReason};
pub use role::{RoleChange, RoleRecord};
pub use rules::Rules;
pub use sign::{
    Making, add_approval, approve_record, prove_log_key, prove_node_key, prove_operator_key,
    prove_principal_key, prove_read_key, prove_receipt_key, sign_record,
};

use crate::statement::header::{ContentType, Family};
use crate::tlog::Origin;

/// Which system record a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemKind {
    /// [`Genesis`].
    Genesis,
    /// [`Keys`].
    Keys,
    /// [`PolicyChange`].
    Policy,
    /// [`Rules`].
    Rules,
    /// [`Organization`].
    Organization,
    /// [`Principal`].
    Principal,
    /// [`Node`].
    Node,
    /// [`RoleRecord`].
    Role,
    /// [`Engagement`].
    Engagement,
    /// [`Access`].
    Access,
    /// [`Controls`].
    Controls,
    /// [`OperatorRecord`].
    Operator,
}

impl SystemKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Genesis,
        Self::Keys,
        Self::Policy,
        Self::Rules,
        Self::Organization,
        Self::Principal,
        Self::Node,
        Self::Role,
        Self::Engagement,
        Self::Access,
        Self::Controls,
        Self::Operator,
    ];

    /// The `<x>` of `ledger.<x>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::Keys => "keys",
            Self::Policy => "policy",
            Self::Rules => "rules",
            Self::Organization => "organization",
            Self::Principal => "principal",
            Self::Node => "node",
            Self::Role => "role",
            Self::Engagement => "engagement",
            Self::Access => "access",
            Self::Controls => "controls",
            Self::Operator => "operator",
        }
    }

    /// The content type of version 1 of the kind.
    ///
    /// # Panics
    ///
    /// Never: every name of a kind is a kind name.
    pub fn content_type(self) -> ContentType {
        #[expect(
            clippy::expect_used,
            reason = "every name above is a kind name, see the test"
        )]
        ContentType::new(Family::Ledger, self.name(), 1).expect("a name of [a-z]+ is a kind name")
    }

    /// The kind with this content type; every kind has version 1 alone.
    pub fn of(content_type: &ContentType) -> Option<Self> {
        let ours = content_type.family() == Family::Ledger && content_type.version() == 1;
        Self::ALL
            .into_iter()
            .find(|kind| ours && kind.name() == content_type.kind())
    }
}

impl fmt::Display for SystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The payload of a system record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemRecord {
    /// The first entry.
    Genesis(Box<Genesis>),
    /// Receipt keys.
    Keys(Keys),
    /// A change of policy.
    Policy(PolicyChange),
    /// A change of the rule bundle.
    Rules(Rules),
    /// An organisation.
    Organization(Box<Organization>),
    /// A principal.
    Principal(Box<Principal>),
    /// A node.
    Node(Node),
    /// A role of a principal.
    Role(RoleRecord),
    /// An engagement.
    Engagement(Box<Engagement>),
    /// Reads from outside.
    Access(Access),
    /// A catalogue of an organisation.
    Controls(Box<Controls>),
    /// An operator.
    Operator(Box<OperatorRecord>),
}

impl SystemRecord {
    /// The record with this payload.
    pub fn decode(kind: SystemKind, payload: &[u8]) -> Result<Self, PayloadError> {
        Ok(match kind {
            SystemKind::Genesis => Self::Genesis(Box::new(Payload::decode(payload)?)),
            SystemKind::Keys => Self::Keys(Payload::decode(payload)?),
            SystemKind::Policy => Self::Policy(Payload::decode(payload)?),
            SystemKind::Rules => Self::Rules(Payload::decode(payload)?),
            SystemKind::Organization => Self::Organization(Box::new(Payload::decode(payload)?)),
            SystemKind::Principal => Self::Principal(Box::new(Payload::decode(payload)?)),
            SystemKind::Node => Self::Node(Payload::decode(payload)?),
            SystemKind::Role => Self::Role(Payload::decode(payload)?),
            SystemKind::Engagement => Self::Engagement(Box::new(Payload::decode(payload)?)),
            SystemKind::Access => Self::Access(Payload::decode(payload)?),
            SystemKind::Controls => Self::Controls(Box::new(Payload::decode(payload)?)),
            SystemKind::Operator => Self::Operator(Box::new(Payload::decode(payload)?)),
        })
    }

    /// The payload bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Genesis(record) => record.encode(),
            Self::Keys(record) => record.encode(),
            Self::Policy(record) => record.encode(),
            Self::Rules(record) => record.encode(),
            Self::Organization(record) => record.encode(),
            Self::Principal(record) => record.encode(),
            Self::Node(record) => record.encode(),
            Self::Role(record) => record.encode(),
            Self::Engagement(record) => record.encode(),
            Self::Access(record) => record.encode(),
            Self::Controls(record) => record.encode(),
            Self::Operator(record) => record.encode(),
        }
    }

    /// The last part of its subject.
    pub fn subject_part(&self) -> String {
        match self {
            Self::Genesis(record) => record.subject_part(),
            Self::Keys(record) => record.subject_part(),
            Self::Policy(record) => record.subject_part(),
            Self::Rules(record) => record.subject_part(),
            Self::Organization(record) => record.subject_part(),
            Self::Principal(record) => record.subject_part(),
            Self::Node(record) => record.subject_part(),
            Self::Role(record) => record.subject_part(),
            Self::Engagement(record) => record.subject_part(),
            Self::Access(record) => record.subject_part(),
            Self::Controls(record) => record.subject_part(),
            Self::Operator(record) => record.subject_part(),
        }
    }

    /// Which record it is.
    pub const fn kind(&self) -> SystemKind {
        match self {
            Self::Genesis(_) => SystemKind::Genesis,
            Self::Keys(_) => SystemKind::Keys,
            Self::Policy(_) => SystemKind::Policy,
            Self::Rules(_) => SystemKind::Rules,
            Self::Organization(_) => SystemKind::Organization,
            Self::Principal(_) => SystemKind::Principal,
            Self::Node(_) => SystemKind::Node,
            Self::Role(_) => SystemKind::Role,
            Self::Engagement(_) => SystemKind::Engagement,
            Self::Access(_) => SystemKind::Access,
            Self::Controls(_) => SystemKind::Controls,
            Self::Operator(_) => SystemKind::Operator,
        }
    }

    /// The payload without approvals, which approvals are made over.
    fn encode_unapproved(&self) -> Vec<u8> {
        match self {
            Self::Genesis(record) => record.encode_unapproved(),
            Self::Keys(record) => record.encode_unapproved(),
            Self::Policy(record) => record.encode_unapproved(),
            Self::Rules(record) => record.encode_unapproved(),
            Self::Organization(record) => record.encode_unapproved(),
            Self::Principal(record) => record.encode_unapproved(),
            Self::Node(record) => record.encode_unapproved(),
            Self::Role(record) => record.encode_unapproved(),
            Self::Engagement(record) => record.encode_unapproved(),
            Self::Access(record) => record.encode_unapproved(),
            Self::Controls(record) => record.encode_unapproved(),
            Self::Operator(record) => record.encode_unapproved(),
        }
    }

    /// The approvals in the payload; empty for kinds that one signer decides.
    fn approvals(&self) -> &[Approval] {
        match self {
            Self::Genesis(record) => record.approvals(),
            Self::Keys(record) => record.approvals(),
            Self::Policy(record) => record.approvals(),
            Self::Rules(record) => record.approvals(),
            Self::Organization(record) => record.approvals(),
            Self::Node(record) => record.approvals(),
            Self::Operator(record) => record.approvals(),
            Self::Principal(_)
            | Self::Role(_)
            | Self::Engagement(_)
            | Self::Access(_)
            | Self::Controls(_) => &[],
        }
    }

    /// The organisation that issues it; none where the service or its operators do.
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Principal(record) => record.organization(),
            Self::Role(record) => record.organization(),
            Self::Engagement(record) => record.organization(),
            Self::Controls(record) => Some(record.organization()),
            Self::Genesis(_)
            | Self::Keys(_)
            | Self::Policy(_)
            | Self::Rules(_)
            | Self::Organization(_)
            | Self::Node(_)
            | Self::Operator(_)
            | Self::Access(_) => None,
        }
    }
}

/// The `sub` of a system record: `urn:aimslog:<origin>:<part>`.
pub fn subject(origin: &Origin, part: &str) -> String {
    format!("urn:aimslog:{origin}:{part}")
}

/// The `sub` of the records about a principal.
pub fn principal_subject(
    origin: &Origin,
    organization: &OrganizationId,
    principal: &PrincipalId,
) -> String {
    subject(origin, &format!("principal/{organization}/{principal}"))
}

/// What the proof of possession of a principal's key is made over: the subject of the principal, and
/// `/read` behind it for a key that reads alone.
pub fn possession_subject(
    origin: &Origin,
    (organization, principal): (&OrganizationId, &PrincipalId),
    purpose: KeyPurpose,
) -> String {
    let subject = principal_subject(origin, organization, principal);
    match purpose {
        KeyPurpose::Sign => subject,
        KeyPurpose::Read => subject + "/read",
    }
}

#[cfg(test)]
mod tests;
