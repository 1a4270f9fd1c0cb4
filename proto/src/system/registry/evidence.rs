//! Who may sign evidence of an organisation.

use super::signed_by::suspended;
use super::{KeyRow, PrincipalRow, Registry};
use crate::reason::{Reason, Violation, Violations};
use crate::statement::header::{self, EvidenceSubject, Header, Issuer};
use crate::tlog::LeafIndex;

/// Who signs evidence, and what speaks against it.
#[derive(Debug)]
pub struct EvidenceSigner<'r> {
    /// Whose key the header names, if that key is valid; also where the header says something else.
    pub principal: Option<&'r PrincipalRow>,
    /// The key, if it signs evidence.
    pub key: Option<&'r KeyRow>,
    /// Everything that speaks against it, the key first.
    pub violations: Vec<Violation>,
}

impl Registry {
    /// The principal and key that sign evidence with this header, if it may stand at `index`: an active
    /// key of the organisation that the issuer names and that is not suspended, addressed to this
    /// ledger. Otherwise everything that speaks against it, the key first.
    ///
    /// Operators and service keys never sign evidence. An AI agent says that it is one (origin 2)
    /// and for whom it acts, and nobody else says to be one. The statement's signature is not
    /// checked here.
    pub fn evidence_signer(
        &self,
        index: LeafIndex,
        header: &Header,
    ) -> Result<(&PrincipalRow, &KeyRow), Violations> {
        let judged = self.judge_evidence_signer(index, header);
        match (judged.principal, judged.key) {
            (Some(principal), Some(key)) if judged.violations.is_empty() => Ok((principal, key)),
            _ => Err(judged.violations.into()),
        }
    }

    /// The same, with the principal also where something speaks against it.
    pub fn judge_evidence_signer(&self, index: LeafIndex, header: &Header) -> EvidenceSigner<'_> {
        let mut found = Vec::new();
        let principal = self.principal_at(&header.key, index);
        let key = match (self.signer(&header.key, index), principal) {
            (Ok(key), Some(_)) => Some(key),
            (Ok(_), None) => {
                let rule = "a principal of an organisation signs evidence";
                found.push(Violation::new(Reason::NotPermitted, "header.kid", rule));
                None
            }
            (Err(violation), _) => {
                found.push(violation);
                None
            }
        };
        let origin = self.genesis().map_or("", |genesis| genesis.origin.as_str());
        if header.audience != origin {
            let rule = "the audience is this ledger";
            found.push(
                Violation::new(Reason::WrongAudience, "header.aud", rule)
                    .found(&header.audience)
                    .nearest(origin),
            );
        }
        if let (Some(principal), Some(_)) = (principal, key) {
            if self.is_suspended_at(&principal.organization, index) {
                found.push(suspended(&principal.organization));
            }
            check_issuer(principal, (origin, header), &mut found);
            check_agent(principal, header, &mut found);
        }
        EvidenceSigner {
            principal,
            key,
            violations: found,
        }
    }
}

/// Issuer and subject belong to the organisation of the key.
fn check_issuer(
    principal: &PrincipalRow,
    (origin, header): (&str, &Header),
    found: &mut Vec<Violation>,
) {
    let organization = principal.organization.as_str();
    let issuer = Issuer::Organization {
        origin,
        organization,
    };
    if header.issuer_in(origin) != Some(issuer) {
        let rule = "the issuer is the organisation of the key";
        found.push(
            Violation::new(Reason::WrongIssuer, "header.iss", rule)
                .found(&header.issuer)
                .nearest(issuer.to_string()),
        );
    }
    let about = header.evidence_subject();
    if about.is_none_or(|subject: EvidenceSubject<'_>| subject.organization != organization) {
        let rule = "urn:aimslog:<organisation of the key>:<system|aims>:<id>";
        found.push(Violation::new(Reason::WrongIssuer, "header.sub", rule).found(&header.subject));
    }
}

fn check_agent(principal: &PrincipalRow, header: &Header, found: &mut Vec<Violation>) {
    let says_agent = header.origin == Some(header::Origin::AiAgent);
    if says_agent != principal.is_agent() {
        let rule = if principal.is_agent() {
            "an AI agent says that it is one: origin 2"
        } else {
            "only a key that is registered for an AI agent says origin 2"
        };
        found.push(Violation::new(Reason::InvalidHeader, "header.origin", rule));
    }
    let on_behalf_of = header.on_behalf_of.as_deref();
    if let Some(acts_for) = &principal.acts_for
        && on_behalf_of != Some(acts_for.as_str())
    {
        let rule = "an AI agent names the principal for whom it is registered to act";
        found.push(
            Violation::new(Reason::InvalidHeader, "header.on_behalf_of", rule)
                .found(on_behalf_of.unwrap_or_default())
                .nearest(acts_for.as_str()),
        );
    }
}
