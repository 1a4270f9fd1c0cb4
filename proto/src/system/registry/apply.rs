//! Which system record is accepted at which position, and what it changes.

use std::collections::BTreeSet;

use super::record::At;
use super::{Extent, KeyOwner, KeyRow, Registry};
use crate::reason::{Reason, Violation};
use crate::statement::UnverifiedStatement;
use crate::statement::header::Header;
use crate::statement::key::{ApprovalDigest, Possession, PublicKey, Signature, Thumbprint};
use crate::system::{
    Genesis, Keys, Node, NodeChange, NodeEntry, Organization, OrganizationId, Payload,
    PolicyChange, PolicyTexts, Principal, PrincipalChange, PrincipalId, Role, Rules, SystemKind,
    SystemRecord, principal_subject, subject,
};
use crate::tlog::{LeafIndex, Origin, Policy};

/// Where the first receipt keys stand.
const KEYS_INDEX: LeafIndex = LeafIndex(1);

impl Registry {
    /// Takes in the system record at `index`, or says why it is refused and changes nothing.
    ///
    /// Everything is judged here: payload, signature, header, who may sign it, proofs of possession
    /// and approvals. Records are applied in the order of the log.
    pub fn apply(
        &mut self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
    ) -> Result<SystemRecord, Violation> {
        let record = self.check(index, statement)?;
        let signer = statement.header().key;
        self.record(At { index, signer }, &record);
        Ok(record)
    }

    /// What [`Registry::apply`] would say, without changing anything.
    pub fn check(
        &self,
        index: LeafIndex,
        statement: &UnverifiedStatement,
    ) -> Result<SystemRecord, Violation> {
        if self.last.is_some_and(|last| index <= last) {
            let rule = "system records are applied in the order of the log";
            return Err(refuse(Reason::InvalidRequest, "index", rule));
        }
        let header = statement.header();
        let kind = SystemKind::of(&header.content_type).ok_or_else(|| {
            refuse(
                Reason::UnknownKind,
                "header.content_type",
                "a system record of version 1",
            )
            .found(&header.content_type)
        })?;
        let record = SystemRecord::decode(kind, statement.payload())?;
        if let SystemRecord::Genesis(genesis) = &record {
            check_genesis(index, genesis, statement)?;
        } else {
            self.check_record(index, &record, statement)?;
        }
        Ok(record)
    }

    fn check_record(
        &self,
        index: LeafIndex,
        record: &SystemRecord,
        statement: &UnverifiedStatement,
    ) -> Result<(), Violation> {
        let genesis = self.genesis.as_ref().ok_or_else(|| {
            refuse(
                Reason::NotPermitted,
                "statement",
                "the first entry is genesis",
            )
        })?;
        let header = statement.header();
        if !genesis.algorithms.contains(&header.algorithm.id()) {
            let rule = "an algorithm that genesis accepts";
            return Err(refuse(Reason::UnknownAlgorithm, "header.alg", rule));
        }
        let signer = self.signer(&header.key, index)?;
        verify(statement, &signer.key)?;
        let organization = match record {
            SystemRecord::Principal(principal) => Some(&principal.organization),
            _ => None,
        };
        check_header(
            header,
            &genesis.origin,
            organization,
            &record.subject_part(),
        )?;
        match record {
            SystemRecord::Genesis(_) => Err(refuse(
                Reason::NotPermitted,
                "statement",
                "genesis is entry 0 alone",
            )),
            SystemRecord::Keys(keys) => self.check_keys(index, keys, genesis, signer),
            SystemRecord::Policy(policy) => {
                self.check_approved(index, policy, genesis, signer)?;
                self.check_policy(policy, genesis)
            }
            SystemRecord::Rules(rules) => {
                self.check_approved(index, rules, genesis, signer)?;
                self.check_rules(rules)
            }
            SystemRecord::Node(node) => {
                self.check_approved(index, node, genesis, signer)?;
                self.check_node(node, genesis)
            }
            SystemRecord::Organization(organization) => {
                must_be_operator(signer)?;
                self.check_organization(organization, genesis)
            }
            SystemRecord::Principal(principal) => self.check_principal(principal, genesis, signer),
        }
    }

    /// The key that may sign the entry at `index`.
    pub(super) fn signer(&self, kid: &Thumbprint, index: LeafIndex) -> Result<&KeyRow, Violation> {
        let row = self.key(kid).ok_or_else(|| {
            refuse(
                Reason::UnknownKey,
                "header.kid",
                "a key that the log registers",
            )
            .found(kid)
        })?;
        if row.is_valid_at(index) {
            return Ok(row);
        }
        let rule = "a key that is valid at this position of the log";
        Err(refuse(Reason::RevokedKey, "header.kid", rule).found(kid))
    }

    /// As many operators as genesis asks for stand behind the record: its signer and approvals.
    fn check_approved(
        &self,
        index: LeafIndex,
        record: &impl Payload,
        genesis: &Genesis,
        signer: &KeyRow,
    ) -> Result<(), Violation> {
        must_be_operator(signer)?;
        let digest = ApprovalDigest::of(&record.encode_unapproved());
        let mut behind = BTreeSet::from([signer.key.thumbprint()]);
        for approval in record.approvals() {
            let operator = self
                .key_at(&approval.operator, index)
                .filter(|row| matches!(row.owner, KeyOwner::Operator { .. }))
                .ok_or_else(|| unknown_approver(approval.operator))?;
            check_approval(&operator.key, &digest, &approval.signature)?;
            behind.insert(approval.operator);
        }
        let found = behind.len() as u64;
        if found < genesis.operators_required {
            let rule = format!("{} operators stand behind it", genesis.operators_required);
            return Err(refuse(Reason::NotPermitted, "payload.approvals", rule).found(found));
        }
        Ok(())
    }

    fn check_keys(
        &self,
        index: LeafIndex,
        keys: &Keys,
        genesis: &Genesis,
        signer: &KeyRow,
    ) -> Result<(), Violation> {
        let subject = subject(&genesis.origin, &keys.subject_part());
        for receipt in &keys.receipt {
            check_possession(&receipt.key, genesis, &subject, &receipt.possession)?;
        }
        if index == KEYS_INDEX {
            if signer.owner != KeyOwner::Service {
                let rule = "the service key signs the keys record at index 1";
                return Err(refuse(Reason::NotPermitted, "header.kid", rule));
            }
            let [only] = keys.receipt.as_slice() else {
                return Err(refuse(
                    Reason::InvalidField,
                    "payload.receipt",
                    GENESIS_RECEIPT_KEY,
                ));
            };
            if only.key != genesis.receipt_key {
                return Err(refuse(
                    Reason::InvalidField,
                    "payload.receipt",
                    GENESIS_RECEIPT_KEY,
                ));
            }
            return Ok(());
        }
        self.check_approved(index, keys, genesis, signer)?;
        for receipt in &keys.receipt {
            let known = self.key(&receipt.key.thumbprint());
            if known.is_some_and(|row| row.owner != KeyOwner::Receipt || row.retired_at.is_some()) {
                return Err(key_in_use("payload.receipt"));
            }
        }
        Ok(())
    }

    fn check_policy(&self, change: &PolicyChange, genesis: &Genesis) -> Result<(), Violation> {
        if let Some((_, texts)) = self.policy()
            && texts.digest() != change.predecessor
        {
            let rule = "the digest of the policies in force";
            return Err(refuse(Reason::VersionConflict, "payload.predecessor", rule));
        }
        check_policies(&change.texts, genesis)
    }

    fn check_rules(&self, change: &Rules) -> Result<(), Violation> {
        let newest = self.rules.last_key_value().map(|(_, digest)| *digest);
        if newest == Some(change.predecessor) || self.extent == Extent::Selection {
            Ok(())
        } else {
            let rule = "the digest of the active rule bundle";
            Err(refuse(Reason::VersionConflict, "payload.predecessor", rule))
        }
    }

    fn check_node(&self, change: &Node, genesis: &Genesis) -> Result<(), Violation> {
        let known = self.node(change.id());
        match &change.change {
            NodeChange::Admit(node) => {
                if known.is_some() {
                    let rule = "node ids are never used twice";
                    return Err(refuse(Reason::IdConflict, "payload.id", rule));
                }
                if self
                    .nodes
                    .values()
                    .any(|row| row.node.cosigner == node.cosigner)
                {
                    return Err(key_in_use("payload.cosigner"));
                }
                check_node_name(node, &genesis.origin)
            }
            NodeChange::Remove(_) => {
                if self.extent == Extent::Whole && known.is_none_or(|row| row.removed_at.is_some())
                {
                    return Err(refuse(
                        Reason::NotFound,
                        "payload.id",
                        "a node of the cluster",
                    ));
                }
                Ok(())
            }
        }
    }

    fn check_organization(
        &self,
        record: &Organization,
        genesis: &Genesis,
    ) -> Result<(), Violation> {
        if self.organizations.contains_key(&record.organization) {
            let rule = "an organisation is registered once";
            return Err(refuse(Reason::IdConflict, "payload.organization", rule));
        }
        let subject =
            principal_subject(&genesis.origin, &record.organization, &record.administrator);
        self.check_new_key(&record.key, genesis, &subject, &record.possession)
    }

    fn check_principal(
        &self,
        record: &Principal,
        genesis: &Genesis,
        signer: &KeyRow,
    ) -> Result<(), Violation> {
        let allowed = matches!(&signer.owner, KeyOwner::Principal(principal)
            if principal.is_administrator() && principal.organization == record.organization);
        if !allowed {
            let rule = "an administrator of the organisation signs";
            return Err(refuse(Reason::NotPermitted, "header.kid", rule));
        }
        let administers = match &record.change {
            PrincipalChange::Admit(admission) => {
                let subject =
                    principal_subject(&genesis.origin, &record.organization, &record.principal);
                self.check_new_key(&admission.key, genesis, &subject, &admission.possession)?;
                admission.roles.iter().any(Role::is_administrator)
            }
            PrincipalChange::Revoke => {
                let current = self.principal(&record.organization, &record.principal);
                if self.extent == Extent::Whole
                    && current.is_none_or(|row| row.retired_at.is_some())
                {
                    let rule = "an active principal of the organisation";
                    return Err(refuse(Reason::NotFound, "payload.principal", rule));
                }
                false
            }
        };
        if !administers && self.is_last_administrator(&record.organization, &record.principal) {
            let rule = "an organisation keeps an administrator";
            return Err(refuse(Reason::NotPermitted, "payload.principal", rule));
        }
        Ok(())
    }

    /// Whether nobody else administers the organisation; not judged on a selection.
    fn is_last_administrator(&self, organization: &OrganizationId, id: &PrincipalId) -> bool {
        let another = self.principals().any(|row| {
            matches!(&row.owner, KeyOwner::Principal(principal)
                if principal.is_administrator()
                    && principal.organization == *organization
                    && principal.principal != *id)
                && row.retired_at.is_none()
        });
        self.extent == Extent::Whole && !another
    }

    fn check_new_key(
        &self,
        key: &PublicKey,
        genesis: &Genesis,
        subject: &str,
        possession: &Signature,
    ) -> Result<(), Violation> {
        if self.key(&key.thumbprint()).is_some() {
            return Err(key_in_use("payload.key"));
        }
        check_possession(key, genesis, subject, possession)
    }
}

fn check_genesis(
    index: LeafIndex,
    genesis: &Genesis,
    statement: &UnverifiedStatement,
) -> Result<(), Violation> {
    if index != LeafIndex(0) {
        return Err(refuse(
            Reason::NotPermitted,
            "statement",
            "genesis is entry 0 alone",
        ));
    }
    let kid = statement.header().key;
    let signer = genesis
        .operators
        .iter()
        .find(|operator| operator.key.thumbprint() == kid);
    let signer =
        signer.ok_or_else(|| refuse(Reason::UnknownKey, "header.kid", "an operator of genesis"))?;
    verify(statement, &signer.key)?;
    check_header(
        statement.header(),
        &genesis.origin,
        None,
        &genesis.subject_part(),
    )?;
    check_policies(&genesis.policy, genesis)?;
    for node in &genesis.nodes {
        check_node_name(node, &genesis.origin)?;
    }
    let digest = ApprovalDigest::of(&genesis.encode_unapproved());
    let mut behind = BTreeSet::from([kid]);
    for approval in &genesis.approvals {
        let operator = genesis
            .operators
            .iter()
            .find(|operator| operator.key.thumbprint() == approval.operator);
        let operator = operator.ok_or_else(|| unknown_approver(approval.operator))?;
        check_approval(&operator.key, &digest, &approval.signature)?;
        behind.insert(approval.operator);
    }
    if behind.len() < genesis.operators.len() {
        let rule = "every operator signs or approves genesis";
        return Err(refuse(Reason::NotPermitted, "payload.approvals", rule));
    }
    Ok(())
}

const GENESIS_RECEIPT_KEY: &str = "exactly the receipt key of genesis";

fn refuse(reason: Reason, field: &str, rule: impl Into<String>) -> Violation {
    Violation::new(reason, field, rule)
}

fn key_in_use(field: &str) -> Violation {
    refuse(
        Reason::IdConflict,
        field,
        "a key is registered once and for one purpose",
    )
}

fn unknown_approver(kid: Thumbprint) -> Violation {
    refuse(
        Reason::UnknownKey,
        "payload.approvals",
        "an operator of the ledger",
    )
    .found(kid)
}

fn must_be_operator(signer: &KeyRow) -> Result<(), Violation> {
    if matches!(signer.owner, KeyOwner::Operator { .. }) {
        Ok(())
    } else {
        Err(refuse(
            Reason::NotPermitted,
            "header.kid",
            "an operator signs",
        ))
    }
}

fn verify(statement: &UnverifiedStatement, key: &PublicKey) -> Result<(), Violation> {
    match statement.clone().verify(key) {
        Ok(_verified) => Ok(()),
        Err(error) => {
            let rule = "a signature by the key that kid names";
            Err(refuse(Reason::WrongSignature, "statement", rule).found(error))
        }
    }
}

fn check_approval(
    operator: &PublicKey,
    digest: &ApprovalDigest,
    signature: &Signature,
) -> Result<(), Violation> {
    operator
        .verify_approval(digest, signature)
        .map_err(|error| {
            let rule = "each approval is a signature over the payload without approvals";
            refuse(error.reason(), "payload.approvals", rule)
        })
}

fn check_possession(
    key: &PublicKey,
    genesis: &Genesis,
    subject: &str,
    possession: &Signature,
) -> Result<(), Violation> {
    let claim = Possession {
        service: genesis.origin.as_str(),
        subject,
    };
    key.verify_possession(&claim, possession).map_err(|error| {
        refuse(
            error.reason(),
            "payload.possession",
            "a signature by the new key over its subject",
        )
    })
}

/// Issuer, subject and audience are what the record says.
fn check_header(
    header: &Header,
    origin: &Origin,
    organization: Option<&OrganizationId>,
    part: &str,
) -> Result<(), Violation> {
    let issuer = match organization {
        Some(organization) => format!("https://{origin}/o/{organization}"),
        None => format!("https://{origin}"),
    };
    let checks = [
        (Reason::WrongIssuer, "header.iss", &header.issuer, issuer),
        (
            Reason::WrongIssuer,
            "header.sub",
            &header.subject,
            subject(origin, part),
        ),
        (
            Reason::WrongAudience,
            "header.aud",
            &header.audience,
            origin.to_string(),
        ),
    ];
    for (reason, field, found, expected) in checks {
        if *found != expected {
            return Err(refuse(reason, field, "what the payload says")
                .found(found)
                .nearest(expected));
        }
    }
    Ok(())
}

/// Both texts are policies, and over the log key of genesis.
fn check_policies(texts: &PolicyTexts, genesis: &Genesis) -> Result<(), Violation> {
    for (field, text) in [
        ("payload.publish", &texts.publish),
        ("payload.trust", &texts.trust),
    ] {
        let policy = Policy::parse(text.as_bytes())
            .map_err(|error| refuse(Reason::InvalidField, field, error.to_string()))?;
        if !policy.logs().iter().any(|log| log.key == genesis.log_key) {
            let rule = "a policy names the log key of genesis";
            return Err(refuse(Reason::InvalidField, field, rule));
        }
    }
    Ok(())
}

fn check_node_name(node: &NodeEntry, origin: &Origin) -> Result<(), Violation> {
    let expected = format!("{origin}/node/{}", node.id);
    let found = node.cosigner.name().as_str();
    if found == expected {
        Ok(())
    } else {
        let rule = "a cosigner key is named after its node";
        Err(refuse(Reason::InvalidField, "payload.cosigner", rule)
            .found(found)
            .nearest(expected))
    }
}
