//! Who may sign evidence of an organisation.

use super::{KeyOwner, KeyRow, PrincipalRow, Registry};
use crate::reason::{Reason, Violation};
use crate::statement::header::{self, EvidenceSubject, Header, Issuer};
use crate::tlog::LeafIndex;

impl Registry {
    /// The principal and key that sign evidence with this header, if it may stand at `index`: an active
    /// key of the organisation that the issuer names, addressed to this ledger.
    ///
    /// Operators and service keys never sign evidence. An AI agent says that it is one (origin 2)
    /// and for whom it acts, and nobody else says to be one. The statement's signature is not
    /// checked here.
    pub fn evidence_signer(
        &self,
        index: LeafIndex,
        header: &Header,
    ) -> Result<(&PrincipalRow, &KeyRow), Violation> {
        let row = self.signer(&header.key, index)?;
        let KeyOwner::Principal(principal) = &row.owner else {
            let rule = "a principal of an organisation signs evidence";
            return Err(Violation::new(Reason::NotPermitted, "header.kid", rule));
        };
        let origin = self.genesis().map_or("", |genesis| genesis.origin.as_str());
        let organization = principal.organization.as_str();
        let issuer = Issuer::Organization {
            origin,
            organization,
        };
        if header.issuer_in(origin) != Some(issuer) {
            let rule = "the issuer is the organisation of the key";
            return Err(Violation::new(Reason::WrongIssuer, "header.iss", rule)
                .found(&header.issuer)
                .nearest(issuer.to_string()));
        }
        let about = header.evidence_subject();
        if about.is_none_or(|subject: EvidenceSubject<'_>| subject.organization != organization) {
            let rule = "urn:aimslog:<organisation of the key>:<system|aims>:<id>";
            return Err(
                Violation::new(Reason::WrongIssuer, "header.sub", rule).found(&header.subject)
            );
        }
        if header.audience != origin {
            let rule = "the audience is this ledger";
            return Err(Violation::new(Reason::WrongAudience, "header.aud", rule)
                .found(&header.audience)
                .nearest(origin));
        }
        check_agent(principal, header)?;
        Ok((principal, row))
    }
}

fn check_agent(principal: &PrincipalRow, header: &Header) -> Result<(), Violation> {
    let says_agent = header.origin == Some(header::Origin::AiAgent);
    if says_agent != principal.is_agent() {
        let rule = if principal.is_agent() {
            "an AI agent says that it is one: origin 2"
        } else {
            "only a key that is registered for an AI agent says origin 2"
        };
        return Err(Violation::new(Reason::InvalidHeader, "header.-70017", rule));
    }
    let on_behalf_of = header.on_behalf_of.as_deref();
    if let Some(acts_for) = &principal.acts_for
        && on_behalf_of != Some(acts_for.as_str())
    {
        let rule = "an AI agent names the principal for whom it is registered to act";
        return Err(Violation::new(Reason::InvalidHeader, "header.-70018", rule)
            .found(on_behalf_of.unwrap_or_default())
            .nearest(acts_for.as_str()));
    }
    Ok(())
}
